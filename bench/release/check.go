package main

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// check reads the program for p as its system will: what for, and with which
// libraries.
func check(program string, p platform) error {
	switch p.os {
	case "linux":
		return checkLinux(program, map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[p.arch])
	case "windows":
		return checkWindows(program)
	}
	return checkMac(program, map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}[p.arch])
}

// onlyOf fails for a library that is none of known.
func onlyOf(libraries []string, known ...string) error {
	for _, l := range libraries {
		if !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, l) }) {
			return fmt.Errorf("needs the library %s", l)
		}
	}
	return nil
}

func checkLinux(program string, machine elf.Machine) error {
	f, err := elf.Open(program)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Machine != machine {
		return fmt.Errorf("for %s, not %s", f.Machine, machine)
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	if err := onlyOf(libraries, "libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-aarch64.so.1", "ld-linux-x86-64.so.2"); err != nil {
		return err
	}
	needs, err := f.DynamicVersionNeeds()
	if err != nil {
		return err
	}
	for _, n := range needs {
		for _, v := range n.Needs {
			var major, minor int
			if _, err := fmt.Sscanf(v.Dep, "GLIBC_%d.%d", &major, &minor); err != nil || major != 2 || minor > 17 {
				return fmt.Errorf("needs %s of %s, which is newer than glibc 2.17", v.Dep, n.Name)
			}
		}
	}
	return nil
}

func checkWindows(program string) error {
	f, err := pe.Open(program)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Machine != pe.IMAGE_FILE_MACHINE_AMD64 {
		return fmt.Errorf("for machine %x", f.Machine)
	}
	symbols, err := f.ImportedSymbols()
	if err != nil {
		return err
	}
	var libraries []string
	for _, s := range symbols {
		_, library, _ := strings.Cut(s, ":")
		libraries = append(libraries, library)
	}
	return onlyOf(libraries, "KERNEL32.dll", "msvcrt.dll")
}

func checkMac(program string, cpu macho.Cpu) error {
	f, err := macho.Open(program)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Cpu != cpu || f.Type != macho.TypeExec {
		return fmt.Errorf("for %s, type %s", f.Cpu, f.Type)
	}
	if f.Flags&macho.FlagPIE == 0 {
		return errors.New("cannot be moved in memory, as macOS wants")
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	if err := onlyOf(libraries, "/usr/lib/libSystem.B.dylib", "/usr/lib/libresolv.9.dylib",
		"/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation",
		"/System/Library/Frameworks/Security.framework/Versions/A/Security"); err != nil {
		return err
	}
	const buildVersion, codeSignature, entryPoint = 0x32, 0x1d, 0x80000028
	have := map[uint32][]byte{}
	for _, l := range f.Loads {
		raw := l.Raw()
		have[f.ByteOrder.Uint32(raw)] = raw
	}
	if have[entryPoint] == nil {
		return errors.New("has no entry point")
	}
	if v := have[buildVersion]; v == nil || f.ByteOrder.Uint32(v[8:]) != 1 || f.ByteOrder.Uint32(v[12:]) != 12<<16 {
		return errors.New("is not for macOS 12")
	}
	s := have[codeSignature]
	if s == nil && f.Cpu == macho.CpuAmd64 {
		return nil // there macOS starts programs without a signature, and zig makes none
	}
	if s == nil {
		return errors.New("is not signed, which macOS on arm64 wants")
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	at, size := f.ByteOrder.Uint32(s[8:]), f.ByteOrder.Uint32(s[12:])
	return checkSignature(data[:at], data[at:][:size])
}

// checkSignature holds the pages of code against the hashes of its ad-hoc signature,
// as the kernel does when it loads them (xnu's cs_blobs.h; all big-endian).
func checkSignature(code, signature []byte) error {
	const superBlob, codeDirectory, adHoc, hashSHA256 = 0xfade0cc0, 0xfade0c02, 2, 2
	u32 := binary.BigEndian.Uint32
	if u32(signature) != superBlob {
		return errors.New("its signature is none")
	}
	for i := range u32(signature[8:]) {
		d := signature[u32(signature[12+8*i+4:]):]
		if u32(d) != codeDirectory {
			continue
		}
		hashes, count, limit := u32(d[16:]), u32(d[28:]), u32(d[32:])
		if u32(d[12:])&adHoc == 0 || d[36] != 32 || d[37] != hashSHA256 || int(limit) != len(code) {
			return errors.New("its signature is of another kind")
		}
		page := 1 << d[39]
		if want := (len(code) + page - 1) / page; int(count) != want {
			return fmt.Errorf("its signature has %d pages, the program %d", count, want)
		}
		for k := range int(count) {
			sum := sha256.Sum256(code[k*page : min((k+1)*page, len(code))])
			if !bytes.Equal(sum[:], d[int(hashes)+32*k:][:32]) {
				return fmt.Errorf("page %d is not what was signed", k)
			}
		}
		return nil
	}
	return errors.New("its signature holds no hashes")
}
