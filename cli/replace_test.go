//go:build unix

package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"unet/unet"
	"unet/unet/segment"
)

// TestReplace: a command replaces what an earlier run made, anything else with
// --force only, and an input never.
func TestReplace(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"a.png", "b.png", "a.mask.png"} {
		writeImage(t, at(name), discs(64, 64, disc{20, 20, 8}))
	}
	before, err := os.ReadFile(at("a.mask.png"))
	if err != nil {
		t.Fatal(err)
	}
	predict := func(code int, says string, args ...string) {
		t.Helper()
		_, stderr := mustRun(t, code, append([]string{"predict", "--model", model, "--format", "mask", "--out", dir}, args...)...)
		if !strings.Contains(stderr, says) {
			t.Errorf("%q: %s", args, stderr)
		}
	}
	predict(exitUsage, "is an input", at("a.png"), at("a.mask.png"))
	predict(exitUsage, "is an input", at("a.png"), at("a.mask.png"), "--force")
	predict(exitUsage, "--force", at("a.png"))
	if now, err := os.ReadFile(at("a.mask.png")); err != nil || string(now) != string(before) {
		t.Fatal("an image is replaced", err)
	}
	predict(exitOK, "", at("b.png"))
	predict(exitOK, "", at("b.png"))
	// No run has made this one, whatever its name.
	if err := os.WriteFile(at(segment.COCOFile), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	mustRun(t, exitUsage, "predict", "--model", model, "--format", "mask,coco", "--out", dir, at("b.png"))
	if now, err := os.ReadFile(at(segment.COCOFile)); err != nil || string(now) != "mine" {
		t.Fatal("a file of the user is replaced", err)
	}
	predict(exitOK, "", at("a.png"), "--force")
	var s segment.Summary
	b, err := os.ReadFile(at(segment.ManifestFile))
	if err != nil || json.Unmarshal(b, &s) != nil || len(s.Images) != 2 || s.Done != 1 {
		t.Errorf("%v: the manifest does not hold both runs: %s", err, b)
	}
	if rows := readRows(t, at(segment.SummaryFile)); len(rows) != 3 {
		t.Errorf("summary %q", rows)
	}
}

// TestReplaceSet: prepare --force removes its own set and nothing else, and train
// does not move in with it.
func TestReplaceSet(t *testing.T) {
	dir := t.TempDir()
	zip, set := filepath.Join(dir, "i.zip"), filepath.Join(dir, "set")
	mustRun(t, exitOK, "sample", "--out", zip, "--count", "10", "--size", "64")
	if _, stderr := mustRun(t, exitUsage, "sample", "--out", zip, "--count", "10", "--size", "64"); !strings.Contains(stderr, "--force") {
		t.Error(stderr)
	}
	mustRun(t, exitOK, "prepare", zip, "--out", set, "--size", "32")
	mustRun(t, exitUsage, "train", set, "--kind", "paper", "--out", set, "--epochs", "1")
	mustRun(t, exitOK, "prepare", zip, "--out", set, "--size", "48", "--force")
	notes := filepath.Join(set, "images", "notes.txt")
	if err := os.WriteFile(notes, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr := mustRun(t, exitUsage, "prepare", zip, "--out", set, "--size", "32", "--force"); !strings.Contains(stderr, "notes.txt") {
		t.Error(stderr)
	}
	if b, err := os.ReadFile(notes); err != nil || string(b) != "mine" {
		t.Error(err)
	}
}

// TestPipes: no pipe or device makes a command wait.
func TestPipes(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, "in", name) }
	writeImage(t, at("a.png"), discs(64, 64, disc{20, 20, 8}))
	for _, name := range []string{"p.png", "p.json", "p.csv", "p.safetensors", "p.yaml"} {
		if err := syscall.Mkfifo(at(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/dev/zero", at("zero.png")); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	_, stderr := mustRun(t, exitPartial, "predict", at(""), "--model", model, "--out", out, "--format", "csv")
	for _, want := range []string{"is a pipe", "is a device", "2 of 3 inputs failed"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is missing: %s", want, stderr)
		}
	}
	for _, c := range []struct {
		code int
		args []string
	}{
		{exitInput, []string{"predict", at("p.png"), "--model", model, "--out", out}},
		{exitInput, []string{"predict", "--from-file", at("p.csv"), "--model", model, "--out", out}},
		{exitFormat, []string{"predict", at("a.png"), "--model", at("p.safetensors"), "--out", out}},
		{exitUsage, []string{"predict", at("a.png"), "--condition", at("p.csv"), "--model", model, "--out", out}},
		{exitInput, []string{"convert", at("p.json"), filepath.Join(dir, "x.tif")}},
		{exitInput, []string{"measure", at("p.png")}},
		{exitInput, []string{"prepare", at("p.png"), "--out", filepath.Join(dir, "set")}},
	} {
		mustRun(t, c.code, c.args...)
	}
}

// TestReplaceSpecial: a single result takes the place of no pipe, link or folder,
// not even with --force.
func TestReplaceSpecial(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writeImage(t, at("labels.tif"), numbered(64, 48, threeDiscs...))
	mustRun(t, exitOK, "export", model, "--onnx", at("model.onnx"))
	for _, args := range [][]string{
		{"measure", at("labels.tif"), "--out", "x.csv"},
		{"view", at("labels.tif"), "--out", "x.png"},
		{"convert", at("labels.tif"), "x.zip"},
		{"convert", at("labels.tif"), "x.tif"},
		{"sample", "--count", "1", "--out", "x.zip"},
		{"export", model, "--onnx", "x.onnx"},
		{"quantize", model, dir, "--out", "x.safetensors"},
		{"import", at("model.onnx"), "--out", "x.safetensors"},
	} {
		last := len(args) - 1
		file := at(args[last])
		for says, put := range map[string]func() error{
			"is a pipe":   func() error { return syscall.Mkfifo(file, 0o600) },
			"is a link":   func() error { return os.Symlink("nothing", file) },
			"is a folder": func() error { return os.Mkdir(file, 0o777) },
		} {
			if says == "is a folder" && args[0] == "convert" {
				continue // which writes into it
			}
			if err := put(); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(file)
			if err != nil {
				t.Fatal(err)
			}
			_, stderr := mustRun(t, exitUsage, append(args[:last:last], file, "--force")...)
			if !strings.Contains(stderr, says) || !strings.Contains(stderr, "\nhint: give the") {
				t.Errorf("%q: %s", args, stderr)
			}
			if now, err := os.Lstat(file); err != nil || !os.SameFile(before, now) {
				t.Errorf("%q: replaced: %v", args, err)
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
}
