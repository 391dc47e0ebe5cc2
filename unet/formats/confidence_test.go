package formats

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"testing"

	"unet/unet/instance"
)

// Confidence goes into tables, GeoJSON and COCO where it is known, and leaves
// no trace where it is not.
func TestConfidence(t *testing.T) {
	src := Source{Name: "a", W: 8, H: 8}
	nuclei := []instance.Nucleus{
		{ID: 1, Runs: []instance.Run{{Y: 1, X0: 1, X1: 3}}, X0: 1, X1: 3, Y0: 1, Y1: 2, Area: 2, Confidence: 0.875},
		{ID: 2, Runs: []instance.Run{{Y: 4, X0: 4, X1: 6}}, X0: 4, X1: 6, Y0: 4, Y1: 5, Area: 2},
	}
	write := func(open func(io.Writer) Writer) []byte {
		var b bytes.Buffer
		if err := WriteAll(open(&b), src, nuclei); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	rows, err := csv.NewReader(bytes.NewReader(write(NewTable))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if k := slices.Index(rows[0], "confidence"); k < 0 || rows[1][k] != "0.875" || rows[2][k] != "" {
		t.Errorf("table: %q", rows)
	}
	var coco struct {
		Annotations []map[string]any `json:"annotations"`
	}
	if err := json.Unmarshal(write(NewCOCO), &coco); err != nil {
		t.Fatal(err)
	}
	if _, ok := coco.Annotations[1]["score"]; ok || coco.Annotations[0]["score"] != 0.875 {
		t.Errorf("COCO: %v", coco.Annotations)
	}
	var geo struct {
		Features []struct {
			Properties struct {
				Measurements map[string]float64 `json:"measurements"`
			} `json:"properties"`
		} `json:"features"`
	}
	if err := json.Unmarshal(write(NewGeoJSON), &geo); err != nil {
		t.Fatal(err)
	}
	first, second := geo.Features[0].Properties.Measurements, geo.Features[1].Properties.Measurements
	if _, ok := second["Detection probability"]; ok || first["Detection probability"] != 0.875 {
		t.Errorf("GeoJSON: %v, %v", first, second)
	}
}
