package imageio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/draw"
	"image/gif"

	"unet/unet/imageio/plane"
)

// gifFrames counts the frames of a GIF file and their pixels without decoding
// them. Damage is left to the decoder to report.
func gifFrames(data []byte) (frames int, pixels int64) {
	skip := func(b []byte) []byte { // sub-blocks, each led by its length
		for len(b) > 0 && b[0] != 0 {
			b = b[min(len(b), int(b[0])+1):]
		}
		return b[min(len(b), 1):]
	}
	table := func(flags byte) int {
		if flags&0x80 == 0 {
			return 0
		}
		return 3 << (flags&7 + 1)
	}
	if len(data) < 13 {
		return 0, 0
	}
	b := data[min(len(data), 13+table(data[10])):]
	for len(b) > 0 {
		switch b[0] {
		case 0x21: // extension
			b = skip(b[min(len(b), 2):])
		case 0x2c: // image descriptor
			if len(b) < 11 {
				return frames, pixels
			}
			frames++
			pixels += int64(binary.LittleEndian.Uint16(b[5:])) * int64(binary.LittleEndian.Uint16(b[7:]))
			b = skip(b[min(len(b), 11+table(b[9])):])
		case 0:
			b = b[1:]
		default: // the trailer
			return frames, pixels
		}
	}
	return frames, pixels
}

// decodeGIF decodes all frames of an animation as they would be shown.
func decodeGIF(name string, data []byte) ([]image.Image, error) {
	cfg, err := gif.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, plane.Wrap(name, "GIF", err)
	}
	n, pixels := gifFrames(data)
	if total := max(pixels, int64(n)*int64(cfg.Width)*int64(cfg.Height)); total > MaxSamples/4 {
		return nil, &LimitError{Name: name, What: fmt.Sprintf("%d frames of %d x %d pixels (limit %d pixels in all)", n, cfg.Width, cfg.Height, int64(MaxSamples/4)), Advice: "store it as a multi-page TIFF"}
	}
	if err := checkRaster(name, "GIF", cfg, data); err != nil {
		return nil, err
	}
	g, err := gif.DecodeAll(bytes.NewReader(data))
	if err != nil {
		return nil, plane.Wrap(name, "GIF", err)
	}
	screen := image.NewRGBA(image.Rect(0, 0, cfg.Width, cfg.Height))
	frames := make([]image.Image, len(g.Image))
	for i, m := range g.Image {
		before := screen
		if g.Disposal[i] == gif.DisposalPrevious {
			before = copyRGBA(screen)
		}
		draw.Draw(screen, m.Rect, m, m.Rect.Min, draw.Over)
		frames[i] = copyRGBA(screen)
		switch g.Disposal[i] {
		case gif.DisposalBackground:
			draw.Draw(screen, m.Rect, image.Transparent, image.Point{}, draw.Src)
		case gif.DisposalPrevious:
			screen = before
		}
	}
	return frames, nil
}

func copyRGBA(m *image.RGBA) *image.RGBA {
	c := *m
	c.Pix = bytes.Clone(m.Pix)
	return &c
}
