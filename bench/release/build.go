package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// platform is what a program is built for. The C kernels are compiled by cc, with
// %zig for zig; ld links where that is not the same.
type platform struct{ os, arch, cc, ld string }

// platforms lists them all, the machine's own first. GCC compiles the kernels for
// Linux and Windows: it is what they are tuned with. zig links against glibc as it
// was in 2012, and is the one compiler for macOS outside of it.
var platforms = []platform{
	{"linux", "amd64", "gcc", "%zig cc -target x86_64-linux-gnu.2.17"},
	{"linux", "arm64", "aarch64-linux-gnu-gcc", "%zig cc -target aarch64-linux-gnu.2.17"},
	{"windows", "amd64", "x86_64-w64-mingw32-gcc", ""},
	{"darwin", "arm64", "%zig cc -target aarch64-macos.12.0", ""},
	{"darwin", "amd64", "%zig cc -target x86_64-macos.12.0", ""},
}

func (p platform) name() string { return p.os + "-" + p.arch }

func (p platform) env(r *release) []string {
	return []string{
		"GOOS=" + p.os, "GOARCH=" + p.arch, "GOAMD64=v1", "GOARM64=v8.0", "CGO_ENABLED=1", "GOFLAGS=",
		"CC=" + strings.ReplaceAll(p.cc, "%zig", r.zig),
		"ZIG_GLOBAL_CACHE_DIR=" + filepath.Join(r.work, "zig"), "ZIG_LOCAL_CACHE_DIR=" + filepath.Join(r.work, "zig"),
	}
}

// build builds and checks the program for p, where wanted twice.
func (r *release) build(p platform, twice bool) (string, error) {
	program, err := r.buildIn(filepath.Join(r.work, p.name(), "one"), p)
	if err != nil {
		return "", err
	}
	if err := check(program, p); err != nil {
		return "", err
	}
	if !twice {
		return program, nil
	}
	folder := filepath.Join(r.work, p.name(), "a longer name", "two")
	second, err := r.buildIn(folder, p, "GOCACHE="+filepath.Join(r.work, p.name(), "cache"),
		"ZIG_GLOBAL_CACHE_DIR="+filepath.Join(folder, "zig"), "ZIG_LOCAL_CACHE_DIR="+filepath.Join(folder, "zig"))
	if err != nil {
		return "", err
	}
	a, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(second)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(a, b) {
		return "", fmt.Errorf("two builds differ: %s and %s", program, second)
	}
	return program, nil
}

// buildIn builds a fresh copy of the sources in folder.
func (r *release) buildIn(folder string, p platform, env ...string) (string, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	sources, err := output(nil, "git", "archive", r.commit)
	if err != nil {
		return "", err
	}
	tar := exec.Command("tar", "-x", "-C", folder)
	tar.Stdin = bytes.NewReader(sources)
	if err := tar.Run(); err != nil {
		return "", err
	}
	ldflags := "-s -w -buildid="
	if p.ld != "" {
		// cgo's -g follows Go's -s and would keep what tells of the folder.
		ldflags += " -linkmode=external '-extld=" + strings.ReplaceAll(p.ld, "%zig", r.zig) + "' -extldflags=-Wl,-s"
	}
	if p.os == "darwin" {
		ldflags += fmt.Sprintf(" '-extldflags=-F%[1]s -L%[1]s'", filepath.Join(r.work, "stubs"))
	}
	program := filepath.Join(folder, "unet.bin")
	_, err = outputIn(folder, append(p.env(r), env...), "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false",
		"-tags", "netgo,osusergo", // no look-up of names by the C library: there is no libresolv on all systems
		"-ldflags", ldflags, "-o", program, "./cli/unet")
	return program, err
}

// imported is a function of a macOS library that Go's own packages call.
var imported = regexp.MustCompile(`(?m)^//go:cgo_import_dynamic \S+ (\S+) "(/\S+)"`)

// stubs writes text stubs of the macOS libraries that the linker asks for beside
// libSystem, which zig has, with what this toolchain calls of them.
func (r *release) stubs() error {
	root, err := output(nil, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	names := map[string][]string{}
	for _, file := range []string{
		"internal/syscall/unix/net_darwin.go", "crypto/x509/internal/macos/corefoundation.go", "crypto/x509/internal/macos/security.go",
	} {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "src", file))
		if err != nil {
			return err
		}
		for _, m := range imported.FindAllSubmatch(text, -1) {
			names[string(m[2])] = append(names[string(m[2])], "_"+string(m[1]))
		}
	}
	for library, list := range names {
		slices.Sort(list)
		base, _, _ := strings.Cut(filepath.Base(library), ".")
		file := filepath.Join(r.work, "stubs", base+".tbd")
		if strings.Contains(library, ".framework/") {
			file = filepath.Join(r.work, "stubs", base+".framework", base+".tbd")
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		text := fmt.Sprintf(`--- !tapi-tbd
tbd-version: 4
targets: [ x86_64-macos, arm64-macos ]
install-name: '%s'
exports:
  - targets: [ x86_64-macos, arm64-macos ]
    symbols: [ %s ]
...
`, library, strings.Join(slices.Compact(list), ", "))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
