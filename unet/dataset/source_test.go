package dataset

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"unet/unet/imageio"
)

func TestHostileArchives(t *testing.T) {
	good := one(t, "a", 1)
	with := func(e ...zentry) []byte { return zipOf(t, append(slices.Clone(good), e...)...) }
	img := good[0].data
	whole := zipOf(t, good...)
	for _, c := range []struct {
		name, want string
		zip        []byte
	}{
		{"traversal", "climbs out", with(zentry{name: "x/../../images/y.png", data: img})},
		{"traversal at start", "climbs out", with(zentry{name: "../images/y.png", data: img})},
		{"absolute", "absolute path", with(zentry{name: "/etc/images/y.png", data: img})},
		{"drive", "absolute path", with(zentry{name: "C:/images/y.png", data: img})},
		{"backslash", "backslash", with(zentry{name: `b\images\b.png`, data: img})},
		{"control", "control characters", with(zentry{name: "b/images/b\n.png", data: img})},
		{"deep", "too deep", with(zentry{name: strings.Repeat("d/", 40) + "images/b.png", data: img})},
		{"symlink", "symbolic link", with(zentry{name: "b/images/b.png", data: []byte("/etc/passwd"), edit: func(h *zip.FileHeader) { h.SetMode(fs.ModeSymlink | 0o777) }})},
		{"duplicate", "occurs twice", with(good[0])},
		{"same name in two cases", "same name", with(one(t, "A", 2)...)},
		{"encrypted", "encrypted", with(zentry{name: "b/images/b.png", data: img, edit: func(h *zip.FileHeader) { h.Flags |= 1 }})},
		{"no zip", "not a readable zip", []byte("PK? no")},
		{"empty file", "not a readable zip", nil},
		{"truncated", "not a readable zip", whole[:len(whole)/2]},
		{"empty archive", "no images", zipOf(t)},
		{"other content", "no images", zipOf(t, zentry{name: "readme.txt", data: []byte("x")})},
		{"several zips", "none is stage1_train.zip", zipOf(t, zentry{name: "a.zip", data: whole}, zentry{name: "b.zip", data: whole})},
		{"inner no zip", "not a readable zip", zipOf(t, zentry{name: "stage1_train.zip", data: []byte("nothing")})},
		{"inner zip of another checksum", "cannot be unpacked", damagedInner(t, 16)},
		{"inner zip longer than said", "cannot be unpacked", damagedInner(t, 24)},
		{"zip in zip in zip", "no images", zipOf(t, zentry{name: "a.zip", data: zipOf(t, zentry{name: "b.zip", data: whole})})},
		{"two labels", "both annotate", zipOf(t, zentry{name: "images/a.png", data: img}, zentry{name: "images/b.png", data: img}, zentry{name: "labels/a.png", data: img}, zentry{name: "labels/a.tif", data: img})},
		{"overlapping entries", "overlapping", overlapping(t)},
		{"claims a huge file", "claims", lyingSize(t, 1<<31)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := openBytes(c.zip)
			if err == nil {
				s.Close()
				t.Fatal("accepted")
			}
			var ie *InputError
			if !errors.As(err, &ie) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "test.zip") {
				t.Errorf("error %q, want one line about test.zip with %q", err, c.want)
			}
		})
	}
}

// overlapping points many directory entries at the same compressed bytes.
func overlapping(t *testing.T) []byte {
	b := zipOf(t, zentry{name: "a/images/a.png", data: noisePNG(t, 64, 64, 1)}, zentry{name: "b/images/b.png", data: noisePNG(t, 64, 64, 2)})
	dir := bytes.Index(b, []byte("PK\x01\x02"))
	size := binary.LittleEndian.Uint32(b[dir+20:])
	binary.LittleEndian.PutUint32(b[dir+20:], size*3)
	return b
}

// lyingSize is an archive whose directory claims that its image unpacks to n
// bytes.
func lyingSize(t *testing.T, n uint32) []byte {
	b := zipOf(t, one(t, "a", 1)...)
	dir := bytes.Index(b, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(b[dir+24:], n)
	return b
}

// damagedInner is an archive of an archive, of which its directory says something
// wrong: the checksum (at 16) or the size unpacked (at 24) is one less.
func damagedInner(t *testing.T, at int) []byte {
	b := zipOf(t, zentry{name: "stage1_train.zip", data: zipOf(t, one(t, "a", 1)...)})
	field := b[bytes.LastIndex(b, []byte("PK\x01\x02"))+at:]
	binary.LittleEndian.PutUint32(field, binary.LittleEndian.Uint32(field)-1)
	return b
}

// Masks packed a million to one cannot take hours.
func TestTooManyMasks(t *testing.T) {
	it := item{id: "a", masks: make([]file, 1<<17)} // none is opened
	r := &reading{}
	if l := mergeMasks(t.Context(), it, imageio.NewImage(2048, 1024, 1), r); l != nil || codes(r.findings) != "too-many-masks" {
		t.Errorf("%v", r.findings)
	}
}

// A file that unpacks to more or less than its header says is a finding of
// that image, in bounded memory.
func TestLyingSizes(t *testing.T) {
	for _, n := range []uint32{10, 400 << 20} {
		s, err := openBytes(lyingSize(t, n))
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		sample, fs := s.Read(0)
		runtime.ReadMemStats(&after)
		if sample != nil || codes(fs) != "unreadable" {
			t.Errorf("claim %d: sample %v, findings %v", n, sample, fs)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 10<<20 {
			t.Errorf("claim %d: allocated %d bytes", n, grown)
		}
		s.Close()
	}
}

func TestLayouts(t *testing.T) {
	a, b := one(t, "a", 1), one(t, "b", 2)
	both := zipOf(t, append(slices.Clone(a), b...)...)
	stored := func(h *zip.FileHeader) { h.Method = zip.Store }
	img, mask := a[0].data, a[1].data
	for _, c := range []struct {
		name, ids string
		entries   []zentry
	}{
		{"kaggle", "a b", append(slices.Clone(a), b...)},
		{"below folders", "a", []zentry{{name: "x/stage1_train/a/images/a.png", data: img}, {name: "x/stage1_train/a/masks/1.png", data: mask}}},
		{"outer zip, stored", "a b", []zentry{{name: "data/stage1_train.zip", data: both, edit: stored}, {name: "stage1_test.zip", data: []byte("not read")}}},
		{"outer zip, packed", "a b", []zentry{{name: "stage1_train.zip", data: both}, {name: "stage1_test.zip", data: []byte("not read")}}},
		{"only zip", "a b", []zentry{{name: "any.zip", data: both}}},
		{"pairs", "p q", []zentry{{name: "images/p.png", data: img}, {name: "images/q.png", data: img}, {name: "labels/p.png", data: mask}, {name: "labels/q.png", data: mask}}},
		{"pairs in masks", "p q", []zentry{{name: "s/images/p.png", data: img}, {name: "s/images/q.png", data: img}, {name: "s/masks/p.png", data: mask}, {name: "s/masks/q.png", data: mask}}},
		{"one pair", "p", []zentry{{name: "images/p.png", data: img}, {name: "labels/p.png", data: mask}}},
		{"one pair in masks", "p", []zentry{{name: "images/p.png", data: img}, {name: "masks/p.png", data: mask}}},
		{"one image, masks", "p", []zentry{{name: "images/p.png", data: img}, {name: "masks/1.png", data: mask}, {name: "masks/2.png", data: mask}}},
		{"folders of pairs", "s_p t_p", []zentry{{name: "s/images/p.png", data: img}, {name: "s/labels/p.png", data: mask}, {name: "t/images/p.png", data: img}, {name: "t/labels/p.png", data: mask}}},
		{"litter", "a", append(slices.Clone(a), zentry{name: "__MACOSX/a/images/._a.png", data: img}, zentry{name: ".DS_Store"}, zentry{name: "a/images/Thumbs.db"}, zentry{name: "LICENCE"})},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := sourceOf(t, c.entries...)
			if got := strings.Join(s.IDs(), " "); got != c.ids {
				t.Fatalf("images %q, want %q", got, c.ids)
			}
			for i := range s.Len() {
				m, fs := s.Read(i)
				if m == nil || m.Labels.Max() != 1 {
					t.Errorf("image %d: %v", i, fs)
				}
			}
			// The same files in a folder give the same.
			dir := t.TempDir()
			for _, e := range c.entries {
				p := filepath.Join(dir, filepath.FromSlash(e.name))
				if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, e.data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			f, err := OpenSource(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got := strings.Join(f.IDs(), " "); got != c.ids {
				t.Errorf("as a folder: images %q, want %q", got, c.ids)
			}
			d1, err1 := s.digest(t.Context())
			d2, err2 := f.digest(t.Context())
			if d1 != d2 || err1 != nil || err2 != nil {
				t.Errorf("digests %s %v, as a folder %s %v", d1, err1, d2, err2)
			}
		})
	}
}

func TestHostileFolders(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "images"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "a", "images", "a.png")
	err := os.Symlink("/etc/hostname", link)
	if st, _ := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Skip("no symbolic links here:", err)
	}
	if _, err := OpenSource(dir); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("symbolic link: %v", err)
	}
	if _, err := OpenSource(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := OpenSource(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no images") {
		t.Errorf("empty: %v", err)
	}
}

// The temporary copy of a packed inner zip goes with the source.
func TestInnerZipIsRemoved(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	s := sourceOf(t, zentry{name: "stage1_train.zip", data: zipOf(t, one(t, "a", 1)...)})
	if m, _ := s.Read(0); m == nil {
		t.Fatal("not read")
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 && runtime.GOOS != "windows" {
		t.Errorf("a killed process would leave %v", left)
	}
	s.Close()
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func FuzzSource(f *testing.F) {
	f.Add(zipOf(f, one(f, "a", 1)...))
	f.Add(zipOf(f, zentry{name: "stage1_train.zip", data: zipOf(f, one(f, "a", 1)...)}))
	f.Add(zipOf(f, zentry{name: "images/a.png", data: noisePNG(f, 20, 20, 1)}, zentry{name: "labels/a.png", data: maskPNG(f, 20, 20, image.Rect(1, 1, 9, 9))}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := openBytes(b)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		defer s.Close()
		checkRead(t, s)
	})
}

// FuzzRead mutates the files inside an archive, which FuzzSource seldom gets
// through their checksums.
func FuzzRead(f *testing.F) {
	f.Add(noisePNG(f, 20, 20, 1), maskPNG(f, 20, 20, image.Rect(1, 1, 9, 9)), false)
	f.Add(noisePNG(f, 20, 20, 1), maskPNG(f, 20, 20, image.Rect(1, 1, 9, 9)), true)
	f.Fuzz(func(t *testing.T, img, ann []byte, label bool) {
		es := []zentry{{name: "a/images/a.png", data: img}, {name: "a/masks/b.png", data: ann}}
		if label {
			es = []zentry{{name: "images/a.png", data: img}, {name: "labels/a.png", data: ann}}
		}
		checkRead(t, sourceOf(t, es...))
	})
}

// checkRead reads all images of a source and checks what must always hold.
func checkRead(t *testing.T, s *Source) {
	for i := range min(s.Len(), 20) {
		m, fs := s.Read(i)
		bad := slices.ContainsFunc(fs, func(f Finding) bool { return f.Level == Error })
		if (m == nil) != bad {
			t.Errorf("sample %v with findings %v", m, fs)
		}
		for _, f := range fs {
			if strings.Contains(f.String(), "\n") {
				t.Errorf("finding of several lines: %q", f)
			}
		}
		if m == nil {
			continue
		}
		if m.Labels.W != m.Image.W || m.Labels.H != m.Image.H {
			t.Errorf("labels %dx%d of an image %dx%d", m.Labels.W, m.Labels.H, m.Image.W, m.Image.H)
		}
		Fix(m.ID, m.Labels)
		if !slices.Contains(Kinds, kindOf(m.Image, m.Labels)) {
			t.Error("no kind")
		}
		lookOf(m.Image)
		Measure(m)
	}
}
