// Command release builds what users download:
//
//	go run ./bench/release -out FOLDER [-only linux-amd64,windows-amd64] [-twice all|none|PLATFORMS]
//
// For every platform an archive (for Debian and Ubuntu a package, too) with the
// program, its licences, manual pages and completions; of all a CycloneDX list of
// the parts (sbom.json) and SHA256SUMS. It builds what is committed, on Linux amd64,
// and needs gcc, aarch64-linux-gnu-gcc, x86_64-w64-mingw32-gcc and zig (the Python
// package ziglang 0.17.1; -zig says how to call it).
//
// Every program is built a second time in another folder with nothing cached, and
// must come out the same, byte by byte. Every program is checked for the libraries
// it asks for: glibc 2.17 on Linux, what every Windows and macOS has.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	out := flag.String("out", "", "folder for the results")
	only := flag.String("only", "", "platforms to build, as linux-amd64,windows-amd64 (default: all)")
	twice := flag.String("twice", "all", "platforms to build a second time: all, none or a list")
	zig := flag.String("zig", "python3 -m ziglang", "how zig is called")
	flag.Parse()
	if *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*out, *only, *twice, *zig); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release is one run: what is built, and where.
type release struct {
	version, commit string
	when            time.Time // of the commit, for every file
	work, out, zig  string
	docs            []entry // in every archive
	program         string  // that runs here
	sums            []string
}

func run(out, only, twice, zig string) error {
	r := release{zig: zig}
	platforms, again, err := choose(only, twice)
	if err != nil {
		return err
	}
	if r.out, err = filepath.Abs(out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	if r.work, err = os.MkdirTemp("", "unet-release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	if err := r.describe(); err != nil {
		return err
	}
	if err := r.stubs(); err != nil {
		return err
	}
	programs := make([]string, len(platforms))
	var builds errgroup.Group
	builds.SetLimit(2) // linking takes one processor
	for i, p := range platforms {
		builds.Go(func() (err error) {
			start := time.Now()
			if programs[i], err = r.build(p, again(p)); err != nil {
				return fmt.Errorf("%s: %w", p.name(), err)
			}
			fmt.Printf("%s (%.0f s)\n", p.name(), time.Since(start).Seconds())
			return nil
		})
	}
	if err := builds.Wait(); err != nil {
		return err
	}
	r.program = programs[0]
	if err := r.document(); err != nil {
		return err
	}
	for i, p := range platforms {
		if err := r.pack(p, programs[i]); err != nil {
			return fmt.Errorf("%s: %w", p.name(), err)
		}
	}
	if err := r.bill(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(strings.Join(r.sums, "")), 0o644)
}

// choose returns the platforms to build, the machine's own first, and which of them
// twice.
func choose(only, twice string) (list []platform, again func(platform) bool, err error) {
	names := strings.Split(only, ",")
	for i, p := range platforms {
		if only == "" || i == 0 || slices.Contains(names, p.name()) {
			list = append(list, p)
		}
	}
	for _, name := range append(names, strings.Split(twice, ",")...) {
		known := name == "" || name == "all" || name == "none" || slices.ContainsFunc(platforms, func(p platform) bool { return p.name() == name })
		if !known {
			return nil, nil, fmt.Errorf("there is no platform %q", name)
		}
	}
	return list, func(p platform) bool {
		return twice == "all" || slices.Contains(strings.Split(twice, ","), p.name())
	}, nil
}

// describe finds out what is released.
func (r *release) describe() error {
	commit, err := output(nil, "git", "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	r.commit = strings.TrimSpace(string(commit))
	when, err := output(nil, "git", "log", "-1", "--format=%ct", r.commit)
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(when)), 10, 64)
	if err != nil {
		return err
	}
	r.when = time.Unix(seconds, 0).UTC()
	source, err := output(nil, "git", "show", r.commit+":unet/version.go")
	if err != nil {
		return err
	}
	m := regexp.MustCompile(`(?m)^const Version = "(.*)"$`).FindSubmatch(source)
	if m == nil {
		return errors.New("unet/version.go states no version")
	}
	r.version = string(m[1])
	return nil
}

// document collects what every archive holds beside the program.
func (r *release) document() error {
	for _, name := range []string{"LICENSE", "README.md", "JSON.md", "SECURITY.md", "CHANGELOG.md"} {
		text, err := output(nil, "git", "show", r.commit+":"+name)
		if err != nil && name == "CHANGELOG.md" {
			continue
		}
		if err != nil {
			return err
		}
		r.docs = append(r.docs, entry{name: name, data: text})
		for _, picture := range pictures(text) {
			data, err := output(nil, "git", "show", r.commit+":"+picture)
			if err != nil {
				return err
			}
			r.docs = append(r.docs, entry{name: picture, data: data})
		}
	}
	names := map[string]bool{}
	for _, e := range r.docs {
		names[e.name] = true
	}
	for i, e := range r.docs {
		if path.Ext(e.name) == ".md" {
			r.docs[i].data = unlink(e.data, names)
		}
	}
	text, err := output(nil, r.program, "licenses", "--text")
	if err != nil {
		return err
	}
	r.docs = append(r.docs, entry{name: "LICENSES-OF-PARTS.txt", data: text})
	for _, c := range []struct{ shell, file string }{
		{"bash", "unet.bash"}, {"zsh", "_unet"}, {"fish", "unet.fish"}, {"powershell", "unet.ps1"},
	} {
		text, err := output(nil, r.program, "completion", c.shell)
		if err != nil {
			return err
		}
		r.docs = append(r.docs, entry{name: "completion/" + c.file, data: text})
	}
	manual := filepath.Join(r.work, "manual")
	if _, err := output(nil, r.program, "manual", manual); err != nil {
		return err
	}
	pages, err := filepath.Glob(filepath.Join(manual, "*.1"))
	if err != nil {
		return err
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		r.docs = append(r.docs, entry{name: "man/" + filepath.Base(page), data: text})
	}
	return nil
}

// unlink makes links of a page in Markdown to files that are not among names, as a
// clone alone has them, mere text.
func unlink(page []byte, names map[string]bool) []byte {
	link := regexp.MustCompile(`\[([^]]*)\]\(([^):#]+)(#[^)]*)?\)`)
	return link.ReplaceAllFunc(page, func(b []byte) []byte {
		m := link.FindSubmatch(b)
		if names[string(m[2])] {
			return b
		}
		return m[1]
	})
}

// pictures are the files of the repository that a page in Markdown shows.
func pictures(page []byte) (files []string) {
	for _, m := range regexp.MustCompile(`!\[[^]]*\]\(([^):]+)\)`).FindAllSubmatch(page, -1) {
		files = append(files, string(m[1]))
	}
	return files
}

// bill writes the list of the parts.
func (r *release) bill() error {
	licences, err := output(nil, r.program, "licenses", "--json")
	if err != nil {
		return err
	}
	modules, err := output(nil, "go", "list", "-m", "-json", "all")
	if err != nil {
		return err
	}
	linked := map[string]bool{}
	for _, p := range platforms { // each has packages of its own
		list, err := output(p.env(r), "go", "list", "-deps", "-f", "{{if and .Module (not .Standard)}}{{.Module.Path}}{{end}}", "./cli/unet")
		if err != nil {
			return err
		}
		for m := range strings.FieldsSeq(string(list)) {
			linked[m] = true
		}
	}
	var text bytes.Buffer
	if err := bill(&text, r.version, bytes.NewReader(modules), linked, licences); err != nil {
		return err
	}
	return r.save("sbom.json", text.Bytes())
}

// save writes a result and notes its hash.
func (r *release) save(name string, data []byte) error {
	r.sums = append(r.sums, fmt.Sprintf("%x  %s\n", sha256.Sum256(data), name))
	return os.WriteFile(filepath.Join(r.out, name), data, 0o644)
}

// output runs a command and returns what it prints; env is added to the environment.
func output(env []string, name string, args ...string) ([]byte, error) {
	return outputIn("", env, name, args...)
}

func outputIn(dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var problem bytes.Buffer
	cmd.Stderr = &problem
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, bytes.TrimSpace(problem.Bytes()))
	}
	return text, nil
}
