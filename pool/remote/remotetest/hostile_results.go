package remotetest

import "fmt"

// resultLies are answers of the right type with absurd results.
func resultLies() []Lie {
	const (
		handles = "OPEN|OPENDIR"
		looks   = "STAT|LSTAT|FSTAT"
		all     = attrSize | attrUIDGID | attrPermissions | attrACModTime
	)
	attributes := func(name string, a attrs, more ...[]byte) Lie {
		return Lie{Name: "ATTRS " + name, Types: looks, Tell: instead(typeAttrs, append([][]byte{a.encode()}, more...)...)}
	}
	list := []Lie{
		{Name: "HANDLE of nothing", Types: handles, Tell: instead(typeHandle, text(""))},
		{Name: "HANDLE of 257 bytes", Types: handles, Tell: instead(typeHandle, text(long(257)))},
		{Name: "HANDLE of 64 KiB", Types: handles, Tell: instead(typeHandle, text(long(64<<10)))},
		{Name: "HANDLE longer than its packet", Types: handles, Tell: instead(typeHandle, u32(1<<31), []byte("x"))},
		{Name: "HANDLE of another file", Types: handles, Tell: instead(typeHandle, text("no such handle"))},
		{Name: "HANDLE of NULs", Types: handles, Tell: instead(typeHandle, text("\x00\x00"))},

		attributes("of nothing", attrs{}),
		attributes("of size 2^63", attrs{flags: all, size: 1 << 63, permissions: 0o100644}),
		attributes("of size 2^64-1", attrs{flags: all, size: 1<<64 - 1, permissions: 0o100644}),
		attributes("of another size", attrs{flags: all, size: 1 << 40, permissions: 0o100644}),
		attributes("of a folder", attrs{flags: all, permissions: 0o040755}),
		attributes("of a link", attrs{flags: all, permissions: 0o120777}),
		attributes("of a device", attrs{flags: all, permissions: 0o060666}),
		attributes("of no type", plain(0o644)),
		attributes("of every bit", plain(1<<32-1)),
		attributes("of times at the end", attrs{flags: all, permissions: 0o100644, atime: 1<<32 - 1, mtime: 1<<32 - 1}),
		attributes("of owner 2^32-1", attrs{flags: all, permissions: 0o104777, uid: 1<<32 - 1, gid: 1<<32 - 1}),
		attributes("with 2^32-1 extensions", attrs{flags: attrExtended}, u32(1<<32-1)),
		attributes("with an extension cut off", attrs{flags: attrExtended}, u32(1), u32(7), []byte("x")),
		attributes("of flags that there are not", attrs{flags: 0x7ffffff0}),

		{Name: "DATA of nothing", Types: "READ", Tell: instead(typeData, text(""))},
		{Name: "DATA of one byte", Types: "READ", Tell: instead(typeData, text("x"))},
		{Name: "DATA longer than asked", Types: "READ", Tell: instead(typeData, text(long(250<<10)))},
		{Name: "DATA longer than its packet", Types: "READ", Tell: instead(typeData, u32(1<<20), zeros(10))},
		{Name: "DATA shorter than its packet", Types: "READ", Tell: instead(typeData, u32(1), zeros(1000))},
		{Name: "DATA where the end is", Types: "READ", Tell: instead(typeData, text(long(1000)))},
		{Name: "the end at once", Types: "READ", Tell: instead(typeStatus, status(1))},

		{Name: "NAME of none", Types: "REALPATH|READLINK", Tell: instead(typeNames, u32(0))},
		{Name: "NAME of two", Types: "REALPATH|READLINK", Tell: instead(typeNames, u32(2), text("a"), text("a"), u32(0), text("b"), text("b"), u32(0))},
		{Name: "NAME of 2^32-1", Types: "REALPATH|READLINK|READDIR", Tell: instead(typeNames, u32(1<<32-1), text("a"), text("a"), u32(0))},
		{Name: "NAME of one more than there are", Types: "REALPATH|READLINK|READDIR", Tell: instead(typeNames, u32(2), text("a"), text("a"), u32(0))},
		{Name: "NAME of none, for ever", Types: "READDIR", Tell: instead(typeNames, u32(0))},
		{Name: "the end at once", Types: "READDIR", Tell: instead(typeStatus, status(1))},
	}
	for _, target := range []string{"", ".", "..", "/", "/etc/passwd", "../../../../etc/passwd", "a\x00b", "\x1b[2J", long(255 << 10), "\u202e", "\xff\xfe"} {
		list = append(list, Lie{Name: fmt.Sprintf("NAME %.20q", target), Types: "REALPATH|READLINK", Tell: instead(typeNames, u32(1), text(target), text(""), u32(0))})
	}
	for name, body := range map[string][]byte{
		"of zeros": zeros(88), "of ones": []byte(ones(88)), "cut off": zeros(20), "of nothing": nil, "of one": append(u64(1), u64(1)...),
	} {
		list = append(list, Lie{Name: "EXTENDED_REPLY " + name, Types: "statvfs@openssh.com|limits@openssh.com", Tell: instead(typeExtendedReply, body)})
	}
	return append(list,
		Lie{Name: "limits of zero", Types: "limits@openssh.com", Tell: instead(typeExtendedReply, zeros(32))},
		Lie{Name: "limits of one", Types: "limits@openssh.com", Tell: instead(typeExtendedReply, u64(1), u64(1), u64(1), u64(1))},
		Lie{Name: "limits of 2^64-1", Types: "limits@openssh.com", Tell: instead(typeExtendedReply, []byte(ones(32)))},
	)
}

func ones(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 0xff
	}
	return string(b)
}

// nameLies are listings with names that no file should have.
func nameLies() []Lie {
	var list []Lie
	entry := func(name string, a attrs) []byte { return append(append(text(name), text(name)...), a.encode()...) }
	add := func(what string, entries ...[]byte) {
		body := [][]byte{u32(uint32(len(entries)))}
		list = append(list, Lie{Name: "a listing with " + what, Types: "READDIR", Tell: untilTheEnd(append(body, entries...))})
	}
	for _, name := range []string{"", ".", "..", "/", "/etc/passwd", "../out", "a/b", "a\x00b", "\x00", "a\nb", "\x1b[2J", "\u202etxt.exe",
		long(255), long(256), long(1025), long(4096), long(64 << 10), "\xff\xfe", ".remotemount-hidden-0", ".git", "-rf", "CON", " "} {
		add(fmt.Sprintf("%.20q", name), entry(name, plain(0o100644)), entry("honest", plain(0o100644)))
	}
	add("the same name twice", entry("honest", plain(0o100644)), entry("honest", plain(0o040755)))
	add("a folder of the same name as a file", entry("file", plain(0o040755)))
	add("a name without attributes", entry("honest", attrs{}))
	add("a device", entry("device", plain(0o060666)))
	add("a size of 2^63", entry("big", attrs{flags: attrSize | attrPermissions, size: 1 << 63, permissions: 0o100644}))
	add("a long name cut off", append(text("honest"), u32(1<<31)...))
	list = append(list, Lie{Name: "a listing without an end", Types: "READDIR", Endless: true, Tell: as(func(a []byte) []byte {
		return packetOf(typeNames, a, u32(1), entry(fmt.Sprintf("n%x", a[5:9]), plain(0o100644)))
	})})
	return list
}

// untilTheEnd tells the names in every answer but the end of the listing.
func untilTheEnd(body [][]byte) Corruption {
	return as(func(a []byte) []byte {
		if a[4] == typeStatus {
			return a
		}
		return packetOf(typeNames, a, body...)
	})
}
