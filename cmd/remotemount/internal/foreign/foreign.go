// Package foreign reads the remotes that other programs keep: the hosts of ssh_config,
// and the SFTP remotes of rclone.conf.
//
// Each is either found whole, or with the reason why it cannot be: a remote without its
// proxy would be another remote. Settings that change nothing about how the server is
// reached, and have nothing like them here, are named and left out. Nothing is written
// and nobody is asked here; a password is held in memory alone.
package foreign

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/keys/nss"
	"github.com/remotemount/remotemount/keys/sshconfig"
)

// A Found is a remote of another program's.
type Found struct {
	Name     string
	Remote   config.Remote
	Password string   // "" when there is none
	Key      []byte   // a private key that stood in the file; nil when there is none
	Unkept   []string // settings that have nothing like them here
	Wrong    error    // why it cannot be a remote here
}

// SSH gives the hosts that ssh_config names in full; patterns are none. file is ssh's
// -F: "" for the user's. A remote keeps no more than the host's name:
// the rest is read from ssh_config each time.
func SSH(ctx context.Context, file, home string) ([]Found, error) {
	me, err := nss.Current()
	if err != nil {
		return nil, fmt.Errorf("find the user name: %w", err)
	}
	hosts, err := sshconfig.Hosts(ctx, sshconfig.Query{File: file, Home: home, LocalUser: me.Username, UID: os.Getuid(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	var out []Found
	for _, h := range hosts {
		f := Found{Name: h.Name, Unkept: h.Unusable, Remote: config.Remote{Address: address.Address{Host: h.Name}.String()}}
		f.Remote.SSHConfig = file
		f.Wrong = f.check()
		out = append(out, f)
	}
	return out, nil
}

// check says why a remote cannot be one here.
func (f Found) check() error {
	if f.Wrong != nil {
		return f.Wrong
	}
	if err := config.CheckName(f.Name); err != nil {
		return err
	}
	return f.Remote.Check()
}
