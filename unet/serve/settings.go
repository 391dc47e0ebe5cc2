package serve

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/segment"
)

// SettingNames are the options of `unet predict` that the page offers, in order.
var SettingNames = []string{"diameter", "pixel-size", "threshold", "min-area", "remove-edge", "keep", "region",
	"ring", "stains", "positive", "colour-by", "condition", "tta", "precision", "format", "channel", "z", "t", "page", "well", "field", "level"}

// ResultFormats are those of results where the setting format names no others. The
// page needs labels, tables and pictures in any case.
var ResultFormats = []string{segment.CSV, segment.GeoJSON, segment.Labels, segment.Overlay, segment.ROI}

var neededFormats = []string{segment.CSV, segment.Labels, segment.Overlay}

// Setting describes an option in the words of the command.
type Setting struct {
	Name string `json:"name"`
	// Kind is text, number or flag.
	Kind    string `json:"kind"`
	Default string `json:"default"`
	Help    string `json:"help"`
	Group   string `json:"group"`
}

// settings are values of the options, by their names.
type settings struct {
	Diameter   string  `json:"diameter"`
	PixelSize  string  `json:"pixel-size"`
	Threshold  float64 `json:"threshold"`
	MinArea    *int    `json:"min-area"`
	RemoveEdge bool    `json:"remove-edge"`
	TTA        bool    `json:"tta"`
	Keep       string  `json:"keep"`
	Region     string  `json:"region"`
	Ring       string  `json:"ring"`
	Stains     string  `json:"stains"`
	Positive   string  `json:"positive"`
	ColourBy   string  `json:"colour-by"`
	Condition  string  `json:"condition"`
	Precision  string  `json:"precision"`
	Format     string  `json:"format"`
	Channel    string  `json:"channel"`
	Z          string  `json:"z"`
	T          string  `json:"t"`
	Page       string  `json:"page"`
	Well       string  `json:"well"`
	Field      string  `json:"field"`
	Level      *int    `json:"level"`
}

// read enters the settings into a batch and returns the options for a model. Files
// and folders they name must lie in root.
func (t settings) read(b *segment.Batch, root *os.Root, m *unet.Model) (o segment.Options, err error) {
	bad := func(name, value string, err error) error {
		return &apiError{http.StatusBadRequest, name + " " + clip(value) + ": " + err.Error()}
	}
	if t.Diameter == "" {
		t.Diameter = "auto"
	}
	o = segment.Options{TTA: t.TTA, RemoveEdge: t.RemoveEdge, Threshold: t.Threshold, MinArea: t.MinArea}
	if o.Diameter, err = segment.ParseDiameter(t.Diameter); err != nil {
		return o, bad("diameter", t.Diameter, err)
	}
	numbers, err := segment.ParsePrecision(t.Precision, m)
	var unsuited *segment.PrecisionError
	if errors.As(err, &unsuited) {
		return o, &apiError{http.StatusBadRequest, unsuited.Error() + "; " + unsuited.Hint()}
	}
	o.BFloat16 = numbers == segment.BFloat16
	if t.PixelSize != "" {
		if o.PixelSize, err = imageio.ParsePixelSize(t.PixelSize); err != nil {
			return o, bad("pixel-size", t.PixelSize, err)
		}
	}
	if !(t.Threshold >= 0 && t.Threshold < 1) || t.MinArea != nil && *t.MinArea < 0 || t.Level != nil && *t.Level < 0 {
		return o, &apiError{http.StatusBadRequest, "threshold: above 0 and below 1; min-area and level: not below 0"}
	}
	if err := t.measuring(b, &o, root); err != nil {
		return o, err
	}
	if segment.IsConditionTable(t.Condition) {
		if t.Condition, err = inside(root, "condition", t.Condition); err != nil {
			return o, err
		}
	}
	if b.Condition, err = segment.ParseCondition(t.Condition); err != nil {
		return o, bad("condition", t.Condition, err)
	}
	c := &b.Choice
	if t.Level != nil {
		c.Level, c.LevelGiven = *t.Level, true
	}
	for _, s := range []struct {
		name, value string
		to          *segment.Selection
	}{{"channel", t.Channel, &c.Channel}, {"z", t.Z, &c.Z}, {"t", t.T, &c.T}, {"page", t.Page, &c.Page}, {"well", t.Well, &c.Well}, {"field", t.Field, &c.Field}} {
		if *s.to, err = segment.ParseSelection(s.value, slices.Contains([]string{"channel", "well"}, s.name)); err != nil {
			return o, bad(s.name, s.value, err)
		}
	}
	return o, nil
}

// measuring reads what is measured, what counts, and how it is shown.
func (t settings) measuring(b *segment.Batch, o *segment.Options, root *os.Root) (err error) {
	read := func(name, value string, parse func() error) {
		if perr := parse(); err == nil && value != "" && perr != nil {
			err = &apiError{http.StatusBadRequest, name + " " + clip(value) + ": " + perr.Error()}
		}
	}
	read("ring", t.Ring, func() (err error) { o.Ring, err = segment.ParseLength(t.Ring); return })
	read("stains", t.Stains, func() (err error) { o.Stains, err = instance.ParseStains(t.Stains); return })
	read("keep", t.Keep, func() (err error) { o.Keep, err = instance.ParseRules(t.Keep); return })
	read("positive", t.Positive, func() (err error) { b.Markers, err = segment.ParseMarkers(t.Positive); return })
	read("colour-by", t.ColourBy, func() (err error) { b.ColourBy, err = segment.ParseColourBy(t.ColourBy); return })
	if err != nil {
		return err
	}
	if t.Region != "" {
		path, err := inside(root, "region", t.Region)
		if err != nil {
			return err
		}
		if b.Regions, err = segment.ParseRegions(path); err != nil {
			return &apiError{http.StatusBadRequest, "region: " + err.Error()}
		}
	}
	b.Formats = slices.Clone(ResultFormats)
	if strings.TrimSpace(t.Format) != "" {
		b.Formats = slices.Clone(neededFormats)
	}
	for f := range strings.SplitSeq(t.Format, ",") {
		switch f = strings.TrimSpace(f); {
		case f == "":
		case !slices.Contains(segment.Formats, f):
			return &apiError{http.StatusBadRequest, "format: there is none " + clip(f) + "; choose from " + strings.Join(segment.Formats, ", ")}
		default:
			b.Formats = append(b.Formats, f)
		}
	}
	slices.Sort(b.Formats)
	b.Formats = slices.Compact(b.Formats)
	return nil
}

// inside is the path of a file or folder that a setting names, which must lie in the
// folder of the images.
func inside(root *os.Root, setting, name string) (string, error) {
	if root != nil {
		if _, err := root.Stat(filepath.FromSlash(name)); err == nil {
			return filepath.Join(root.Name(), filepath.FromSlash(name)), nil
		}
	}
	return "", &apiError{http.StatusBadRequest, setting + ": there is no " + clip(name) + " in the folder of the images"}
}

func (s *Server) getSettings(w http.ResponseWriter, _ *http.Request) error {
	list := s.o.Settings
	if list == nil {
		for _, name := range SettingNames {
			list = append(list, Setting{Name: name, Kind: "text"})
		}
	}
	answer(w, http.StatusOK, list)
	return nil
}
