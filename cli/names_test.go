package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet/segment"
)

// TestNamesInOutput: a name cannot break lines or steer the terminal, and no
// message says a name twice.
func TestNamesInOutput(t *testing.T) {
	dir := t.TempDir()
	image := discs(64, 48, threeDiscs...)
	writeImage(t, filepath.Join(dir, "plain.tif"), image)
	odd := filepath.Join(dir, "a\nb\x1b[2J.tif")
	b, err := os.ReadFile(filepath.Join(dir, "plain.tif"))
	if err != nil {
		t.Fatal(err)
	}
	if os.WriteFile(odd, b, 0o644) != nil {
		t.Skip("such names cannot be here")
	}
	bad := filepath.Join(dir, "bad.tif")
	if err := os.WriteFile(bad, []byte("no image"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := Main([]string{"unet", "predict", dir, "-o", filepath.Join(t.TempDir(), "out"), "-f", "csv"}, strings.NewReader(""), &out, &errs)
	if code != exitPartial || strings.Count(out.String(), "\n") != 3 || strings.Contains(out.String()+errs.String(), "\x1b[2J") {
		t.Errorf("exit status %d\n%q", code, out.String())
	}
	if strings.Count(errs.String(), "bad.tif") != 1 {
		t.Errorf("%s", errs.String())
	}
}

// TestJSONIsManifest: standard output holds what manifest.json does.
func TestJSONIsManifest(t *testing.T) {
	dir := t.TempDir()
	file, out := filepath.Join(dir, "a.tif"), filepath.Join(dir, "out")
	writeImage(t, file, discs(64, 48, threeDiscs...))
	stdout, _ := mustRun(t, exitOK, "predict", file, "-o", out, "-f", "csv", "--json")
	b, err := os.ReadFile(filepath.Join(out, segment.ManifestFile))
	if err != nil || stdout != string(b) {
		t.Errorf("%v\n%s\n%s", err, stdout, b)
	}
}
