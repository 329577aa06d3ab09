package foreign

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/keys"
	"github.com/remotemount/remotemount/keys/sshconfig"
)

// ErrEncrypted: rclone.conf is protected by a password of its own.
var ErrEncrypted = errors.New("it is encrypted by rclone")

// Rclone gives the SFTP remotes of an rclone.conf.
func Rclone(text string) ([]Found, error) {
	sections, order, err := parseINI(text)
	if err != nil {
		return nil, err
	}
	var out []Found
	for _, name := range order {
		if sections[name]["type"] == "sftp" {
			out = append(out, rcloneRemote(name, sections[name]))
		}
	}
	return out, nil
}

// parseINI reads sections of "key = value", as rclone writes them.
func parseINI(text string) (sections map[string]map[string]string, order []string, err error) {
	sections = map[string]map[string]string{}
	in := map[string]string{} // before the first section: nobody's
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case strings.HasPrefix(line, "RCLONE_ENCRYPT_V"):
			return nil, nil, ErrEncrypted
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			name := strings.TrimSpace(line[1 : len(line)-1])
			if sections[name] == nil {
				sections[name] = map[string]string{}
				order = append(order, name)
			}
			in = sections[name]
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok || !utf8.ValidString(line) {
				return nil, nil, fmt.Errorf("line %d is neither [NAME] nor KEY = VALUE", number) // without it: it may be a secret
			}
			in[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return sections, order, nil
}

// rcloneRemote takes a section apart, a setting after the other in the order of names.
func rcloneRemote(name string, section map[string]string) Found {
	f := Found{Name: name}
	at := address.Address{Host: section["host"]}
	set := f.setters(&at)
	for _, key := range slices.Sorted(maps.Keys(section)) {
		value := section[key]
		apply, known := set[key]
		switch {
		case value == "" || key == "type":
		case !known:
			f.Unkept = append(f.Unkept, key)
		default:
			if err := apply(value); err != nil && f.Wrong == nil {
				f.Wrong = fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	if at.Host == "" {
		f.Wrong = errors.Join(f.Wrong, errors.New("host: there is none"))
	}
	if at.Port == 22 {
		at.Port = 0
	}
	f.Remote.Port, at.Port = at.Port, 0
	f.Remote.Address = at.String()
	f.Wrong = f.check()
	return f
}

// setters are the settings that have something like them here, and those without
// which the remote would be another one, or out of reach.
func (f *Found) setters(at *address.Address) map[string]func(string) error {
	r := &f.Remote.Connection
	text := func(to *string) func(string) error { return func(v string) error { *to = v; return nil } }
	cannot := func(why string) func(string) error { return func(string) error { return errors.New(why) } }
	list := func(keyword string) func(string) error {
		return func(v string) error { return f.setSSH(keyword, strings.Join(strings.Fields(v), ",")) }
	}
	return map[string]func(string) error{
		"host":                text(&at.Host),
		"user":                text(&at.User),
		"port":                func(v string) (err error) { at.Port, err = address.ParsePort(v); return },
		"pass":                func(v string) (err error) { f.Password, err = reveal(v); return },
		"ask_password":        func(v string) (err error) { r.AskPassword, err = strconv.ParseBool(v); return },
		"key_file":            func(v string) (err error) { r.Identities, err = file(v); return },
		"key_pem":             f.setKey,
		"pubkey_file":         func(v string) error { return f.setSSH("CertificateFile", os.ExpandEnv(v)) },
		"known_hosts_file":    func(v string) (err error) { r.KnownHosts, err = file(v); return },
		"subsystem":           f.setSubsystem,
		"server_command":      f.setCommand,
		"ciphers":             list("Ciphers"),
		"key_exchange":        list("KexAlgorithms"),
		"macs":                list("MACs"),
		"host_key_algorithms": list("HostKeyAlgorithms"),
		"connections":         func(v string) (err error) { r.MaxConnections, err = strconv.Atoi(v); return },
		"description":         func(string) error { return nil },
		"pubkey":              cannot("a certificate in the file itself; write it into one, and name that by pubkey_file"),
		"ssh":                 cannot("a command that has the host in it; remote add with --ssh-command takes one without"),
		"socks_proxy":         cannot("there are no SOCKS proxies here; a ProxyCommand in ssh_config does it"),
		"http_proxy":          cannot("there are no HTTP proxies here; a ProxyCommand in ssh_config does it"),
	}
}

func file(v string) ([]string, error) {
	v = os.ExpandEnv(v)
	if strings.HasPrefix(v, "~/") {
		return []string{v}, nil // whose it is is found at each use
	}
	abs, err := filepath.Abs(v)
	return []string{abs}, err
}

// setSSH keeps a setting of ssh_config, if it can be one.
func (f *Found) setSSH(keyword, value string) error {
	if strings.ContainsAny(value, "\n\r") {
		return errors.New("there is a line break in it")
	}
	query := sshconfig.Query{Host: "host", File: "none", Options: []string{keyword + "=" + value}, Log: slog.New(slog.DiscardHandler)}
	if _, err := sshconfig.Read(context.Background(), query); err != nil {
		return err
	}
	if f.Remote.SSH == nil {
		f.Remote.SSH = map[string]string{}
	}
	f.Remote.SSH[keyword] = value
	return nil
}

func (f *Found) setSubsystem(v string) error {
	if strings.ContainsAny(v, "/ ") {
		return errors.New("this is no name of a subsystem")
	}
	if v != "sftp" && f.Remote.SFTPCommand == "" {
		f.Remote.SFTPCommand = v
	}
	return nil
}

// setCommand: a command that is one word would be taken for a subsystem here.
func (f *Found) setCommand(v string) error {
	if !strings.ContainsAny(v, "/ ") {
		v = "exec " + v
	}
	f.Remote.SFTPCommand = v
	return nil
}

// setKey takes a private key that stands in one line, with \n for line breaks.
func (f *Found) setKey(v string) error {
	key := []byte(strings.TrimSpace(strings.ReplaceAll(v, `\n`, "\n")) + "\n")
	if _, err := keys.Inspect(key); err != nil {
		return err
	}
	f.Key = key
	return nil
}

// reveal undoes rclone's obscuring, which keeps a password from being read in passing
// and no more: its key is in every copy of rclone (fs/config/obscure).
func reveal(text string) (string, error) {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(data) < aes.BlockSize {
		return "", errors.New("it is not obscured as rclone does it") // without what it is
	}
	block, err := aes.NewCipher(obscuring[:])
	if err != nil {
		return "", err
	}
	plain := data[aes.BlockSize:]
	cipher.NewCTR(block, data[:aes.BlockSize]).XORKeyStream(plain, plain)
	if !utf8.Valid(plain) || strings.ContainsAny(string(plain), "\x00\n") {
		return "", errors.New("it is not obscured as rclone does it")
	}
	return string(plain), nil
}

// obscuring is rclone's key, the same for everybody.
var obscuring = [32]byte{
	0x9c, 0x93, 0x5b, 0x48, 0x73, 0x0a, 0x55, 0x4d, 0x6b, 0xfd, 0x7c, 0x63, 0xc8, 0x86, 0xa9, 0x2b,
	0xd3, 0x90, 0x19, 0x8e, 0xb8, 0x12, 0x8a, 0xfb, 0xf4, 0xde, 0x16, 0x2b, 0x8b, 0x95, 0xf6, 0x38,
}
