package zarr

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/chunk"
	"unet/unet/imageio/owned"
	"unet/unet/imageio/plane"
)

// LabelOptions describe a label image to write.
type LabelOptions struct {
	W, H      int
	PixelSize plane.PixelSize
	// Attributes are kept beside the metadata of OME-Zarr, under the key "unet".
	Attributes json.RawMessage
}

const (
	chunkSide = 256
	// maxColours is how many numbers get a colour of their own in the metadata;
	// viewers choose colours where there are more.
	maxColours = 1 << 16
)

// LabelWriter writes a label image as OME-Zarr, row by row, with a pyramid in
// which every level has every other row and column of the one before. It takes
// the memory of one row of chunks at each level. The folder appears under its
// name when Close succeeds. Output bytes depend on input alone.
type LabelWriter struct {
	o      LabelOptions
	store  store
	folder *atomicfile.Folder
	levels []*labelLevel
	row    int
	top    uint32
	err    error
}

// store is where a label image goes and by which rules.
type store struct {
	path string   // of the label image
	v3   bool     // Zarr 3 and OME-Zarr 0.5, else 2 and 0.4
	lead []string // axes of one element before y and x
	in   string   // the image it belongs to, "" for a store of its own
}

// LabelBytes is about the memory that writing an image of width w takes: a row of
// chunks at each level.
func LabelBytes(w int) int64 { return 2 * 4 * chunkSide * int64(w) }

// CreateLabels starts a label image in a store of its own, by OME-Zarr 0.4.
func CreateLabels(path string, o LabelOptions) (*LabelWriter, error) {
	return create(store{path: path}, o)
}

// CreateLabelsIn starts the label image of that name of an OME-Zarr image, by the
// version and with the axes of that. Another of the name is replaced.
func CreateLabelsIn(image, name string, o LabelOptions) (*LabelWriter, error) {
	root, err := os.OpenRoot(image)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	s := &zarrSource{root: root, out: plane.NewFile(image, "", nil)}
	attrs, version, array, err := s.attributes(".")
	if err != nil {
		return nil, err
	}
	if array || len(attrs.Multiscales) == 0 {
		return nil, s.bad("labels belong to an image, and this is not one (no \"multiscales\")")
	}
	st := store{path: filepath.Join(image, "labels", name), v3: version == 3, in: image}
	axes, err := s.axes(attrs.Multiscales[0].Axes)
	if err != nil {
		return nil, err
	}
	for _, a := range axes[:max(0, len(axes)-2)] {
		st.lead = append(st.lead, a.Name)
	}
	if err := os.MkdirAll(filepath.Dir(st.path), 0o755); err != nil {
		return nil, err
	}
	return create(st, o)
}

func create(st store, o LabelOptions) (*LabelWriter, error) {
	if o.W <= 0 || o.H <= 0 || o.W > plane.MaxSide || o.H > plane.MaxSide {
		return nil, fmt.Errorf("%s: no label image has %d x %d pixels", st.path, o.W, o.H)
	}
	folder, err := atomicfile.TemporaryFolder(st.path)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", st.path, err)
	}
	w := &LabelWriter{o: o, store: st, folder: folder}
	for width, height := o.W, o.H; ; width, height = (width+1)/2, (height+1)/2 {
		l := &labelLevel{w: w, number: len(w.levels), width: width, height: height, band: make([]uint32, width*min(chunkSide, height))}
		w.levels = append(w.levels, l)
		if max(width, height) <= chunkSide {
			break
		}
	}
	for _, l := range w.levels {
		if err := l.create(); err != nil {
			w.Abort()
			return nil, fmt.Errorf("writing %s: %w", st.path, err)
		}
	}
	return w, nil
}

// WriteLabels takes the next rows, any whole number of them.
func (w *LabelWriter) WriteLabels(id []uint32) error {
	if w.err != nil {
		return w.err
	}
	if len(id)%w.o.W != 0 || w.row+len(id)/w.o.W > w.o.H {
		return w.fail(fmt.Errorf("%d labels at row %d do not fit an image of %d x %d pixels", len(id), w.row, w.o.W, w.o.H))
	}
	for ; len(id) > 0; id = id[w.o.W:] {
		row := id[:w.o.W]
		for _, v := range row {
			w.top = max(w.top, v)
		}
		if err := w.levels[0].add(row); err != nil {
			return w.fail(err)
		}
		w.row++
	}
	return nil
}

func (w *LabelWriter) fail(err error) error {
	w.err = fmt.Errorf("writing %s: %w", w.store.path, err)
	w.Abort()
	return w.err
}

// Abort drops the label image unless Close has succeeded.
func (w *LabelWriter) Abort() {
	if w.folder != nil {
		w.folder.Release()
		w.folder = nil
	}
	if w.err == nil {
		w.err = errors.New("the label image was dropped")
	}
}

// Close completes the label image. Missing rows are an error.
func (w *LabelWriter) Close() error {
	if w.err != nil {
		w.Abort()
		return w.err
	}
	if w.row != w.o.H {
		return w.fail(fmt.Errorf("%d of %d rows were written", w.row, w.o.H))
	}
	if err := w.commit(); err != nil {
		return w.fail(err)
	}
	w.folder.Release() // it has its place
	w.folder, w.err = nil, errors.New("the label image is complete")
	return nil
}

func (w *LabelWriter) commit() error {
	if err := w.group(w.folder.Name(), w.metadata()); err != nil {
		return err
	}
	if err := os.Chmod(w.folder.Name(), 0o755); err != nil { // temporary folders are private
		return err
	}
	if err := w.replace(); err != nil {
		return err
	}
	if w.store.in == "" {
		return nil
	}
	return w.enlist()
}

// replace gives the folder its place. A folder cannot replace another: the old one
// goes out of the way whole, and in between there is none. Were it removed where it
// is, a process that is killed meanwhile would leave half of it there, which nobody
// knows for what it was. What is no group of Zarr stays, and the renaming fails.
func (w *LabelWriter) replace() error {
	if !isGroup(w.store.path) {
		return w.folder.Rename(w.store.path)
	}
	aside, err := atomicfile.TemporaryFolder(w.store.path)
	if err != nil {
		return err
	}
	defer aside.Release()
	old := filepath.Join(aside.Name(), filepath.Base(w.store.path))
	if err := os.Rename(w.store.path, old); err != nil {
		return err
	}
	if err := w.folder.Rename(w.store.path); err != nil {
		return errors.Join(err, os.Rename(old, w.store.path))
	}
	return nil
}

// isGroup reports whether a folder is a group of Zarr.
func isGroup(dir string) bool {
	for _, name := range []string{".zgroup", "zarr.json"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err == nil && st.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// enlist adds the name to those of the image's labels.
func (w *LabelWriter) enlist() error {
	dir := filepath.Dir(w.store.path)
	name := filepath.Base(w.store.path)
	attrs := map[string]any{}
	file := filepath.Join(dir, ".zattrs")
	if w.store.v3 {
		file = filepath.Join(dir, "zarr.json")
	}
	if b, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(b, &attrs); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	holder := attrs
	if w.store.v3 {
		holder = object(object(attrs, "attributes"), "ome")
		holder["version"] = "0.5"
	}
	list, _ := holder["labels"].([]any)
	if !slices.Contains(list, any(name)) {
		list = append(list, name)
	}
	holder["labels"] = list
	if w.store.v3 {
		attrs["zarr_format"], attrs["node_type"] = 3, "group"
		return writeJSON(file, attrs)
	}
	if err := writeJSON(filepath.Join(dir, ".zgroup"), map[string]any{"zarr_format": 2}); err != nil {
		return err
	}
	return writeJSON(file, attrs)
}

// object is the object under a key, made if there is none.
func object(m map[string]any, key string) map[string]any {
	o, ok := m[key].(map[string]any)
	if !ok {
		o = map[string]any{}
		m[key] = o
	}
	return o
}

func writeJSON(file string, v any) error { return atomicfile.WriteFile(file, owned.JSON(v)) }

// group makes a folder a group with attributes.
func (w *LabelWriter) group(dir string, ome map[string]any) error {
	if w.store.v3 {
		attributes := map[string]any{"ome": ome}
		if len(w.o.Attributes) > 0 {
			attributes["unet"] = w.o.Attributes
		}
		return writeJSON(filepath.Join(dir, "zarr.json"), map[string]any{"zarr_format": 3, "node_type": "group", "attributes": attributes})
	}
	if len(w.o.Attributes) > 0 {
		ome["unet"] = w.o.Attributes
	}
	if err := writeJSON(filepath.Join(dir, ".zgroup"), map[string]any{"zarr_format": 2}); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, ".zattrs"), ome)
}

// metadata is what OME-Zarr says about a label image.
func (w *LabelWriter) metadata() map[string]any {
	version := "0.4"
	if w.store.v3 {
		version = "0.5"
	}
	var axes []map[string]any
	for _, name := range w.store.lead {
		kind := map[string]string{"t": "time", "c": "channel"}[name]
		if kind == "" {
			kind = "space"
		}
		axes = append(axes, map[string]any{"name": name, "type": kind})
	}
	size := w.o.PixelSize
	for _, name := range []string{"y", "x"} {
		axis := map[string]any{"name": name, "type": "space"}
		if size.Known() {
			axis["unit"] = "micrometer"
		}
		axes = append(axes, axis)
	}
	if !size.Known() {
		size = plane.SquarePixels(1)
	}
	var datasets []map[string]any
	for k := range w.levels {
		scale := make([]float64, len(axes))
		for i := range scale {
			scale[i] = 1
		}
		f := math.Ldexp(1, k)
		scale[len(scale)-2], scale[len(scale)-1] = size.Y*f, size.X*f
		datasets = append(datasets, map[string]any{"path": strconv.Itoa(k), "coordinateTransformations": []any{map[string]any{"type": "scale", "scale": scale}}})
	}
	multiscale := map[string]any{"name": "nuclei", "axes": axes, "datasets": datasets, "type": "nearest"}
	label := map[string]any{}
	if w.store.in != "" {
		label["source"] = map[string]any{"image": "../../"}
	}
	if w.top <= maxColours {
		colours := []any{}
		for v := range w.top {
			colours = append(colours, map[string]any{"label-value": v + 1, "rgba": colour(v)})
		}
		label["colors"] = colours
	}
	ome := map[string]any{"multiscales": []any{multiscale}, "image-label": label}
	if w.store.v3 {
		ome["version"] = version
	} else {
		multiscale["version"], label["version"] = version, version
	}
	return ome
}

// colour is a saturated colour, far from those of the numbers around (hues by
// the golden ratio).
func colour(v uint32) [4]int {
	h := math.Mod(float64(v)*0.6180339887, 1) * 6
	x := 1 - math.Abs(math.Mod(h, 2)-1)
	rgb := [][3]float64{{1, x, 0}, {x, 1, 0}, {0, 1, x}, {0, x, 1}, {x, 0, 1}, {1, 0, x}}[int(h)%6]
	value := 255 - 60*float64(v%3)/2
	return [4]int{int(rgb[0] * value), int(rgb[1] * value), int(rgb[2] * value), 255}
}

// labelLevel writes one level.
type labelLevel struct {
	w             *LabelWriter
	number        int
	width, height int
	band          []uint32 // rows of the row of chunks under way
	row           int      // rows taken so far
	encoders      []*labelEncoder
	half          []uint32
}

// dir is the folder of the level's array.
func (l *labelLevel) dir() string {
	return filepath.Join(l.w.folder.Name(), strconv.Itoa(l.number))
}

// create writes the metadata of the array.
func (l *labelLevel) create() error {
	st := l.w.store
	if err := os.Mkdir(l.dir(), 0o755); err != nil {
		return err
	}
	var shape, chunks []int
	for range st.lead {
		shape, chunks = append(shape, 1), append(chunks, 1)
	}
	shape, chunks = append(shape, l.height, l.width), append(chunks, chunkSide, chunkSide)
	if st.v3 {
		names := append(slices.Clone(st.lead), "y", "x")
		return writeJSON(filepath.Join(l.dir(), "zarr.json"), map[string]any{
			"zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint32", "fill_value": 0, "dimension_names": names,
			"chunk_grid":         map[string]any{"name": "regular", "configuration": map[string]any{"chunk_shape": chunks}},
			"chunk_key_encoding": map[string]any{"name": "default", "configuration": map[string]any{"separator": "/"}},
			"codecs": []any{
				map[string]any{"name": "bytes", "configuration": map[string]any{"endian": "little"}},
				map[string]any{"name": "gzip", "configuration": map[string]any{"level": 4}},
			}, "attributes": map[string]any{},
		})
	}
	return writeJSON(filepath.Join(l.dir(), ".zarray"), map[string]any{
		"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": "<u4", "fill_value": 0, "order": "C", "filters": nil,
		"compressor": map[string]any{"id": "zlib", "level": 4}, "dimension_separator": "/",
	})
}

// add takes a row, and hands every other sample of every other row to the next
// level.
func (l *labelLevel) add(row []uint32) error {
	copy(l.band[l.row%chunkSide*l.width:], row)
	l.row++
	if l.row%chunkSide == 0 || l.row == l.height {
		if err := l.store(); err != nil {
			return err
		}
	}
	if l.number+1 == len(l.w.levels) || (l.row-1)%2 != 0 {
		return nil
	}
	next := l.w.levels[l.number+1]
	if l.half == nil {
		l.half = make([]uint32, next.width)
	}
	for i := range l.half {
		l.half[i] = row[2*i]
	}
	return next.add(l.half)
}

// store writes a row of chunks, side by side. Chunks of zeros are not stored.
func (l *labelLevel) store() error {
	rows := (l.row-1)%chunkSide + 1
	cy := (l.row - 1) / chunkSide
	dir := l.dir()
	if l.w.store.v3 {
		dir = filepath.Join(dir, "c")
	}
	for range l.w.store.lead {
		dir = filepath.Join(dir, "0")
	}
	dir = filepath.Join(dir, strconv.Itoa(cy))
	n := (l.width + chunkSide - 1) / chunkSide
	for len(l.encoders) < min(n, runtime.GOMAXPROCS(0)) {
		l.encoders = append(l.encoders, newLabelEncoder(l.w.store.v3))
	}
	made := false
	return chunk.InWaves(n, l.encoders, func(e *labelEncoder, cx int) { e.encode(l, cx, rows) }, func(e *labelEncoder, cx int) error {
		if e.out.Len() == 0 {
			return nil
		}
		if !made {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			made = true
		}
		return os.WriteFile(filepath.Join(dir, strconv.Itoa(cx)), e.out.Bytes(), 0o644)
	})
}

// labelEncoder compresses one chunk at a time.
type labelEncoder struct {
	raw  []byte
	out  bytes.Buffer
	pack interface {
		io.WriteCloser
		Reset(w io.Writer)
	}
}

func newLabelEncoder(v3 bool) *labelEncoder {
	e := &labelEncoder{raw: make([]byte, 4*chunkSide*chunkSide)}
	if v3 {
		e.pack, _ = gzip.NewWriterLevel(&e.out, 4)
	} else {
		e.pack, _ = zlib.NewWriterLevel(&e.out, 4)
	}
	return e
}

// encode compresses chunk cx of the band, padded with zeros; nothing when it is
// all zeros.
func (e *labelEncoder) encode(l *labelLevel, cx, rows int) {
	e.out.Reset()
	clear(e.raw)
	any := uint32(0)
	x0, x1 := cx*chunkSide, min((cx+1)*chunkSide, l.width)
	for y := range rows {
		dst := e.raw[4*y*chunkSide:]
		for i, v := range l.band[y*l.width+x0 : y*l.width+x1] {
			binary.LittleEndian.PutUint32(dst[4*i:], v)
			any |= v
		}
	}
	if any == 0 {
		return
	}
	e.pack.Reset(&e.out)
	e.pack.Write(e.raw) // a bytes.Buffer does not fail
	e.pack.Close()
}
