package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"unet/core/selftest"
	"unet/csrc"
)

//go:embed onednn/onednn.cpp
var onednnSource []byte

// onednn times the same operations in oneDNN, in a program of its own, so that
// nothing here links to it.
type onednn struct {
	program string
	times   map[string]time.Duration // of operations timed already
}

// newOneDNN compiles the program in dir.
func newOneDNN(dir string) (*onednn, error) {
	o := &onednn{program: filepath.Join(dir, "onednn"), times: map[string]time.Duration{}}
	cmd := exec.Command("c++", "-O2", "-std=c++14", "-x", "c++", "-", "-ldnnl", "-o", o.program)
	cmd.Stdin = bytes.NewReader(onednnSource)
	if out, err := cmd.CombinedOutput(); err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return nil, fmt.Errorf("no comparison with oneDNN (Debian: apt install libdnnl-dev g++): %w: %s", err, line)
	}
	return o, nil
}

// time returns the median time of an operation on the same instruction set, 0
// if oneDNN has no such kernel.
func (o *onednn) time(isa csrc.ISA, kind string, s selftest.Shape, count int) time.Duration {
	limit := map[csrc.ISA]string{csrc.AVX2: "AVX2", csrc.AVX512: "AVX512_CORE", csrc.NEON: "ALL"}[isa]
	if kind == "" || limit == "" {
		return 0
	}
	args := []string{kind}
	for _, v := range []int{s.N, s.IC, s.OC, s.H, s.W, count} {
		args = append(args, strconv.Itoa(v))
	}
	key := limit + strings.Join(args, " ")
	if t, done := o.times[key]; done {
		return t
	}
	cmd := exec.Command(o.program, args...)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "ONEDNN_MAX_CPU_ISA="+limit)
	var t time.Duration
	if out, err := cmd.Output(); err == nil {
		t, _ = time.ParseDuration(strings.TrimSpace(string(out)) + "ns")
	}
	o.times[key] = t
	return t
}
