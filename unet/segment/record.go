package segment

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"unet/unet"
	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// Summary records a run: what was done to which images with what. It is the
// manifest, and what `unet predict --json` prints.
type Summary struct {
	Schema   int    `json:"schema"`   // version of the layout: a field that goes or changes its meaning raises it
	Program  string `json:"program"`  // name of the program that ran
	Version  string `json:"version"`  // its version
	Started  string `json:"started"`  // date and time, RFC 3339
	Finished string `json:"finished"` // date and time, RFC 3339
	// Seconds is how long the run took.
	Seconds     float64     `json:"seconds"`
	Interrupted bool        `json:"interrupted"` // the run was ended before all images were done
	Model       ModelRecord `json:"model"`       // the model that was used
	Settings    Settings    `json:"settings"`    // the settings of the run
	Done        int         `json:"done"`        // images segmented in this run
	Skipped     int         `json:"skipped"`     // images whose results of an earlier run stand
	Failed      int         `json:"failed"`      // images that could not be segmented
	Planes      int         `json:"planes"`      // planes in images done or skipped
	Nuclei      int         `json:"nuclei"`      // nuclei in all of them
	// LeftOut are nuclei that were found and do not count.
	LeftOut      []instance.Dropped `json:"dropped,omitempty"`
	Columns      []formats.Column   `json:"columns"`              // the columns of the table of nuclei
	ImageColumns []formats.Column   `json:"image_columns"`        // the columns of the table of images
	Markers      []MarkerRecord     `json:"markers,omitempty"`    // markers that tell positive nuclei from negative ones
	Conditions   []ConditionRecord  `json:"conditions,omitempty"` // comparison of the conditions, where the images have one
	Images       []*ImageRecord     `json:"images"`               // what became of each image, in order
}

// schema is the version of Summary as JSON.
const schema = 3

// ModelRecord says which model was used.
type ModelRecord struct {
	Name    string `json:"name"`              // name of the model
	Kind    string `json:"kind"`              // nuclei or paper
	SHA256  string `json:"sha256"`            // digest of the model file, in hexadecimal
	License string `json:"license,omitempty"` // licence of the weights
}

// Settings are what decides the results, as text that people read.
type Settings struct {
	Formats    []string          `json:"formats"`             // formats of the results, as --format names them
	Page       string            `json:"page"`                // pages of each file, counted from 0, or all
	Channel    string            `json:"channel"`             // channels that were segmented, by name or by number from 0
	Z          string            `json:"z"`                   // slices, counted from 0, or all
	T          string            `json:"t"`                   // time points, counted from 0, or all
	Well       string            `json:"well,omitempty"`      // wells of a plate
	Field      string            `json:"field,omitempty"`     // fields of wells, counted from 0
	Level      int               `json:"level,omitempty"`     // level of a pyramid, 0 the largest
	Diameter   string            `json:"diameter"`            // auto, native, or the diameter given, in pixels or µm
	PixelSize  imageio.PixelSize `json:"pixel_size,omitzero"` // size of a pixel that was given, in µm; [width, height] where pixels are not square
	TTA        bool              `json:"tta"`                 // maps were averaged over mirrored images
	Precision  string            `json:"precision"`           // what the network computed in: float32, bfloat16 or int8
	Threshold  float64           `json:"threshold"`           // foreground probability above which a pixel is in the mask of a paper model, 0 to 1
	Instance   instance.Params   `json:"instance"`            // parameters that turn maps into nuclei
	MinAreaSet bool              `json:"min_area_set"`        // the smallest area was given, in pixels of the image whatever the scale
	Ring       string            `json:"ring,omitempty"`      // width of the rings that were measured, in pixels or µm
	Stains     string            `json:"stains,omitempty"`    // stains that were separated: he, hdab or hed
	Keep       string            `json:"keep,omitempty"`      // rules that nuclei had to fulfil
	Region     string            `json:"region,omitempty"`    // file or folder of regions that nuclei had to lie in
	ColourBy   string            `json:"colour_by,omitempty"` // column that nuclei are coloured by in pictures
}

// Status of an image.
const (
	Done    = "done"
	Skipped = "skipped" // the results of an earlier run stand
	Failed  = "failed"
)

// ImageRecord is what became of one input.
type ImageRecord struct {
	Input  string `json:"input"`            // path of the file as it was given
	Name   string `json:"name"`             // name of the image, by which results are named
	Format string `json:"format,omitempty"` // file format, such as TIFF
	SHA256 string `json:"sha256,omitempty"` // digest of the file, in hexadecimal
	// RegionSHA256 is that of the file with the region.
	RegionSHA256 string        `json:"region_sha256,omitempty"`
	Status       string        `json:"status"`           // done, skipped or failed
	Error        string        `json:"error,omitempty"`  // why it failed
	Hint         string        `json:"hint,omitempty"`   // what to do about it
	Notes        []string      `json:"notes,omitempty"`  // remarks on the file
	Planes       []PlaneRecord `json:"planes,omitempty"` // what was found in each plane

	// Err is the error whose text is Error.
	Err error `json:"-"`
}

// PlaneRecord is what was found in one plane of an image.
type PlaneRecord struct {
	Plane      string            `json:"plane"`                       // place of the plane in the file, such as page 0
	Suffix     string            `json:"suffix,omitempty"`            // what the names of its results carry behind that of the image
	ID         string            `json:"id"`                          // name in Kaggle's tables
	Width      int               `json:"width"`                       // width of the plane, in pixels
	Height     int               `json:"height"`                      // height of the plane, in pixels
	FullWidth  int               `json:"full_width,omitempty"`        // width at full resolution, where another level of a pyramid was segmented
	FullHeight int               `json:"full_height,omitempty"`       // height at full resolution, as full_width
	PixelSize  imageio.PixelSize `json:"pixel_size_um,omitzero"`      // size of a pixel, in µm; [width, height] where pixels are not square
	Scale      float64           `json:"scale"`                       // how much the plane was enlarged for the network
	Estimate   float64           `json:"diameter_estimate,omitempty"` // usual diameter that was found before scaling, in pixels of the plane; absent: not estimated
	Corrected  bool              `json:"corrected,omitempty"`         // a person has corrected the nuclei
	Banded     bool              `json:"banded,omitempty"`            // the plane was too large for memory and was done in bands
	Nuclei     int               `json:"nuclei"`                      // number of nuclei
	Diameter   float64           `json:"diameter_median"`             // their median equivalent diameter, in pixels
	Seconds    float64           `json:"seconds"`                     // computing time
	Outputs    []string          `json:"outputs"`                     // files of the results, below the folder of the batch
	Thumbnail  *Thumbnail        `json:"thumbnail,omitempty"`         // small picture with the outlines
	Condition  string            `json:"condition,omitempty"`         // condition of the image, from its folder, name, well or a table
	WellName   string            `json:"well,omitempty"`              // well of the image, from its plate or its name
	OnPlate    bool              `json:"on_plate,omitempty"`          // the file is a plate, and says the well
	Warnings   []string          `json:"warnings,omitempty"`          // what may be wrong with the result
	Notes      []string          `json:"notes,omitempty"`             // what is good to know of it
	Channels   []string          `json:"channels"`                    // names of the channels that were measured
	Rings      bool              `json:"rings,omitempty"`             // rings around the nuclei were measured, too
	Region     int               `json:"region_area,omitempty"`       // number of pixels in which nuclei were counted; absent: all
	Positive   map[string]int    `json:"positive,omitempty"`          // positive nuclei, by marker
	Judged     map[string]int    `json:"judged,omitempty"`            // nuclei whose value is known, by marker: positive and negative ones
	Statistics Statistics        `json:"statistics"`                  // numbers of all its nuclei together
}

// Statistics are an instance.Summary whose coverage and intensities may be no numbers, as
// samples of float images may.
type Statistics struct {
	instance.Summary
	Coverage      Number   `json:"coverage"`                 // share of the pixels in which nuclei count that lie in them; null where it is not known any more
	Intensity     []Number `json:"intensity,omitempty"`      // mean over nuclei of the mean of each channel, null where it is no number
	RingIntensity []Number `json:"ring_intensity,omitempty"` // mean over rings of the mean of each channel
}

// Number is null in JSON where it is not finite.
type Number float64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if v := float64(n); math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

// NewStatistics makes a summary fit for JSON.
func NewStatistics(s instance.Summary) Statistics {
	out := Statistics{Summary: s, Coverage: Number(s.Coverage)}
	for _, v := range s.Intensity {
		out.Intensity = append(out.Intensity, Number(v))
	}
	for _, v := range s.RingIntensity {
		out.RingIntensity = append(out.RingIntensity, Number(v))
	}
	out.Summary.Coverage, out.Summary.Intensity, out.Summary.RingIntensity = 0, nil, nil
	return out
}

// count enters the statistics of the nuclei.
func (p *PlaneRecord) count(s instance.Summary) {
	p.Nuclei, p.Diameter, p.Statistics = s.Count, s.DiameterMedian, NewStatistics(s)
}

// row is the plane's line of the table of all images.
func (p *PlaneRecord) row(image string) (columns, values []string) {
	s := p.Statistics.Summary
	s.Coverage = float64(p.Statistics.Coverage)
	for _, v := range p.Statistics.Intensity {
		s.Intensity = append(s.Intensity, float64(v))
	}
	for _, v := range p.Statistics.RingIntensity {
		s.RingIntensity = append(s.RingIntensity, float64(v))
	}
	src := p.source(image)
	for _, c := range formats.SummaryColumns(src) {
		columns = append(columns, c.Name)
	}
	values = formats.SummaryRow(src, s)
	add := func(name, value string) { columns, values = append(columns, name), append(values, value) }
	add("diameter_estimate", formats.Number(orNaN(p.Estimate)))
	add("scale", formats.Number(p.Scale))
	for _, name := range slices.Sorted(maps.Keys(p.Positive)) {
		add(formats.PositiveColumn+name, strconv.Itoa(p.Positive[name]))
		add(formats.PositiveShare+name, formats.Number(p.positiveShare(name)))
	}
	if p.Condition != "" {
		add(formats.ConditionColumn, p.Condition)
	}
	if p.WellName != "" {
		add(formats.WellColumn, p.WellName)
	}
	if p.Corrected {
		add(formats.CorrectedColumn, strconv.FormatBool(true))
	}
	return columns, values
}

// source describes the plane for tables.
func (p *PlaneRecord) source(image string) formats.Source {
	return formats.Source{Name: image + p.Suffix, W: p.Width, H: p.Height, FullW: p.FullWidth, FullH: p.FullHeight,
		PixelSize: p.PixelSize, Channels: p.Channels, Rings: p.Rings, Region: p.Region}
}

// positiveShare is the share of nuclei positive for a marker, of those whose value is
// known; NaN of none.
func (p *PlaneRecord) positiveShare(marker string) float64 {
	if p.Judged[marker] == 0 {
		return math.NaN()
	}
	return float64(p.Positive[marker]) / float64(p.Judged[marker])
}

// density is the number of nuclei per mm²; NaN where the size of a pixel is not
// known.
func (p *PlaneRecord) density() float64 {
	if !p.PixelSize.Known() {
		return math.NaN()
	}
	src := p.source("")
	return formats.Density(&src, &p.Statistics.Summary)
}

// fail records the first error of an image.
func (r *ImageRecord) fail(err error) {
	if r.Err != nil {
		return
	}
	r.Status, r.Err, r.Error = Failed, err, err.Error()
	r.Hint = hint(err)
}

// hint is what an error advises.
func hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// failure is what to tell of an image that failed.
func (r *ImageRecord) failure() string {
	text := r.Error
	if !strings.Contains(text, r.Input) {
		text = r.Input + ": " + text
	}
	if r.Hint != "" {
		text += "; " + r.Hint
	}
	return text
}

// newSummary begins the record of a run.
func newSummary(m *unet.Model, s Settings, version string, start time.Time) Summary {
	return Summary{Schema: schema, Program: "unet", Version: version, Started: start.UTC().Format(time.RFC3339),
		Model: ModelRecord{modelName(m), m.Card.Kind, m.SHA256, m.Card.Training.License}, Settings: s, Columns: formats.Columns, ImageColumns: formats.ImageColumns(), Images: []*ImageRecord{}}
}

// modelName is the model's name, or its kind if it has none.
func modelName(m *unet.Model) string {
	if m.Card.Name != "" {
		return m.Card.Name
	}
	return m.Card.Kind
}

// count sums up the images.
func (s *Summary) count() {
	s.Done, s.Skipped, s.Failed, s.Planes, s.Nuclei, s.LeftOut = 0, 0, 0, 0, 0, nil
	for _, im := range s.Images {
		switch im.Status {
		case Done:
			s.Done++
		case Skipped:
			s.Skipped++
		case Failed:
			s.Failed++
		}
		s.Planes += len(im.Planes)
		for _, p := range im.Planes {
			s.Nuclei += p.Nuclei
			for _, d := range p.Statistics.LeftOut {
				s.LeftOut = instance.Count(s.LeftOut, d.Why, d.Nuclei)
			}
		}
	}
}

// corrected is the number of planes whose nuclei a person has corrected.
func (s *Summary) corrected() (n int) {
	for _, im := range s.Images {
		for i := range im.Planes {
			if im.Planes[i].Corrected {
				n++
			}
		}
	}
	return n
}

// table lists the rows of all planes under one header. Images may have
// different channels: the table has a column for each. The line of an image that
// failed says why, in a column of its own.
func (s *Summary) table() [][]string {
	header, rows := []string{}, [][]string{nil}
	add := func(columns, values []string) {
		row := make([]string, len(header))
		for k, c := range columns {
			at := slices.Index(header, c)
			if at < 0 {
				at = len(header)
				header, row = append(header, c), append(row, "")
			}
			row[at] = values[k]
		}
		rows = append(rows, row)
	}
	for _, im := range s.Images {
		for i := range im.Planes {
			add(im.Planes[i].row(im.Name))
		}
		if im.Status == Failed {
			add([]string{"image", formats.ErrorColumn}, []string{im.Name, im.Error})
		}
	}
	if len(header) == 0 {
		header = []string{"image"}
	}
	rows[0] = header
	for i, row := range rows {
		rows[i] = append(row, make([]string, len(header)-len(row))...)
	}
	return rows
}
