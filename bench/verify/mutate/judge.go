//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

type verdict string

const (
	killed     verdict = "killed"
	survived   verdict = "SURVIVED"
	equivalent verdict = "equivalent"
	broken     verdict = "BROKEN" // does not compile
)

// longest is how long the tests of a mutation may take: a fault that makes a
// loop endless is noticed, too.
const longest = 5 * time.Minute

// results holds the verdicts between runs.
const results = "build/mutate.json"

type bench struct {
	root, work string
	known      map[string]verdict // by mutation.key
	sound      map[string]bool    // tests that pass without a fault
}

func newBench() (*bench, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat("go.mod"); err != nil {
		return nil, errors.New("run it at the root of the repository")
	}
	b := &bench{root: root, known: map[string]verdict{}, sound: map[string]bool{}}
	if data, err := os.ReadFile(results); err == nil {
		if err := json.Unmarshal(data, &b.known); err != nil {
			return nil, fmt.Errorf("%s: %w", results, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	b.work, err = os.MkdirTemp("", "mutate")
	return b, err
}

func (b *bench) close() { os.RemoveAll(b.work) }

// judge says whether a test notices the fault.
func (b *bench) judge(m *mutation) (verdict, error) {
	text, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	faulty, err := m.apply(string(text))
	if err != nil {
		return "", err
	}
	if m.equivalent != "" {
		return equivalent, nil
	}
	key, err := m.key(text)
	if err != nil {
		return "", err
	}
	if v, ok := b.known[key]; ok {
		return v, nil
	}
	overlay, err := b.overlay(m, faulty)
	if err != nil {
		return "", err
	}
	v := survived
	for _, t := range m.tests {
		if err := b.passes(t); err != nil {
			return "", err
		}
		failure, err := b.test(t[0], t[1:], overlay)
		if errors.Is(err, errBuild) {
			fmt.Fprintf(os.Stderr, "mutate: %s: %s: %v\n", m.file, m.reason, err)
			return broken, nil
		} else if err != nil {
			return "", err
		}
		if failure != nil {
			v = killed
			break
		}
	}
	b.known[key] = v
	data, err := json.MarshalIndent(b.known, "", "\t")
	if err != nil {
		return "", err
	}
	return v, errors.Join(os.MkdirAll(filepath.Dir(results), 0o755), os.WriteFile(results, data, 0o644))
}

// passes makes sure that what a test notices is the fault: without one it passes.
func (b *bench) passes(test []string) error {
	name := strings.Join(test, " ")
	if b.sound[name] {
		return nil
	}
	if failure, err := b.test(test[0], test[1:], ""); err != nil {
		return err
	} else if failure != nil {
		return fmt.Errorf("go test %s fails without a fault: %w", name, failure)
	}
	b.sound[name] = true
	return nil
}

// key changes with the mutation, its file, and the packages of its tests.
func (m *mutation) key(text []byte) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, m.file, m.old, m.new, m.tests)
	h.Write(text)
	for _, t := range m.tests {
		files, err := filepath.Glob(filepath.Join(t[0], "*.go"))
		if err != nil {
			return "", err
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				return "", err
			}
			h.Write(data)
		}
	}
	return fmt.Sprintf("%s %x", m.file, h.Sum(nil)[:8]), nil
}

// overlay writes the file that tells the compiler where to read the fault. The C
// files of a package include headers that lie beside them, so all of these are
// read from elsewhere where a header is faulty, and compiled without optimisation:
// kernels take a minute with it, and seconds without.
func (b *bench) overlay(m *mutation, faulty string) (string, error) {
	replace := map[string]string{}
	put := func(name, text string) error {
		to := filepath.Join(b.work, filepath.Base(name))
		replace[filepath.Join(b.root, name)] = to
		return os.WriteFile(to, []byte(text), 0o644)
	}
	if filepath.Ext(m.file) == ".h" {
		files, err := filepath.Glob(filepath.Join(m.pkg(), "*"))
		if err != nil {
			return "", err
		}
		for _, f := range files {
			if !slices.Contains([]string{".c", ".h", ".go"}, filepath.Ext(f)) {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				return "", err
			}
			if err := put(f, optimised.ReplaceAllString(string(text), "${1}-O0")); err != nil {
				return "", err
			}
		}
	}
	if err := put(m.file, faulty); err != nil {
		return "", err
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(b.work, "overlay.json")
	return name, os.WriteFile(name, data, 0o644)
}

// optimised is how cgo is told to optimise.
var optimised = regexp.MustCompile(`(?m)^(#cgo CFLAGS: .*)-O3`)

var errBuild = errors.New("does not compile")

// test builds the tests of a package with the fault of an overlay in it, if any, runs
// them, and returns how they fail, if they do.
func (b *bench) test(pkg string, flags []string, overlay string) (failure, err error) {
	program := filepath.Join(b.work, "tests")
	if err := os.RemoveAll(program); err != nil { // nothing is built of a package without tests
		return nil, err
	}
	build := exec.Command("go", "test", "-c", "-vet=off", "-overlay="+overlay, "-o", program, pkg)
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %w\n%s", errBuild, err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	test := exec.CommandContext(ctx, program, append([]string{"-test.failfast", "-test.short"}, flags...)...)
	test.Dir = filepath.Join(b.root, pkg)
	test.WaitDelay = time.Second
	out, err := test.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("not done in %v", longest), nil
	case errors.As(err, &exit):
		return fmt.Errorf("%w\n%s", err, out), nil
	case err != nil:
		return nil, err
	case strings.Contains(string(out), "no tests to run"):
		return nil, fmt.Errorf("%s has no tests that match %s", pkg, flags)
	}
	return nil, nil
}
