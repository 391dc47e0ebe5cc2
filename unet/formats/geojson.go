package formats

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"unet/unet/instance"
)

// geoJSON writes a FeatureCollection.
type geoJSON struct {
	w     *bufio.Writer
	src   Source
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
	g.src, g.begun = src, true
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
		b = appendPolygon(b, polygons[0])
	} else {
		b = append(b, `"MultiPolygon","coordinates":[`...)
		for i, p := range polygons {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendPolygon(b, p)
		}
		b = append(b, ']')
	}
	b = append(b, `},"properties":{"objectType":"detection","name":"`...)
	b = strconv.AppendUint(b, uint64(n.ID), 10)
	b = append(b, `","classification":{"name":"Nucleus","color":[255,0,0]},"measurements":{`...)
	number := func(name string, v float64) {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		key, _ := json.Marshal(name)
		b = append(append(b, key...), ':')
		// JSON has no NaN; such an intensity comes from the image.
		if v-v != 0 {
			b = append(b, "null"...)
			return
		}
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

func appendPolygon(b []byte, p instance.Polygon) []byte {
	b = append(b, '[')
	b = appendRing(b, p.Outer)
	for _, h := range p.Holes {
		b = append(b, ',')
		b = appendRing(b, h)
	}
	return append(b, ']')
}

// appendRing writes a ring that ends, as GeoJSON demands, on its first point.
func appendRing(b []byte, ring []instance.Point) []byte {
	b = append(b, '[')
	for i := range len(ring) + 1 {
		if i > 0 {
			b = append(b, ',')
		}
		p := ring[i%len(ring)]
		b = append(b, '[')
		b = strconv.AppendFloat(b, p.X, 'f', -1, 64)
		b = append(b, ',')
		b = strconv.AppendFloat(b, p.Y, 'f', -1, 64)
		b = append(b, ']')
	}
	return append(b, ']')
}

// feature is what is read of a GeoJSON object.
type feature struct {
	Type     string    `json:"type"`
	Features []feature `json:"features"`
	Geometry *geometry `json:"geometry"`
}

type geometry struct {
	Type        string          `json:"type"`
	Coordinates json.RawMessage `json:"coordinates"`
}

// ReadGeoJSON reads the polygons of a GeoJSON file: a FeatureCollection, an
// array of features or a single one, as QuPath and others export. Every
// feature is one nucleus. Features that enclose no area are an error, as are
// files above 1 GiB. The result has no name and no size.
func ReadGeoJSON(r io.Reader) (*Encoded, error) {
	data, err := io.ReadAll(limited(r))
	if err != nil {
		return nil, fmt.Errorf("GeoJSON: %w", err)
	}
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	var top feature
	if len(data) > 0 && data[0] == '[' {
		err = json.Unmarshal(data, &top.Features)
	} else {
		err = json.Unmarshal(data, &top)
	}
	if err != nil {
		return nil, fmt.Errorf("GeoJSON: %w", err)
	}
	features := top.Features
	switch {
	case top.Type == "Feature":
		features = []feature{top}
	case top.Type != "" && top.Type != "FeatureCollection":
		return nil, fmt.Errorf("GeoJSON: a %q at the top; want a FeatureCollection", top.Type)
	case top.Type == "" && features == nil:
		return nil, errors.New("GeoJSON: no features in it")
	}
	e := &Encoded{}
	for i, f := range features {
		polygons, err := f.Geometry.polygons()
		if err != nil {
			return nil, fmt.Errorf("GeoJSON, feature %d: %w", i+1, err)
		}
		e.objects = append(e.objects, object{polygons: polygons})
	}
	return e, nil
}

func (g *geometry) polygons() ([][][]instance.Point, error) {
	if g == nil {
		return nil, errors.New("it has no geometry")
	}
	var numbers [][][][]float64
	var err error
	switch g.Type {
	case "Polygon":
		numbers = make([][][][]float64, 1)
		err = json.Unmarshal(g.Coordinates, &numbers[0])
	case "MultiPolygon":
		err = json.Unmarshal(g.Coordinates, &numbers)
	default:
		return nil, fmt.Errorf("its geometry is a %q; only Polygon and MultiPolygon outline nuclei", g.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("its coordinates: %w", err)
	}
	out := make([][][]instance.Point, len(numbers))
	for i, p := range numbers {
		for _, r := range p {
			ring := make([]instance.Point, len(r))
			for k, xy := range r {
				if len(xy) < 2 {
					return nil, errors.New("a position has fewer than two numbers")
				}
				ring[k] = instance.Point{X: xy[0], Y: xy[1]}
			}
			out[i] = append(out[i], ring)
		}
	}
	return out, nil
}
