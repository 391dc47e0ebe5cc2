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
	Schema   int    `json:"schema"`
	Program  string `json:"program"`
	Version  string `json:"version"`
	Started  string `json:"started"`
	Finished string `json:"finished"`
	// Seconds is how long the run took.
	Seconds     float64     `json:"seconds"`
	Interrupted bool        `json:"interrupted"`
	Model       ModelRecord `json:"model"`
	Settings    Settings    `json:"settings"`
	Done        int         `json:"done"`
	Skipped     int         `json:"skipped"`
	Failed      int         `json:"failed"`
	Planes      int         `json:"planes"`
	Nuclei      int         `json:"nuclei"`
	// LeftOut are nuclei that were found and do not count.
	LeftOut []instance.Dropped `json:"dropped,omitempty"`
	// Columns describes those of the table of nuclei, ImageColumns those of the
	// table of images.
	Columns      []formats.Column `json:"columns"`
	ImageColumns []formats.Column `json:"image_columns"`
	// Markers tell positive nuclei from others.
	Markers []MarkerRecord `json:"markers,omitempty"`
	// Conditions compare the images, where the user tells them apart.
	Conditions []ConditionRecord `json:"conditions,omitempty"`
	Images     []*ImageRecord    `json:"images"`
}

// schema is the version of Summary as JSON.
const schema = 3

// ModelRecord says which model was used.
type ModelRecord struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	SHA256  string `json:"sha256"`
	License string `json:"license,omitempty"`
}

// Settings are what decides the results, as text that people read.
type Settings struct {
	Formats    []string          `json:"formats"`
	Page       string            `json:"page"`
	Channel    string            `json:"channel"`
	Z          string            `json:"z"`
	T          string            `json:"t"`
	Well       string            `json:"well,omitempty"`
	Field      string            `json:"field,omitempty"`
	Level      int               `json:"level,omitempty"`
	Diameter   string            `json:"diameter"`
	PixelSize  imageio.PixelSize `json:"pixel_size,omitzero"`
	TTA        bool              `json:"tta"`
	Precision  string            `json:"precision"`
	Threshold  float64           `json:"threshold"` // of masks of a paper model
	Instance   instance.Params   `json:"instance"`
	MinAreaSet bool              `json:"min_area_set"` // in pixels of the image, whatever the scale
	Ring       string            `json:"ring,omitempty"`
	Stains     string            `json:"stains,omitempty"`
	Keep       string            `json:"keep,omitempty"`
	Region     string            `json:"region,omitempty"`
	ColourBy   string            `json:"colour_by,omitempty"`
}

// Status of an image.
const (
	Done    = "done"
	Skipped = "skipped" // the results of an earlier run stand
	Failed  = "failed"
)

// ImageRecord is what became of one input.
type ImageRecord struct {
	Input  string `json:"input"`
	Name   string `json:"name"`
	Format string `json:"format,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// RegionSHA256 is that of the file with the region.
	RegionSHA256 string        `json:"region_sha256,omitempty"`
	Status       string        `json:"status"`
	Error        string        `json:"error,omitempty"`
	Hint         string        `json:"hint,omitempty"`
	Notes        []string      `json:"notes,omitempty"`
	Planes       []PlaneRecord `json:"planes,omitempty"`

	// Err is the error whose text is Error.
	Err error `json:"-"`
}

// PlaneRecord is what was found in one plane of an image.
type PlaneRecord struct {
	Plane     string            `json:"plane"`
	Suffix    string            `json:"suffix,omitempty"`
	ID        string            `json:"id"` // in Kaggle's tables
	Width     int               `json:"width"`
	Height    int               `json:"height"`
	PixelSize imageio.PixelSize `json:"pixel_size_um,omitzero"`
	// Scale is how much the plane was enlarged for the network, Estimate the
	// usual diameter found before, in pixels of the plane; 0: not estimated.
	Scale    float64 `json:"scale"`
	Estimate float64 `json:"diameter_estimate,omitempty"`
	// Corrected says that a person has corrected the nuclei.
	Corrected bool `json:"corrected,omitempty"`
	// Banded says that the plane was too large for memory.
	Banded    bool       `json:"banded,omitempty"`
	Nuclei    int        `json:"nuclei"`
	Diameter  float64    `json:"diameter_median"`
	Seconds   float64    `json:"seconds"`
	Outputs   []string   `json:"outputs"`
	Thumbnail *Thumbnail `json:"thumbnail,omitempty"`
	// Condition and WellName are what the image's name tells.
	Condition string   `json:"condition,omitempty"`
	WellName  string   `json:"well,omitempty"`
	OnPlate   bool     `json:"on_plate,omitempty"` // the file is one, and says the well
	Warnings  []string `json:"warnings,omitempty"`
	Notes     []string `json:"notes,omitempty"`
	// Channels names the channels that were measured, Statistics are those of
	// the nuclei.
	Channels []string `json:"channels"`
	// Rings says that they were measured around the nuclei, too; Region is the
	// number of pixels in which nuclei were counted, 0 for all.
	Rings  bool `json:"rings,omitempty"`
	Region int  `json:"region_area,omitempty"`
	// Positive is how many nuclei are positive, by marker.
	Positive   map[string]int `json:"positive,omitempty"`
	Statistics Statistics     `json:"statistics"`
}

// Statistics are an instance.Summary whose intensities may be no numbers, as
// samples of float images may.
type Statistics struct {
	instance.Summary
	Intensity     []Number `json:"intensity,omitempty"`
	RingIntensity []Number `json:"ring_intensity,omitempty"`
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

// count enters the statistics of the nuclei.
func (p *PlaneRecord) count(s instance.Summary) {
	p.Nuclei, p.Diameter, p.Statistics.Summary = s.Count, s.DiameterMedian, s
	for _, v := range s.Intensity {
		p.Statistics.Intensity = append(p.Statistics.Intensity, Number(v))
	}
	for _, v := range s.RingIntensity {
		p.Statistics.RingIntensity = append(p.Statistics.RingIntensity, Number(v))
	}
	p.Statistics.Summary.Intensity, p.Statistics.Summary.RingIntensity = nil, nil
}

// row is the plane's line of the table of all images.
func (p *PlaneRecord) row(image string) (columns, values []string) {
	s := p.Statistics.Summary
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
	return formats.Source{Name: image + p.Suffix, W: p.Width, H: p.Height, PixelSize: p.PixelSize, Channels: p.Channels, Rings: p.Rings, Region: p.Region}
}

// positiveShare is the share of nuclei positive for a marker; NaN of none.
func (p *PlaneRecord) positiveShare(marker string) float64 {
	positive, ok := p.Positive[marker]
	if !ok || p.Nuclei == 0 {
		return math.NaN()
	}
	return float64(positive) / float64(p.Nuclei)
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
			add([]string{"image", "error"}, []string{im.Name, im.Error})
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
