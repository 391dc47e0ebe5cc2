package cli

import (
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/evaluate"
	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/onnx"
	"unet/unet/plugins"
)

// Results of commands as --json prints them. Those of predict, train, sweep and
// evaluate are in the packages of these names. README.md lists all fields; a test
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
	Version string `json:"version"` // of the program
	Go      string `json:"go"`      // version of Go that it was built with
	System  string `json:"system"`  // operating system and processor, such as linux/amd64
}

type infoResult struct {
	header
	Version string   `json:"version"`   // of the program
	Go      string   `json:"go"`        // version of Go that it was built with
	System  string   `json:"system"`    // operating system and processor
	CPU     string   `json:"cpu"`       // name of the processor
	ISA     string   `json:"kernels"`   // instruction set in use
	ISAs    []string `json:"available"` // instruction sets that work here
	Threads int      `json:"threads"`
	Models  []string `json:"models"` // built-in models
}

type cardResult struct {
	header
	unet.Card
}

type doctorResult struct {
	header
	Findings []finding `json:"findings"`
}

type licencesResult struct {
	header
	Modules []licenceOf `json:"modules"`
}

type sampleResult struct {
	header
	File   string `json:"file"`
	Images int    `json:"images"`
	Size   int    `json:"size"` // width and height of an image
	Seed   uint64 `json:"seed"`
}

type prepareResult struct {
	header
	Dir       string            `json:"dir"`       // of the set
	Unchanged bool              `json:"unchanged"` // the set was there already, from the same images
	Source    dataset.Origin    `json:"source"`    // what the set was made from
	Settings  dataset.Settings  `json:"settings"`
	Counts    dataset.Counts    `json:"counts"`
	Findings  []dataset.Finding `json:"findings"` // what is odd about the images
}

// inspectResult is inspection.json, too.
type inspectResult struct {
	header
	Name     string            `json:"name"`
	Prepared bool              `json:"prepared"` // a set that unet prepare wrote
	Source   dataset.Origin    `json:"source"`
	Counts   dataset.Counts    `json:"counts"`
	Stats    *dataset.Stats    `json:"stats"`
	Entries  []dataset.Entry   `json:"entries"` // an image each
	Findings []dataset.Finding `json:"findings"`
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
	Labels    string             `json:"labels"` // name of the label image
	Width     int                `json:"width"`
	Height    int                `json:"height"`
	PixelSize imageio.PixelSize  `json:"pixel_size_um,omitzero"`
	Channels  []string           `json:"channels"` // names of those measured
	Summary   instance.Summary   `json:"summary"`
	Columns   []instance.Column  `json:"columns"` // of the table of nuclei
	Nuclei    []instance.Nucleus `json:"nuclei"`
}

type viewResult struct {
	header
	Out    string `json:"out"` // the picture
	Width  int    `json:"width"`
	Height int    `json:"height"`
}

type convertResult struct {
	header
	Out         string `json:"out"` // file or folder written
	Images      int    `json:"images"`
	Nuclei      int    `json:"nuclei"`
	Overlapping int    `json:"overlapping_pixels"` // where nuclei overlap; the earlier keeps each
}

type exportResult struct {
	header
	File string   `json:"file"`
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
	Matched [][2]string `json:"matched"` // names of weights: those given, and those here
}

type pluginsResult struct {
	header
	Plugins []plugins.Plugin `json:"plugins"`
}

type pluginResult struct {
	header
	plugins.Plugin
	Files []string `json:"files"` // written
}
