package zarr

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// TestShardIndex: the index of a shard is at its end, unless index_location says
// start (Zarr's sharding-indexed codec, version 1.0). A chunk of all ones in the
// index is not there.
func TestShardIndex(t *testing.T) {
	const index = 2 * 16 // offset and length of two chunks
	shard := func(first uint64) []byte {
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(
			binary.LittleEndian.AppendUint64(nil, first), 2), math.MaxUint64), math.MaxUint64)
	}
	for _, c := range []struct {
		name, location string
		shard          []byte
	}{
		{"not said", "", append([]byte{1, 2}, shard(0)...)},
		{"end", `, "index_location": "end"`, append([]byte{1, 2}, shard(0)...)},
		{"start", `, "index_location": "start"`, append(shard(index), 1, 2)},
	} {
		dir := writeTree(t, "a.zarr", map[string]string{
			"zarr.json": `{"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", "multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0"}]}]}}}`,
			"0/zarr.json": `{"zarr_format": 3, "node_type": "array", "shape": [2, 2], "data_type": "uint8", "fill_value": 9,
				"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2]}},
				"chunk_key_encoding": {"name": "default"},
				"codecs": [{"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 2], "codecs": [{"name": "bytes"}],
					"index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]` + c.location + `}}]}`,
			"0/c/0/0": string(c.shard),
		})
		f, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		m, err := f.ReadPlane(0)
		f.Close()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if want := []float32{1, 2, 9, 9}; !slices.Equal(m.Pix, want) {
			t.Errorf("%s: %v, want %v", c.name, m.Pix, want)
		}
	}
}
