package cli

import (
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/evaluate"
	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/onnx"
	"unet/unet/plugins"
	"unet/unet/segment"
)

// Results of commands as --json prints them. Those of predict, train, sweep and
// evaluate are in the packages of these names. JSON.md lists all fields; a test
// makes the tables from these types.

// header begins a result.
type header struct {
	// Schema is the version of the layout: a field that goes or changes its
	// meaning raises it.
	Schema int `json:"schema"`
}

// firstLayout is the header of results that were never other.
var firstLayout = header{1}

// secondLayout is the header of results that were lists once, without a number.
var secondLayout = header{2}

type versionResult struct {
	header
	Version string `json:"version"` // version of the program
	Go      string `json:"go"`      // version of Go that it was built with
	System  string `json:"system"`  // operating system and processor, such as linux/amd64
}

type infoResult struct {
	header
	Version string   `json:"version"`   // version of the program
	Go      string   `json:"go"`        // version of Go that it was built with
	System  string   `json:"system"`    // operating system and processor
	CPU     string   `json:"cpu"`       // name of the processor
	ISA     string   `json:"kernels"`   // instruction set in use
	ISAs    []string `json:"available"` // instruction sets that work here
	Threads int      `json:"threads"`   // number of threads in use
	Models  []string `json:"models"`    // built-in models
}

type cardResult struct {
	header
	unet.Card
}

type doctorResult struct {
	header
	Findings []finding `json:"findings"` // what was checked
}

type licencesResult struct {
	header
	Modules []licenceOf `json:"modules"` // modules in the program
}

type sampleResult struct {
	header
	File   string `json:"file"`   // the archive written
	Images int    `json:"images"` // number of images
	Size   int    `json:"size"`   // width and height of an image, in pixels
	Seed   uint64 `json:"seed"`   // seed that they were drawn with
}

type prepareResult struct {
	header
	Dir       string            `json:"dir"`       // folder of the set
	Unchanged bool              `json:"unchanged"` // the set was there already, from the same images
	Source    dataset.Origin    `json:"source"`    // what the set was made from
	Settings  dataset.Settings  `json:"settings"`  // what the set was prepared with
	Counts    dataset.Counts    `json:"counts"`    // what is in the set
	Findings  []dataset.Finding `json:"findings"`  // what is odd about the images
}

// inspectResult is inspection.json, too.
type inspectResult struct {
	header
	Name     string            `json:"name"`     // the archive or folder
	Prepared bool              `json:"prepared"` // it is a set that unet prepare wrote
	Source   dataset.Origin    `json:"source"`   // what was inspected
	Counts   dataset.Counts    `json:"counts"`   // what is in it
	Stats    *dataset.Stats    `json:"stats"`    // statistics of images and nuclei
	Entries  []dataset.Entry   `json:"entries"`  // each image
	Findings []dataset.Finding `json:"findings"` // what is odd about the images
}

type solutionResult struct {
	header
	*evaluate.SolutionScores
}

type quantizeResult struct {
	header
	File string `json:"file"` // the model written
	*evaluate.Quantization
	Speedup float64 `json:"speedup"` // times faster than before
}

type measureResult struct {
	header
	Labels    string                 `json:"labels"`                 // name of the label image
	Width     int                    `json:"width"`                  // width of the label image, in pixels
	Height    int                    `json:"height"`                 // its height
	PixelSize imageio.PixelSize      `json:"pixel_size_um,omitzero"` // size of a pixel, in µm; [width, height] where pixels are not square
	Channels  []string               `json:"channels"`               // names of the channels that were measured
	Summary   segment.Statistics     `json:"summary"`                // numbers of all nuclei together
	Columns   []instance.Column      `json:"columns"`                // the columns of the table of nuclei
	Markers   []segment.MarkerRecord `json:"markers,omitempty"`      // thresholds of --positive
	Positive  map[string][]uint32    `json:"positive,omitempty"`     // numbers of the nuclei that are positive, by marker
	Nuclei    []instance.Nucleus     `json:"nuclei"`                 // each nucleus
}

type viewResult struct {
	header
	Out    string `json:"out"`    // the picture
	Width  int    `json:"width"`  // width of the picture, in pixels
	Height int    `json:"height"` // its height
}

type convertResult struct {
	header
	Out         string `json:"out"`                // the file or folder written
	Images      int    `json:"images"`             // number of images
	Nuclei      int    `json:"nuclei"`             // number of nuclei
	Overlapping int    `json:"overlapping_pixels"` // where nuclei overlap; the earlier keeps each
}

type exportResult struct {
	header
	File string   `json:"file"` // the file written
	Maps []string `json:"maps"` // outputs of the network
}

type importResult struct {
	header
	File string `json:"file"` // the model written
	*onnx.Summary
}

type importStateResult struct {
	header
	File    string      `json:"file"`    // the model written
	Matched [][2]string `json:"matched"` // names of weights: in the file, and in the model
}

type pluginsResult struct {
	header
	Plugins []plugins.Plugin `json:"plugins"` // plugins that can be installed
}

type pluginResult struct {
	header
	plugins.Plugin
	Files []string `json:"files"` // the files written
}
