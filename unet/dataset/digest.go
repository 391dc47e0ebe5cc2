package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// Digests are the SHA-256 sums, in hex, of what an image was read from.
type Digests struct {
	Image string `json:"image"` // SHA-256 of the image file
	Masks string `json:"masks"` // SHA-256 of the label image, or of all mask files with their sizes
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// addPart adds a file so that moving bytes between files changes the sum.
func addPart(h hash.Hash, b []byte) {
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(b))))
	h.Write(b)
}

// digest hashes an item's files without decoding them. What cannot be read
// leaves its sum empty, as read does.
func (it *item) digest() Digests {
	var d Digests
	data, err := it.image.read()
	if err != nil {
		return d
	}
	d.Image = hexSum(data)
	switch {
	case it.label != nil:
		if data, err := it.label.read(); err == nil {
			d.Masks = hexSum(data)
		}
	case len(it.masks) > 0:
		h := sha256.New()
		for _, m := range it.masks {
			data, err := m.read()
			if err != nil {
				return d
			}
			addPart(h, data)
		}
		d.Masks = hex.EncodeToString(h.Sum(nil))
	}
	return d
}

// digest is the SHA-256 sum, in hex, of the names and contents of all images
// and annotations. It does not depend on how they are packed.
func (s *Source) digest(ctx context.Context) (string, error) {
	ds := make([]Digests, len(s.items))
	err := parallel(ctx, len(s.items), func(i int) error {
		ds[i] = s.items[i].digest()
		return nil
	})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for i, d := range ds {
		addPart(h, []byte(s.items[i].id))
		addPart(h, []byte(d.Image))
		addPart(h, []byte(d.Masks))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
