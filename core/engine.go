package core

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"unet/core/portable"
	"unet/csrc"

	"github.com/klauspost/cpuid/v2"
)

// A backend implements the operations of package csrc; see kernels.h.
type backend interface {
	has(op csrc.Op) bool
	tasks(op csrc.Op, args unsafe.Pointer) int
	scratch(op csrc.Op, args unsafe.Pointer) int
	run(op csrc.Op, args unsafe.Pointer, t0, t1 int, scratch *float32)
}

// native is a backend of C kernels for one instruction set.
type native csrc.ISA

func (n native) has(op csrc.Op) bool { return csrc.Has(csrc.ISA(n), op) }
func (n native) tasks(op csrc.Op, args unsafe.Pointer) int {
	return csrc.Tasks(csrc.ISA(n), op, args)
}
func (n native) scratch(op csrc.Op, args unsafe.Pointer) int {
	return csrc.Scratch(csrc.ISA(n), op, args)
}
func (n native) run(op csrc.Op, args unsafe.Pointer, t0, t1 int, scratch *float32) {
	csrc.Run(csrc.ISA(n), op, args, t0, t1, scratch)
}

// inGo is the backend of package portable, for builds without cgo.
type inGo struct{}

func (inGo) has(op csrc.Op) bool                         { return portable.Has(op) }
func (inGo) tasks(op csrc.Op, args unsafe.Pointer) int   { return portable.Tasks(op, args) }
func (inGo) scratch(op csrc.Op, args unsafe.Pointer) int { return portable.Scratch(op, args) }
func (inGo) run(op csrc.Op, args unsafe.Pointer, t0, t1 int, scratch *float32) {
	portable.Run(op, args, t0, t1, scratch)
}

// ISAs lists the instruction sets this program and CPU can use, best first.
// "go", package portable, is always last.
func ISAs() []string {
	var list []string
	avx2 := cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3)
	if csrc.Compiled(csrc.AVX512) && avx2 &&
		cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL) {
		list = append(list, "avx512")
	}
	if csrc.Compiled(csrc.AVX2) && avx2 {
		list = append(list, "avx2")
	}
	if csrc.Compiled(csrc.NEON) {
		list = append(list, "neon") // part of every AArch64 CPU
	}
	if csrc.Compiled(csrc.C) {
		list = append(list, "c")
	}
	return append(list, "go")
}

// Variants lists the sets of kernels of the instruction set isa that the CPU can
// run, best first: they compute the same, 8-bit and bfloat16 products faster.
func Variants(isa string) (list []csrc.ISA) {
	switch isa {
	case "avx512":
		if cpuid.CPU.Supports(cpuid.AVX512VNNI, cpuid.AVX512BF16) {
			list = append(list, csrc.AVX512BF16)
		}
		if cpuid.CPU.Supports(cpuid.AVX512VNNI) {
			list = append(list, csrc.AVX512VNNI)
		}
		return append(list, csrc.AVX512)
	case "neon":
		if cpuid.CPU.Supports(cpuid.ASIMDDP) {
			list = append(list, csrc.NEONDot)
		}
		return append(list, csrc.NEON)
	case "avx2":
		return []csrc.ISA{csrc.AVX2}
	case "c":
		return []csrc.ISA{csrc.C}
	}
	return nil
}

func backendOf(isa string) backend {
	if list := Variants(isa); len(list) > 0 {
		return native(list[0])
	}
	return inGo{}
}

// CPU describes the processor for logs and bug reports.
func CPU() string {
	c := cpuid.CPU
	name := strings.TrimSpace(c.BrandName)
	if name == "" {
		name = runtime.GOARCH
	}
	return fmt.Sprintf("%s, %d logical cores, L1d %d KiB, L2 %d KiB, L3 %d KiB", name,
		runtime.NumCPU(), max(c.Cache.L1D, 0)>>10, max(c.Cache.L2, 0)>>10, max(c.Cache.L3, 0)>>10)
}

// Engine runs programs: an instruction set and a team of worker threads. It
// may be shared by goroutines; their programs take turns.
type Engine struct {
	isa     string
	backend backend
	workers int

	mu      sync.Mutex // held while a program runs
	jobs    chan *job  // to the workers other than the caller
	scratch [][]float32
	scrmem  []unsafe.Pointer
}

// NewEngine starts an engine of the given number of threads (0: GOMAXPROCS as the
// program began; see SpareProcs). isa names the instruction set; "" takes the environment
// variable UNET_ISA or else the best one. Close releases the threads.
func NewEngine(isa string, threads int) (*Engine, error) {
	from := "instruction set"
	if isa == "" {
		isa, from = os.Getenv("UNET_ISA"), "UNET_ISA"
	}
	have := ISAs()
	if isa == "" {
		isa = have[0]
	}
	if !slices.Contains(have, isa) {
		return nil, fmt.Errorf("%s %q is not available here; choose one of %s", from, isa, strings.Join(have, ", "))
	}
	if threads <= 0 {
		threads = cpus
	}
	e := &Engine{
		isa: isa, backend: backendOf(isa), workers: threads,
		jobs: make(chan *job, threads), scratch: make([][]float32, threads),
		scrmem: make([]unsafe.Pointer, threads),
	}
	for i := 1; i < threads; i++ {
		go e.work(i)
	}
	return e, nil
}

// ISA names the instruction set in use.
func (e *Engine) ISA() string { return e.isa }

// Threads returns the number of threads that compute.
func (e *Engine) Threads() int { return e.workers }

// Close ends the worker threads. No program may run afterwards.
func (e *Engine) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.jobs)
	for i, p := range e.scrmem {
		if p != nil {
			csrc.Free(p)
			e.scrmem[i], e.scratch[i] = nil, nil
		}
	}
}
