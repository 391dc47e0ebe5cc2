package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// entry is a file of an archive.
type entry struct {
	name    string
	data    []byte
	program bool // may be executed
}

func (e entry) mode() int64 {
	if e.program {
		return 0o755
	}
	return 0o644
}

// pack writes the archive of a platform, and for Debian a package.
func (r *release) pack(p platform, program string) error {
	data, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("unet-%s-%s", r.version, p.name())
	exe := entry{name: "unet", data: data, program: true}
	if p.os == "windows" {
		exe.name = "unet.exe"
		return r.save(name+".zip", r.zip(name, append([]entry{exe}, r.docs...)))
	}
	if err := r.save(name+".tar.gz", r.tarball(name+"/", append([]entry{exe}, r.docs...))); err != nil || p.os != "linux" {
		return err
	}
	return r.save(fmt.Sprintf("unet_%s_%s.deb", r.version, p.arch), r.deb(p, exe))
}

func (r *release) zip(folder string, list []entry) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range list {
		h := &zip.FileHeader{Name: folder + "/" + e.name, Method: zip.Deflate, Modified: r.when}
		h.SetMode(os.FileMode(e.mode()))
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write(e.data)
		}
		must(err)
	}
	must(w.Close())
	return b.Bytes()
}

// tarball is a compressed archive of list below the folder prefix, with the folders
// that leads to.
func (r *release) tarball(prefix string, list []entry) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	must(err)
	w := tar.NewWriter(z)
	header := func(h tar.Header) {
		h.ModTime, h.Format = r.when, tar.FormatGNU
		must(w.WriteHeader(&h))
	}
	var folders []string
	for _, e := range list {
		for dir := path.Dir(prefix + e.name); dir != "." && !slices.Contains(folders, dir); dir = path.Dir(dir) {
			folders = append(folders, dir)
		}
	}
	slices.Sort(folders)
	for _, dir := range folders {
		header(tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
	}
	for _, e := range list {
		header(tar.Header{Typeflag: tar.TypeReg, Name: prefix + e.name, Mode: e.mode(), Size: int64(len(e.data))})
		_, err := w.Write(e.data)
		must(err)
	}
	must(w.Close())
	must(z.Close())
	return b.Bytes()
}

// deb is a Debian package: an ar archive of two compressed archives (deb(5)).
func (r *release) deb(p platform, exe entry) []byte {
	files := []entry{{name: "usr/bin/unet", data: exe.data, program: true}}
	for _, d := range r.docs {
		switch folder, base := path.Split(d.name); {
		case folder == "man/":
			var b bytes.Buffer
			z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
			must(err)
			_, err = z.Write(d.data)
			must(err)
			must(z.Close())
			files = append(files, entry{name: "usr/share/man/man1/" + base + ".gz", data: b.Bytes()})
		case base == "unet.bash":
			files = append(files, entry{name: "usr/share/bash-completion/completions/unet", data: d.data})
		case base == "_unet":
			files = append(files, entry{name: "usr/share/zsh/vendor-completions/_unet", data: d.data})
		case base == "unet.fish":
			files = append(files, entry{name: "usr/share/fish/vendor_completions.d/unet.fish", data: d.data})
		case base == "LICENSE":
			files = append(files, entry{name: "usr/share/doc/unet/copyright", data: d.data})
		case folder == "", path.Ext(base) == ".png":
			files = append(files, entry{name: "usr/share/doc/unet/" + d.name, data: d.data})
		}
	}
	size := 0
	for _, f := range files {
		size += (len(f.data) + 1023) / 1024
	}
	control := fmt.Sprintf(`Package: unet
Version: %s
Architecture: %s
Maintainer: The unet authors <unet@localhost>
Installed-Size: %d
Depends: libc6 (>= 2.17)
Section: science
Priority: optional
Description: find, count and measure nuclei in microscopy images
 A U-Net with a model built in: unet predict IMAGES --out RESULTS. It trains on
 your own images, too.
`, r.version, p.arch, size)
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range []entry{
		{name: "debian-binary", data: []byte("2.0\n")},
		{name: "control.tar.gz", data: r.tarball("./", []entry{{name: "control", data: []byte(control)}})},
		{name: "data.tar.gz", data: r.tarball("./", files)},
	} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, r.when.Unix(), 0, 0, "100644", len(m.data))
		b.Write(m.data)
		b.WriteString(strings.Repeat("\n", len(m.data)%2))
	}
	return b.Bytes()
}

// must is for writing to memory, which cannot fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
