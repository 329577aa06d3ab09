package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
)

func getenv(name string) string { return os.Getenv(name) }

// connectionFlags are the same wherever a REMOTE is given.
func connectionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "port", Aliases: []string{"p"}, DefaultText: "22", Usage: "`PORT` of the SSH server"},
		&cli.StringFlag{Name: "user", DefaultText: "by ssh_config, else your own name", Usage: "`USER` on the server"},
		&cli.StringSliceFlag{Name: "identity", Aliases: []string{"i"}, DefaultText: "the agent's, ~/.ssh/id_*", Usage: "private key `FILE`, or - for standard input; may be repeated"},
		&cli.StringFlag{Name: "password-file", Usage: "read the password from the first line of `FILE`"},
		&cli.StringFlag{Name: "password-command", Usage: "run `COMMAND` and take the password from its first line"},
		&cli.BoolFlag{Name: "ask-password", Usage: "ask for the password, also where the server does not"},
		&cli.BoolFlag{Name: "keyring", Usage: "take the password from the desktop's keyring"},
		&cli.StringFlag{Name: "ssh-config", Aliases: []string{"F"}, DefaultText: "~/.ssh/config", Usage: "read `FILE` as ssh_config; none for no file"},
		&cli.StringFlag{Name: "jump", Aliases: []string{"J"}, Usage: "connect through `HOST`[,HOST...]"},
		&cli.StringFlag{Name: "bind-address", Usage: "connect from this local `ADDRESS`"},
		&cli.StringSliceFlag{Name: "known-hosts", DefaultText: "~/.ssh/known_hosts", Usage: "known_hosts `FILE`; the first is written to"},
		&cli.StringSliceFlag{Name: "host-key", Usage: "the server's key: `KEY` is SHA256:... or the public key"},
		&cli.StringFlag{Name: "host-key-policy", DefaultText: "auto", Usage: "what to do about an unknown host: `auto|ask|strict|insecure`"},
		&cli.StringFlag{Name: "sftp-command", DefaultText: "the subsystem sftp", Usage: "start `COMMAND` on the server, as \"sudo /usr/lib/openssh/sftp-server\""},
		&cli.StringFlag{Name: "ssh-command", DefaultText: "the built-in SSH", Usage: "connect by the program `COMMAND`, as \"ssh -v\""},
		&cli.IntFlag{Name: "max-connections", DefaultText: "25; 4 with --ssh-command", Usage: "`N` connections to the remote at most"},
		&cli.GenericFlag{Name: "timeout", Value: new(config.Duration), DefaultText: "30s", Usage: "`TIME` without a byte after which a connection is dead"},
	}
}

// connectionFrom reads them. Paths become absolute: a mount in the background
// has another working folder.
func connectionFrom(c *cli.Context) (config.Connection, error) {
	conn := config.Connection{
		User: c.String("user"), Port: c.Int("port"),
		Identities:   paths(c.StringSlice("identity")),
		PasswordFile: absolute(c.String("password-file")), PasswordCommand: c.String("password-command"),
		AskPassword: c.Bool("ask-password"), Keyring: c.Bool("keyring"),
		SSHConfig: absolute(c.String("ssh-config")), Jump: c.String("jump"), BindAddress: c.String("bind-address"),
		KnownHosts: paths(c.StringSlice("known-hosts")), HostKeys: c.StringSlice("host-key"),
		SFTPCommand: c.String("sftp-command"), SSHCommand: c.String("ssh-command"),
		HostKeyPolicy: c.String("host-key-policy"), MaxConnections: c.Int("max-connections"),
		Timeout: duration(c, "timeout"), Retry: duration(c, "retry"),
	}
	if c.IsSet("port") && conn.Port == 0 {
		return conn, usage("--port 0: 1 to 65535")
	}
	if c.IsSet("max-connections") && conn.MaxConnections < 1 {
		return conn, usage("--max-connections %d: a number from 1 on", conn.MaxConnections)
	}
	if err := conn.Check(); err != nil {
		return conn, usage("--%w", err)
	}
	return conn, nil
}

func duration(c *cli.Context, name string) config.Duration {
	if d, ok := c.Generic(name).(*config.Duration); ok && d != nil && c.IsSet(name) {
		return *d
	}
	return 0
}

func paths(list []string) []string {
	var out []string
	for _, p := range list {
		out = append(out, absolute(p))
	}
	return out
}

// absolute leaves the words that are no paths as they are: - is standard input,
// none is no file, and ~ is the home folder of whoever connects.
func absolute(path string) string {
	if path == "" || path == "-" || path == "none" || path == "~" || strings.HasPrefix(path, "~/") {
		return path
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
