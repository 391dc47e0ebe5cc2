package plugins

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"unet/unet"
)

// TestInstall: every folder is a plugin, every file carries the version or
// belongs to one that does, and nothing is written over.
func TestInstall(t *testing.T) {
	entries, err := fs.ReadDir(files, "files")
	if err != nil {
		t.Fatal(err)
	}
	var folders, names []string
	for _, e := range entries {
		folders = append(folders, e.Name())
	}
	for _, p := range List() {
		names = append(names, p.Name)
		if p.For == "" || p.Does == "" || p.Use == "" {
			t.Errorf("%s is not described", p.Name)
		}
		dir := t.TempDir()
		written, err := p.Install(filepath.Join(dir, "new", p.Name))
		if err != nil {
			t.Fatal(err)
		}
		version := false
		for _, name := range written {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte(placeholder)) {
				t.Errorf("%s: the version is not filled in", name)
			}
			version = version || bytes.Contains(b, []byte(unet.Version))
		}
		if !version {
			t.Errorf("%s says nowhere which version it was made for", p.Name)
		}
		if _, err := p.Install(filepath.Join(dir, "new", p.Name)); err != nil {
			t.Errorf("the same again: %v", err)
		}
		if err := os.WriteFile(written[0], []byte("mine"), 0o644); err != nil {
			t.Fatal(err)
		}
		var exists *ExistsError
		if _, err := p.Install(filepath.Join(dir, "new", p.Name)); !errors.As(err, &exists) || exists.Hint() == "" {
			t.Errorf("error %v", err)
		}
		if b, _ := os.ReadFile(written[0]); string(b) != "mine" {
			t.Errorf("%s was written over", written[0])
		}
	}
	if !slices.Equal(folders, names) {
		t.Errorf("folders %q, plugins %q", folders, names)
	}
	if _, ok := Find("nothing"); ok {
		t.Error("a plugin that is none")
	}
}

// TestQuPathKeepsOnFailure: detections are deleted only once unet has not failed.
func TestQuPathKeepsOnFailure(t *testing.T) {
	b, err := files.ReadFile("files/qupath/unet_nuclei.groovy")
	if err != nil {
		t.Fatal(err)
	}
	before, _, ok := bytes.Cut(b, []byte("PathIO.readObjects("))
	if !ok {
		t.Fatal("nuclei are read nowhere")
	}
	for _, clear := range []string{"clearDetections()", "clearChildObjects()"} {
		if bytes.Contains(before, []byte(clear)) || !bytes.Contains(b, []byte(clear)) {
			t.Errorf("%s does not follow the reading of the nuclei", clear)
		}
	}
}

// TestNextflowQuotes: the shell gets a prefix, which may hold spaces, in quotes.
func TestNextflowQuotes(t *testing.T) {
	b, err := files.ReadFile("files/nextflow/main.nf")
	if err != nil {
		t.Fatal(err)
	}
	for _, use := range regexp.MustCompile(`.\$\{(prefix|image\.baseName)\}`).FindAll(b, -1) {
		if use[0] != '"' && use[0] != '/' {
			t.Errorf("%q is not in quotes", use[1:])
		}
	}
}
