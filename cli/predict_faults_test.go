package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet"
	"unet/unet/imageio/owned"
	"unet/unet/segment"

	"github.com/google/go-cmp/cmp"
)

// TestPredictFaults: a result that cannot take its name, as on a broken disk,
// costs its image and nothing else; when the fault is gone, --skip-existing
// completes the run to the bytes of an undisturbed one.
func TestPredictFaults(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	in, whole := filepath.Join(dir, "in"), filepath.Join(dir, "whole")
	for i := range 3 {
		writeImage(t, filepath.Join(in, fmt.Sprintf("%d.png", i)), discs(40, 40, disc{20, 14 + i, 6}))
	}
	args := []string{"predict", in, "--model", model, "--format", strings.Join(segment.Formats, ","), "--skip-existing", "--out"}
	mustRun(t, 0, append(args, whole)...)
	want := contents(t, whole)
	taken := []string{segment.COCOFile, segment.RLEFile}
	for name := range want {
		if name, _, _ = strings.Cut(name, "/"); strings.HasPrefix(name, "1.") && !slices.Contains(taken, name) {
			taken = append(taken, name)
		}
	}
	for _, name := range taken {
		out := filepath.Join(dir, name)
		// Nothing can be renamed over a folder that is not empty.
		if err := os.MkdirAll(filepath.Join(out, name, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
		batch := !strings.HasPrefix(name, "1")
		code, done, failed := exitPartial, 2, 1
		if batch {
			code, done, failed = exitFailure, 3, 0
		}
		_, stderr := mustRun(t, code, append(args, out)...)
		if !strings.Contains(stderr, name) {
			t.Errorf("%s is not named: %q", name, stderr)
		}
		var m segment.Summary
		b, err := os.ReadFile(filepath.Join(out, segment.ManifestFile))
		if err != nil || json.Unmarshal(b, &m) != nil || m.Done != done || m.Failed != failed || m.Interrupted != batch {
			t.Errorf("%s: %v, %d done, %d failed, interrupted %v", name, err, m.Done, m.Failed, m.Interrupted)
		}
		for _, im := range m.Images {
			if (im.Status == segment.Failed) != (im.Name == "1.png" && !batch) || (im.Error == "") == (im.Status == segment.Failed) {
				t.Errorf("%s: %s is %s: %s", name, im.Name, im.Status, im.Error)
			}
		}
		for _, f := range results(t, out) {
			if strings.Contains(f, "tmp") {
				t.Errorf("%s: %s was left behind", name, f)
			}
		}
		if !batch {
			b, _ := os.ReadFile(filepath.Join(out, segment.COCOFile))
			if s := string(b); strings.Contains(s, "1.png") || !strings.Contains(s, "0.png") || !strings.Contains(s, "2.png") {
				t.Errorf("%s: coco.json holds %s", name, s)
			}
		}
		os.RemoveAll(filepath.Join(out, name))
		stdout, _ := mustRun(t, 0, append(args, out)...)
		if !strings.Contains(stdout, fmt.Sprintf("%d kept from before", done)) {
			t.Errorf("%s: output %q", name, stdout)
		}
		if d := cmp.Diff(want, contents(t, out)); d != "" {
			t.Errorf("%s: not the files of one run: %s", name, d)
		}
	}
}

// TestNothingBegun: a run that cannot begin is not said to go on.
func TestNothingBegun(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "a.png"), filepath.Join(dir, "out")
	writeImage(t, in, discs(64, 48, threeDiscs...))
	if err := os.MkdirAll(filepath.Join(out, owned.ListFile), 0o755); err != nil { // where a file belongs
		t.Fatal(err)
	}
	for _, more := range [][]string{nil, {"--shard", "1/2"}} {
		code, _, stderr := unetRun("", append([]string{"predict", in, "--model", brightnessModel(t, unet.Nuclei), "--out", out}, more...)...)
		if code == exitOK || strings.Contains(stderr, "continues from here") || !strings.Contains(stderr, owned.ListFile) {
			t.Errorf("%v: status %d, %s", more, code, stderr)
		}
	}
}
