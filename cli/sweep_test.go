package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet"
	"unet/unet/evaluate"
	"unet/unet/train"

	"github.com/google/go-cmp/cmp"
)

func TestSweep(t *testing.T) {
	set, out := preparedSet(t, "--size", "32"), filepath.Join(t.TempDir(), "sweep")
	args := []string{"sweep", set, "--kind", "paper", "--out", out, "--epochs", "1", "--vary", "lr=0.0001,0.01", "--vary", "loss=bce,bce+dice", "--vary", "depth=1"}
	stdout, _ := mustRun(t, exitOK, args...)
	if !strings.Contains(stdout, "report "+filepath.Join(out, "index.html")) {
		t.Error(stdout)
	}
	var sum train.SweepSummary
	readJSON(t, filepath.Join(out, "results.json"), &sum)
	rows := readRows(t, filepath.Join(out, "results.csv"))
	if len(sum.Variants) != 4 || len(rows) != 5 || strings.Join(rows[0], ",") != "lr,loss,depth,f1,iou,mean_ap,val_loss,best_threshold,best_epoch,epochs_done,parameters,seconds" {
		t.Fatalf("%d variants, rows %q", len(sum.Variants), rows)
	}
	if sum.Schema != train.SweepSchema || sum.Kind != unet.Paper || sum.RankedBy != "f1" {
		t.Errorf("%+v", sum)
	}
	html, err := os.ReadFile(filepath.Join(out, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(string(html), "&#43;", "+")
	for _, text := range []string{"Sweep of lr, loss and depth", "The best of 4 variants is ", "F1 by lr", "F1 by loss", "Validation loss over the epochs"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	if strings.Contains(page, "val_loss") || strings.Contains(page, "F1 by depth") {
		t.Error("the page speaks of val_loss, or plots a setting of one value")
	}
	for i, v := range sum.Variants {
		if i > 0 && v.Scores.F1 > sum.Variants[i-1].Scores.F1 {
			t.Errorf("variant %d is better than the one before", i)
		}
		// A threshold of its own does at least as well as the settings' 0.5.
		if v.Seconds <= 0 || v.Best.Epoch != 1 || v.Scores.F1 < v.Best.Val.F1 || v.Threshold <= 0 {
			t.Errorf("%+v", v)
		}
		if _, err := os.Stat(filepath.Join(v.Folder, "report.html")); err != nil {
			t.Error(err)
		}
		if name := filepath.Base(v.Folder); !strings.Contains(page, `href="`+name+`/report.html"`) {
			t.Errorf("the page does not lead to %s", name)
		}
	}
	best, err := unet.LoadModel(sum.Model)
	if err != nil {
		t.Fatal(err)
	}
	defer best.Params.Free()
	first := sum.Variants[0]
	if best.Card.Threshold != first.Threshold || best.Card.Training.Metrics["f1"] != first.Scores.F1 {
		t.Errorf("the best model has threshold %v and %v, want %v and F1 %v", best.Card.Threshold, best.Card.Training.Metrics, first.Threshold, first.Scores.F1)
	}
	// An evaluation of the best model finds the number that ranked it.
	var ev evaluate.Report
	text, _ := mustRun(t, exitOK, "evaluate", set, "--model", sum.Model, "--split", "val", "--json", "-q")
	if err := json.Unmarshal([]byte(text), &ev); err != nil {
		t.Fatal(err)
	}
	if got := ev.Main().All.Pixels.F1; got != first.Scores.F1 {
		t.Errorf("evaluate says F1 %v, the sweep %v", got, first.Scores.F1)
	}
	// The same command finds everything done.
	again, _ := mustRun(t, exitOK, args...)
	if again != stdout {
		t.Errorf("first\n%sthen\n%s", stdout, again)
	}
	// A wrong command line leaves nothing.
	none := filepath.Join(t.TempDir(), "none")
	mustRun(t, exitUsage, "sweep", set, "--kind", "paper", "--out", none, "--vary", "lr=0.01,fast")
	if _, err := os.Stat(none); err == nil {
		t.Error("a folder was made for nothing")
	}
}

// By default nuclei models are trained, and ranked by MeanAP at the threshold of
// nuclei that suits each.
func TestSweepOfNucleiModels(t *testing.T) {
	set, out := preparedSet(t, "--size", "native"), filepath.Join(t.TempDir(), "sweep")
	config := filepath.Join(t.TempDir(), "small.yaml")
	if err := os.WriteFile(config, []byte("width: 16\nbatch: 1\nsteps: 1\nepochs: 1\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := mustRun(t, exitOK, "sweep", set, "--out", out, "--config", config, "--vary", "depth=1", "--vary", "threshold=0.4,0.6", "--json")
	var sum train.SweepSummary
	if err := json.Unmarshal([]byte(stdout), &sum); err != nil {
		t.Fatal(err)
	}
	if sum.Kind != unet.Nuclei || sum.RankedBy != "mean_ap" || len(sum.Variants) != 2 {
		t.Fatalf("%+v", sum)
	}
	if !strings.Contains(stderr, "threshold makes no difference") {
		t.Error(stderr)
	}
	best, err := unet.LoadModel(sum.Model)
	if err != nil {
		t.Fatal(err)
	}
	defer best.Params.Free()
	if v := sum.Variants[0]; best.Card.Instance.Foreground != v.Threshold {
		t.Errorf("the best model separates at %v, the variant at %v", best.Card.Instance.Foreground, v.Threshold)
	}
	text, _ := mustRun(t, exitOK, "evaluate", set, "--model", sum.Model, "--split", "val", "--json", "-q")
	var ev evaluate.Report
	if err := json.Unmarshal([]byte(text), &ev); err != nil {
		t.Fatal(err)
	}
	if got, want := ev.Main().All.Nuclei.MeanAP, sum.Variants[0].Scores.MeanAP; got != want {
		t.Errorf("evaluate says MeanAP %v, the sweep %v", got, want)
	}
}

// TestSweepShards: variants trained as parts are ranked as those of one process.
func TestSweepShards(t *testing.T) {
	set, dir := preparedSet(t, "--size", "32"), t.TempDir()
	once, parts := filepath.Join(dir, "once"), filepath.Join(dir, "parts")
	args := []string{"sweep", set, "--kind", "paper", "--epochs", "1", "--vary", "lr=0.0001,0.01,0.001", "--vary", "depth=1", "--quiet", "--out"}
	mustRun(t, exitOK, append(args, once)...)
	for _, shard := range []string{"2/2", "1/2", "2/2"} {
		mustRun(t, exitOK, append(args, parts, "--shard", shard)...)
	}
	mustRun(t, exitUsage, append(args, parts, "--shard", "3/2")...)
	mustRun(t, exitOK, append(args, parts)...)
	ranked := func(folder string) (list []string) {
		var sum train.SweepSummary
		readJSON(t, filepath.Join(folder, "results.json"), &sum)
		for _, v := range sum.Variants {
			list = append(list, fmt.Sprint(filepath.Base(v.Folder), v.Scores, v.Threshold, v.Best.Val))
		}
		return list
	}
	if d := cmp.Diff(ranked(once), ranked(parts)); d != "" || len(ranked(parts)) != 3 {
		t.Errorf("the ranking differs from that of one process: %s", d)
	}
}

// TestSweepGoesOnAfterDivergence: a variant that diverges is reported and not tried
// again until its settings change; the others are trained and ranked, by parts, too.
func TestSweepGoesOnAfterDivergence(t *testing.T) {
	set, out := preparedSet(t, "--size", "32"), filepath.Join(t.TempDir(), "sweep")
	args := []string{"sweep", set, "--kind", "paper", "--out", out, "--epochs", "1", "--vary", "lr=10,0.0001", "--vary", "norm=none", "--vary", "depth=4", "--vary", "steps=4", "--vary", "batch=1"}
	mustRun(t, exitOK, append(args, "--shard", "1/1")...) // a scheduler would try it again
	failed := filepath.Join(out, "lr=10_norm=none_depth=4_steps=4_batch=1", "failed.json")
	first, err := os.Stat(failed)
	if err != nil {
		t.Fatal(err)
	}
	_, stderr := mustRun(t, exitPartial, append(args, "--wait")...)
	if !strings.Contains(stderr, "1 of 2 variants failed") || !strings.Contains(stderr, "diverged") {
		t.Error(stderr)
	}
	if again, err := os.Stat(failed); err != nil || !os.SameFile(first, again) {
		t.Errorf("tried again: %v", err)
	}
	var sum train.SweepSummary
	readJSON(t, filepath.Join(out, "results.json"), &sum)
	if len(sum.Variants) != 1 || len(sum.Failed) != 1 || sum.Failed[0].Settings["lr"] != "10" || !strings.Contains(sum.Failed[0].Reason, "diverged") {
		t.Errorf("%+v", sum)
	}
	if page, err := os.ReadFile(filepath.Join(out, "index.html")); err != nil || !strings.Contains(string(page), "could not be trained") {
		t.Errorf("the page is silent: %v", err)
	}
	// Other settings are tried.
	mustRun(t, exitFailure, "sweep", set, "--kind", "paper", "--out", out, "--epochs", "2", "--vary", "lr=10", "--vary", "norm=none", "--vary", "depth=4", "--vary", "steps=4", "--vary", "batch=1")
	if again, err := os.Stat(failed); err != nil || os.SameFile(first, again) {
		t.Errorf("not tried again: %v", err)
	}
}

// TestSweepJobChecks: a job is not printed where all its tasks would fail, and does not
// hold the threads of the machine that printed it.
func TestSweepJobChecks(t *testing.T) {
	t.Setenv("UNET_THREADS", "1")
	set := preparedSet(t, "--size", "32")
	args := []string{"sweep", set, "--kind", "paper", "--out", filepath.Join(t.TempDir(), "out"), "--job", "slurm", "--vary"}
	mustRun(t, exitUsage, append(args, "lr=abc")...)
	job, _ := mustRun(t, exitOK, append(args, "lr=0.1,0.01")...)
	if strings.Contains(job, "--threads=") || !strings.Contains(job, "--array=1-2") {
		t.Error(job)
	}
}
