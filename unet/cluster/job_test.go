package cluster

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// odd are names that people give to folders.
var odd = []string{"plain", "two words", "it's", `back\slash`, "$HOME", "`date`", `"quoted"`, "{index}", "a;b", "", "ä", "*"}

// TestWords: sh reads a command line as the words that it was made of.
func TestWords(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	out, err := exec.Command(sh, "-c", `printf '%s\n' `+words(odd)).Output()
	if want := strings.Join(odd, "\n") + "\n"; err != nil || string(out) != want {
		t.Errorf("%v\ngot  %q\nwant %q", err, out, want)
	}
}

// TestWrite writes a job for every engine.
func TestWrite(t *testing.T) {
	j := Job{Program: "/opt/unet", Part: append([]string{"predict"}, odd...), Gather: []string{"gather", "out"}, Out: "out", Parts: 30, What: "Segments\nall", Version: "1", CPUs: 3, MemoryGiB: 5}
	for _, engine := range Engines {
		var b bytes.Buffer
		if err := j.Write(&b, engine); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if engine != "slurm" && !strings.Contains(text, "images were bad") { // sh leaves the status to people
			t.Errorf("%s says nothing of status 3", engine)
		}
		if strings.Contains(text, "%!") || strings.Contains(text, "<no value>") || !strings.Contains(text, "Segments all, in 30 parts.") || !strings.Contains(text, "THIS_FILE") {
			t.Errorf("%s:\n%s", engine, text)
		}
		b.Reset()
		j.Trains = true
		if err := j.Write(&b, engine); err != nil || strings.Contains(b.String(), "images were bad") || strings.Contains(b.String(), "trainings failed") != (engine != "slurm") ||
			strings.Contains(b.String(), "--wait") != (engine == "kubernetes") { // which knows no order of jobs

			t.Errorf("%s: %v\n%s", engine, err, &b)
		}
		j.Trains = false
		if engine == "slurm" {
			if out, err := exec.Command("sh", "-n", "-c", text).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}
	}
	if err := j.Write(new(bytes.Buffer), "cron"); err == nil {
		t.Error("a job for an engine that is none")
	}
}

// TestBracesInSnakemake: braces of the folder are doubled in commands, and in names of
// files, where Snakemake has no way to write them, none are left.
func TestBracesInSnakemake(t *testing.T) {
	var b bytes.Buffer
	j := Job{Program: "unet", Part: []string{"predict", "--out", "o{x}"}, Gather: []string{"gather", "o{x}"}, Out: "o{x}", Parts: 1}
	if err := j.Write(&b, "snakemake"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"DONE = \"o(x)\" + ", "--out 'o{{x}}'", "gather 'o{{x}}'"} {
		if !strings.Contains(b.String(), text) {
			t.Errorf("no %s in\n%s", text, &b)
		}
	}
}
