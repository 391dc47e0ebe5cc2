package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet"
	"unet/unet/train"
)

func TestSweep(t *testing.T) {
	set, out := preparedSet(t, "--size", "32"), filepath.Join(t.TempDir(), "sweep")
	args := []string{"sweep", set, "--out", out, "--epochs", "1", "--vary", "depth=1,2", "--vary", "loss=bce,bce+dice", "--vary", "batch=4"}
	stdout, stderr := mustRun(t, exitOK, args...)
	if !strings.Contains(stdout, "report "+filepath.Join(out, "index.html")) || !strings.Contains(stderr, "whatever the loss") {
		t.Errorf("%s%s", stdout, stderr)
	}
	var list []train.Variant
	readJSON(t, filepath.Join(out, "results.json"), &list)
	rows := readRows(t, filepath.Join(out, "results.csv"))
	if len(list) != 4 || len(rows) != 5 || strings.Join(rows[0], ",") != "depth,loss,batch,val_loss,val_accuracy,val_f1,val_kaggle_score,best_epoch,epochs,parameters,seconds" {
		t.Fatalf("%d variants, rows %q", len(list), rows)
	}
	page, err := os.ReadFile(filepath.Join(out, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	parameters := map[string]int{}
	for i, v := range list {
		if i > 0 && v.Monitored < list[i-1].Monitored {
			t.Errorf("variant %d is better than the one before", i)
		}
		parameters[v.Settings["depth"]] = v.Parameters
		if v.Seconds <= 0 || v.Best.Epoch != 1 {
			t.Errorf("%+v", v)
		}
		if _, err := os.Stat(filepath.Join(v.Folder, "report.html")); err != nil {
			t.Error(err)
		}
		if name := strings.ReplaceAll(filepath.Base(v.Folder), "+", "&#43;"); !strings.Contains(string(page), `href="`+name+`/report.html"`) {
			t.Errorf("the page does not lead to %s", name)
		}
	}
	if parameters["1"] <= 0 || parameters["2"] <= parameters["1"] {
		t.Errorf("parameters by depth: %v", parameters)
	}
	best, err := unet.LoadModel(filepath.Join(out, "best.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer best.Params.Free()
	if want := list[0].Settings["depth"]; want != map[int]string{1: "1", 2: "2"}[best.Card.Arch.Depth] {
		t.Errorf("the best model has depth %d, want %s", best.Card.Arch.Depth, want)
	}
	// The same command finds everything done.
	again, _ := mustRun(t, exitOK, args...)
	if again != stdout {
		t.Errorf("first\n%sthen\n%s", stdout, again)
	}
}

func TestSweepOfThresholdsWarns(t *testing.T) {
	set := preparedSet(t, "--size", "32")
	_, stderr := mustRun(t, exitOK, "sweep", set, "--out", filepath.Join(t.TempDir(), "sweep"), "--epochs", "1", "--vary", "threshold=0.4,0.6", "--vary", "depth=1")
	if !strings.Contains(stderr, "same at any threshold") {
		t.Error(stderr)
	}
}
