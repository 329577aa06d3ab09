package sftp3

// The Start methods: one for each request. See Call for their answers; without a
// note the answer is WaitStatus.

// startCall finishes the packet and submits the request.
func (c *Client) startCall(kind uint8, want want, ext string, packet []byte) *Call {
	k := &Call{c: c, want: want, ready: make(chan struct{})}
	k.request = request{kind: kind, ext: ext, packet: endPacket(packet, 0), owner: owner{call: k}}
	if err := c.refusal(k); err != nil {
		k.complete(err)
		return k
	}
	c.mu.Lock()
	err := c.submit(&k.request)
	c.mu.Unlock()
	if err != nil {
		k.complete(err)
	}
	return k
}

// refusal is why a call is not sent at all: a server may end the session at an
// extension it does not know, or at a packet that is too long for it.
func (c *Client) refusal(k *Call) error {
	if k.ext != "" && c.extensions[k.ext] != extensionVersion(k.ext) {
		return &StatusError{Code: StatusOpUnsupported, Message: "the server has no " + k.ext}
	}
	if len(k.packet)-lengthSize > c.limits.MaxPacket {
		return &StatusError{Code: StatusBadMessage, Message: "request longer than the server's limit"}
	}
	return nil
}

// startPath is a request with one string, a path or handle.
func startPath[S Handle | string](c *Client, kind uint8, want want, s S) *Call {
	return c.startCall(kind, want, "", appendString(beginPacket(nil, kind), s))
}

// extended begins an EXTENDED request.
func extended(name string) []byte {
	return appendString(beginPacket(nil, TypeExtended), name)
}

func (c *Client) startExtended(name string, want want, packet []byte) *Call {
	return c.startCall(TypeExtended, want, name, packet)
}

// StartOpen opens a file (OPEN), with OpenRead and its like. The attributes are
// for a file that it creates; the server's umask applies to its permissions.
// Answer: WaitHandle.
func (c *Client) StartOpen(path string, pflags uint32, a Attrs) *Call {
	b := appendString(beginPacket(nil, TypeOpen), path)
	return c.startCall(TypeOpen, wantHandle, "", appendAttrs(appendUint32(b, pflags), a))
}

// StartOpenDir opens a folder for StartReadDir. Answer: WaitHandle.
func (c *Client) StartOpenDir(path string) *Call { return startPath(c, TypeOpenDir, wantHandle, path) }

// StartClose gives a handle back.
func (c *Client) StartClose(h Handle) *Call { return startPath(c, TypeClose, wantStatus, h) }

// StartReadDir asks for the next names of a folder; see also ReadDir. Answer:
// WaitNames, and StatusEOF after the last name.
func (c *Client) StartReadDir(h Handle) *Call { return startPath(c, TypeReadDir, wantNames, h) }

// StartStat asks for attributes, following symbolic links. Answer: WaitAttrs.
func (c *Client) StartStat(path string) *Call { return startPath(c, TypeStat, wantAttrs, path) }

// StartLstat asks for attributes of the path itself. Answer: WaitAttrs.
func (c *Client) StartLstat(path string) *Call { return startPath(c, TypeLstat, wantAttrs, path) }

// StartFstat asks for attributes of an open file. Answer: WaitAttrs.
func (c *Client) StartFstat(h Handle) *Call { return startPath(c, TypeFstat, wantAttrs, h) }

// StartSetstat changes attributes, following symbolic links. OpenSSH applies
// them in the order size, permissions, times, owner, and stops at nothing: the
// answer is that of the last one that failed.
func (c *Client) StartSetstat(path string, a Attrs) *Call {
	b := appendString(beginPacket(nil, TypeSetstat), path)
	return c.startCall(TypeSetstat, wantStatus, "", appendAttrs(b, a))
}

// StartFsetstat changes attributes of an open file.
func (c *Client) StartFsetstat(h Handle, a Attrs) *Call {
	b := appendString(beginPacket(nil, TypeFsetstat), h)
	return c.startCall(TypeFsetstat, wantStatus, "", appendAttrs(b, a))
}

// StartLsetstat changes attributes of the path itself, also of a symbolic link
// (lsetstat@openssh.com).
func (c *Client) StartLsetstat(path string, a Attrs) *Call {
	b := appendString(extended(ExtLsetstat), path)
	return c.startExtended(ExtLsetstat, wantStatus, appendAttrs(b, a))
}

// StartRemove removes a file, or a symbolic link.
func (c *Client) StartRemove(path string) *Call { return startPath(c, TypeRemove, wantStatus, path) }

// StartMkdir makes a folder; the server's umask applies to its permissions.
func (c *Client) StartMkdir(path string, a Attrs) *Call {
	b := appendString(beginPacket(nil, TypeMkdir), path)
	return c.startCall(TypeMkdir, wantStatus, "", appendAttrs(b, a))
}

// StartRmdir removes an empty folder.
func (c *Client) StartRmdir(path string) *Call { return startPath(c, TypeRmdir, wantStatus, path) }

// StartRealPath asks for the absolute form of a path. Answer: WaitNames.
func (c *Client) StartRealPath(path string) *Call { return startPath(c, TypeRealPath, wantName, path) }

// StartReadLink asks for the target of a symbolic link. Answer: WaitNames.
func (c *Client) StartReadLink(path string) *Call { return startPath(c, TypeReadLink, wantName, path) }

func (c *Client) startPaths(kind uint8, first, second string) *Call {
	b := appendString(beginPacket(nil, kind), first)
	return c.startCall(kind, wantStatus, "", appendString(b, second))
}

func (c *Client) startExtendedPaths(name, first, second string) *Call {
	b := appendString(extended(name), first)
	return c.startExtended(name, wantStatus, appendString(b, second))
}

// StartRename renames where nothing has the new name (RENAME). Draft section 6.5:
// "it is an error if there already exists a file with the name".
func (c *Client) StartRename(oldPath, newPath string) *Call {
	return c.startPaths(TypeRename, oldPath, newPath)
}

// StartPosixRename is rename(2) (posix-rename@openssh.com).
func (c *Client) StartPosixRename(oldPath, newPath string) *Call {
	return c.startExtendedPaths(ExtPosixRename, oldPath, newPath)
}

// StartSymlink makes path a symbolic link to target. It sends the target before the
// path, as OpenSSH takes them, against the draft, and nearly all servers with it; for
// a server that keeps to the draft, give them the other way round.
func (c *Client) StartSymlink(target, path string) *Call {
	return c.startPaths(TypeSymlink, target, path)
}

// StartHardlink is link(2) (hardlink@openssh.com).
func (c *Client) StartHardlink(oldPath, newPath string) *Call {
	return c.startExtendedPaths(ExtHardlink, oldPath, newPath)
}

// StartFsync is fsync(2) (fsync@openssh.com).
func (c *Client) StartFsync(h Handle) *Call {
	return c.startExtended(ExtFsync, wantStatus, appendString(extended(ExtFsync), h))
}

// StartStatVFS is statvfs(3) (statvfs@openssh.com). Answer: WaitStatVFS.
func (c *Client) StartStatVFS(path string) *Call {
	return c.startExtended(ExtStatVFS, wantStatVFS, appendString(extended(ExtStatVFS), path))
}

// StartCopyData copies n bytes between two handles of this session on the server
// (copy-data). With n zero it copies to the end of src. When src is shorter,
// what there is gets copied, and OpenSSH 9.2 answers OK: only the size of dst
// tells how much it was.
func (c *Client) StartCopyData(src Handle, srcOff, n uint64, dst Handle, dstOff uint64) *Call {
	b := appendString(extended(ExtCopyData), src)
	b = appendUint64(appendUint64(b, srcOff), n)
	b = appendUint64(appendString(b, dst), dstOff)
	return c.startExtended(ExtCopyData, wantStatus, b)
}

// StartExpandPath is StartRealPath that knows "~user", and "~" as the folder in
// which the session began (expand-path@openssh.com). Answer: WaitNames.
func (c *Client) StartExpandPath(path string) *Call {
	return c.startExtended(ExtExpandPath, wantName, appendString(extended(ExtExpandPath), path))
}

// StartUsersGroups asks for names of users and groups
// (users-groups-by-id@openssh.com). Answer: WaitUsersGroups.
func (c *Client) StartUsersGroups(uids, gids []uint32) *Call {
	b := appendIDs(appendIDs(extended(ExtUsersGroups), uids), gids)
	return c.startExtended(ExtUsersGroups, wantUsersGroups, b)
}

// appendIDs is a string that holds numbers.
func appendIDs(b []byte, ids []uint32) []byte {
	b = appendUint32(b, uint32(4*len(ids)))
	for _, id := range ids {
		b = appendUint32(b, id)
	}
	return b
}

func (c *Client) startLimits() *Call {
	return c.startExtended(ExtLimits, wantLimits, extended(ExtLimits))
}
