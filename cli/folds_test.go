package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet/crossval"
)

// foldsOnce trains and scores two folds of a set.
func foldsOnce(t *testing.T) (args []string, once string) {
	t.Helper()
	set := preparedSet(t, "--size", "native")
	once = filepath.Join(t.TempDir(), "once")
	args = []string{"train", set, "--split-by", "source", "--folds", "2", "--depth", "1", "--width", "16",
		"--batch", "1", "--steps", "1", "--epochs", "1", "--augment", "none", "--out"}
	stdout, _ := mustRun(t, exitOK, append(args, once)...)
	for _, text := range []string{"95 % from", "By source", "report " + filepath.Join(once, "index.html")} {
		if !strings.Contains(stdout, text) {
			t.Errorf("the output lacks %q:\n%s", text, stdout)
		}
	}
	return args, once
}

// sameFolds compares what two cross-validations found, but for where.
func sameFolds(t *testing.T, one, two string) {
	t.Helper()
	for _, name := range []string{"index.html", "folds.csv", "folds.json"} {
		a, err := os.ReadFile(filepath.Join(one, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(two, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.ReplaceAll(string(b), two, one) != string(a) || len(a) == 0 {
			t.Errorf("%s differs", name)
		}
	}
}

// TestFolds: folds trained as parts give the report of one process, whose scores are
// those of unet evaluate.
func TestFolds(t *testing.T) {
	args, once := foldsOnce(t)
	parts := filepath.Join(t.TempDir(), "parts")
	for _, shard := range []string{"2/2", "1/2", "2/2", "3/3"} {
		mustRun(t, exitOK, append(args, parts, "--shard", shard)...)
	}
	mustRun(t, exitOK, append(args, parts, "--wait")...)
	sameFolds(t, once, parts)

	var s crossval.Summary
	readJSON(t, filepath.Join(once, "folds.json"), &s)
	sources, kaggle := 0, 0.0
	for _, f := range s.Folds {
		r := evaluateJSON(t, args[1], "--model", filepath.Join(f.Folder, "model.safetensors"), "--split-by", "source")
		if got := r.Results.Splits[0].All; got.Nuclei.KaggleScore != f.Scores.Nuclei.KaggleScore || got.Images != f.Scores.Images || f.Epochs != 1 {
			t.Errorf("fold %d: %d images, KaggleScore %v; unet evaluate: %d and %v", f.Number, f.Scores.Images, f.Scores.Nuclei.KaggleScore, got.Images, got.Nuclei.KaggleScore)
		}
		sources += len(f.Sources)
		kaggle += f.Scores.Nuclei.KaggleScore / 2
	}
	at := slices.IndexFunc(s.Means, func(m crossval.Mean) bool { return m.Score == "kaggle_score" })
	if m := s.Means[at]; len(s.Folds) != 2 || len(s.Sources) != sources || m.Mean != kaggle || m.Low > m.Mean || m.High < m.Mean {
		t.Errorf("%d folds, %d of %d sources, mean %+v of %v", len(s.Folds), len(s.Sources), sources, m, kaggle)
	}
	// Folds of groups: each image is left out once.
	groups := filepath.Join(t.TempDir(), "groups")
	mustRun(t, exitOK, append(args, groups, "--split-by", "group")...)
	images := 0
	for _, f := range s.Folds {
		images += f.Scores.Images
	}
	var g crossval.Summary
	readJSON(t, filepath.Join(groups, "folds.json"), &g)
	for _, f := range g.Folds {
		images -= f.Scores.Images
	}
	if len(g.Folds) != 2 || images != 0 || len(g.Sources) != 0 || g.By != crossval.Groups || g.Folds[0].Scores.Images == 0 {
		t.Errorf("folds by group: %+v", g)
	}
	// A folder of other folds is not taken for its own.
	if _, stderr := mustRun(t, exitFormat, append(args, groups)...); !strings.Contains(stderr, "fold 1: ") {
		t.Error(stderr)
	}
	for _, wrong := range [][]string{{"--fold", "1/2"}, {"--resume"}, {"--shard", "3/2"}, {"--folds", "1"}, {"--split-by", ""}, {"--job", "cron"}, {"--job", "slurm", "--shard", "1/2"}, {"--job", "slurm", "--wait"}, {"--shard", "1/2", "--wait"}} {
		mustRun(t, exitUsage, append(append(args, parts), wrong...)...)
	}
	mustRun(t, exitUsage, "train", args[1], "--shard", "1/2", "--out", parts+"2")
	mustRun(t, exitInput, append(args, parts, "--folds", "90")...)
}

// TestTrainJobs submits the jobs for Slurm of folds and of a sweep.
func TestTrainJobs(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sbatch"), []byte(sbatch), 0o755); err != nil {
		t.Fatal(err)
	}
	submit := func(args ...string) {
		t.Helper()
		script, _ := mustRun(t, exitOK, append(args, "--job", "slurm")...)
		c := exec.CommandContext(t.Context(), sh)
		c.Stdin, c.Dir = strings.NewReader(script), dir
		c.Env = append(os.Environ(), "UNET_TEST_MAIN=1", "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
		if text, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s\n%s", err, script, text)
		}
	}
	args, once := foldsOnce(t)
	out := filepath.Join(dir, "two words")
	submit(append(args, out)...)
	sameFolds(t, once, out)

	set := preparedSet(t, "--size", "32")
	submit("sweep", set, "--kind", "paper", "--epochs", "1", "--vary", "lr=0.0001,0.01", "--vary", "depth=1", "--out", out+"2")
	if rows := readRows(t, filepath.Join(out+"2", "results.csv")); len(rows) != 3 {
		t.Errorf("%q", rows)
	}
	mustRun(t, exitUsage, "sweep", set, "--vary", "lr=1,2", "--job", "slurm")
}
