package options

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/keys/nss"
)

type want int

const (
	never want = iota
	needed
	maybe
)

// An option is what a name means: set, or nothing to do when that is nil, or
// cannot.
type option struct {
	value   want
	set     func(s *Settings, value string) error
	cannot  string
	instead string // the hint that goes with cannot
}

var table = sync.OnceValue(func() map[string]option {
	t := map[string]option{}
	for _, part := range []map[string]option{own(), fuseOptions(), mountOptions(), sshOptions()} {
		for name, o := range part {
			t[name] = o
		}
	}
	return t
})

// own are our flags, for fstab.
func own() map[string]option {
	return map[string]option{
		"attr_timeout":      {needed, attrTimeout, "", ""},
		"cache_memory":      {needed, func(s *Settings, v string) (err error) { s.CacheMemory, err = config.ParseSize(v); return }, "", ""},
		"multiuser":         flag(func(s *Settings) { s.MultiUser = true }),
		"password_file":     text(func(s *Settings) *string { return &s.PasswordFile }),
		"password_command":  text(func(s *Settings) *string { return &s.PasswordCommand }),
		"ask_password":      flag(func(s *Settings) { s.AskPassword = true }),
		"identity":          {needed, func(s *Settings, v string) error { s.Identities = append(s.Identities, v); return nil }, "", ""},
		"jump":              text(func(s *Settings) *string { return &s.Jump }),
		"bind_address":      text(func(s *Settings) *string { return &s.BindAddress }),
		"known_hosts":       {needed, func(s *Settings, v string) error { s.KnownHosts = append(s.KnownHosts, v); return nil }, "", ""},
		"host_key":          {needed, func(s *Settings, v string) error { s.HostKeys = append(s.HostKeys, v); return nil }, "", ""},
		"host_key_policy":   text(func(s *Settings) *string { return &s.HostKeyPolicy }),
		"keyring":           flag(func(s *Settings) { s.Keyring = true }),
		"ssh_config":        text(func(s *Settings) *string { return &s.SSHConfig }),
		"max_connections":   {needed, maxConnections, "", ""},
		"timeout":           {needed, func(s *Settings, v string) error { return s.Timeout.Set(v) }, "", ""},
		"retry":             {needed, func(s *Settings, v string) error { return s.Retry.Set(v) }, "", ""},
		"metrics":           text(func(s *Settings) *string { return &s.Metrics }),
		"log_level":         text(func(s *Settings) *string { return &s.LogLevel }),
		"log_file":          text(func(s *Settings) *string { return &s.LogFile }),
		"sftp_command":      text(func(s *Settings) *string { return &s.SFTPCommand }),
		"replace_by_moving": flag(func(s *Settings) { s.ReplaceByMoving = true }),
		"no_notify":         flag(func(s *Settings) { s.NoNotify = true }),
		"wait":              flag(func(s *Settings) { s.Wait = true }),
		"bookmark":          {maybe, func(s *Settings, v string) error { s.Bookmark = &v; return nil }, "", ""},
		"sync_mode":         text(func(s *Settings) *string { return &s.SyncMode }),
		"sync_dir":          text(func(s *Settings) *string { return &s.SyncDir }),
		"sync_every":        text(func(s *Settings) *string { return &s.SyncEvery }),
		"read_only":         flag(func(s *Settings) { s.ReadOnly = true }),
		"follow_symlinks":   flag(func(s *Settings) { s.FollowSymlinks = true }),
		"password_stdin":    flag(func(s *Settings) { s.PasswordStdin = true }),
	}
}

// fuseOptions are those of sshfs and libfuse.
func fuseOptions() map[string]option {
	anyway := option{value: maybe}
	return map[string]option{
		"allow_other":            flag(func(s *Settings) { s.AllowOther = true }),
		"disable_hardlink":       flag(func(s *Settings) { s.NoHardLinks = true }),
		"allow_root":             flag(func(s *Settings) { s.AllowRoot = true }),
		"default_permissions":    flag(func(s *Settings) { s.DefaultPermissions = yes(true) }),
		"no_default_permissions": flag(func(s *Settings) { s.DefaultPermissions = yes(false) }),
		"direct_io":              flag(func(s *Settings) { s.DirectIO = true }),
		"workaround":             {needed, workaround, "", ""},
		"nonempty":               flag(func(s *Settings) { s.NonEmpty = true }),
		"uid":                    {needed, func(s *Settings, v string) (err error) { s.UID, err = userID(v); return }, "", ""},
		"gid":                    {needed, func(s *Settings, v string) (err error) { s.GID, err = groupID(v); return }, "", ""},
		"umask":                  {needed, umask, "", ""},
		"idmap":                  {needed, idmap, "", ""},
		"uidfile":                {needed, func(s *Settings, v string) (err error) { s.UIDs, err = numbers(v, userID); return }, "", ""},
		"gidfile":                {needed, func(s *Settings, v string) (err error) { s.GIDs, err = numbers(v, groupID); return }, "", ""},
		"nomap":                  {needed, noMap, "", ""},
		"contain_symlinks":       {maybe, containLinks, "", ""},
		"no_contain_symlinks":    flag(func(s *Settings) { s.Contain = "no" }),
		"transform_symlinks":     flag(func(s *Settings) { s.TransformSymlinks = true }),
		"fsname":                 text(func(s *Settings) *string { return &s.Source }),
		"subtype":                text(func(s *Settings) *string { return &s.Subtype }),
		"debug":                  flag(func(s *Settings) { s.Debug = true; s.LogLevel = "debug" }),
		"sshfs_debug":            flag(func(s *Settings) { s.LogLevel = "debug" }),
		"loglevel":               {needed, func(s *Settings, v string) error { s.LogLevel = strings.ToLower(v); return nil }, "", ""},
		"sshfs_verbose":          flag(func(s *Settings) { s.LogLevel = "info" }),
		"port":                   {needed, port, "", ""},
		"max_conns":              {needed, maxConnections, "", ""},
		"ssh_command":            text(func(s *Settings) *string { return &s.SSHCommand }),
		"sftp_server":            text(func(s *Settings) *string { return &s.SFTPCommand }),
		"ssh_protocol":           {needed, sshProtocol, "", ""},
		"delay_connect":          flag(func(s *Settings) { s.Wait = true }),
		"modules":                {needed, modules, "", ""},
		"subdir":                 text(func(s *Settings) *string { return &s.Subdir }),
		"rellinks":               flag(func(s *Settings) { s.TransformSymlinks = true }),
		"norellinks":             flag(func(s *Settings) { s.TransformSymlinks = false }),
		"cache":                  {needed, cacheSwitch, "", ""},
		"dir_cache":              {needed, cacheSwitch, "", ""},
		"cache_timeout":          {needed, attrTimeout, "", ""},
		"dcache_timeout":         {needed, attrTimeout, "", ""},
		"cache_stat_timeout":     {needed, attrTimeout, "", ""},
		"dcache_stat_timeout":    {needed, attrTimeout, "", ""},
		"cache_dir_timeout":      {needed, attrTimeout, "", ""},
		"dcache_dir_timeout":     {needed, attrTimeout, "", ""},
		"cache_link_timeout":     {needed, attrTimeout, "", ""},
		"dcache_link_timeout":    {needed, attrTimeout, "", ""},
		"entry_timeout":          {needed, attrTimeout, "", ""},
		"negative_timeout":       {needed, attrTimeout, "", ""},
		"ac_attr_timeout":        {needed, attrTimeout, "", ""},

		"sync_readdir": anyway, "no_check_root": anyway, "noforget": anyway, "remember": anyway, "no_rofd_flush": anyway,
		"follow_inside_symlinks": anyway, // what leads inside is followed by default
		"auto_unmount":           anyway, // whatever ends the mount but SIGKILL; and the next mount clears what is left
		"no_remote_lock":         anyway, "no_remote_flock": anyway, "no_remote_posix_lock": anyway,
		"from_code": cannot("names are the bytes that the server has, so that each can be reached", "convmv on the server changes them for good"),
		"to_code":   cannot("names are the bytes that the server has, so that each can be reached", "convmv on the server changes them for good"),
		"reconnect": anyway, "sshfs_sync": anyway, "no_readahead": anyway, "big_writes": anyway, "large_read": anyway,
		"kernel_cache": anyway, "auto_cache": anyway, "noauto_cache": anyway, "max_read": anyway, "max_write": anyway,
		"max_readahead": anyway, "max_background": anyway, "congestion_threshold": anyway, "async_read": anyway, "sync_read": anyway,
		"cache_max_size": anyway, "dcache_max_size": anyway,
		"cache_clean_interval": anyway, "dcache_clean_interval": anyway, "cache_min_clean_interval": anyway,
		"dcache_min_clean_interval": anyway, "clone_fd": anyway, "max_idle_threads": anyway, "max_threads": anyway, "dev": anyway,
		"splice_read": anyway, "splice_write": anyway, "splice_move": anyway, "no_splice_read": anyway, "no_splice_write": anyway, "no_splice_move": anyway,
		"atomic_o_trunc": anyway, "hard_remove": anyway, "use_ino": anyway, "readdir_ino": anyway, "intr": anyway,

		"writeback_cache":   cannot("the kernel would take size and time of a file for its own, and hide what others change on the server", "leave it out: writes are gathered anyway"),
		"passive":           cannot(onceOnly, "ssh_command= with the program that makes the connection"),
		"slave":             cannot(onceOnly, "ssh_command= with the program that makes the connection"),
		"directport":        cannot(notEncrypted, "leave it out: SSH is fast enough for every link"),
		"vsock":             cannot(notEncrypted, "an sshd in the virtual machine, and -o ProxyCommand=\"socat - VSOCK-CONNECT:CID:22\""),
		"unreliable_append": cannot("an append goes behind what others have appended, where that can be known", "leave it out"),
	}
}

// Why some are refused.
const (
	onceOnly     = "a connection that is handed over cannot be made again, as a mount has to"
	notEncrypted = "without SSH everybody on the way, and every program here, could read and change the files"
)

// mountOptions are those of mount(8). What the kernel can do goes to it.
func mountOptions() map[string]option {
	t := map[string]option{
		"ro":      flag(func(s *Settings) { s.ReadOnly = true }),
		"rw":      flag(func(s *Settings) { s.ReadOnly = false }),
		"remount": cannot("a mount is not changed while it works", "unmount it and mount it again"),
		"bind":    cannot("this is not a bind mount", "mount --bind, when the mount is there"),
		"move":    cannot("the mount would not know where it is", "unmount it and mount it elsewhere"),
	}
	for _, name := range []string{"nosymfollow", "nosuid", "suid", "nodev", "noexec", "exec", "noatime", "atime", "relatime", "norelatime",
		"strictatime", "nostrictatime", "nodiratime", "diratime", "sync", "dirsync", "lazytime", "nolazytime", "iversion"} {
		t[name] = flag(func(s *Settings) { s.Kernel = append(s.Kernel, name) })
	}
	for _, name := range []string{"context", "fscontext", "defcontext", "rootcontext"} {
		t[name] = option{needed, func(s *Settings, v string) error { s.Kernel = append(s.Kernel, name+"="+v); return nil }, "", ""}
	}
	for _, name := range []string{"defaults", "auto", "noauto", "user", "nouser", "users", "nousers", "owner", "noowner",
		"group", "nogroup", "_netdev", "nofail", "async", "comment", "uhelper", "loud", "silent", "mand", "nomand"} {
		t[name] = option{value: maybe}
	}
	return t
}

func flag(set func(*Settings)) option {
	return option{value: never, set: func(s *Settings, _ string) error { set(s); return nil }}
}

func text(field func(*Settings) *string) option {
	return option{value: needed, set: func(s *Settings, v string) error { *field(s) = v; return nil }}
}

func cannot(why, instead string) option {
	return option{value: maybe, cannot: why, instead: instead}
}

func yes(b bool) *bool { return &b }

// attrTimeout: sshfs has a dozen of these times, we have one; the shortest that
// was said holds.
func attrTimeout(s *Settings, v string) error {
	d, err := config.ParseDuration(v)
	if err == nil && (s.AttrTimeout == nil || d < *s.AttrTimeout) {
		s.AttrTimeout = &d
	}
	return err
}

func cacheSwitch(s *Settings, v string) error {
	switch v {
	case "yes":
	case "no":
		var none time.Duration
		s.AttrTimeout = &none
	default:
		return fmt.Errorf("yes or no")
	}
	return nil
}

// sshProtocol: there is one.
func sshProtocol(_ *Settings, v string) error {
	if v != "2" {
		return fmt.Errorf("SSH version 2 is the only one")
	}
	return nil
}

// modules are libfuse's: subdir is done here, iconv is not.
func modules(_ *Settings, v string) error {
	if v != "subdir" {
		return fmt.Errorf("the only module is subdir; names are the bytes that the server has, so that each can be reached")
	}
	return nil
}

func maxConnections(s *Settings, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return fmt.Errorf("a number from 1 on")
	}
	s.MaxConnections = n
	return nil
}

func port(s *Settings, v string) (err error) {
	s.Port, err = address.ParsePort(v)
	return err
}

func umask(s *Settings, v string) error {
	n, err := strconv.ParseUint(v, 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("an octal number up to 0777")
	}
	mask := uint32(n)
	s.Umask = &mask
	return nil
}

func idmap(s *Settings, v string) error {
	if v != "none" && v != "user" && v != "file" {
		return fmt.Errorf("none, user or file")
	}
	s.IDMap = v
	return nil
}

// workaround is sshfs's list of what to do about servers, between colons. Of these only
// rename is not how we work anyway.
func workaround(s *Settings, v string) error {
	for name := range strings.SplitSeq(v, ":") {
		switch name {
		case "rename", "all":
			s.ReplaceByMoving = true
		case "norename", "none":
			s.ReplaceByMoving = false
		}
	}
	return nil
}

func containLinks(s *Settings, v string) error {
	if v != "" && v != "strict" {
		return fmt.Errorf("contain_symlinks alone, or contain_symlinks=strict")
	}
	s.Contain = v
	return nil
}

func userID(v string) (*uint32, error) {
	if id, err := number(v); err == nil {
		return id, nil
	}
	u, err := nss.LookupUser(v)
	if err != nil {
		return nil, fmt.Errorf("no such user here")
	}
	return number(u.Uid)
}

func groupID(v string) (*uint32, error) {
	if id, err := number(v); err == nil {
		return id, nil
	}
	g, err := nss.LookupGroup(v)
	if err != nil {
		return nil, fmt.Errorf("no such group here")
	}
	return number(g.Gid)
}

func number(v string) (*uint32, error) {
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil {
		return nil, err
	}
	id := uint32(n)
	return &id, nil
}
