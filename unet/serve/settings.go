package serve

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet/imageio"
	"unet/unet/segment"
)

// SettingNames are the options of `unet predict` that the page offers, in order.
var SettingNames = []string{"diameter", "pixel-size", "threshold", "min-area", "remove-edge", "tta", "condition",
	"channel", "z", "t", "page", "well", "field", "level"}

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
	Condition  string  `json:"condition"`
	Channel    string  `json:"channel"`
	Z          string  `json:"z"`
	T          string  `json:"t"`
	Page       string  `json:"page"`
	Well       string  `json:"well"`
	Field      string  `json:"field"`
	Level      int     `json:"level"`
}

// read enters the settings into a batch and returns the options. A file they name
// must lie in root.
func (t settings) read(b *segment.Batch, root *os.Root) (o segment.Options, err error) {
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
	if t.PixelSize != "" {
		if o.PixelSize, err = imageio.ParsePixelSize(t.PixelSize); err != nil {
			return o, bad("pixel-size", t.PixelSize, err)
		}
	}
	if t.Threshold < 0 || t.Threshold >= 1 || t.MinArea != nil && *t.MinArea < 0 || t.Level < 0 {
		return o, &apiError{http.StatusBadRequest, "threshold: above 0 and below 1; min-area and level: not below 0"}
	}
	if strings.EqualFold(filepath.Ext(t.Condition), ".csv") {
		if root == nil {
			return o, &apiError{http.StatusBadRequest, "condition: folder, well or a regular expression"}
		}
		if _, err := root.Stat(filepath.FromSlash(t.Condition)); err != nil { // no other file
			return o, &apiError{http.StatusBadRequest, "condition: there is no such file in the folder of the images"}
		}
		t.Condition = filepath.Join(root.Name(), filepath.FromSlash(t.Condition))
	}
	if b.Condition, err = segment.ParseCondition(t.Condition); err != nil {
		return o, bad("condition", t.Condition, err)
	}
	c := &b.Choice
	c.Level = t.Level
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
