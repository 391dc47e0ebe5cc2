package unet

import (
	"context"

	"unet/unet/imageio"
	"unet/unet/instance"
)

// BandsAt is Bands by way of another size, as MapsAt is Maps: the network sees
// the image at w x h pixels, emit gets rows of the image's own size. The image
// is read twice, for the network and for emit.
func (p *Predictor) BandsAt(ctx context.Context, src Rows, levels Levels, w, h int, emit func(y int, m instance.Maps, img *imageio.Image) error) error {
	if w == src.W && h == src.H {
		return p.Bands(ctx, src, levels, emit)
	}
	back := scaledMaps{down: imageio.NewResampling(w, h, src.W, src.H), h: src.H, next: src.From}
	scaled := src.scaled(levels, w, h)
	scaled.From, _ = back.down.Source(src.From, 1)
	back.first = scaled.From
	return p.Bands(ctx, scaled, Levels{Low: 0, High: 1}, func(y int, m instance.Maps, _ *imageio.Image) error {
		back.add(m)
		for {
			n := back.ready(y + m.H)
			if n == 0 {
				return nil
			}
			img, err := src.Read(back.next, n)
			if err != nil {
				return err
			}
			if levels.Gray {
				img.C, img.Pix = 1, img.Plane(0)
			}
			at := back.next
			if err := emit(at, instance.Maps{W: src.W, H: n, Names: m.Names, Pix: back.take(n)}, img); err != nil {
				return err
			}
		}
	})
}

// scaled is the normalised image at w x h pixels.
func (src Rows) scaled(levels Levels, w, h int) Rows {
	r := imageio.NewResampling(src.W, src.H, w, h)
	read := func(y, n int) (*imageio.Image, error) {
		from, to := r.Source(y, n)
		m, err := src.Read(from, to-from)
		if err != nil {
			return nil, err
		}
		if levels.Gray {
			m.C, m.Pix = 1, m.Plane(0)
		}
		levels.Apply(m)
		return r.Rows(m, from, y, n), nil
	}
	return Rows{W: w, H: h, Read: func(y, n int) (*imageio.Image, error) {
		// A few rows at a time: they may come from many of the source.
		step := max(1, streamRows*h/src.H)
		out, err := read(y, min(step, n))
		if err != nil || n <= step {
			return out, err
		}
		all := *out
		all.H, all.Pix = n, make([]float32, out.C*n*w)
		for at := 0; ; {
			for c := range all.C {
				copy(all.Plane(c)[at*w:], out.Plane(c))
			}
			if at += out.H; at == n {
				return &all, nil
			}
			if out, err = read(y+at, min(step, n-at)); err != nil {
				return nil, err
			}
		}
	}}
}

// scaledMaps resamples maps that come by rows to the size of the image.
type scaledMaps struct {
	down  *imageio.Resampling
	h     int // of the image
	next  int // row of the image
	first int // row of the scaled image that held begins with
	held  *imageio.Image
}

// add takes the next rows of the scaled maps.
func (s *scaledMaps) add(m instance.Maps) {
	keep := 0 // rows held that are still needed
	old := s.held
	if old != nil {
		end := s.first + old.H
		s.first, _ = s.down.Source(s.next, 1)
		keep = end - s.first
	}
	s.held = &imageio.Image{W: m.W, H: keep + m.H, C: len(m.Names), Pix: make([]float32, 0, len(m.Names)*(keep+m.H)*m.W)}
	for c, name := range m.Names {
		if old != nil {
			s.held.Pix = append(s.held.Pix, old.Plane(c)[(old.H-keep)*m.W:]...)
		}
		s.held.Pix = append(s.held.Pix, m.Plane(name)...)
	}
}

// ready returns how many rows of the image, at most streamRows, can be made of
// the first have rows of the scaled one.
func (s *scaledMaps) ready(have int) (n int) {
	for s.next+n < s.h && n < streamRows {
		if _, to := s.down.Source(s.next+n, 1); to > have {
			break
		}
		n++
	}
	return n
}

// take returns the planes of the next n rows.
func (s *scaledMaps) take(n int) []float32 {
	m := s.down.Rows(s.held, s.first, s.next, n)
	s.next += n
	return m.Pix
}
