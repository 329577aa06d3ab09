package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/integration/lab"
	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A product is a server that people have. Each is held to the contract of a Remote, and
// real programs work in a mount of it; what it cannot do stands here with the reason,
// and fails the test when it is otherwise. `make servers` writes all of it into
// docs/SERVERS.md.
type product struct {
	name   string
	start  func(t testing.TB, s *site) server
	needs  string // a program...
	seldom bool   // ...that only `make servers` installs
	can    remotetest.Capabilities
	lacks  map[string]string // of the contract, by group/name: why
	user   map[string]string // the same, where the server is an ordinary user's
	apart  string            // why the contract cannot be tried
	fails  map[string]string // of the tasks, by name: why
	flags  []string          // of the mount
	then   string            // one more script, in the mount
	unsure map[string]string // of the contract and the tasks, what fails now and then: why
	// transport: the SFTP server behind it is OpenSSH's, so that its contract is shown
	// already; and it lets only ordinary users in.
	transport bool
}

// A task is what people do with a mount.
type task struct{ name, script string }

var tasks = []task{
	{"edit and save", `
		mkdir work; cd work
		echo one >file
		sed -i s/one/two/ file
		test "$(cat file)" = two
		echo three >>file
		test "$(wc -l <file)" = 2
		cp file copy
		mv -f copy file
		chmod 600 file
		mkdir folder
		mv folder other
		rmdir other
		rm file`},
	{"symbolic links", `
		mkdir linked
		cd linked
		echo data >file
		ln -s file link
		test "$(readlink link)" = file
		test "$(cat link)" = data
		mv link moved
		test "$(readlink moved)" = file
		rm moved
		test "$(cat file)" = data
		mkdir "$L/links"
		ln -s no/where "$L/links/link"
		rsync -a --omit-link-times "$L/links/" .
		test "$(readlink link)" = no/where`},
	{"git clone, commit, fsck", `
		git -c init.defaultBranch=main init -q "$L/origin"
		cp -r "$L/tree" "$L/origin/tree"
		export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
		git -C "$L/origin" add .
		git -C "$L/origin" commit -q -m first
		git clone -q --no-local "$L/origin" clone
		cd clone
		test -z "$(git status --porcelain)"
		echo more >>tree/a/1
		git commit -q -a -m second
		git fsck --strict
		test -z "$(git status --porcelain)"`},
	{"rsync -a, and again", `
		rsync -a "$L/tree/" copied/
		diff -r "$L/tree" copied
		test -z "$(rsync -a -n -i "$L/tree/" copied/)"`},
}

// tree is what tasks copy.
const tree = `
	mkdir -p "$L/tree/a/b" "$L/tree/empty"
	for n in 1 2 3 4 5; do echo "$n" >"$L/tree/a/$n"; done
	head -c 300000 /dev/urandom >"$L/tree/a/b/large"
	chmod 640 "$L/tree/a/2"
	touch -d '2020-01-02 03:04:07' "$L/tree/a/3"
`

// outcome is what became of one product.
type outcome struct {
	product  product
	software string
	missing  []string // extensions
	quirks   []string
	contract int
}

func TestServers(t *testing.T) {
	t.Parallel() // it takes long
	var seen []outcome
	for _, p := range products() {
		t.Run(p.name, func(t *testing.T) {
			if _, err := exec.LookPath(p.needs); err != nil && p.seldom && os.Getenv("REMOTEMOUNT_SERVERS") == "" {
				return // make servers has it
			}
			if p.needs != "" {
				need(t, p.needs)
			}
			o := outcome{product: p}
			users, err := lab.Users()
			must(t, err)
			if !p.transport && p.apart == "" {
				t.Run("contract", func(t *testing.T) { p.contract(t, users[0], &o) })
			}
			if p.transport && users[0].UID == 0 {
				users = users[1:]
			}
			t.Run("tasks", func(t *testing.T) { p.tasks(t, users[len(users)-1], &o) })
			seen = append(seen, o)
		})
	}
	if to := os.Getenv("REMOTEMOUNT_SERVERS"); to != "" && !t.Failed() {
		must(t, os.WriteFile(to, []byte(serversText(seen)), 0o644))
	}
}

// reached is how the job finds the server.
type reached struct {
	Port           int
	User, Identity string
	Root, Disk     string // the same folder, as the server and as this machine names it
	Can            remotetest.Capabilities
}

func init() { jobs["server contract"] = serverContractJob }

// serverContractJob holds a server to the contract, in a process of its own whose
// failures can be counted.
func serverContractJob(t *testing.T, dir string) {
	var r reached
	text, err := os.ReadFile(filepath.Join(dir, "reached.json"))
	must(t, err)
	must(t, json.Unmarshal(text, &r))
	n := 0
	remotetest.Run(t, func(t testing.TB) remotetest.Fixture {
		n++
		at := filepath.Join(r.Disk, strconv.Itoa(n))
		must(t, os.Mkdir(at, 0o755))
		p := r.pool(t, "/"+strings.TrimPrefix(r.Root+"/"+strconv.Itoa(n), "/"))
		t.Cleanup(func() {
			if err := p.Close(context.Background()); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		return remotetest.Fixture{Remote: p, Path: at, Capabilities: r.Can}
	})
}

// pool is a Pool on a folder of the server.
func (r reached) pool(t testing.TB, dir string) *pool.Pool {
	t.Helper()
	key, err := os.ReadFile(r.Identity)
	must(t, err)
	signer, err := ssh.ParsePrivateKey(key)
	must(t, err)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Port))
	p, err := pool.New(pool.Config{
		Addr: addr, Dir: dir, Timeout: 10 * time.Second,
		Dial: func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", addr) },
		SSH: func(context.Context, net.Conn) (*ssh.ClientConfig, error) {
			return &ssh.ClientConfig{
				User: r.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
				HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
				HostKeyCallback:   ssh.InsecureIgnoreHostKey(), // it is on loopback, and of this test
			}, nil
		},
	})
	must(t, err)
	must(t, p.Connect(t.Context()))
	return p
}

var tellsOf = regexp.MustCompile(`(?m)^\s*--- (PASS|FAIL): TestInside/([^/\s]+/[^/\s]+) `)

// contract runs the suite, and compares what failed with what is known to.
func (p product) contract(t *testing.T, u lab.User, o *outcome) {
	s := newSite(t, u)
	at := p.start(t, s)
	r := reached{Port: at.port, User: s.sshd.User, Identity: s.sshd.Identity, Root: at.path, Disk: s.remote, Can: p.can}
	live := r.pool(t, at.path)
	info := live.Info()
	live.Abort()
	// Newer versions have more.
	_, r.Can.Copy = info.Extensions["copy-data"]
	_, r.Can.SymlinkTimes = info.Extensions["lsetstat@openssh.com"]
	o.software, o.missing = info.Server, lacking(info.Extensions)

	text, err := json.Marshal(r)
	must(t, err)
	must(t, s.WriteFile("reached.json", text, 0o600))
	program := s.Path("inside.test")
	must(t, copyProgram(s.Lab))
	stdout, stderr, _ := s.run(t, "env", insideEnv+"=server contract", insideDir+"="+s.Dir, program, "-test.run=^TestInside$", "-test.v")
	failed := []string{}
	for _, m := range tellsOf.FindAllStringSubmatch(stdout, -1) {
		o.contract++
		if m[1] == "FAIL" {
			failed = append(failed, m[2])
		}
	}
	if o.contract < 100 {
		t.Fatalf("only %d parts of the contract ran:\n%s%s", o.contract, tail(stdout), tail(stderr))
	}
	lacks := p.lacks
	if u.UID != 0 {
		lacks = both(p.lacks, p.user)
	}
	shown := false
	for _, name := range failed {
		if why := p.unsure[name]; why != "" {
			t.Logf("%s: %s", name, why)
		} else if lacks[name] == "" {
			t.Errorf("does not hold: %s", name)
			shown = true
		}
	}
	for name := range lacks {
		if !slices.Contains(failed, name) {
			t.Errorf("holds, and is said not to: %s", name)
		}
	}
	if shown {
		t.Log(failures(stdout))
	}
}

func both(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b)
	return all
}

// failures are the lines of a verbose test that are not about what passed.
func failures(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "=== ") && !strings.Contains(line, "--- PASS") {
			b.WriteString(line)
		}
	}
	return tail(b.String())
}

var wanted = []string{"posix-rename@openssh.com", "hardlink@openssh.com", "statvfs@openssh.com", "fsync@openssh.com",
	"lsetstat@openssh.com", "limits@openssh.com", "copy-data", "users-groups-by-id@openssh.com"}

func lacking(extensions map[string]string) (missing []string) {
	for _, name := range wanted {
		if _, ok := extensions[name]; !ok {
			missing = append(missing, name)
		}
	}
	return missing
}

// tasks mounts it, and has real programs work there.
func (p product) tasks(t *testing.T, u lab.User, o *outcome) {
	need(t, "git", "rsync")
	s := newSite(t, u)
	at := p.start(t, s)
	r := reached{Port: at.port, User: s.sshd.User, Identity: s.sshd.Identity}
	live := r.pool(t, at.path)
	info := live.Info()
	live.Abort()
	o.software, o.missing = info.Server, lacking(info.Extensions)
	address := s.sshd.User + "@127.0.0.1:" + at.path
	args := append(append([]string{"mount", "--foreground"}, s.connect(t, at.port)...), p.flags...)
	m, err := s.StartMount(s.Command(context.Background(), binary, append(args, address, s.point)...), s.point)
	must(t, err)
	s.sh(t, s.Dir, tree)
	check := func(name string, err error) {
		t.Helper()
		switch why := p.fails[name]; {
		case p.unsure[name] != "":
			t.Logf("%s: %v", name, err)
		case err != nil && why == "":
			t.Errorf("%s: %v", name, err)
		case err == nil && why != "":
			t.Errorf("%s works, and is said not to", name)
		case err != nil:
			t.Logf("%s fails, as it is said to: %v", name, err)
		}
	}
	for _, task := range tasks {
		_, err := s.shell(t, s.point, task.script)
		check(task.name, err)
	}
	if p.then != "" {
		s.sh(t, s.point, p.then)
	}
	o.quirks = quirksOf(t, s)
	if err := m.Unmount(); err != nil && !p.loses() { // what failed may be lost data
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("the mount said:\n%s", tail(m.Output()))
	}
	check("sync push, pull, two-way", p.sync(t, s, at))
}

// loses reports whether a task may fail.
func (p product) loses() bool {
	return slices.ContainsFunc(tasks, func(t task) bool { return p.fails[t.name]+p.unsure[t.name] != "" })
}

// sync has all three directions, each once more to see that nothing is left to do.
func (p product) sync(t *testing.T, s *site, at server) error {
	there := s.sshd.User + "@127.0.0.1:" + strings.TrimSuffix(at.path, "/") + "/synced"
	must(t, s.Mkdir(filepath.Join(s.remote, "synced"), 0o755))
	for _, run := range [][]string{{"push", s.Path("tree"), there}, {"pull", there, s.Path("pulled")}, {"two-way", s.Path("pulled"), there}} {
		for again := range 2 {
			if run[0] == "pull" && again == 0 {
				must(t, s.Mkdir("pulled", 0o755))
			}
			args := append(append([]string{"sync"}, run...), s.connect(t, at.port)...)
			stdout, stderr, code := s.run(t, binary, args...)
			if code != 0 {
				return fmt.Errorf("sync %s: exit code %d: %s%s", run[0], code, stdout, stderr)
			}
			if again == 1 && strings.Contains(stdout, "copied a/") {
				return fmt.Errorf("sync %s copies again: %s", run[0], stdout)
			}
		}
	}
	_, err := s.shell(t, s.Dir, `diff -r tree pulled; diff -r tree "$R/synced"`)
	return err
}

func quirksOf(t testing.TB, s *site) []string {
	t.Helper()
	stdout, stderr, code := s.run(t, binary, "status", "--json", s.point)
	if code != 0 {
		t.Fatalf("status: %s", stderr)
	}
	var st struct {
		Quirks []string `json:"server_quirks"`
	}
	must(t, json.Unmarshal([]byte(stdout), &st))
	return st.Quirks
}

// serversText is docs/SERVERS.md.
func serversText(seen []outcome) string {
	var b strings.Builder
	b.WriteString(`# Servers

Written by ` + "`make servers`" + `, which runs each of these on loopback, holds it to the contract
of a Remote (` + "`pool/remote/remotetest`" + `) and has real programs work in a mount of it, as an
ordinary user. What is said to be missing is missing: the test fails where it works.

| server | says it is | contract | editing and saving | symbolic links | git | rsync -a | sync, three ways |
|---|---|---|---|---|---|---|---|
`)
	for _, o := range seen {
		held := "OpenSSH's"
		switch {
		case o.product.apart != "":
			held = "not tried"
		case !o.product.transport:
			held = fmt.Sprintf("%d of %d", o.contract-len(o.product.lacks), o.contract)
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s |", o.product.name, o.software, held)
		for _, name := range []string{tasks[0].name, tasks[1].name, tasks[2].name, tasks[3].name, "sync push, pull, two-way"} {
			word := "works"
			if o.product.fails[name] != "" {
				word = "missing"
			}
			if o.product.unsure[name] != "" {
				word = "not always"
			}
			fmt.Fprintf(&b, " %s |", word)
		}
		b.WriteString("\n")
	}
	for _, o := range seen {
		fmt.Fprintf(&b, "\n## %s\n\n", o.product.name)
		list := func(what string, items []string) {
			if len(items) > 0 {
				fmt.Fprintf(&b, "- %s: %s.\n", what, strings.Join(items, "; "))
			}
		}
		if len(o.product.flags) > 0 {
			list("Mounted with", []string{"`" + strings.Join(o.product.flags, " ") + "`"})
		}
		if o.product.apart != "" {
			list("The contract is not tried", []string{o.product.apart})
		}
		list("Extensions that it lacks", o.missing)
		list("Learned of it", o.quirks)
		for _, table := range []map[string]string{o.product.fails, both(o.product.lacks, o.product.user)} {
			for _, name := range slices.Sorted(maps.Keys(table)) {
				fmt.Fprintf(&b, "- Missing: %s. %s.\n", name, table[name])
			}
		}
		for _, name := range slices.Sorted(maps.Keys(o.product.unsure)) {
			fmt.Fprintf(&b, "- Not always: %s. %s.\n", name, o.product.unsure[name])
		}
		if len(o.missing)+len(o.quirks)+len(o.product.fails)+len(o.product.lacks)+len(o.product.user) == 0 {
			b.WriteString("- Everything works.\n")
		}
	}
	b.WriteString(`
## One difference at a time

` + "`TestModes`" + ` has the built program meet a scripted server that is different in one way each;
the quirks of ` + "`pool/quirks.go`" + ` have their tests there.

| the server | tasks that fail, and why |
|---|---|
`)
	for _, m := range modes() {
		var fails []string
		for _, name := range slices.Sorted(maps.Keys(m.fails)) {
			fails = append(fails, name+": "+m.fails[name])
		}
		name := m.name
		if len(m.flags) > 0 {
			name += " (`" + strings.Join(m.flags, " ") + "`)"
		}
		fmt.Fprintf(&b, "| %s | %s |\n", name, first(strings.Join(fails, "; "), "none"))
	}
	b.WriteString(`
## Not tried

AWS Transfer and other gateways in the cloud: what
is known of them is among the differences above.
`)
	return b.String()
}

func first(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
