package zarr

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"unet/unet/imageio/chunk"
)

// zarrCodec is a codec's entry in the metadata: {"id": …} in version 2,
// {"name": …, "configuration": …} in version 3.
type zarrCodec struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Config struct {
		Endian        string      `json:"endian"`
		Order         []int       `json:"order"`
		ChunkShape    []int64     `json:"chunk_shape"`
		Codecs        []zarrCodec `json:"codecs"`
		IndexCodecs   []zarrCodec `json:"index_codecs"`
		IndexLocation string      `json:"index_location"`
	} `json:"configuration"`
}

// A codec turns bytes into bytes.
type codec struct {
	// decode fills out, whose size is known.
	decode func(out, src []byte) error
	// size is how many bytes n bytes become; nil when that depends on them.
	size func(n int64) int64
	// ratio bounds how many bytes one byte can become.
	ratio int64
}

func newCodec(name string) (codec, error) {
	switch name {
	case "blosc":
		return codec{decode: unblosc, ratio: 1 << 15}, nil
	case "zlib", "numcodecs.zlib":
		return codec{decode: chunk.Inflate, ratio: 1032}, nil
	case "gzip":
		return codec{decode: chunk.Gunzip, ratio: 1032}, nil
	case "zstd", "numcodecs.zstd":
		return codec{decode: chunk.InflateZstd, ratio: 1 << 15}, nil
	case "bz2", "numcodecs.bz2":
		return codec{decode: func(out, src []byte) error {
			_, err := io.ReadFull(bzip2.NewReader(bytes.NewReader(src)), out)
			return err
		}, ratio: 1 << 15}, nil
	case "lz4", "numcodecs.lz4": // the size, then one block
		return codec{decode: func(out, src []byte) error {
			if len(src) < 4 || int64(binary.LittleEndian.Uint32(src)) != int64(len(out)) {
				return errLZ
			}
			return unlz4(out, src[4:])
		}, ratio: 255}, nil
	case "crc32c":
		return codec{decode: checkCRC, size: func(n int64) int64 { return n + 4 }, ratio: 1}, nil
	}
	return codec{}, fmt.Errorf("compression %q", name)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checkCRC(out, src []byte) error {
	if len(src) != len(out)+4 {
		return io.ErrUnexpectedEOF
	}
	copy(out, src)
	if crc32.Checksum(out, castagnoli) != binary.LittleEndian.Uint32(src[len(out):]) {
		return errors.New("its checksum is wrong")
	}
	return nil
}

// decodeChain undoes codecs, the last of them first. All but the first must
// have a known size: checksums over compressed bytes, that is.
func decodeChain(codecs []codec, out, src []byte) error {
	for i := len(codecs) - 1; i >= 0; i-- {
		if i == 0 {
			return codecs[0].decode(out, src)
		}
		c := codecs[i]
		if c.size == nil {
			return errors.New("two compressions, one on the other, are not supported")
		}
		n := int64(len(src)) - c.size(0)
		if n < 0 {
			return io.ErrUnexpectedEOF
		}
		mid := make([]byte, n)
		if err := c.decode(mid, src); err != nil {
			return err
		}
		src = mid
	}
	if len(src) != len(out) {
		return fmt.Errorf("%d bytes where %d are expected", len(src), len(out))
	}
	copy(out, src)
	return nil
}
