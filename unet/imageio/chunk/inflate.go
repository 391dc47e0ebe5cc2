package chunk

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Decoders are kept between chunks: making one costs more than a small chunk.

var zlibReaders, zstdReaders sync.Pool

// Inflate fills out from a zlib stream.
func Inflate(out, src []byte) error {
	in := bytes.NewReader(src)
	r, _ := zlibReaders.Get().(io.ReadCloser)
	if r == nil {
		var err error
		if r, err = zlib.NewReader(in); err != nil {
			return err
		}
	} else if err := r.(zlib.Resetter).Reset(in, nil); err != nil {
		zlibReaders.Put(r)
		return err
	}
	err := readChecked(r, out)
	zlibReaders.Put(r)
	return err
}

// Gunzip fills out from a gzip stream.
func Gunzip(out, src []byte) error {
	r, err := gzip.NewReader(bytes.NewReader(src))
	if err != nil {
		return err
	}
	defer r.Close()
	return readChecked(r, out)
}

// readChecked fills out and, when the stream ends there, holds it against its
// checksum. Streams that go on are left alone: the last strip of some TIFF
// files has rows beyond the image.
func readChecked(r io.Reader, out []byte) error {
	if _, err := io.ReadFull(r, out); err != nil {
		return err
	}
	return Checked(r)
}

// Checked holds what was read of a stream against its checksum, if the stream
// ends there.
func Checked(r io.Reader) error {
	var more [1]byte
	if _, err := r.Read(more[:]); errors.Is(err, zlib.ErrChecksum) || errors.Is(err, gzip.ErrChecksum) {
		return errors.New("the checksum is wrong")
	}
	return nil
}

// InflateZstd fills out from a zstd stream.
func InflateZstd(out, src []byte) error {
	r, _ := zstdReaders.Get().(*zstd.Decoder)
	if r == nil {
		var err error
		// One thread: no goroutines to end. The window bounds its memory.
		if r, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<27)); err != nil {
			return err
		}
	}
	err := r.Reset(bytes.NewReader(src))
	if err == nil {
		_, err = io.ReadFull(r, out)
	}
	r.Reset(nil)
	zstdReaders.Put(r)
	return err
}
