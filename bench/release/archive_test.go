package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestUnlink: pages of an archive link to what is in it, and elsewhere.
func TestUnlink(t *testing.T) {
	const page = "![a](a.png) [b](b.md) [b, part](b.md#part) [c](dir/c.md) [c, part](dir/c.md#part) [up](#top) [web](https://example.org/c.md)"
	const want = "![a](a.png) [b](b.md) [b, part](b.md#part) c c, part [up](#top) [web](https://example.org/c.md)"
	if got := unlink([]byte(page), map[string]bool{"a.png": true, "b.md": true}); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestPictures: what README.md shows is in the repository, and in archives where the
// page looks for it.
func TestPictures(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	list := pictures(page)
	if len(list) != strings.Count(string(page), "![") || len(list) == 0 {
		t.Fatalf("%q of the page's pictures are known", list)
	}
	r := release{docs: []entry{{name: "README.md", data: page}}}
	for _, name := range list {
		data, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		r.docs = append(r.docs, entry{name: name, data: data})
	}

	archive := r.zip("unet", r.docs)
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var zipped []string
	for _, f := range z.File {
		zipped = append(zipped, f.Name)
	}
	_, data, _ := bytes.Cut(r.deb(platform{arch: "amd64"}, entry{name: "unet"}), []byte("data.tar.gz"))
	packed := namesOfTar(t, data[bytes.Index(data, []byte("\x1f\x8b")):])
	tarred := namesOfTar(t, r.tarball("unet/", r.docs))
	for _, name := range list {
		for _, archive := range []struct {
			names []string
			want  string
		}{{zipped, "unet/" + name}, {tarred, "unet/" + name}, {packed, "./usr/share/doc/unet/" + name}} {
			if !slices.Contains(archive.names, archive.want) {
				t.Errorf("%s is not among %q", archive.want, archive.names)
			}
		}
	}
}

// namesOfTar lists the files of a compressed archive.
func namesOfTar(t *testing.T, archive []byte) (names []string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	z.Multistream(false)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}
