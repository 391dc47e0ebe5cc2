package imageio

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file cut anywhere is an error, never a panic or a picture.
func TestTruncated(t *testing.T) {
	for _, name := range []string{"u16-lzw-p2.tif", "big-u16-tiles.tif", "jpeg-ycbcr.tif", "rgb16-planar-deflate-p2-tiles.tif", "ome-rgb.ome.tif", "u16.png", "rgb8.bmp", "rgb8.webp", "smooth.jpg"} {
		data, err := os.ReadFile(testdata(name))
		if err != nil {
			t.Fatal(err)
		}
		whole, err := Decode(name, data)
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(data); n += 1 + len(data)/150 {
			m, err := Decode(name, data[:n])
			if err == nil {
				// What is cut off may not matter: the name of the program.
				if !sameSamples(m, whole) {
					t.Errorf("%s cut to %d of %d bytes gives another image", name, n, len(data))
				}
				continue
			}
			checkHostile(t, err, name)
		}
	}
}

func sameSamples(a, b *Image) bool {
	if len(a.Pix) != len(b.Pix) {
		return false
	}
	for i, v := range a.Pix {
		if b.Pix[i] != v {
			return false
		}
	}
	return true
}

func TestOpenMisuse(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.tif")
	os.WriteFile(empty, nil, 0o600)
	text := filepath.Join(dir, "text.png")
	os.WriteFile(text, []byte("Not an image, sorry"), 0o600)
	for _, path := range []string{empty, text, dir, filepath.Join(dir, "missing.tif")} {
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", path, err)
		}
	}
	f := openRef(t, "u8-strips.tif")
	for _, r := range [][5]int{{1, 0, 0, 1, 1}, {-1, 0, 0, 1, 1}, {0, -1, 0, 1, 1}, {0, 0, 0, 0, 1}, {0, 20, 0, 2, 1}, {0, 0, 18, 1, 2}, {0, math.MaxInt, 0, math.MaxInt, 1}} {
		if _, err := f.ReadRegion(r[0], r[1], r[2], r[3], r[4]); err == nil {
			t.Errorf("region %v accepted", r)
		}
	}
}

func TestStrangers(t *testing.T) {
	for data, want := range map[string]string{
		"ZISRAWFILE\x00\x00":                 "CZI",
		"\x89HDF\r\n\x1a\n":                  "HDF5",
		strings.Repeat("\x00", 128) + "DICM": "DICOM",
		"PK\x03\x04....":                     "zip",
		"\xff\x4f\xff\x51\x00":               "JPEG 2000",
		"<!DOCTYPE html><html>":              "web page",
		"version https://git-lfs.github.com": "Git LFS",
		strings.Repeat("\x00", 208) + "MAP ": "MRC",
		"":                                   "empty",
		"hello, world":                       `"hello, w"`,
		"\xff\xd8":                           "not an image",
	} {
		_, err := Decode("stranger", []byte(data))
		checkHostile(t, err, "stranger")
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

// checkHostile wants a typed one-line error that names the file.
func checkHostile(t *testing.T, err error, name string) {
	t.Helper()
	var fe *FormatError
	var ue *UnsupportedError
	var le *LimitError
	if !errors.As(err, &fe) && !errors.As(err, &ue) && !errors.As(err, &le) {
		t.Fatalf("got %v (%T)", err, err)
	}
	if s := err.Error(); !strings.Contains(s, name) || strings.Contains(s, "\n") || len(s) > 500 {
		t.Errorf("message %q", s)
	}
}
