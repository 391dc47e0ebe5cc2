package dataset

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"unet/unet/imageio/atomicfile"

	"github.com/google/go-cmp/cmp"
)

// synthSource is a source of n small synthetic images.
func synthSource(t testing.TB, n int) *Source {
	t.Helper()
	b := synthZip(n)
	s, err := NewSource("synthetic.zip", bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// synthZip makes each archive once for all tests.
func synthZip(n int) []byte {
	synthZips.Lock()
	defer synthZips.Unlock()
	if synthZips.of[n] == nil {
		var b bytes.Buffer
		if err := Generate(context.Background(), &b, Synthesis{Count: n, Size: 96, Seed: 3}); err != nil {
			panic(err)
		}
		synthZips.of[n] = b.Bytes()
	}
	return synthZips.of[n]
}

var synthZips = struct {
	sync.Mutex
	of map[int][]byte
}{of: map[int][]byte{}}

// files maps the files below dir to their content.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		m[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPrepareAndLoad(t *testing.T) {
	src := synthSource(t, 16)
	for _, size := range []int{0, 48} {
		out := filepath.Join(t.TempDir(), "deep", "set")
		calls := 0
		m, err := Prepare(t.Context(), src, out, Options{Size: size, Seed: 5, Progress: func(done, total int) {
			if calls++; done != calls || total != 16 {
				t.Errorf("progress %d of %d at call %d", done, total, calls)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		set, err := Open(out)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, set.Meta); d != "" {
			t.Errorf("metadata read back differs: %s", d)
		}
		if err := set.verify(t.Context()); err != nil {
			t.Error(err)
		}
		n := len(set.Split(Train)) + len(set.Split(Val)) + len(set.Split(Test))
		if len(set.Entries) != 16 || n != 16 || m.Counts.Images != 16 || m.Stats.All.Images != 16 || calls != 16 {
			t.Errorf("%d entries, %d in splits, counts %+v", len(set.Entries), n, m.Counts)
		}
		nuclei := 0
		for i, e := range set.Entries {
			s, err := set.Load(i)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := src.Read(i)
			if s.ID != want.ID || s.Kind != e.Kind || s.Group != e.Group || s.Split != e.Split || s.Split == "" || s.Group == "" {
				t.Errorf("loaded %s %s %s %s", s.ID, s.Kind, s.Group, s.Split)
			}
			if !strings.HasPrefix(s.ID, s.Kind) {
				t.Errorf("%s was taken for %s", s.ID, s.Kind)
			}
			if int(s.Labels.Max()) != e.Nuclei || e.SourceNuclei != int(want.Labels.Max()) || e.Nuclei > e.SourceNuclei {
				t.Errorf("%s: %d nuclei, entry says %d of %d", s.ID, s.Labels.Max(), e.Nuclei, e.SourceNuclei)
			}
			nuclei += e.Nuclei
			if size == 0 {
				if !slices.Equal(s.Image.Pix, want.Image.Pix) || !slices.Equal(s.Labels.ID, want.Labels.ID) || s.Image.C != want.Image.C {
					t.Errorf("%s: pixels or labels changed", s.ID)
				}
			} else if s.Image.W != size || s.Labels.H != size {
				t.Errorf("%s: %dx%d", s.ID, s.Image.W, s.Image.H)
			} else if a, b := mean(s.Image.Pix), mean(want.Image.Pix); a < b-1 || a > b+1 {
				t.Errorf("%s: mean %g became %g", s.ID, b, a)
			}
		}
		if nuclei != m.Counts.Nuclei {
			t.Errorf("%d nuclei, counts say %d", nuclei, m.Counts.Nuclei)
		}
	}
}

// The same bytes for any number of threads, and at any time.
func TestPrepareIsDeterministic(t *testing.T) {
	src := synthSource(t, 8)
	var first map[string]string
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, threads := range []int{1, 2, 7} {
		runtime.GOMAXPROCS(threads)
		out := filepath.Join(t.TempDir(), "set")
		if _, err := Prepare(t.Context(), src, out, Options{Size: 40, Seed: 1, Fix: true}); err != nil {
			t.Fatal(err)
		}
		got := files(t, out)
		if first == nil {
			first = got
		}
		if d := cmp.Diff(first, got); d != "" {
			t.Errorf("%d threads: %s", threads, d)
		}
	}
}

func TestPrepareAgain(t *testing.T) {
	src, other := synthSource(t, 8), synthSource(t, 4)
	parent := t.TempDir()
	out := filepath.Join(parent, "set")
	prepare := func(src *Source, o Options) error {
		_, err := Prepare(t.Context(), src, out, o)
		return err
	}
	if err := os.Mkdir(out, 0o755); err != nil { // an empty folder is welcome
		t.Fatal(err)
	}
	if err := prepare(src, Options{}); err != nil {
		t.Fatal(err)
	}
	before := files(t, out)
	check := func(what string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
		if d := cmp.Diff(before, files(t, out)); d != "" {
			t.Errorf("%s: the set changed: %s", what, d)
		}
		if left, _ := os.ReadDir(parent); len(left) != 1 {
			t.Errorf("%s: left behind: %v", what, left)
		}
	}
	err := prepare(src, Options{})
	check("again", err, "nothing changed")
	if !errors.Is(err, ErrUnchanged) {
		t.Errorf("%v is not ErrUnchanged", err)
	}
	check("other seed", prepare(src, Options{Seed: 9}), "other settings")
	check("other size", prepare(src, Options{Size: 32}), "other settings")
	check("other input", prepare(other, Options{}), "other input")
	check("bad size", prepare(src, Options{Size: -1}), "size -1")
	check("bad fractions", prepare(src, Options{Fractions: Fractions{1, 1, 1}}), "sum to 1")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Prepare(cancelled, src, out, Options{Size: 32, Force: true})
	check("cancelled", err, "canceled")

	if err := prepare(other, Options{Size: 32, Force: true}); err != nil {
		t.Fatal(err)
	}
	if set, err := Open(out); err != nil || len(set.Entries) != 4 || set.Meta.Settings.Size != 32 {
		t.Errorf("forced: %v %v", set, err)
	}
	if left, _ := os.ReadDir(parent); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}

	// Damage is seen, and repaired with Force only.
	img := filepath.Join(out, "images", other.IDs()[0]+".png")
	if err := os.WriteFile(img, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := prepare(other, Options{Size: 32}); err == nil || !strings.Contains(err.Error(), "changed since") {
		t.Errorf("damaged: %v", err)
	}
	if err := os.Remove(img); err != nil {
		t.Fatal(err)
	}
	if err := prepare(other, Options{Size: 32}); err == nil || !strings.Contains(err.Error(), "incomplete") {
		t.Errorf("incomplete: %v", err)
	}
	if err := prepare(other, Options{Size: 32, Force: true}); err != nil {
		t.Error(err)
	}

	// A folder of something else is never replaced.
	mine := filepath.Join(parent, "mine")
	os.Mkdir(mine, 0o755)
	os.WriteFile(filepath.Join(mine, "thesis.txt"), []byte("x"), 0o644)
	if _, err := Prepare(t.Context(), src, mine, Options{Force: true}); err == nil || !strings.Contains(err.Error(), "not a prepared set") {
		t.Errorf("folder of something else: %v", err)
	}
}

func TestPrepareStrictAndFix(t *testing.T) {
	es := append(one(t, "a", 1), one(t, "b", 2)...)
	es = append(es, zentry{name: "c/images/c.png", data: []byte("x")})
	src := sourceOf(t, es...)
	out := filepath.Join(t.TempDir(), "set")
	m, err := Prepare(t.Context(), src, out, Options{Strict: true})
	if err == nil || m == nil || m.Counts.Findings["unreadable"] != 1 || m.Counts.LeftOut != 1 {
		t.Errorf("strict: %v, %+v", err, m)
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Error("strict left a set")
	}
	if m, err = Prepare(t.Context(), src, out, Options{}); err != nil || len(m.Entries) != 2 {
		t.Errorf("not strict: %v", err)
	}

	// All wrong: nothing is written.
	none := filepath.Join(t.TempDir(), "none")
	if _, err := Prepare(t.Context(), sourceOf(t, es[4]), none, Options{}); err == nil || !strings.Contains(err.Error(), "no usable image") {
		t.Errorf("no usable image: %v", err)
	}
	if _, err := os.Stat(none); !errors.Is(err, os.ErrNotExist) {
		t.Error("a set without images was left")
	}
}

// TestMissingKinds: a split that has none of a kind is named, unless it is to have no
// images. Two fields are enough for val, not for test.
func TestMissingKinds(t *testing.T) {
	src := sourceOf(t, append(one(t, "a", 1), one(t, "b", 2)...)...)
	for want, fractions := range map[string]Fractions{
		" is in test": {Train: 0.5, Val: 0.25, Test: 0.25},
		"":            {Train: 0.5, Val: 0.5},
	} {
		m, err := Prepare(t.Context(), src, filepath.Join(t.TempDir(), "set"), Options{Fractions: fractions})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, f := range m.Findings {
			if f.Code == "missing-kind" {
				got += f.Text
			}
		}
		if want != "" {
			want = "no image of kind " + m.Entries[0].Kind + want
		}
		if got != want || m.Counts.Findings["missing-kind"] != min(len(want), 1) {
			t.Errorf("%v: %v, %q, want %q", fractions, m.Counts, got, want)
		}
	}
	m := &Metadata{Counts: Counts{Kinds: map[string]int{GrayTissue: 3}, Table: map[string]map[string]int{GrayTissue: {Train: 3}}}}
	if list := m.missingKinds(DefaultFractions); len(list) != 1 || list[0].Text != "no image of kind gray-tissue is in val or test" {
		t.Error(list)
	}
}

// TestNearDuplicatesWarn: the same pixels in two files are one image to people, which a
// strict set must not hold twice.
func TestNearDuplicatesWarn(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	picture := image.NewGray(image.Rect(0, 0, 32, 32))
	for i := range picture.Pix {
		picture.Pix[i] = uint8(rng.IntN(100))
		if (image.Point{i % 32, i / 32}).In(image.Rect(4, 4, 12, 12)) { // where the mask is
			picture.Pix[i] += 100
		}
	}
	var plain bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&plain, picture); err != nil {
		t.Fatal(err)
	}
	first, twin := one(t, "a", 1), one(t, "b", 1)
	first[0].data, twin[0].data = pngOf(t, picture), plain.Bytes()
	src := sourceOf(t, append(first, twin...)...)
	m, err := Prepare(t.Context(), src, filepath.Join(t.TempDir(), "set"), Options{Strict: true})
	if want := []Finding{{Warning, "b", "", relNear, "looks like a"}}; cmp.Diff(want, m.Findings) != "" {
		t.Errorf("%v, want %v", m.Findings, want)
	}
	if err == nil || !strings.Contains(err.Error(), "no findings are allowed") {
		t.Errorf("strict: %v", err)
	}
}

// TestPublishPutsBack: a set that cannot be replaced stays. A folder cannot be renamed
// into itself.
func TestPublishPutsBack(t *testing.T) {
	tmp, err := temporary(filepath.Join(t.TempDir(), "new"))
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Release()
	out := filepath.Join(tmp.Name(), "sub", "set")
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "old"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := publish(tmp, out, true); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(filepath.Join(out, "old")); err != nil {
		t.Errorf("the old set: %v", err)
	}
}

// Cancelling stops soon and leaves neither files nor goroutines.
func TestPrepareCancelled(t *testing.T) {
	src := synthSource(t, 16)
	parent := t.TempDir()
	goroutines := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := Prepare(ctx, src, filepath.Join(parent, "set"), Options{Progress: func(done, _ int) {
		if done == 3 {
			cancel()
		} else if done > 3+runtime.GOMAXPROCS(0) {
			t.Errorf("still working at image %d", done)
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(parent); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for range 10000 { // those that have done their work may take a moment to be gone
		if runtime.NumGoroutine() <= goroutines {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, before %d", runtime.NumGoroutine(), goroutines)
}

// What a killed run left is removed by the next, what a live one is at is not,
// whatever the clock says.
func TestStaleFolders(t *testing.T) {
	parent := t.TempDir()
	live, stale := filepath.Join(parent, ".set.1.unet.tmp"), filepath.Join(parent, ".set.2.unet.tmp")
	for i, d := range []string{live, stale} {
		if err := os.MkdirAll(filepath.Join(d, "images"), 0o755); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(time.Duration(2*i-1) * 9999 * time.Hour) // past and future
		if err := os.Chtimes(d, when, when); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(live)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := atomicfile.TryLock(f); err != nil {
		t.Skipf("no locks here: %v", err)
	}
	if _, err := Prepare(t.Context(), synthSource(t, 4), filepath.Join(parent, "set"), Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(live); err != nil {
		t.Error("another run's folder was taken away")
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("what a killed run left stays")
	}
}

func TestOpenRefuses(t *testing.T) {
	src := synthSource(t, 4)
	out := filepath.Join(t.TempDir(), "set")
	if _, err := Prepare(t.Context(), src, out, Options{Size: 32}); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(out, "metadata.json")
	good, _ := os.ReadFile(name)
	id := src.IDs()[0]
	for _, c := range []struct{ old, new, want string }{
		{`"format": 1`, `"format": 2`, "newer"},
		{`"format": 1`, `"format": 0`, "no valid format"},
		{`"id": "` + id + `"`, `"id": "../../etc/passwd"`, "file names cannot hold"},
		{`"id": "` + id + `"`, `"id": "` + src.IDs()[1] + `"`, "twice"},
		{`"w": 32`, `"w": -1`, "impossible size"},
		{`"w": 32`, `"w": 1000000000`, "impossible size"},
		{`"split": "train"`, `"split": "trian"`, "unknown split"},
		{`"kind": "fluorescence-small"`, `"kind": "?"`, "unknown kind"},
		{`{`, ``, "damaged"},
	} {
		bad := bytes.Replace(good, []byte(c.old), []byte(c.new), 1)
		if c.old == `"kind": "fluorescence-small"` {
			bad = bytes.ReplaceAll(good, []byte(c.old), []byte(c.new))
		}
		if bytes.Equal(bad, good) {
			t.Fatalf("%s not found", c.old)
		}
		os.WriteFile(name, bad, 0o644)
		if _, err := Open(out); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s → %s: %v", c.old, c.new, err)
		}
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no metadata.json") {
		t.Errorf("empty folder: %v", err)
	}
	// Files that do not fit the metadata are an error, not a surprise later.
	os.WriteFile(name, bytes.Replace(good, []byte(`"w": 32`), []byte(`"w": 31`), 1), 0o644)
	set, err := Open(out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Load(0); err == nil || !strings.Contains(err.Error(), "metadata.json says") {
		t.Errorf("other size: %v", err)
	}
}

// A prepared set is a source like any other.
// Metadata is read as json.Unmarshal reads it, and refused where that refuses it.
func TestDecodeMetadata(t *testing.T) {
	for _, text := range []string{
		`{}`, `null`, ``, `{`, `{"entries":[`, `{"entries":[]}`, `{"entries":null,"stats":null}`, `{"entries":{}}`, `{"entries":[1]}`,
		`{"format":1,"newer":{"a":[1,{}]},"entries":[{"id":"a","w":3},{"id":"b"}],"links":[{"a":"a","b":"b","kind":"k"}],"findings":[{"id":"a"}],
		  "source":{"name":"s"},"settings":{"size":3},"counts":{"kinds":{"a":1}},"stats":{"all":{"images":2}}}`,
		`{"entries":[{}]} {}`, `{"entries":[{}]}]`, `{"entries":[{},]}`, `{"entries":[{}}`, `[]`, `{"format":"1"}`, ` {"format" : 1 } ` + "\n",
	} {
		want, got := &Metadata{}, &Metadata{}
		refused, err := json.Unmarshal([]byte(text), want), got.decode(strings.NewReader(text))
		if text == "null" { // which changes nothing for Unmarshal
			refused = errors.New("no object")
		}
		if (refused == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", text, err, refused)
		}
		if d := cmp.Diff(want, got); err == nil && d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
}

func TestPreparedSetAsSource(t *testing.T) {
	src := synthSource(t, 4)
	out := filepath.Join(t.TempDir(), "set")
	if _, err := Prepare(t.Context(), src, out, Options{}); err != nil {
		t.Fatal(err)
	}
	again, err := OpenSource(out)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if !slices.Equal(again.IDs(), src.IDs()) {
		t.Fatalf("%v", again.IDs())
	}
	for i := range src.Len() {
		a, _ := src.Read(i)
		b, fs := again.Read(i)
		if b == nil || !slices.Equal(a.Labels.ID, b.Labels.ID) || !slices.Equal(a.Image.Pix, b.Image.Pix) {
			t.Errorf("%s: %v", a.ID, fs)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"format":1,"stats":{},"entries":[{"id":"a","kind":"gray-tissue","split":"val","w":1,"h":1,"c":1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "metadata.json"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		set, err := Open(dir)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		for i := range set.Entries {
			if _, err := set.Load(i); err == nil {
				t.Error("loaded a file that is not there")
			}
		}
	})
}

// TestInterruptedImage: what ended the work is told, not that something did.
func TestInterruptedImage(t *testing.T) {
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	in := &inspection{src: sourceOf(t, one(t, "a", 1)...)}
	if _, err := in.image(ctx, 0); !errors.Is(err, gone) {
		t.Error(err)
	}
}
