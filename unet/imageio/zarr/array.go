package zarr

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"

	"unet/unet/imageio/chunk"
	"unet/unet/imageio/input"
	"unet/unet/imageio/plane"
)

// Zarr arrays: https://zarr-specs.readthedocs.io/ (version 2 and 3). Only
// regular grids in C order are read, as OME-Zarr asks for.

// Limits on Zarr structures.
const (
	maxZarrDims   = 8
	maxChunks     = 1 << 24 // chunks of one shard
	maxChunkBytes = 1 << 30 // one chunk, decoded
	maxZarrJSON   = 1 << 25 // bytes of a metadata file

	maxZarrChunks   = 1 << 40 // in one array
	maxRegionChunks = 1 << 20 // read at once: each is a file
)

// zarrArray is the metadata of one array.
type zarrArray struct {
	name      string // for errors
	root      *os.Root
	path      string
	shape     []int64
	chunk     []int // the unit of decoding; inside a shard, if there are shards
	shard     []int // chunks per shard file along each axis; nil without
	t         plane.Type
	bigEndian bool
	fill      []byte // one sample, little-endian
	key       func(at []int64) string
	codecs    []codec // in the order of writing
	index     []codec // of a shard's index
	indexEnd  bool

	cache     chunk.Cache
	shardKey  string // whose index is in memory
	shardData []byte
}

func (a *zarrArray) bad(format string, args ...any) error {
	return &plane.FormatError{Name: a.name, Format: "Zarr", Reason: fmt.Sprintf(format, args...)}
}

func (a *zarrArray) unsupported(feature string) error {
	return &plane.UnsupportedError{Name: a.name, Format: "Zarr", Feature: feature, Advice: "rewrite it with zarr-python's defaults or bioformats2raw"}
}

// readJSON decodes a metadata file of a Zarr folder into v.
func readJSON(root *os.Root, name, file string, v any) error {
	b, err := readSmall(root, file)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return &plane.FormatError{Name: name, Format: "Zarr", Reason: fmt.Sprintf("%s: %v", file, err)}
	}
	return nil
}

func readSmall(root *os.Root, file string) ([]byte, error) {
	return input.ReadFileIn(root, file, maxZarrJSON)
}

// openZarrArray reads the metadata of the array in folder dir of root.
func openZarrArray(root *os.Root, name, dir string, version int) (*zarrArray, error) {
	a := &zarrArray{name: name, root: root, path: dir}
	var err error
	if version == 2 {
		err = a.readV2()
	} else {
		err = a.readV3()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, a.bad("the array %q is missing", dir)
	}
	if err != nil {
		return nil, err
	}
	return a, a.check()
}

func (a *zarrArray) readV2() error {
	var m struct {
		Shape      []int64         `json:"shape"`
		Chunks     []int64         `json:"chunks"`
		Type       json.RawMessage `json:"dtype"`
		Compressor *zarrCodec      `json:"compressor"`
		Filters    []zarrCodec     `json:"filters"`
		Order      string          `json:"order"`
		Fill       json.RawMessage `json:"fill_value"`
		Separator  string          `json:"dimension_separator"`
	}
	if err := readJSON(a.root, a.name, path.Join(a.path, ".zarray"), &m); err != nil {
		return err
	}
	var typ string
	if json.Unmarshal(m.Type, &typ) != nil || len(typ) < 3 {
		return a.unsupported("data type " + clip(m.Type))
	}
	size, err := strconv.Atoi(typ[2:])
	kind := typ[1]
	if kind == 'b' {
		kind = 'u'
	}
	a.t = plane.Type{Size: size, Kind: kind}
	if err != nil || !a.t.Valid() {
		return a.unsupported("data type " + typ)
	}
	a.bigEndian = typ[0] == '>'
	if len(m.Filters) > 0 {
		return a.unsupported("filter " + m.Filters[0].ID)
	}
	if m.Order == "F" && len(m.Shape) > 1 {
		return a.unsupported("column-major chunks")
	}
	if m.Compressor != nil {
		c, err := newCodec(m.Compressor.ID)
		if err != nil {
			return a.unsupported(err.Error())
		}
		a.codecs = []codec{c}
	}
	sep := "."
	if m.Separator == "/" {
		sep = "/"
	}
	a.key = func(at []int64) string { return joinInts(at, sep) }
	a.shape = m.Shape
	if err := a.setChunks(m.Chunks); err != nil {
		return err
	}
	return a.setFill(m.Fill)
}

// metadataV3 is zarr.json of an array, as far as it is read.
type metadataV3 struct {
	Node  string          `json:"node_type"`
	Shape []int64         `json:"shape"`
	Type  json.RawMessage `json:"data_type"`
	Grid  struct {
		Name   string `json:"name"`
		Config struct {
			Shape []int64 `json:"chunk_shape"`
		} `json:"configuration"`
	} `json:"chunk_grid"`
	Key    keyV3           `json:"chunk_key_encoding"`
	Codecs []zarrCodec     `json:"codecs"`
	Fill   json.RawMessage `json:"fill_value"`
	Stores []any           `json:"storage_transformers"`
}

// keyV3 says how chunks are named.
type keyV3 struct {
	Name   string `json:"name"`
	Config struct {
		Separator string `json:"separator"`
	} `json:"configuration"`
}

func (a *zarrArray) readV3() error {
	var m metadataV3
	if err := readJSON(a.root, a.name, path.Join(a.path, "zarr.json"), &m); err != nil {
		return err
	}
	if a.t = typeV3(m.Type); !a.t.Valid() {
		return a.unsupported("data type " + clip(m.Type))
	}
	if m.Grid.Name != "regular" {
		return a.unsupported(fmt.Sprintf("chunk grid %q", m.Grid.Name))
	}
	if len(m.Stores) > 0 {
		return a.unsupported("storage transformers")
	}
	if err := a.setKey(m.Key); err != nil {
		return err
	}
	a.shape = m.Shape
	chunks, codecs := m.Grid.Config.Shape, m.Codecs
	if len(codecs) == 1 && codecs[0].Name == "sharding_indexed" {
		if err := a.setShards(chunks, codecs[0]); err != nil {
			return err
		}
		chunks, codecs = codecs[0].Config.ChunkShape, codecs[0].Config.Codecs
	}
	var err error
	if a.codecs, a.bigEndian, err = a.chain(codecs, a.t.Size); err != nil {
		return err
	}
	if err := a.setChunks(chunks); err != nil {
		return err
	}
	return a.setFill(m.Fill)
}

// typeV3 is the type of samples that a version 3 array names; not Valid for one
// that is not read.
func typeV3(text json.RawMessage) (t plane.Type) {
	var name string
	json.Unmarshal(text, &name)
	if name == "bool" {
		return plane.Type{Size: 1, Kind: 'u'}
	}
	for prefix, kind := range map[string]byte{"uint": 'u', "int": 'i', "float": 'f'} {
		if n, ok := strings.CutPrefix(name, prefix); ok {
			bits, _ := strconv.Atoi(n)
			t = plane.Type{Size: bits / 8, Kind: kind}
		}
	}
	return t
}

// setKey takes over how the chunks of a version 3 array are named.
func (a *zarrArray) setKey(k keyV3) error {
	sep, prefix := k.Config.Separator, ""
	switch k.Name {
	case "default":
		if sep == "" {
			sep = "/"
		}
		prefix = "c" + sep
	case "v2":
		if sep == "" {
			sep = "."
		}
	default:
		return a.unsupported(fmt.Sprintf("chunk key encoding %q", k.Name))
	}
	if sep != "/" && sep != "." {
		return a.bad("chunk key separator %q", sep)
	}
	a.key = func(at []int64) string { return prefix + joinInts(at, sep) }
	return nil
}

// setShards takes over how chunks lie in shards, and the codecs of their index.
func (a *zarrArray) setShards(shards []int64, sharding zarrCodec) error {
	c := sharding.Config
	if len(c.ChunkShape) != len(shards) {
		return a.bad("shards of %d axes in an array of %d", len(c.ChunkShape), len(shards))
	}
	count := int64(1)
	for i, n := range c.ChunkShape {
		if n <= 0 || shards[i] <= 0 || shards[i]%n != 0 || shards[i]/n > maxChunks {
			return a.bad("chunks %v do not divide shards %v", c.ChunkShape, shards)
		}
		a.shard = append(a.shard, int(shards[i]/n))
		if count *= shards[i] / n; count > maxChunks {
			return &plane.LimitError{Name: a.name, What: fmt.Sprintf("shards of more than %d chunks", maxChunks), Advice: "rewrite it with smaller shards"}
		}
	}
	a.indexEnd = c.IndexLocation != "start"
	var err error
	if a.index, _, err = a.chain(c.IndexCodecs, 8); err != nil {
		return err
	}
	for _, k := range a.index {
		if k.size == nil {
			return a.unsupported("compressed shard indices")
		}
	}
	return nil
}

// chain makes the codecs after "bytes" of a version 3 array.
func (a *zarrArray) chain(list []zarrCodec, size int) (chain []codec, bigEndian bool, err error) {
	seen := false
	for _, c := range list {
		switch c.Name {
		case "bytes":
			seen = true
			bigEndian = c.Config.Endian == "big"
		case "transpose":
			order, identity := c.Config.Order, true
			for i, v := range order {
				identity = identity && v == i
			}
			if !identity {
				return nil, false, a.unsupported("transposed chunks")
			}
		default:
			k, err := newCodec(c.Name)
			if err != nil || !seen {
				return nil, false, a.unsupported(fmt.Sprintf("codec %q", c.Name))
			}
			chain = append(chain, k)
		}
	}
	if !seen {
		return nil, false, a.unsupported("a chunk without the codec \"bytes\"")
	}
	return chain, bigEndian, nil
}

// setChunks checks and stores the shape of chunks.
func (a *zarrArray) setChunks(chunks []int64) error {
	if len(chunks) != len(a.shape) {
		return a.bad("chunks of %d axes in an array of %d", len(chunks), len(a.shape))
	}
	bytes := int64(a.t.Size)
	for _, n := range chunks {
		if n <= 0 {
			return a.bad("chunks of shape %v", chunks)
		}
		if n > maxChunkBytes || bytes*n > maxChunkBytes {
			return &plane.LimitError{Name: a.name, What: fmt.Sprintf("chunks of shape %v (limit %d MiB)", chunks, maxChunkBytes>>20), Advice: "rewrite it with smaller chunks"}
		}
		bytes *= n
		a.chunk = append(a.chunk, int(n))
	}
	return nil
}

// check holds the shape against the limits.
func (a *zarrArray) check() error {
	if n := len(a.shape); n < 2 || n > maxZarrDims {
		return a.unsupported(fmt.Sprintf("an array of %d axes", n))
	}
	planes := int64(1)
	for i, n := range a.shape {
		if n <= 0 {
			return a.bad("shape %v", a.shape)
		}
		if i >= len(a.shape)-2 {
			if n > plane.MaxSide {
				return &plane.LimitError{Name: a.name, What: fmt.Sprintf("shape %v", a.shape)}
			}
		} else if n > plane.MaxPlanes || planes*n > plane.MaxPlanes {
			return &plane.LimitError{Name: a.name, What: fmt.Sprintf("shape %v holds more than %d planes", a.shape, plane.MaxPlanes), Advice: "split the array"}
		} else {
			planes *= n
		}
	}
	chunks := int64(1)
	for i, n := range a.shape {
		grid := (n + int64(a.chunk[i]) - 1) / int64(a.chunk[i])
		if grid > maxZarrChunks/chunks {
			return &plane.LimitError{Name: a.name, What: fmt.Sprintf("shape %v in chunks %v", a.shape, a.chunk), Advice: "rewrite it with larger chunks"}
		}
		chunks *= grid
	}
	return nil
}

// setFill stores the value of samples whose chunks are absent.
func (a *zarrArray) setFill(raw json.RawMessage) error {
	a.fill = make([]byte, a.t.Size)
	s := strings.Trim(string(raw), `"`)
	switch s {
	case "", "null", "false":
		return nil
	case "true":
		s = "1"
	}
	if a.t.Kind != 'f' {
		if v, err := strconv.ParseInt(s, 10, 64); err == nil {
			return a.putFill(uint64(v))
		}
		if v, err := strconv.ParseUint(s, 10, 64); err == nil {
			return a.putFill(v)
		}
	}
	if hex, ok := strings.CutPrefix(s, "0x"); ok && a.t.Kind == 'f' {
		if v, err := strconv.ParseUint(hex, 16, 64); err == nil {
			return a.putFill(v)
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil:
		return a.bad("fill value %s", clip(raw))
	case a.t.Kind != 'f' && v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return a.putFill(uint64(int64(v)))
	case a.t.Kind != 'f':
		return a.bad("fill value %s", clip(raw))
	case a.t.Size == 8:
		return a.putFill(math.Float64bits(v))
	case a.t.Size == 4:
		return a.putFill(uint64(math.Float32bits(float32(v))))
	}
	for h := range 1 << 16 { // float16: the number that widens to it
		if f := plane.Half(uint16(h)); float64(f) == v || f != f && math.IsNaN(v) {
			return a.putFill(uint64(h))
		}
	}
	return a.bad("fill value %s", clip(raw))
}

func (a *zarrArray) putFill(v uint64) error {
	copy(a.fill, binary.LittleEndian.AppendUint64(nil, v))
	return nil
}

func joinInts(v []int64, sep string) string {
	var b strings.Builder
	for i, n := range v {
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(strconv.FormatInt(n, 10))
	}
	return b.String()
}

// clip shortens raw JSON for a message.
func clip(raw json.RawMessage) string {
	s := strings.Join(strings.Fields(string(raw)), " ")
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return s
}

// lead is the index of a plane along the axes before the last two.
func (a *zarrArray) lead(plane int) []int {
	lead := make([]int, len(a.shape)-2)
	for i := len(lead) - 1; i >= 0; i-- {
		n := int(a.shape[i])
		lead[i] = plane % n
		plane /= n
	}
	return lead
}

// planes is how many planes the array holds; check has bounded it.
func (a *zarrArray) planes() int {
	n := 1
	for _, k := range a.shape[:len(a.shape)-2] {
		n *= int(k)
	}
	return n
}
