package history

import "math/rand/v2"

// RandomNames makes the history of a seed that is about names and attributes as
// well: files in three folders that are renamed, linked and removed while they are
// open and written to, and whose modes and times are set.
func RandomNames(seed uint64) []Step {
	r := rand.New(rand.NewPCG(seed, 1))
	m := &maker{Rand: r, kinds: append(dataKinds(), nameKinds()...), files: map[string]*file{}}
	m.shape = shape{steps: 10 + r.IntN(80), largest: 64, spread: 256}
	if r.IntN(4) == 0 {
		m.shape.largest, m.shape.spread = 40<<10, 128<<10
	}
	m.folders = []string{"d", "e"}[:r.IntN(3)]
	m.names = []string{"a", "b", "c"}[:1+r.IntN(3)]
	m.most = 1 + r.IntN(4)
	m.begin()
	for _, folder := range m.folders {
		m.add(Step{Op: "mkdir", Name: folder})
	}
	for len(m.steps) < m.shape.steps {
		m.next()
	}
	m.finish()
	return m.steps
}

// nameKinds come on top of dataKinds.
func nameKinds() []kind {
	return []kind{
		{12, (*maker).rename}, {6, (*maker).link}, {8, (*maker).unlink},
		{2, (*maker).mkdir}, {2, (*maker).rmdir}, {3, (*maker).renameFolder}, {5, (*maker).list},
		{8, (*maker).lstat}, {8, (*maker).look}, {4, (*maker).chmod}, {2, (*maker).fchmod},
		{4, (*maker).utime}, {4, (*maker).futime}, {3, (*maker).same}, {4, (*maker).fsame},
	}
}

// anyName is a name at the top or in a folder, whether there is something or not.
func (m *maker) anyName() string {
	name := m.names[m.IntN(len(m.names))]
	if len(m.folders) > 0 && m.IntN(3) == 0 {
		return m.folder() + "/" + name
	}
	return name
}

func (m *maker) folder() string { return m.folders[m.IntN(len(m.folders))] }

// there is the name of a file that there is, most of the time.
func (m *maker) there() string {
	name := m.anyName()
	for range 6 {
		if m.files[name] != nil {
			break
		}
		name = m.anyName()
	}
	return name
}

// by begins a step of any process.
func (m *maker) by(op, name string) Step { return Step{Process: m.IntN(2), Op: op, Name: name} }

func (m *maker) rename() {
	s := m.by("rename", m.there())
	s.Name2 = m.anyName()
	m.add(s)
	if f := m.files[s.Name]; f != nil && f != m.files[s.Name2] {
		m.files[s.Name2] = f
		delete(m.files, s.Name)
	}
}

func (m *maker) link() {
	s := m.by("link", m.there())
	s.Name2 = m.anyName()
	m.add(s)
	if f := m.files[s.Name]; f != nil && m.files[s.Name2] == nil {
		m.files[s.Name2] = f
	}
}

func (m *maker) unlink() {
	s := m.by("unlink", m.there())
	m.add(s)
	delete(m.files, s.Name)
}

func (m *maker) mkdir() {
	if len(m.folders) > 0 {
		m.add(m.by("mkdir", m.folder()))
	}
}

func (m *maker) rmdir() {
	if len(m.folders) > 0 {
		m.add(m.by("rmdir", m.folder()))
	}
}

// renameFolder moves a folder, with all in it, to another name, and most of the
// time back again a little later.
func (m *maker) renameFolder() {
	if len(m.folders) == 0 {
		return
	}
	s := m.by("rename", m.folder())
	s.Name2 = s.Name + "2"
	m.add(s)
	for range m.IntN(4) {
		m.next()
	}
	s.Process = m.IntN(2)
	s.Name, s.Name2 = s.Name2, s.Name
	m.add(s)
}

func (m *maker) list() {
	folder := "."
	if len(m.folders) > 0 && m.IntN(2) == 0 {
		folder = m.folder()
	}
	m.add(m.by("list", folder))
}

func (m *maker) lstat() { m.add(m.by("lstat", m.there())) }
func (m *maker) look()  { m.plain("look") }

func (m *maker) mode() uint32 {
	return [...]uint32{0o644, 0o600, 0o664, 0o755, 0o640}[m.IntN(5)]
}

func (m *maker) chmod() {
	s := m.by("chmod", m.there())
	s.Mode = m.mode()
	m.add(s)
}

func (m *maker) fchmod() {
	if d, s := m.on("fchmod", nil); d != nil {
		s.Mode = m.mode()
		m.add(s)
	}
}

// second is a time that no change of today has.
func (m *maker) second() int64 { return 1_000_000_000 + m.Int64N(1000) }

func (m *maker) utime() {
	s := m.by("utime", m.there())
	s.Len = m.second()
	m.add(s)
}

func (m *maker) futime() {
	if d, s := m.on("futime", nil); d != nil {
		s.Len = m.second()
		m.add(s)
	}
}

func (m *maker) same() {
	s := m.by("same", m.there())
	s.Name2 = m.there()
	m.add(s)
}

func (m *maker) fsame() {
	if d, s := m.on("fsame", nil); d != nil {
		s.Name = m.there()
		m.add(s)
	}
}
