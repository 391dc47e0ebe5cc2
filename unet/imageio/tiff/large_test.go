package tiff

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unet/unet/imageio/plane"
)

// sparse makes a file of the given size whose only stored bytes are parts.
func sparse(t *testing.T, size int64, parts map[int64][]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "large.tif")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Skipf("no room for a file with holes: %v", err)
	}
	for at, b := range parts {
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// Offsets beyond 2 GiB in a classic file, and a region of a strip of 3 GiB in
// memory for the region.
func TestLargeStrip(t *testing.T) {
	const w, h = 50000, 60000
	head := rawTIFF(binary.LittleEndian, nil, page8(longTag(tagImageWidth, w), longTag(tagImageLength, h),
		longTag(tagStripOffsets, 4096), longTag(tagRowsPerStrip, h), longTag(tagStripByteCounts, w*h)))
	last := int64(4096) + w*h
	path := sparse(t, last, map[int64][]byte{0: head, last - 3: {7, 8, 9}, last - w - 1: {6}})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f := openFile(t, path)
	defer f.Close()
	for _, width := range []int{4, w} { // by pieces of rows, by whole rows
		m, err := f.ReadRegion(0, w-width, h-2, width, 2)
		if err != nil {
			t.Fatal(err)
		}
		if got := [4]float32(m.Pix[2*width-4:]); got != [4]float32{0, 7, 8, 9} || m.Pix[width-1] != 6 {
			t.Fatalf("last pixels %v, above %v", got, m.Pix[width-1])
		}
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("%d MiB were allocated", used>>20)
	}
	var le *plane.LimitError
	if _, err := f.ReadPlane(0); !errors.As(err, &le) || !strings.Contains(le.Hint(), "in regions") {
		t.Errorf("3e9 samples at once: %v", err)
	}
}

// ImageJ writes stacks above 4 GiB as classic TIFF with one directory.
func TestLargeImageJStack(t *testing.T) {
	const w, h, n = 20000, 10000, 30
	head := rawTIFF(binary.BigEndian, nil, page8(longTag(tagImageWidth, w), longTag(tagImageLength, h),
		longTag(tagStripOffsets, 4096), longTag(tagRowsPerStrip, h), longTag(tagStripByteCounts, w*h),
		rawTag{tag: tagDescription, typ: 2, text: "ImageJ=1.54f\nimages=30\nframes=30\nunit=\\u00B5m\n"}))
	path := sparse(t, 4096+n*w*h, map[int64][]byte{0: head, 4096 + (n-1)*w*h: {5}})
	f := openFile(t, path)
	defer f.Close()
	if len(f.Planes) != n || f.Planes[n-1].T != n-1 {
		t.Fatalf("%d planes", len(f.Planes))
	}
	m, err := f.ReadRegion(n-1, 0, 0, 2, 1)
	if err != nil || m.Pix[0] != 5 || m.Pix[1] != 0 {
		t.Fatalf("%v %v", m, err)
	}
}

func TestChecksums(t *testing.T) {
	data := reference(t, "u64-deflate.tif")
	s, err := openTIFF("x.tif", bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.readable(s.pages[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.loadChunks(s.pages[0]); err != nil {
		t.Fatal(err)
	}
	end := s.pages[0].chunkPos[0] + s.pages[0].chunkLen[0]
	data[end-1] ^= 1 // the stream's Adler-32
	if _, err := decode("x.tif", data); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("got %v", err)
	}
}
