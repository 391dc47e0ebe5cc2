package unet

// mirror returns planes of w x h mirrored along the axes asked for; the
// argument itself when along none.
func mirror(pix []float32, w, h int, x, y bool) []float32 {
	if !x && !y {
		return pix
	}
	out := make([]float32, len(pix))
	for row := range len(pix) / w {
		from := row
		if y {
			from = row/h*h + h - 1 - row%h
		}
		dst, src := out[row*w:][:w], pix[from*w:][:w]
		if !x {
			copy(dst, src)
			continue
		}
		for i, v := range src {
			dst[w-1-i] = v
		}
	}
	return out
}
