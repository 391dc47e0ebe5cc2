package evaluate

import (
	"testing"

	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/metrics"
	"unet/unet/report"

	"github.com/google/go-cmp/cmp"
)

// distinct has no two figures alike, so that one in the place of another shows.
var distinct = SetScores{Name: "n", Images: 3, Loss: 0.01,
	Pixels: PixelScores{Accuracy: 0.02, Precision: 0.03, Recall: 0.04, F1: 0.05, Dice: 0.05, IoU: 0.06},
	Nuclei: NucleusScores{Truth: 7, Predicted: 8, PooledAP50: 0.09, ImageAP50: 0.10, MeanAP: 0.11, MeanAP90: 0.12, KaggleScore: 0.13,
		AJI: 0.14, AJIPerImage: 0.15, PQ: 0.16, PQPerImage: 0.17,
		Errors: ErrorCounts{Matched: 18, Missed: 19, Invented: 20, Merged: 21, Split: 22, Inexact: 23}}}

// TestTablesShowTheirColumns: below each name stands what it names.
func TestTablesShowTheirColumns(t *testing.T) {
	rows := []SetScores{distinct}
	for _, c := range []struct {
		table *report.Table
		want  map[string]string
	}{
		{pixelTable("", "set", rows), map[string]string{"set": "n", "images": "3", "loss": "0.0100", "accuracy": "0.0200", "prec.": "0.0300",
			"recall": "0.0400", "F1=Dice": "0.0500", "IoU": "0.0600"}},
		{nucleusTable("", "set", rows), map[string]string{"set": "n", "true": "7", "found": "8", "PooledAP50": "0.0900", "MeanAP": "0.1100",
			"KaggleScore": "0.1300", "AJI": "0.1400", "PQ": "0.1600"}},
		{errorTable("", "set", rows), map[string]string{"set": "n", "matched": "18", "missed": "19", "invented": "20", "merged": "21",
			"split": "22", "inexact": "23"}},
	} {
		got := map[string]string{}
		for i, column := range c.table.Columns {
			got[column.Name] = c.table.Rows[0][i]
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Error(diff)
		}
	}
	for _, c := range []struct {
		table report.ScoreTable
		want  map[string]float64
	}{
		{pixelScoreTable("", "set", rows), map[string]float64{"accuracy": 0.02, "precision": 0.03, "recall": 0.04, "F1 = Dice": 0.05, "IoU": 0.06, "loss (BCE)": 0.01}},
		{nucleusScoreTable("", "set", rows), map[string]float64{"PooledAP50": 0.09, "ImageAP50": 0.10, "MeanAP": 0.11, "MeanAP .5:.9": 0.12,
			"KaggleScore": 0.13, "AJI": 0.14, "AJI per image": 0.15, "PQ": 0.16, "PQ per image": 0.17}},
	} {
		row := c.table.Rows[0]
		got := map[string]float64{}
		for i, name := range c.table.Measures {
			got[name] = row.Values[i]
		}
		if diff := cmp.Diff(c.want, got); diff != "" || row.Name != "n" || row.Images != 3 || row.Nuclei != 7 {
			t.Errorf("%+v: %s", row, diff)
		}
	}
}

// TestImageRows: so it is in images.csv.
func TestImageRows(t *testing.T) {
	px := distinct.Pixels
	px.Pixels = metrics.Pixels{TP: 31, FP: 32, FN: 33, TN: 34}
	ev := &Evaluation{Splits: []SplitScores{{Name: "val", Images: []ImageScores{{ID: "i", Kind: "k", Group: "g", Source: "s", W: 41, H: 42,
		Loss: 0.01, Pixels: px, Truth: 7, Predicted: 8, MeanAP: 0.11, AP50: 0.09, AP75: 0.51, F1: 0.52, PQ: 0.16, AJI: 0.14, Confidence: 0.53,
		Errors: distinct.Nuclei.Errors}}}}}
	rows := imageRows(ev)
	got := map[string]string{}
	for i, name := range rows[0] {
		got[name] = rows[1][i]
	}
	want := map[string]string{"split": "val", "image": "i", "kind": "k", "group": "g", "source": "s", "width": "41", "height": "42", "loss": "0.01",
		"accuracy": "0.02", "precision": "0.03", "recall": "0.04", "f1_dice": "0.05", "iou": "0.06",
		"pixels_tp": "31", "pixels_fp": "32", "pixels_fn": "33", "pixels_tn": "34", "nuclei_true": "7", "nuclei_predicted": "8",
		"mean_ap": "0.11", "ap50": "0.09", "ap75": "0.51", "nuclei_f1": "0.52", "pq": "0.16", "aji": "0.14", "confidence": "0.53",
		"matched": "18", "missed": "19", "invented": "20", "merged": "21", "split_up": "22", "inexact": "23"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestReliability: by hand. Of the two nuclei in the last tenth, which holds 1 too, one
// is right, and so is the one in the third; the calibration error is the mean over nuclei
// of how far confidence is from that.
func TestReliability(t *testing.T) {
	truth, pred := imageio.NewLabels(6, 1), imageio.NewLabels(6, 1)
	copy(truth.ID, []uint32{1, 1, 0, 2, 2, 0})
	copy(pred.ID, []uint32{1, 1, 2, 3, 3, 0})
	o, err := metrics.Compare(truth, pred)
	if err != nil {
		t.Fatal(err)
	}
	nuclei := instance.Measure(pred, nil)
	for i, confidence := range []float64{1, 0.9375, 0.25} {
		nuclei[i].Confidence = confidence
	}
	r := reliability(nuclei, o)
	want := Reliability{}
	want.Tenths[9], want.Tenths[2] = Tenth{2, 1, 1.9375}, Tenth{1, 1, 0.25}
	if r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
	sum := r
	sum.add(&r) // twice as many nuclei, of the same kind
	for _, r := range []*Reliability{&r, &sum} {
		r.finish()
		if diff := cmp.Diff([]float64{2.1875 / 3, 2.0 / 3, (0.9375 + 0.75) / 3}, []float64{r.Expected, r.Right, r.ECE}, cmp.Comparer(near)); diff != "" {
			t.Errorf("of %d nuclei: %s", r.nuclei(), diff)
		}
	}
	rows := [][]string{
		{"0.2 to 0.3", "1", "1", "1.000", "0.250"}, {"0.9 to 1.0", "2", "1", "0.500", "0.969"},
		{"calibration error 0.562", "3", "2", "0.667", "0.729"},
	}
	if diff := cmp.Diff(rows, r.Table().Rows); diff != "" {
		t.Error(diff)
	}
}

func near(a, b float64) bool { return a-b < 1e-12 && b-a < 1e-12 }

// TestInsertThreshold: a point of its own goes between its neighbours, and one that is
// there stays the only one. The curve of the caller is left as it is.
func TestInsertThreshold(t *testing.T) {
	curve := []ThresholdScores{{Threshold: 0.25}, {Threshold: 0.5}}
	for _, c := range []struct {
		at   float64
		want []float64
	}{{0.125, []float64{0.125, 0.25, 0.5}}, {0.375, []float64{0.25, 0.375, 0.5}}, {0.5, []float64{0.25, 0.5}}, {0.75, []float64{0.25, 0.5, 0.75}}} {
		var got []float64
		for _, p := range insertThreshold(curve, ThresholdScores{Threshold: c.at}) {
			got = append(got, p.Threshold)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || curve[0].Threshold != 0.25 || curve[1].Threshold != 0.5 {
			t.Errorf("%v: %s", c.at, diff)
		}
	}
}
