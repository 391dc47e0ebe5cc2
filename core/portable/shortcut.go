package portable

import "unet/csrc"

// shortcut puts the shortcut of the pixels from p0 of image i, output block b, into
// dst, in the order of csrc/shortcut_tmpl.h, and reports whether there is one.
func shortcut(a *csrc.Conv3x3, i, b, p0 int, dst []float32) bool {
	s := &a.Shortcut
	if s.Src == nil {
		return false
	}
	hw, n := int(a.H)*int(a.W), len(dst)/16
	icb, step := int(s.ICB), hw*16
	from := offset(s.Src, int64(i)*s.Image)
	var x []float32
	if s.Planes == 0 {
		x = floats(from, icb*step)[p0*16:]
	} else {
		icb = 1
		x = make([]float32, n*16)
		for k := range int(s.Planes) {
			for p, v := range floats(from, int(s.Planes)*hw)[k*hw+p0:][:n] {
				x[16*p+k] = v
			}
		}
	}
	clear(dst)
	gemm(dst, 16, x, step, floats(offset(s.Weight, int64(b*icb*256)), icb*256), n)
	return true
}
