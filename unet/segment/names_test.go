package segment

import "testing"

// TestRestoreNames: names that are not UTF-8 are known again, unless two of them
// are written alike.
func TestRestoreNames(t *testing.T) {
	record := func() *Summary {
		return &Summary{Images: []*ImageRecord{{Input: "d/\uFFFD.png", Name: "\uFFFD.png",
			Planes: []PlaneRecord{{Outputs: []string{"\uFFFD.labels.tif"}, Thumbnail: &Thumbnail{File: "thumbnails/\uFFFD.thumb.jpg"}}}}}}
	}
	odd := Input{Path: "d/\xff.png", Name: "\xff.png", Base: "\xff"}
	other := Input{Path: "d/\xfe.png", Name: "\xfe.png", Base: "\xfe"}
	s := record()
	restoreNames(s, []Input{odd, {Path: "d/a.png", Name: "a.png", Base: "a"}})
	im := s.Images[0]
	if im.Input != odd.Path || im.Name != odd.Name || im.Planes[0].Outputs[0] != "\xff.labels.tif" || im.Planes[0].Thumbnail.File != "thumbnails/\xff.thumb.jpg" {
		t.Errorf("restored as %+q %+q", im.Input, im.Planes[0].Outputs)
	}
	s = record()
	restoreNames(s, []Input{odd, other})
	if got := s.Images[0].Input; got != "d/\uFFFD.png" {
		t.Errorf("one of two names that are written alike: %+q", got)
	}
}
