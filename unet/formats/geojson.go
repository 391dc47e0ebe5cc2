package formats

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"

	"unet/unet/instance"
)

// geoJSON writes a FeatureCollection.
type geoJSON struct {
	w     *bufio.Writer
	src   Source
	scale instance.Point // from the plane to the full resolution
	begun bool
	any   bool
}

// NewGeoJSON returns a writer of GeoJSON as QuPath imports it: a
// FeatureCollection of detections of class Nucleus with their outlines along
// pixel edges (pixels of the full-resolution image, origin at its upper left
// corner) and their measurements. One image per file.
func NewGeoJSON(w io.Writer) Writer { return &geoJSON{w: bufio.NewWriter(w)} }

func (g *geoJSON) Begin(src Source) error {
	if g.begun {
		return fmt.Errorf("%s: a GeoJSON file holds the nuclei of one image", src.Name)
	}
	g.src, g.begun, g.scale = src, true, instance.Point{X: 1, Y: 1}
	if src.FullW > 0 && src.FullH > 0 {
		g.scale = instance.Point{X: float64(src.FullW) / float64(src.W), Y: float64(src.FullH) / float64(src.H)}
	}
	_, err := g.w.WriteString(`{"type":"FeatureCollection","features":[`)
	return err
}

func (g *geoJSON) Write(n *instance.Nucleus) error {
	if !g.begun {
		return errNoImage
	}
	b := []byte(",\n")
	if !g.any {
		b = b[1:]
	}
	g.any = true
	b = append(b, `{"type":"Feature","geometry":{"type":`...)
	polygons := n.Outline()
	if len(polygons) == 1 {
		b = append(b, `"Polygon","coordinates":`...)
		b = g.appendPolygon(b, polygons[0])
	} else {
		b = append(b, `"MultiPolygon","coordinates":[`...)
		for i, p := range polygons {
			if i > 0 {
				b = append(b, ',')
			}
			b = g.appendPolygon(b, p)
		}
		b = append(b, ']')
	}
	b = append(b, `},"properties":{"objectType":"detection","name":"`...)
	b = strconv.AppendUint(b, uint64(n.ID), 10)
	b = append(b, `","classification":{"name":"Nucleus","color":[255,0,0]},"measurements":{`...)
	number := func(name string, v float64) {
		// JSON has no NaN, and QuPath takes no null; such an intensity comes
		// from the image.
		if v-v != 0 {
			return
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		key, _ := json.Marshal(name)
		b = append(append(b, key...), ':')
		b = strconv.AppendFloat(b, v, 'g', 10, 64)
	}
	if n.Confidence > 0 {
		number("Detection probability", n.Confidence) // QuPath's name for it
	}
	number("Area px^2", float64(n.Area))
	number("Perimeter px", n.Perimeter)
	if s := g.src.PixelSize; s.Known() {
		p := n.In(s)
		number("Area µm^2", p.Area)
		number("Perimeter µm", p.Perimeter)
		number("Max diameter µm", p.FeretMax)
	} else {
		number("Max diameter px", n.FeretMax)
	}
	number("Circularity", n.Circularity)
	number("Solidity", n.Solidity)
	number("Eccentricity", n.Eccentricity)
	for c, in := range n.Channels {
		name := strconv.Itoa(c + 1)
		if c < len(g.src.Channels) {
			name = g.src.Channels[c]
		}
		number(name+": Mean", in.Mean)
		number(name+": Min", in.Min)
		number(name+": Max", in.Max)
		number(name+": Std.Dev.", in.Std)
		if n.Ring != nil && c < len(n.Ring.Channels) {
			number(name+" ring: Mean", n.Ring.Channels[c].Mean)
		}
	}
	b = append(b, "}}}"...)
	_, err := g.w.Write(b)
	return err
}

func (g *geoJSON) Close() error {
	if !g.begun {
		return errNoImage
	}
	if _, err := g.w.WriteString("\n]}\n"); err != nil {
		return err
	}
	return g.w.Flush()
}

func (g *geoJSON) appendPolygon(b []byte, p instance.Polygon) []byte {
	b = append(b, '[')
	b = g.appendRing(b, p.Outer)
	for _, h := range p.Holes {
		b = append(b, ',')
		b = g.appendRing(b, h)
	}
	return append(b, ']')
}

// appendRing writes a ring that ends, as GeoJSON demands, on its first point.
func (g *geoJSON) appendRing(b []byte, ring []instance.Point) []byte {
	b = append(b, '[')
	for i := range len(ring) + 1 {
		if i > 0 {
			b = append(b, ',')
		}
		p := ring[i%len(ring)]
		b = append(b, '[')
		b = strconv.AppendFloat(b, thousandths(p.X*g.scale.X), 'f', -1, 64)
		b = append(b, ',')
		b = strconv.AppendFloat(b, thousandths(p.Y*g.scale.Y), 'f', -1, 64)
		b = append(b, ']')
	}
	return append(b, ']')
}

func thousandths(v float64) float64 { return math.Round(v*1000) / 1000 }
