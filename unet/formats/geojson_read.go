package formats

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"unet/unet/instance"
)

// feature is what is read of a GeoJSON object.
type feature struct {
	Type     string    `json:"type"`
	ID       any       `json:"id"`
	Features []feature `json:"features"`
	Geometry *geometry `json:"geometry"`
	// QuPath's cells have their nucleus inside.
	Nucleus    *geometry `json:"nucleusGeometry"`
	Properties struct {
		Type    string `json:"objectType"`
		OldType string `json:"object_type"` // QuPath 0.3
	} `json:"properties"`
}

type geometry struct {
	Type        string          `json:"type"`
	Coordinates json.RawMessage `json:"coordinates"`
	Geometries  []geometry      `json:"geometries"`
	Plane       *struct {
		Z int `json:"z"`
	} `json:"plane"` // QuPath's slice of a stack
}

// kind is what QuPath calls the object: "cell", "detection", "annotation",
// "tile", "tmaCore", "root", or "" for other programs'.
func (f *feature) kind() string {
	switch {
	case f.Properties.Type != "":
		return f.Properties.Type
	case f.Properties.OldType != "":
		return f.Properties.OldType
	}
	// QuPath 0.2 names the class of the object.
	if id, ok := f.ID.(string); ok && strings.HasPrefix(id, "Path") && strings.HasSuffix(id, "Object") {
		return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(id, "Path"), "Object"))
	}
	return ""
}

// ReadGeoJSON reads the polygons of a GeoJSON file: a FeatureCollection, an
// array of features or a single one, as QuPath and others export, also packed
// with zip or gzip. Every feature is one nucleus, but:
//
//   - of QuPath's cells the nucleus counts, not the cell around it;
//   - where there are cells or detections, QuPath's annotations and tiles are
//     regions that hold them, no nuclei.
//
// Notes say what was left out. Files above 1 GiB are refused, and those in which
// no feature encloses an area. The result has no name and no size.
func ReadGeoJSON(r io.Reader) (*Encoded, error) {
	features, err := readFeatures(r)
	if err != nil {
		return nil, err
	}
	return nucleiOf(features)
}

// ReadRegions reads the polygons of a GeoJSON file that are regions: QuPath's
// annotations, or where there are none every feature.
func ReadRegions(r io.Reader) (*Encoded, error) {
	features, err := readFeatures(r)
	if err != nil {
		return nil, err
	}
	annotation := func(f feature) bool { return f.kind() == "annotation" }
	if slices.ContainsFunc(features, annotation) {
		features = slices.DeleteFunc(features, func(f feature) bool { return !annotation(f) })
	}
	return nucleiOf(features)
}

// readFeatures reads the features of a file.
func readFeatures(r io.Reader) ([]feature, error) {
	data, err := io.ReadAll(limited(r))
	if err == nil {
		data, err = unpack(data)
	}
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
	return features, nil
}

// unpack returns the content of a gzip file, or of the only JSON file of a zip
// archive, or data itself.
func unpack(data []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(limited(z))
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return nil, err
		}
		var json *zip.File
		for _, f := range z.File {
			if ext := strings.ToLower(path.Ext(f.Name)); (ext == ".geojson" || ext == ".json") && !macOS(f.Name) {
				if json != nil {
					return nil, errors.New("the archive holds several files: unpack it")
				}
				json = f
			}
		}
		if json == nil {
			return nil, errors.New("no .geojson file in the archive")
		}
		r, err := json.Open()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(limited(r))
	}
	return data, nil
}

// macOS reports whether an entry of an archive is one that macOS adds.
func macOS(name string) bool {
	return strings.HasPrefix(name, "__MACOSX/") || strings.HasPrefix(path.Base(name), "._") || path.Base(name) == ".DS_Store"
}

// nucleiOf keeps the features that are nuclei.
func nucleiOf(features []feature) (*Encoded, error) {
	detections, nuclei := false, false
	for i := range features {
		switch features[i].kind() {
		case "cell":
			detections = true
			nuclei = nuclei || features[i].Nucleus != nil
		case "detection":
			detections = true
		}
	}
	e := &Encoded{}
	var regions, empty, pointless, around int
	var first error
	for i := range features {
		f := &features[i]
		g := f.Geometry
		switch kind := f.kind(); {
		case kind == "cell" && f.Nucleus != nil:
			g = f.Nucleus
		case kind == "cell" && nuclei:
			empty++
			continue
		case kind == "cell":
			around++
		case kind == "root", detections && (kind == "annotation" || kind == "tile" || kind == "tmaCore" || kind == "tmacore"):
			regions++
			continue
		}
		polygons, err := g.polygons()
		if errors.Is(err, errNoArea) {
			pointless++
			if first == nil {
				first = fmt.Errorf("GeoJSON, feature %d: %w", i+1, err)
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("GeoJSON, feature %d: %w", i+1, err)
		}
		o := object{polygons: polygons}
		if f.Geometry != nil && f.Geometry.Plane != nil {
			o.slice = min(max(f.Geometry.Plane.Z, 0), maxSlice) + 1
		}
		e.objects = append(e.objects, o)
	}
	if len(e.objects) == 0 && first != nil {
		return nil, first
	}
	e.note(regions, "region (annotation or tile) holds nuclei and is not one", "regions (annotations or tiles) hold nuclei and are not nuclei")
	e.note(empty, "cell has no outline of its nucleus and is left out", "cells have no outlines of their nuclei and are left out")
	e.note(around, "cell has no outline of its nucleus: the cell's is taken", "cells have no outlines of their nuclei: the cells' are taken")
	e.note(pointless, "feature encloses no area and is left out", "features enclose no area and are left out")
	return e, nil
}

// errNoArea says that a geometry outlines nothing.
var errNoArea = errors.New("only Polygon and MultiPolygon outline nuclei")

func (g *geometry) polygons() ([][][]instance.Point, error) {
	if g == nil {
		return nil, fmt.Errorf("it has no geometry: %w", errNoArea)
	}
	var numbers [][][][]float64
	var err error
	switch g.Type {
	case "Polygon":
		numbers = make([][][][]float64, 1)
		err = json.Unmarshal(g.Coordinates, &numbers[0])
	case "MultiPolygon":
		err = json.Unmarshal(g.Coordinates, &numbers)
	case "GeometryCollection":
		var all [][][]instance.Point
		for i := range g.Geometries {
			if g.Geometries[i].Type == "GeometryCollection" {
				return nil, errors.New("its geometry is a collection of collections")
			}
			part, err := g.Geometries[i].polygons()
			if err != nil && !errors.Is(err, errNoArea) {
				return nil, err
			}
			all = append(all, part...)
		}
		if all == nil {
			return nil, fmt.Errorf("its geometry is a collection of others: %w", errNoArea)
		}
		return all, nil
	default:
		return nil, fmt.Errorf("its geometry is a %q: %w", g.Type, errNoArea)
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
