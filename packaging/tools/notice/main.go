// Notice writes the licences of all that is linked into a program of Go: of the
// module itself, of Go, and of each module that the program says it was built from.
//
//	notice PROGRAM >NOTICE     in the folder of the program's module
//
// It fails when a module has no licence, one that cannot be told, or one that is not in
// allowed: the GPL and the LGPL are not. Nothing is taken from the network if the
// modules were fetched for the build.
//
// What it does not see: code that somebody copied into a module without its licence.
package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed is what may be linked, by the names of SPDX. The Mozilla Public License asks
// that the source of its files can be had: the notice says where.
var allowed = []string{"MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Apache-2.0", "MPL-2.0"}

// part is something linked into the program.
type part struct{ name, version, dir string }

// document is a file of a part that has to go with the program. A NOTICE and a grant of
// patents are no licences, and have no names.
type document struct {
	text     []byte
	licences []string
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "notice: error:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: notice PROGRAM")
	}
	parts, err := linked(args[0])
	if err != nil {
		return err
	}
	var notice bytes.Buffer
	var wrong []error
	for _, p := range parts {
		documents, err := p.documents()
		wrong = append(wrong, err)
		p.write(&notice, documents)
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	_, err = notice.WriteTo(out)
	return err
}

// linked is what the program says it was built from, the module itself first.
func linked(program string) ([]part, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	version, _, _ := strings.Cut(info.GoVersion, " ")
	parts := []part{
		{name: info.Main.Path, dir: "."},
		{name: "Go", version: version, dir: strings.TrimSpace(string(goroot))},
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		parts = append(parts, part{name: m.Path, version: m.Version})
	}
	return parts, locate(parts[2:])
}

// locate says where the module cache has the modules.
func locate(parts []part) error {
	args := []string{"mod", "download", "-json"}
	for _, p := range parts {
		args = append(args, p.name+"@"+p.version)
	}
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go mod download: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(out))
	for i := range parts {
		var module struct{ Path, Dir string }
		if err := decoder.Decode(&module); err != nil {
			return fmt.Errorf("go mod download: %w", err)
		}
		if module.Path != parts[i].name {
			return fmt.Errorf("go mod download: %s where %s was asked for", module.Path, parts[i].name)
		}
		parts[i].dir = module.Dir
	}
	return nil
}

// The names under which licences lie in modules, and what else goes with them.
var (
	licenceName = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)`)
	besideName  = regexp.MustCompile(`(?i)^(notice|patents)`)
)

// documents are the files of a part that go with the program. Of Go and of our module
// only those at the top count; elsewhere a folder may have a licence of its own.
func (p part) documents() ([]document, error) {
	var found []document
	var wrong []error
	err := fs.WalkDir(os.DirFS(p.dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && (p.whole() || d.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		isLicence := licenceName.MatchString(d.Name()) && filepath.Ext(name) != ".go"
		if !isLicence && !besideName.MatchString(d.Name()) {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(p.dir, name))
		if err != nil {
			return err
		}
		doc := document{text: text}
		if isLicence {
			doc.licences, err = classify(text)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s %s, %s: %w", p.name, p.version, name, err))
		}
		found = append(found, doc)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	if !slices.ContainsFunc(found, func(d document) bool { return d.licences != nil }) {
		wrong = append(wrong, fmt.Errorf("%s %s: it has no licence that may be linked", p.name, p.version))
	}
	return found, errors.Join(wrong...)
}

func (p part) whole() bool { return p.name == "Go" || p.version == "" }

// classify names the licences of a text, all of which are allowed. A text of which less
// than three quarters belong to known licences is one that nobody has read.
func classify(text []byte) ([]string, error) {
	var names []string
	coverage := licensecheck.Scan(text)
	for _, m := range coverage.Match {
		if !slices.Contains(allowed, m.ID) {
			return nil, fmt.Errorf("%s may not be linked", m.ID)
		}
		if !slices.Contains(names, m.ID) {
			names = append(names, m.ID)
		}
	}
	if coverage.Percent < 75 {
		return nil, errors.New("a licence that cannot be told")
	}
	return names, nil
}

// write appends a part with its licences. Texts that are there twice are written once.
func (p part) write(out *bytes.Buffer, documents []document) {
	var names []string
	for _, d := range documents {
		names = append(names, d.licences...)
	}
	slices.Sort(names)
	if out.Len() > 0 {
		fmt.Fprintf(out, "\n%s\n\n", strings.Repeat("-", 78))
	}
	out.WriteString(strings.TrimSpace(p.name + " " + p.version))
	fmt.Fprintf(out, " (%s)\n", strings.Join(slices.Compact(names), ", "))
	if slices.Contains(names, "MPL-2.0") {
		fmt.Fprintf(out, "used unchanged; its source: https://%s, and the module of that name and version\n", sourceOf(p.name))
	}
	for i, d := range documents {
		if !slices.ContainsFunc(documents[:i], func(e document) bool { return bytes.Equal(e.text, d.text) }) {
			fmt.Fprintf(out, "\n%s\n", bytes.TrimSpace(bytes.ReplaceAll(d.text, []byte("\r"), nil)))
		}
	}
}

// sourceOf is the module's name without the major version at its end.
func sourceOf(module string) string {
	return regexp.MustCompile(`/v[0-9]+$`).ReplaceAllString(module, "")
}
