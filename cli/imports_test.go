package cli

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// listed is what `go list` says about a package.
type listed struct {
	ImportPath string
	Imports    []string
	CgoFiles   []string
	Standard   bool
	Module     *struct{ Path string }
}

func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	c := exec.Command("go", append([]string{"list", "-tags=mpi", "-json=ImportPath,Imports,CgoFiles,Standard,Module"}, args...)...)
	c.Dir, c.Stderr = "..", os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Skip("the go command is not here: ", err)
	}
	var list []listed
	for d := json.NewDecoder(out); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	return list
}

// allowed says which packages of the project a package may import: its
// dependencies point one way.
func allowed(from, to string) bool {
	below := func(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
	switch {
	case from == "unet/csrc", from == "unet/core/ref":
		return false
	case from == "unet/core/portable":
		return to == "unet/csrc" || to == "unet/core/ref"
	case from == "unet/core/selftest":
		return to == "unet/csrc" || to == "unet/core" || to == "unet/core/ref"
	case from == "unet/core/coretest", from == "unet/core/mpi": // for tests; behind a build tag
		return to == "unet/core"
	case from == "unet/core":
		return to == "unet/csrc" || below(to, "unet/core")
	case from == "unet/unet/imageio/plane", from == "unet/unet/imageio/chunk", from == "unet/unet/imageio/atomicfile", from == "unet/unet/imageio/input":
		return false
	case from == "unet/unet/imageio/plane/planetest": // for tests
		return to == "unet/unet/imageio/plane"
	case from == "unet/unet/modeltest": // for tests
		return to == "unet/unet" || to == "unet/unet/instance"
	case from == "unet/unet/imageio", from == "unet/unet/imageio/owned", from == "unet/unet/imageio/tiff", from == "unet/unet/imageio/zarr":
		return strings.HasPrefix(to, "unet/unet/imageio/") // files know nothing of networks
	case from == "unet/unet/formats":
		return below(to, "unet/unet/imageio") || to == "unet/unet/instance"
	case from == "unet/unet/dataset" && to == "unet/unet/formats": // annotations are regions, too
		return true
	case from == "unet/unet/instance", from == "unet/unet/metrics", below(from, "unet/unet/dataset"):
		return below(to, "unet/unet/imageio") || to == "unet/unet/instance" || below(to, "unet/unet/dataset")
	case from == "unet/unet/report":
		return to != "unet/unet" && to != "unet/unet/segment" && to != "unet/unet/weights" && to != "unet/unet/train" && to != "unet/unet/evaluate" && below(to, "unet/unet")
	case from == "unet/unet":
		return to == "unet/core" || below(to, "unet/unet/imageio") || to == "unet/unet/instance"
	case from == "unet/unet/crossval" && (to == "unet/unet/train" || to == "unet/unet/evaluate"):
		return true
	case from == "unet/unet/train", from == "unet/unet/evaluate", from == "unet/unet/crossval":
		return to == "unet/core" || to == "unet/unet" || to == "unet/unet/report" || to == "unet/unet/metrics" ||
			to == "unet/unet/formats" || below(to, "unet/unet/imageio") || to == "unet/unet/instance" || below(to, "unet/unet/dataset")
	case from == "unet/unet/segment":
		return to == "unet/core" || to == "unet/unet/metrics" || to == "unet/unet" || to == "unet/unet/instance" || to == "unet/unet/formats" ||
			to == "unet/unet/report" || below(to, "unet/unet/imageio")
	case from == "unet/unet/serve":
		return to == "unet/core" || to == "unet/unet" || to == "unet/unet/segment" || to == "unet/unet/train" || to == "unet/unet/instance" ||
			to == "unet/unet/formats" || to == "unet/unet/report" || below(to, "unet/unet/imageio") || below(to, "unet/unet/dataset")
	case from == "unet/unet/weights":
		return to == "unet/unet"
	case from == "unet/unet/libunet": // a program of its own
		return !below(to, "unet/cli") && !below(to, "unet/bench") && to != "unet/csrc"
	case from == "unet/unet/plugins":
		return to == "unet/unet" || to == "unet/unet/imageio/atomicfile"
	case from == "unet/unet/onnx":
		return to == "unet/unet" || to == "unet/core" || to == "unet/unet/instance" || below(to, "unet/unet/imageio")
	case from == "unet/cli":
		return to != "unet/csrc" && !below(to, "unet/bench")
	case from == "unet/cli/unet":
		return to == "unet/cli"
	}
	return below(from, "unet/bench") && !below(to, "unet/cli")
}

// owners of the modules that only one package may know.
var owners = map[string]string{
	"github.com/urfave/cli/v2":       "unet/cli",
	"golang.org/x/term":              "unet/cli",
	"github.com/klauspost/cpuid/v2":  "unet/core",
	"github.com/klauspost/compress/": "unet/unet/imageio",
	"google.golang.org/protobuf/":    "unet/unet/onnx",
}

// TestImports checks which package may use which.
func TestImports(t *testing.T) {
	for _, p := range goList(t, "./bench/...", "./cli/...", "./core/...", "./csrc/...", "./unet/...") {
		for _, to := range p.Imports {
			if (to == "unet" || strings.HasPrefix(to, "unet/")) && !allowed(p.ImportPath, to) {
				t.Errorf("%s must not import %s", p.ImportPath, to)
			}
			for prefix, owner := range owners {
				if strings.HasPrefix(to, prefix) && p.ImportPath != owner && !strings.HasPrefix(p.ImportPath, owner+"/") && !strings.HasPrefix(p.ImportPath, "unet/bench/") {
					t.Errorf("%s imports %s, which only %s may", p.ImportPath, to, owner)
				}
			}
		}
		if len(p.CgoFiles) > 0 && p.ImportPath != "unet/csrc" && p.ImportPath != "unet/core/mpi" && p.ImportPath != "unet/unet/libunet" {
			t.Errorf("%s uses cgo, which only unet/csrc, unet/core/mpi and unet/unet/libunet may", p.ImportPath)
		}
	}
}

// optionText finds an option of a command line within text.
var optionText = regexp.MustCompile(`(^|[^-\w])--[a-z]`)

// TestNoOptions: packages do not know the command line. Their messages name
// settings, and advice names an option by Adjust, which this package writes as one.
func TestNoOptions(t *testing.T) {
	err := filepath.WalkDir("../unet", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.BasicLit)
			if ok && s.Kind == token.STRING && optionText.MatchString(s.Value) && !strings.Contains(s.Value, "vips tiffsave") {
				t.Errorf("%s names an option: %s", files.Position(s.Pos()), s.Value)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for text, is := range map[string]bool{`"give --force"`: true, `"--tile"`: true, `"a -- b"`: false, `"---x"`: false} {
		if optionText.MatchString(text) != is {
			t.Errorf("an option in %s: %v", text, !is)
		}
	}
}

// TestArchitecture: every file that ARCHITECTURE.md names on the way of an image and
// of a patch is there. A name without a folder is in that of the name before it, or
// in the first of its row.
func TestArchitecture(t *testing.T) {
	b, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "## Follow one image")
	text, _, _ = strings.Cut(text, "## Words")
	names := 0
	for row := range strings.Lines(text) {
		dir, first := "", ""
		for _, m := range regexp.MustCompile("`([^` ]+\\.go)`").FindAllStringSubmatch(row, -1) {
			names++
			if d, _ := filepath.Split(m[1]); d != "" {
				dir = d
			}
			if first == "" {
				first = dir
			}
			base := filepath.Base(m[1])
			if _, err := os.Stat(filepath.Join("..", dir, base)); err != nil {
				if _, err := os.Stat(filepath.Join("..", first, base)); err != nil && dir != "" {
					t.Errorf("ARCHITECTURE.md names %s, which is not there", m[1])
				}
			}
		}
	}
	if names < 60 {
		t.Errorf("only %d files are named", names)
	}
}

// TestLicences: every module linked into the program has its licence in it,
// and nothing else has.
func TestLicences(t *testing.T) {
	linked := []string{"std"}
	for _, p := range goList(t, "-deps", "./cli/unet") {
		if !p.Standard && p.Module != nil && !slices.Contains(linked, p.Module.Path) {
			linked = append(linked, p.Module.Path)
		}
	}
	list, err := moduleLicences(true)
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, l := range list {
		named = append(named, l.Module)
		if len(l.Text) < 500 {
			t.Errorf("the licence text of %s is missing", l.Module)
		}
	}
	slices.Sort(linked)
	if !slices.Equal(linked, named) {
		t.Errorf("linked are %q\nlicences are of %q", linked, named)
	}
	own, err := os.ReadFile("../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := licenceTexts.ReadFile(licenceFile("unet")); err != nil || string(b) != string(own) {
		t.Errorf("the program's copy of LICENSE differs (%v)", err)
	}
	stdout, _ := mustRun(t, exitOK, "licenses", "--text")
	if !strings.Contains(stdout, "Redistribution and use") || !strings.Contains(stdout, "urfave/cli") {
		t.Errorf("output %.200q", stdout)
	}
	if stdout, _ := mustRun(t, exitOK, "version"); !strings.HasPrefix(stdout, "unet ") {
		t.Errorf("output %q", stdout)
	}
}
