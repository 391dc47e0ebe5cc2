// Package endtoend runs the program as users do, on the systems it is released for:
//
//	go test ./bench/release/endtoend                                   # built here
//	go test ./bench/release/endtoend -program unet -runner 'qemu-aarch64-static'
//
// bench/release/wine.sh runs it as a Windows program.
package endtoend

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"unet/bench/program"
)

var (
	programFlag = flag.String("program", "", "the program to test; empty: built from the sources")
	runnerFlag  = flag.String("runner", "", "what runs it, as qemu-aarch64-static; empty: the system")
)

// unet is the command line that runs the program.
var unet []string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "endtoend")
	if err == nil && *programFlag == "" {
		*programFlag, err = program.Build(dir)
	}
	if err == nil {
		*programFlag, err = filepath.Abs(*programFlag)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	unet = append(strings.Fields(*runnerFlag), *programFlag)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// nuclei is how many the image of draw shows.
const nuclei = 9

// draw writes an image of bright discs as PNG.
func draw(t *testing.T, path string) { drawSized(t, path, 160) }

func drawSized(t *testing.T, path string, side int) {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			dx, dy := x%53-26, y%53-26
			v := 20 + (x*7+y*13)%5
			if dx*dx+dy*dy < 100 && x < 159 && y < 159 {
				v += 120
			}
			img.SetGray(x, y, color.Gray{Y: uint8(v)})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// call is one run of the program: in front of it goes wrap, env is added to the
// environment or, as "NAME-", taken from it.
type call struct {
	dir  string
	env  []string
	wrap []string
	args []string
}

func (c call) command() *exec.Cmd {
	line := append(append(append([]string{}, c.wrap...), unet...), c.args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = c.dir
	cmd.Env = os.Environ()
	for _, e := range c.env {
		if name, ok := strings.CutSuffix(e, "-"); ok {
			cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
			continue
		}
		cmd.Env = append(cmd.Env, e)
	}
	return cmd
}

// run runs the program and wants the exit status code.
func (c call) run(t *testing.T, code int) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	cmd := c.command()
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(e)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("%q: exit status %d, want %d\n%s%s", cmd.Args, got, code, out.String(), err.String())
	}
	return out.String(), err.String()
}

// counted returns the number of nuclei of each image in a summary.csv.
func counted(t *testing.T, out string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(out, "summary.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("%v: %s", err, b)
	}
	counts := map[string]string{}
	for _, row := range rows[1:] {
		for i, column := range rows[0] {
			if column == "count" {
				counts[row[0]] = row[i]
			}
		}
	}
	return counts
}

func wantAll(t *testing.T, out string, images int) {
	t.Helper()
	counts := counted(t, out)
	if len(counts) != images {
		t.Errorf("%d images in %s, want %d", len(counts), out, images)
	}
	for name, n := range counts {
		if n != fmt.Sprint(nuclei) {
			t.Errorf("%s: %s nuclei, want %d", name, n, nuclei)
		}
	}
}

func TestPredict(t *testing.T) {
	dir := t.TempDir()
	draw(t, filepath.Join(dir, "a.png"))
	call{dir: dir, args: []string{"predict", "a.png", "--out", "out", "--format", "labels,overlay,csv,roi,geojson,mask,prob"}}.run(t, 0)
	wantAll(t, filepath.Join(dir, "out"), 1)
	// Again over the results that are there.
	call{dir: dir, args: []string{"predict", "a.png", "--out", "out"}}.run(t, 0)
	wantAll(t, filepath.Join(dir, "out"), 1)
	if _, stderr := (call{dir: dir, args: []string{"predict", "missing.png", "--out", "out2"}}).run(t, 4); !strings.Contains(stderr, "missing.png") {
		t.Error(stderr)
	}
	call{dir: dir, args: []string{"predict", "--nonsense"}}.run(t, 2)
}

// TestNames: names of all kinds, as files and by pattern.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	names := []string{"with space.png", "Größe µm.png", "核.png", "e\u0301.png", "'quoted'.png", "a,b;c.png", "-dash.png",
		filepath.Join("deep folder", "Ünter", "x.png")}
	if runtime.GOOS == "windows" {
		names = append(names, filepath.Join(strings.Repeat("long folder name ", 8)+"1", strings.Repeat("long folder name ", 8)+"2", "far.png"))
	} else {
		names = append(names, `back\slash.png`, "co:lon?.png")
	}
	for _, name := range names {
		draw(t, filepath.Join(dir, "in", name))
	}
	call{dir: dir, args: []string{"predict", "in", "--out", "Ergebnisse für 核", "--format", "labels"}}.run(t, 0)
	wantAll(t, filepath.Join(dir, "Ergebnisse für 核"), len(names))
	call{dir: dir, args: []string{"predict", filepath.Join("in", "*e.png"), "--out", "pattern", "--format", "labels"}}.run(t, 0)
	call{dir: filepath.Join(dir, "in"), args: []string{"predict", "--out", filepath.Join(dir, "absolute"), "--format", "labels", "--", filepath.Join(dir, "in", "-dash.png")}}.run(t, 0)
	wantAll(t, filepath.Join(dir, "absolute"), 1)
}

// TestReplace: results that another program has open are replaced or kept whole.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	draw(t, filepath.Join(dir, "a.png"))
	again := call{dir: dir, args: []string{"predict", "a.png", "--out", "out", "--format", "csv"}}
	again.run(t, 0)
	table := filepath.Join(dir, "out", "a.nuclei.csv")
	before, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(table)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	code := 0
	if runtime.GOOS == "windows" {
		code = 4 // as where a spreadsheet shows it
	}
	_, stderr := again.run(t, code)
	if code != 0 && (!strings.Contains(stderr, "a.nuclei.csv") || !strings.Contains(stderr, "close the file")) {
		t.Errorf("no help: %s", stderr)
	}
	if after, err := os.ReadFile(table); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the table changed: %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "out", ".*.unet.tmp"))
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestInterrupt: Ctrl-C ends a run with status 130, and the same command completes
// it.
func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	for i := range 300 {
		draw(t, filepath.Join(dir, "in", fmt.Sprintf("%03d.png", i)))
	}
	out := filepath.Join(dir, "out")
	c := call{dir: dir, args: []string{"predict", "in", "--out", "out", "--format", "labels,prob,overlay", "--skip-existing"}}
	cmd := c.command()
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	apart(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for { // until it is at work
		if done, _ := filepath.Glob(filepath.Join(out, "*.labels.tif")); len(done) > 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := interrupt(cmd); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		t.Skip("no way to interrupt here: ", err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code == 0 {
		t.Skip("it was done before it was interrupted")
	} else if code != 130 {
		t.Errorf("exit status %d: %s", code, text.String())
	}
	if left, _ := filepath.Glob(filepath.Join(out, ".*.unet.tmp")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestTrain(t *testing.T) {
	dir := t.TempDir()
	call{dir: dir, args: []string{"sample", "--out", "set.zip", "--quiet"}}.run(t, 0)
	call{dir: dir, args: []string{"prepare", "set.zip", "--out", "my set", "--size", "64", "--quiet"}}.run(t, 0)
	call{dir: dir, args: []string{"prepare", "set.zip", "--out", "my set", "--size", "32", "--force", "--quiet"}}.run(t, 0)
	call{dir: dir, args: []string{"train", "my set", "--kind", "paper", "--epochs", "1", "--out", "run", "--quiet"}}.run(t, 0)
	call{dir: dir, args: []string{"evaluate", "--model", filepath.Join("run", "model.safetensors"), "my set", "--out", "scores", "--quiet"}}.run(t, 0)
	call{dir: dir, args: []string{"predict", "--model", filepath.Join("run", "model.safetensors"), filepath.Join("my set", "images"), "--out", "masks", "--quiet"}}.run(t, 0)
}

func TestDoctor(t *testing.T) {
	out, stderr := call{dir: t.TempDir(), args: []string{"doctor"}}.run(t, 0)
	t.Log(out)
	if strings.Contains(out, "PROBLEM") {
		t.Error(stderr)
	}
}

// TestStart starts the program where little is as usual.
func TestStart(t *testing.T) {
	dir := t.TempDir()
	draw(t, filepath.Join(dir, "a.png"))
	drawSized(t, filepath.Join(dir, "one.png"), 53) // emulation is slow
	call{dir: dir, args: []string{"predict", "a.png", "--out", "usual", "--format", "csv"}}.run(t, 0)
	want, err := os.ReadFile(filepath.Join(dir, "usual", "a.nuclei.csv"))
	if err != nil {
		t.Fatal(err)
	}
	qemu := func(cpu string) []string { return []string{"qemu-x86_64-static", "-cpu", cpu} }
	for name, c := range map[string]struct {
		env, wrap []string
		isa       string // that it must use
	}{
		"no home":          {env: []string{"HOME-", "USERPROFILE-", "XDG_CACHE_HOME-"}},
		"read-only home":   {env: []string{"HOME=/proc", "XDG_CACHE_HOME=/proc"}},
		"LANG=C":           {env: []string{"LC_ALL=C", "LANG=C"}},
		"Turkish":          {env: []string{"LC_ALL=tr_TR.UTF-8", "LANG=tr_TR.UTF-8"}}, // whose i is no I
		"decimal comma":    {env: []string{"LC_ALL=de_DE.UTF-8", "LC_NUMERIC=de_DE.UTF-8"}},
		"dumb terminal":    {env: []string{"TERM=dumb"}},
		"no session":       {wrap: []string{"setsid"}},
		"one core":         {wrap: []string{"taskset", "-c", "0"}},
		"2 GiB":            {wrap: []string{"sh", "-c", `ulimit -v 2097152 && exec "$@"`, "sh"}},
		"without AVX-512":  {wrap: qemu("Haswell"), isa: "avx2"},
		"without AVX":      {wrap: qemu("Nehalem"), isa: "c"},
		"without anything": {wrap: qemu("qemu64"), isa: "c"},
	} {
		t.Run(name, func(t *testing.T) {
			if len(c.wrap) > 0 {
				if _, err := exec.LookPath(c.wrap[0]); err != nil || runtime.GOOS != "linux" || *runnerFlag != "" {
					t.Skip("not here: ", c.wrap[0])
				}
				if c.isa != "" && runtime.GOARCH != "amd64" {
					t.Skip("for amd64")
				}
			}
			out := filepath.Join(dir, strings.ReplaceAll(name, " ", "_"))
			predict := call{dir: dir, env: c.env, wrap: c.wrap, args: []string{"predict", "a.png", "--out", out, "--format", "csv"}}
			if c.isa == "" { // the same kernels
				predict.run(t, 0)
				if got, err := os.ReadFile(filepath.Join(out, "a.nuclei.csv")); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%v: the table is another:\n%s\n%s", err, got, want)
				}
				return
			}
			if c.isa == "c" { // qemu takes minutes for AVX2
				predict.args = []string{"predict", "one.png", "--out", out, "--format", "csv", "--diameter", "native"}
				predict.run(t, 0)
				if n := counted(t, out)["one.png"]; n != "1" {
					t.Errorf("%s nuclei, want 1", n)
				}
			}
			predict.args = []string{"info", "--json"}
			text, _ := predict.run(t, 0)
			var info struct{ Kernels string }
			if err := json.Unmarshal([]byte(text), &info); err != nil || info.Kernels != c.isa {
				t.Errorf("kernels %q, want %q (%v)", info.Kernels, c.isa, err)
			}
		})
	}
}
