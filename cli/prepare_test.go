package cli

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet/dataset"

	"github.com/google/go-cmp/cmp"
)

func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	images, set := filepath.Join(dir, "images.zip"), filepath.Join(dir, "set")
	mustRun(t, exitOK, "sample", "--out", images, "--count", "12", "--size", "80")
	stdout, stderr := mustRun(t, exitOK, "prepare", images, "--out", set, "--size", "64", "--seed", "4")
	if !strings.Contains(stdout, "12 images at 64x64 pixels") || !strings.Contains(stdout, "all ") {
		t.Errorf("output %s", stdout)
	}
	if !strings.Contains(stderr, "next: unet train "+set) {
		t.Errorf("no next step: %s", stderr)
	}
	before := contents(t, set)
	// The same again changes nothing and says so.
	stdout, _ = mustRun(t, exitOK, "prepare", images, "--out", set, "--size", "64", "--seed", "4")
	if !strings.Contains(stdout, "nothing changed") {
		t.Errorf("output %s", stdout)
	}
	if d := cmp.Diff(before, contents(t, set)); d != "" {
		t.Errorf("the set changed:\n%s", d)
	}
	// As JSON, with all facts.
	stdout, _ = mustRun(t, exitOK, "prepare", images, "--out", set, "--size=64", "--seed=4", "--json", "-q")
	var r prepareResult
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if !r.Unchanged || r.Counts.Images != 12 || r.Settings.Size != 64 || r.Settings.Seed != 4 || r.Findings == nil {
		t.Errorf("result %+v", r)
	}
	stdout, _ = mustRun(t, exitOK, "prepare", images, "--out", filepath.Join(dir, "train"), "--split", "1,0,0", "--json", "-q")
	if !strings.Contains(stdout, `"findings": []`) {
		t.Error("no findings are not an empty list")
	}
	// Other settings need --force.
	_, stderr = mustRun(t, exitUsage, "prepare", images, "--out", set, "--size", "native")
	if strings.Count(stderr, "--force") != 1 {
		t.Errorf("no hint: %s", stderr)
	}
	mustRun(t, exitOK, "prepare", images, "--out", set, "--size", "native", "--force")
	s, err := dataset.Open(set)
	if err != nil {
		t.Fatal(err)
	}
	if s.Entries[0].W != 80 || s.Meta.Settings.Size != 0 {
		t.Errorf("after --force the images are %d wide", s.Entries[0].W)
	}
}

// flawedZip is an archive with one sound image, one with holes in its nuclei
// (more than are printed) and one that is damaged.
func flawedZip(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, data []byte) {
		t.Helper()
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data)
	}
	picture := func(paint func(x, y int) bool) []byte {
		m := image.NewGray(image.Rect(0, 0, 64, 64))
		for y := range 64 {
			for x := range 64 {
				v := uint8(20 + (x*7+y*3)%11)
				if paint(x, y) {
					v = 255
				}
				m.SetGray(x, y, color.Gray{Y: v})
			}
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	mask := func(paint func(x, y int) bool) []byte {
		m := image.NewGray(image.Rect(0, 0, 64, 64))
		for y := range 64 {
			for x := range 64 {
				if paint(x, y) {
					m.SetGray(x, y, color.Gray{Y: 255})
				}
			}
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	square := func(x0 int) func(x, y int) bool {
		return func(x, y int) bool { return x >= x0 && x < x0+14 && y >= 20 && y < 34 }
	}
	for i, id := range []string{"a", "b", "c", "d", "e", "f"} {
		x0 := 4 + 7*i
		add(id+"/images/"+id+".png", picture(square(x0)))
		add(id+"/masks/1.png", mask(func(x, y int) bool { return square(x0)(x, y) && (i == 0 || x != x0+5 || y != 26) }))
	}
	add("z/images/z.png", []byte("\x89PNG\r\n\x1a\nno more"))
	add("z/masks/1.png", mask(square(3)))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "flawed.zip")
	if err := os.WriteFile(name, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestPrepareFindings(t *testing.T) {
	src, dir := flawedZip(t), t.TempDir()
	set := filepath.Join(dir, "set")
	// Strict refuses, tells why, and leaves nothing behind.
	stdout, stderr := mustRun(t, exitInput, "prepare", src, "--out", set, "--strict")
	if !strings.Contains(stdout, "warning hole: 5 findings in 5 images") || !strings.Contains(stderr, "findings") {
		t.Errorf("output %s%s", stdout, stderr)
	}
	if got := tree(t, dir); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
	stdout, _ = mustRun(t, exitOK, "prepare", src, "--out", set, "--size", "native")
	if !strings.HasPrefix(stdout, "error ") || !strings.Contains(stdout, "  z z.png: damaged PNG") || !strings.Contains(stdout, "1 left out") {
		t.Errorf("the damaged image is not named first: %s", stdout)
	}
	if strings.Count(stdout, " in all") != shownFindings || !strings.Contains(stdout, "... 2 more") {
		t.Errorf("findings are not shortened: %s", stdout)
	}
	stdout, _ = mustRun(t, exitOK, "prepare", src, "--out", set, "--size", "native", "-v")
	if !strings.Contains(stdout, "nothing changed") || strings.Count(stdout, " in all") != 5 || strings.Contains(stdout, "more (") {
		t.Errorf("-v does not print all findings: %s", stdout)
	}
	fixed := filepath.Join(dir, "fixed")
	stdout, _ = mustRun(t, exitOK, "prepare", src, "--out", fixed, "--size", "native", "--fix")
	if !strings.Contains(stdout, "info fixed-hole: 5 findings") || strings.Contains(stdout, "warning hole") {
		t.Errorf("--fix: %s", stdout)
	}
}

func TestPrepareErrors(t *testing.T) {
	dir := t.TempDir()
	src := flawedZip(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("no zip"), 0o666); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o777); err != nil {
		t.Fatal(err)
	}
	out, dangling := filepath.Join(dir, "out"), filepath.Join(dir, "dangling")
	if err := os.Symlink("nothing", dangling); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "argument is missing", nil},
		{exitInput, "of that name", []string{src, src, "--out", out}},
		{exitInput, "absent", []string{src, "--out", out, "--sources", filepath.Join(dir, "absent.csv")}},
		{exitInput, "no corrections", []string{src, "--out", out, "--corrections", empty}},
		{exitUsage, "unet prepare --help", []string{src}},
		{exitUsage, "--size", []string{src, "--out", out, "--size", "12x12"}},
		{exitUsage, "--size", []string{src, "--out", out, "--size", "0"}},
		{exitUsage, "--size", []string{src, "--out", out, "--size", "100000"}},
		{exitUsage, "--split", []string{src, "--out", out, "--split", "0.8,0.2"}},
		{exitUsage, "--split", []string{src, "--out", out, "--split", "0.8,0.8,0.8"}},
		{exitUsage, "--split", []string{src, "--out", out, "--split", "NaN,0.5,0.5"}},
		{exitUsage, "--split", []string{src, "--out", out, "--split", "-1,1,1"}},
		{exitUsage, "seed", []string{src, "--out", out, "--seed", "-1"}},
		{exitInput, "absent", []string{filepath.Join(dir, "absent.zip"), "--out", out}},
		{exitInput, "file", []string{file, "--out", out}},
		{exitInput, "empty", []string{empty, "--out", out}},
		{exitUsage, "", []string{src, "--out", dir}},
		{exitUsage, "is a link that leads nowhere", []string{src, "--out", dangling}},
		{exitUsage, "", []string{src, "--out", file}},
	} {
		_, stderr := mustRun(t, c.code, append([]string{"prepare"}, c.args...)...)
		if !strings.Contains(stderr, c.want) || lastError(stderr) == "" {
			t.Errorf("%q: %s", c.args, stderr)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a failed command made the folder")
	}
}

func TestSample(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.zip"), filepath.Join(dir, "b.zip")
	stdout, _ := mustRun(t, exitOK, "sample", "--out", a, "--count", "3", "--size", "64", "--seed", "9", "--json")
	var r sampleResult
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if want := (sampleResult{firstLayout, a, 3, 64, 9}); r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	mustRun(t, exitOK, "sample", "--out", b, "--count", "3", "--size", "64", "--seed", "9")
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Error("the same seed gives other bytes")
	}
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "--out", nil},
		{exitUsage, ".zip", []string{"--out", filepath.Join(dir, "x")}},
		{exitUsage, "unexpected argument", []string{a}},
		{exitUsage, "--count", []string{"--out", a, "--count", "0"}},
		{exitUsage, "--size", []string{"--out", a, "--size", "63"}},
		{exitUsage, "needs a value", []string{"--out"}},
		{exitInput, "absent", []string{"--out", filepath.Join(dir, "absent", "a.zip"), "--count", "1", "--size", "64"}},
	} {
		if _, stderr := mustRun(t, c.code, append([]string{"sample"}, c.args...)...); !strings.Contains(stderr, c.want) {
			t.Errorf("%q: %s", c.args, stderr)
		}
	}
}
