package formats

import (
	"math"

	"unet/unet/instance"
)

// summaryColumn is a column of the table of images with its value, NaN where
// there is nothing to tell: a mean of no nuclei is not 0, and would bias means of
// images.
type summaryColumn struct {
	Column
	of func(*Source, *instance.Summary) float64
}

// mean is the value of a mean over nuclei.
func mean(of func(*instance.Summary) float64) func(*Source, *instance.Summary) float64 {
	return func(_ *Source, s *instance.Summary) float64 {
		if s.Count == 0 {
			return math.NaN()
		}
		return of(s)
	}
}

// physical is that of one that needs the size of a pixel.
func physical(of func(*Source, *instance.Summary) float64) func(*Source, *instance.Summary) float64 {
	return func(src *Source, s *instance.Summary) float64 {
		if !src.PixelSize.Known() {
			return math.NaN()
		}
		return of(src, s)
	}
}

// physicalMean needs both.
func physicalMean(of func(*Source, *instance.Summary) float64) func(*Source, *instance.Summary) float64 {
	return physical(func(src *Source, s *instance.Summary) float64 {
		if s.Count == 0 {
			return math.NaN()
		}
		return of(src, s)
	})
}

var summaryColumns = []summaryColumn{
	{Column{Name: "width", Meaning: "of the image", Unit: "pixels"}, func(src *Source, _ *instance.Summary) float64 { return float64(src.W) }},
	{Column{Name: "height", Meaning: "of the image", Unit: "pixels"}, func(src *Source, _ *instance.Summary) float64 { return float64(src.H) }},
	{Column{Name: "pixel_size_um", Meaning: "width of a pixel", Unit: "µm"}, physical(func(src *Source, _ *instance.Summary) float64 { return src.PixelSize.X })},
	{Column{Name: "pixel_height_um", Meaning: "height of a pixel", Unit: "µm"}, physical(func(src *Source, _ *instance.Summary) float64 { return src.PixelSize.Y })},
	{Column{Name: "count", Meaning: "number of nuclei"}, func(_ *Source, s *instance.Summary) float64 { return float64(s.Count) }},
	{Column{Name: "edge_count", Meaning: "number of those that touch the edge of the image"}, func(_ *Source, s *instance.Summary) float64 { return float64(s.EdgeCount) }},
	{Column{Name: "dropped", Meaning: "number of further nuclei that were found and left out, by a rule or a region"}, func(_ *Source, s *instance.Summary) float64 { return float64(s.Dropped()) }},
	{Column{Name: "region_area", Meaning: "number of pixels of the region nuclei were counted in: of the image, unless one is given", Unit: "pixels"},
		func(src *Source, _ *instance.Summary) float64 { return float64(src.counted()) }},
	{Column{Name: "coverage", Meaning: "share of that region that lies in nuclei"}, func(_ *Source, s *instance.Summary) float64 { return s.Coverage }},
	{Column{Name: "area_mean", Meaning: "mean over nuclei", Unit: "pixels"}, mean(func(s *instance.Summary) float64 { return s.AreaMean })},
	{Column{Name: "area_median", Meaning: "median over nuclei", Unit: "pixels"}, mean(func(s *instance.Summary) float64 { return s.AreaMedian })},
	{Column{Name: "area_std", Meaning: "standard deviation, of the population", Unit: "pixels"}, mean(func(s *instance.Summary) float64 { return s.AreaStd })},
	{Column{Name: "diameter_median", Meaning: "median of equivalent_diameter", Unit: "pixels"}, mean(func(s *instance.Summary) float64 { return s.DiameterMedian })},
	// A circle of as many pixels is an ellipse of as many µm².
	{Column{Name: "area_mean_um2", Meaning: "as area_mean", Unit: "µm²"}, physicalMean(func(src *Source, s *instance.Summary) float64 { return s.AreaMean * src.PixelSize.X * src.PixelSize.Y })},
	{Column{Name: "area_median_um2", Meaning: "as area_median", Unit: "µm²"}, physicalMean(func(src *Source, s *instance.Summary) float64 {
		return s.AreaMedian * src.PixelSize.X * src.PixelSize.Y
	})},
	{Column{Name: "diameter_median_um", Meaning: "as diameter_median", Unit: "µm"}, physicalMean(func(src *Source, s *instance.Summary) float64 { return s.DiameterMedian * src.PixelSize.Length() })},
	{Column{Name: "density_per_mm2", Meaning: "number of nuclei per area of the region", Unit: "1/mm²"}, physical(Density)},
	{Column{Name: "circularity", Meaning: "mean over nuclei"}, mean(func(s *instance.Summary) float64 { return s.Circularity })},
	{Column{Name: "solidity", Meaning: "mean over nuclei"}, mean(func(s *instance.Summary) float64 { return s.Solidity })},
	{Column{Name: "eccentricity", Meaning: "mean over nuclei"}, mean(func(s *instance.Summary) float64 { return s.Eccentricity })},
	{Column{Name: "confidence", Meaning: "mean over nuclei: about the share of them that is right"}, func(_ *Source, s *instance.Summary) float64 {
		if s.Confidence > 0 {
			return s.Confidence
		}
		return math.NaN()
	}},
}

// Density is the number of nuclei per mm² of the region they were counted in.
func Density(src *Source, s *instance.Summary) float64 {
	return float64(s.Count) / (float64(src.counted()) * src.PixelSize.X * src.PixelSize.Y / 1e6)
}

// counted is the number of pixels in which nuclei were counted.
func (s *Source) counted() int {
	if s.Region > 0 {
		return s.Region
	}
	return s.W * s.H
}

// SummaryColumns describes the columns of the table with a row for each image, of
// one with these channels.
func SummaryColumns(src Source) []Column {
	list := []Column{imageColumn}
	for _, c := range summaryColumns {
		list = append(list, c.Column)
	}
	for _, prefix := range src.prefixes() {
		for _, name := range src.Channels {
			list = append(list, Column{Name: prefix + name, Meaning: "mean over nuclei of " + prefix + instance.ChannelPlaceholder, Unit: "the channel's"})
		}
	}
	return list
}

// prefixes are those of the means of channels.
func (s *Source) prefixes() []string {
	if s.Rings {
		return []string{"mean_", "ring_mean_"}
	}
	return []string{"mean_"}
}

// SummaryRow is the row of an image under its SummaryColumns. Cells are empty
// where there is nothing to tell.
func SummaryRow(src Source, s instance.Summary) []string {
	row := []string{src.Name}
	for _, c := range summaryColumns {
		row = append(row, Number(c.of(&src, &s)))
	}
	for i := range src.prefixes() {
		means := [...][]float64{s.Intensity, s.RingIntensity}[i]
		for c := range src.Channels {
			v := math.NaN()
			if c < len(means) {
				v = means[c]
			}
			row = append(row, Number(v))
		}
	}
	return row
}

// BatchSummaryColumns are those that a batch adds to the table of images.
var BatchSummaryColumns = []Column{
	{Name: "diameter_estimate", Meaning: "usual diameter at native scale, where it was estimated", Unit: "pixels"},
	{Name: "scale", Meaning: "how much the image was enlarged for the network"},
	{Name: PositiveColumn + MarkerPlaceholder, Meaning: "number of nuclei positive for the marker"},
	{Name: PositiveShare + MarkerPlaceholder, Meaning: "their share of the nuclei whose value is known"},
	{Name: ConditionColumn, Meaning: "condition of the image, from its folder, name, well or a table"},
	{Name: WellColumn, Meaning: "well of the image, from its plate or its name"},
	{Name: CorrectedColumn, Meaning: "true where a person has corrected the nuclei"},
	{Name: ErrorColumn, Meaning: "why the image failed; there is no other value then"},
}

// PositiveShare begins the name of the column of a marker's share.
const PositiveShare = "positive_share_"

// ImageColumns describes all columns that the table of images may have.
func ImageColumns() []Column {
	return append(SummaryColumns(Source{Channels: []string{instance.ChannelPlaceholder}, Rings: true}), BatchSummaryColumns...)
}
