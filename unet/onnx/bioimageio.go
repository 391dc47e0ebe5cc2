package onnx

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// formatVersion is that of the packages written here. One with custom
// post-processing is of customVersion, which describes every file by its hash.
const (
	formatVersion = "0.5.7"
	customVersion = "0.5.12"
)

// watershedSource separates nuclei as package instance does.
//
//go:embed watershed.py
var watershedSource []byte

const watershedFile = "watershed.py"

// Package is what a model package of bioimage.io holds beside the model.
type Package struct {
	Description string
	Authors     []string
	Licence     string // SPDX
	// Example is an image of raw samples, of one or three channels, and Maps
	// what the model computes from it. The sides of the image are of size
	// ExampleSize.
	Example *imageio.Image
	Maps    instance.Maps
	// Documentation is Markdown, with a section "Validation".
	Documentation string
	// Watershed adds an output "nuclei", the labels of the example being Labels:
	// custom post-processing, which not every program takes.
	Watershed bool
	Labels    *imageio.Labels
}

// Sizes are the image sides that the package promises to take: least, then in
// steps; halo is how far an answer draws on its surroundings.
func Sizes(a unet.Arch) (least, step, halo int) {
	step = a.Multiple()
	halo = a.Halo()
	return (2*halo/step + 1) * step, step, halo
}

// ExampleSize is a side that an example may have.
func ExampleSize(a unet.Arch) int {
	least, step, _ := Sizes(a)
	for least < 256 {
		least += step
	}
	return least
}

type object = map[string]any

// WritePackage writes a model package of bioimage.io: ONNX weights, test
// tensors, cover, documentation. The maps are the package's outputs; the
// program that separates nuclei from them, watershed.py, is attached, with its
// parameters in card.json, and with p.Watershed part of the package.
func WritePackage(w io.Writer, m *unet.Model, p Package) error {
	if m.Card.Input.Size > 0 {
		return fmt.Errorf("a model that resizes images to %d x %d cannot be a package: the format has no step for that", m.Card.Input.Size, m.Card.Input.Size)
	}
	z := &packer{zip: zip.NewWriter(w)}
	var graph bytes.Buffer
	if err := write(&graph, m, p.Watershed); err != nil {
		return err
	}
	card, err := json.MarshalIndent(m.Card, "", "  ")
	if err != nil {
		return err
	}
	cover, err := coverOf(p.Example, p.Maps)
	if err != nil {
		return err
	}
	weights := z.add("model.onnx", graph.Bytes())
	weights["opset_version"] = opset
	input, outputs := z.tensors(m, p)
	watershed, version := z.add(watershedFile, watershedSource), formatVersion
	file := func(added object) any { return added["source"] }
	attachments := []object{z.add("card.json", card)}
	if p.Watershed {
		version, file = customVersion, func(added object) any { return added }
		nuclei := z.output(m.Card.Arch, nucleiName, "labels: a number for each nucleus, 0 for background", object{"type": "uint32"},
			npy(p.Labels.ID, 1, 1, p.Example.H, p.Example.W))
		nuclei["postprocessing"] = []object{{"id": "custom", "callable": "Watershed", "source": watershed["source"],
			"sha256": watershed["sha256"], "kwargs": watershedArguments(m.Card.Instance)}}
		outputs = append(outputs, nuclei)
	} else {
		attachments = append(attachments, watershed)
	}
	var authors []object
	for _, name := range p.Authors {
		authors = append(authors, object{"name": name})
	}
	rdf, err := yaml.Marshal(object{
		"type": "model", "format_version": version, "name": nameOf(m.Card), "description": p.Description, "authors": authors,
		"license": p.Licence, "tags": []string{"unet", "segmentation", "nuclei", "fluorescence-light-microscopy", "histology"},
		"cite":          []object{{"text": "Ronneberger, Fischer and Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015", "doi": "10.1007/978-3-319-24574-4_28"}},
		"documentation": file(z.add("README.md", []byte(p.Documentation))),
		"covers":        []any{file(z.add("cover.png", cover))},
		"attachments":   attachments,
		"inputs":        []object{input}, "outputs": outputs,
		"weights": object{"onnx": weights},
		"training_data": object{
			"type": "dataset", "format_version": "0.3.0", "name": "training images of " + nameOf(m.Card),
			"description": orUnknown(m.Card.Training.Data), "authors": authors, "license": p.Licence,
		},
		"config": object{"unet": object{"card": "card.json", "program": m.Card.Training.Program}},
	})
	if err != nil {
		return err
	}
	z.add("rdf.yaml", rdf)
	return errors.Join(z.err, z.zip.Close())
}

// tensors describes the image that the network takes and the maps that it gives,
// and adds an example of each.
func (z *packer) tensors(m *unet.Model, p Package) (input object, outputs []object) {
	a := m.Card.Arch
	x := samples(p.Example, a.Channels)
	least, step, _ := Sizes(a)
	side := func(id string) object {
		return object{"type": "space", "id": id, "size": object{"min": least, "step": step}}
	}
	input = object{
		"id": inputName, "description": "microscopy image, raw samples; a gray image fills every channel",
		"axes":          []object{{"type": "batch"}, {"type": "channel", "id": "channel", "channel_names": channelNames(a.Channels)}, side("y"), side("x")},
		"data":          object{"type": "float32"},
		"test_tensor":   z.add("test_image.npy", npy(x, 1, a.Channels, p.Example.H, p.Example.W)),
		"preprocessing": preprocessing(m.Card.Input),
	}
	for _, name := range a.Heads {
		outputs = append(outputs, z.output(a, name, headText[name], object{"type": "float32", "range": []float64{0, 1}},
			npy(p.Maps.Plane(name), 1, 1, p.Example.H, p.Example.W)))
	}
	return input, outputs
}

// output describes a map, or what is made of maps, and adds an example of it.
func (z *packer) output(a unet.Arch, name, text string, data object, test []byte) object {
	_, _, halo := Sizes(a)
	side := func(id string) object {
		return object{"type": "space", "id": id, "halo": halo, "size": object{"tensor_id": inputName, "axis_id": id}}
	}
	return object{
		"id": name, "description": text, "data": data,
		"axes":        []object{{"type": "batch"}, {"type": "channel", "id": "channel", "channel_names": []string{name}}, side("y"), side("x")},
		"test_tensor": z.add("test_"+name+".npy", test),
	}
}

// watershedArguments are those of watershed.py's Watershed.
func watershedArguments(p instance.Params) object {
	return object{"seed": p.Seed, "prominence": p.Prominence, "min_area": p.MinArea, "fill_holes": p.FillHoles, "remove_edge": p.RemoveEdge}
}

func nameOf(c unet.Card) string {
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+- ()", r) {
			return r
		}
		return '-'
	}, c.Name)
	if len(name) < 5 {
		name = "unet " + name
	}
	return name
}

func orUnknown(s string) string {
	if s == "" {
		return "not recorded"
	}
	return s
}

var headText = map[string]string{
	unet.HeadForeground: "probability that a pixel lies in a nucleus",
	unet.HeadBorder:     "probability that a pixel lies between touching nuclei",
	unet.HeadDistance:   "distance to the nucleus' boundary, 1 at its centre",
}

// preprocessing is how an image becomes the network's input.
func preprocessing(in unet.Input) []object {
	if in.Normalise == "percentile" {
		return []object{{"id": "scale_range", "kwargs": object{
			"axes": []string{"channel", "y", "x"}, "min_percentile": in.Low, "max_percentile": in.High, "eps": 1e-6}}}
	}
	return []object{{"id": "scale_linear", "kwargs": object{"gain": 1.0 / 255, "offset": 0.0}}}
}

func channelNames(n int) (names []string) {
	if n == 3 {
		return []string{"red", "green", "blue"}
	}
	for i := range n {
		names = append(names, fmt.Sprintf("channel%d", i))
	}
	return names
}

// packer adds files to an archive.
type packer struct {
	zip *zip.Writer
	err error
}

// add returns the description of the file: its name and hash.
func (z *packer) add(name string, data []byte) object {
	f, err := z.zip.Create(name)
	if err == nil {
		_, err = f.Write(data)
	}
	z.err = errors.Join(z.err, err)
	hash := sha256.Sum256(data)
	return object{"source": name, "sha256": hex.EncodeToString(hash[:])}
}

// npy is a NumPy file.
func npy[T float32 | uint32](values []T, dims ...int) []byte {
	kind := "<f4"
	if _, whole := any(values).([]uint32); whole {
		kind = "<u4"
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", kind, strings.Trim(strings.ReplaceAll(fmt.Sprint(dims), " ", ", "), "[]"))
	for (10+len(header)+1)%64 != 0 {
		header += " "
	}
	header += "\n"
	b := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(header)))
	b = append(b, header...)
	b, err := binary.Append(b, binary.LittleEndian, values)
	if err != nil {
		panic(err) // not of slices of numbers
	}
	return b
}

// samples are those of an image for a network of n channels, as the predictor
// gives them.
func samples(img *imageio.Image, n int) (x []float32) {
	for c := range n {
		x = append(x, img.Pix[c%img.C*img.W*img.H:][:img.W*img.H]...)
	}
	return x
}

// coverOf is the example beside itself with the foreground in colour.
func coverOf(img *imageio.Image, m instance.Maps) ([]byte, error) {
	top := slices.Max(img.Pix)
	fg := m.Plane(unet.HeadForeground)
	out := image.NewRGBA(image.Rect(0, 0, 2*img.W, img.H))
	for y := range img.H {
		for x := range img.W {
			var c [3]float32
			for i := range c {
				c[i] = 255 * img.Pix[i%img.C*img.W*img.H+y*img.W+x] / max(top, 1e-6)
			}
			gray := (c[0] + c[1] + c[2]) / 3
			p := fg[y*img.W+x]
			out.SetRGBA(x, y, color.RGBA{byte(c[0]), byte(c[1]), byte(c[2]), 255})
			out.SetRGBA(img.W+x, y, color.RGBA{byte(gray * (1 - p)), byte(gray*(1-p) + 200*p), byte(gray*(1-p) + 120*p), 255})
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, out)
	return b.Bytes(), err
}

// description is what reading needs of a package's rdf.yaml, of versions 0.4
// and 0.5.
type description struct {
	Type    string `yaml:"type"`
	Format  string `yaml:"format_version"`
	Name    string `yaml:"name"`
	License string `yaml:"license"`
	Inputs  []struct {
		Preprocessing []struct {
			ID     string         `yaml:"id"`
			Name   string         `yaml:"name"` // 0.4
			Kwargs map[string]any `yaml:"kwargs"`
		} `yaml:"preprocessing"`
	} `yaml:"inputs"`
	Weights map[string]struct {
		Source string `yaml:"source"`
	} `yaml:"weights"`
}

// ReadPackage reads a model from a bioimage.io package that holds ONNX weights.
// With normalised, o.Input and o.Scale hold instead of the package's
// preprocessing.
func ReadPackage(file string, o Options, normalised bool) (*unet.Model, *Summary, error) {
	fail := func(err error) error {
		return &unet.ModelError{Name: file, Problem: err.Error(), Advice: "a package needs an rdf.yaml and ONNX weights of a U-Net"}
	}
	data, err := readFile(file)
	if err != nil {
		return nil, nil, err
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, nil, fail(err)
	}
	var d description
	text, err := member(z, 1<<20, "rdf.yaml", "bioimageio.yaml")
	if err == nil {
		err = yaml.Unmarshal(text, &d)
	}
	if err != nil {
		return nil, nil, fail(err)
	}
	source := d.Weights["onnx"].Source
	switch {
	case d.Type != "model" || len(d.Inputs) != 1:
		return nil, nil, fail(errors.New("it is not a package of a model with one input"))
	case source == "":
		return nil, nil, fail(fmt.Errorf("it has no ONNX weights, but %s", strings.Join(slices.Sorted(maps.Keys(d.Weights)), ", ")))
	}
	if !normalised {
		if err := d.preprocessing(&o); err != nil {
			return nil, nil, &unet.ModelError{Name: file, Problem: err.Error(), Advice: "say which normalisation is the same, if one is", Option: "normalise"}
		}
	}
	if o.Name == "" {
		o.Name = d.Name
	}
	graph, err := member(z, maxFile, source)
	if err != nil {
		return nil, nil, fail(err)
	}
	m, s, err := read(file, graph, nil, o)
	if err == nil && !s.Card {
		m.Card.Training.License = d.License
	}
	return m, s, err
}

// preprocessing takes over how the package normalises images.
func (d *description) preprocessing(o *Options) error {
	number := func(v any, missing float64) float64 {
		switch v := v.(type) {
		case int:
			return float64(v)
		case float64:
			return v
		}
		return missing
	}
	known := false
	for _, p := range d.Inputs[0].Preprocessing {
		switch id := p.ID + p.Name; id {
		case "ensure_dtype":
		case "scale_range":
			if known {
				return errors.New("it normalises images twice")
			}
			known = true
			if !eachImage(p.Kwargs) {
				return fmt.Errorf("scale_range over axes %v: an image is normalised as a whole here", p.Kwargs["axes"])
			}
			if ref := p.Kwargs["reference_tensor"]; ref != nil {
				return errors.New("scale_range by another tensor")
			}
			o.Input = unet.Input{Normalise: "percentile", Low: number(p.Kwargs["min_percentile"], 0), High: number(p.Kwargs["max_percentile"], 100)}
			o.Scale = 1
		case "scale_linear":
			gain, offset := number(p.Kwargs["gain"], math.NaN()), number(p.Kwargs["offset"], 0)
			if known || offset != 0 || !(math.Abs(gain*255-1) < 1e-3) {
				return fmt.Errorf("scale_linear by %v: a division by 255 is possible", p.Kwargs)
			}
			known = true
			o.Input, o.Scale = unet.Input{Normalise: "range"}, 1
		default:
			return fmt.Errorf("preprocessing %q: scale_range by percentiles is possible", id)
		}
	}
	if !known {
		return errors.New("it does not normalise images")
	}
	return nil
}

// eachImage reports whether the axes of a normalisation are all but the batch.
func eachImage(kwargs map[string]any) bool {
	switch axes := kwargs["axes"].(type) {
	case nil: // all: a batch of one image
		return kwargs["mode"] != "per_dataset"
	case string: // 0.4
		return strings.Contains(axes, "x") && strings.Contains(axes, "y") && strings.Contains(axes, "c")
	case []any:
		return slices.Contains(axes, any("x")) && slices.Contains(axes, any("y")) && len(axes) >= 3
	}
	return false
}

// member reads the first of the named files that an archive holds.
func member(z *zip.Reader, most int64, names ...string) ([]byte, error) {
	for _, name := range names {
		for _, f := range z.File {
			if path.Clean(f.Name) != path.Clean(name) {
				continue
			}
			r, err := f.Open()
			if err != nil {
				return nil, err
			}
			defer r.Close()
			b, err := io.ReadAll(io.LimitReader(r, most+1))
			if err == nil && int64(len(b)) > most {
				err = fmt.Errorf("%s has more than %d bytes", name, most)
			}
			return b, err
		}
	}
	return nil, fmt.Errorf("it holds no %s", names[0])
}
