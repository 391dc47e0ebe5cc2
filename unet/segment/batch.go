package segment

import (
	"fmt"
	"iter"
	"slices"

	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// batchFiles are the files that hold the nuclei of all images.
type batchFiles struct{ files []*nucleiFile }

// wholeFormats are those of one file for the whole batch.
var wholeFormats = []struct{ format, name string }{{COCO, COCOFile}, {RLE, RLEFile}}

// createBatch starts those of the formats that are of the whole batch; none of a
// part of it, which leaves its nuclei to Gather.
func createBatch(of Batch) (*batchFiles, error) {
	b := &batchFiles{}
	for _, k := range wholeFormats {
		if of.Part.Of > 0 || !slices.Contains(of.Formats, k.format) {
			continue
		}
		f, err := createNuclei(of.Out, k.name, k.format)
		if err != nil {
			b.abort()
			return nil, err
		}
		b.files = append(b.files, f)
	}
	return b, nil
}

// commit completes the files.
func (b *batchFiles) commit() error {
	for _, f := range b.files {
		if err := f.commit(); err != nil {
			return err
		}
	}
	return nil
}

// abort removes the files that are not committed.
func (b *batchFiles) abort() {
	for _, f := range b.files {
		f.abort()
	}
}

// write adds the nuclei of a plane to the files that can hold it; the others
// are named in its warnings.
func (b *batchFiles) write(src formats.Source, p *PlaneRecord, nuclei iter.Seq2[*instance.Nucleus, error]) error {
	if len(b.files) == 0 {
		return nil
	}
	writers := b.begin(src, p)
	for n, err := range nuclei {
		if err != nil {
			return err
		}
		for _, w := range writers {
			if err := w.Write(n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *batchFiles) begin(src formats.Source, p *PlaneRecord) (writers []formats.Writer) {
	for _, f := range b.files {
		s := src
		if f.format == RLE {
			s.Name = p.ID
		}
		if err := f.Begin(s); err != nil {
			p.Warnings = append(p.Warnings, err.Error())
			continue
		}
		writers = append(writers, f)
	}
	return writers
}

// sequence hands on nuclei in memory.
func sequence(nuclei []instance.Nucleus) iter.Seq2[*instance.Nucleus, error] {
	return func(yield func(*instance.Nucleus, error) bool) {
		for i := range nuclei {
			if !yield(&nuclei[i], nil) {
				return
			}
		}
	}
}

// repeat adds the planes of an image that an earlier run has done, from their
// label images.
func (b *batchFiles) repeat(out string, rec *ImageRecord) error {
	if len(b.files) == 0 {
		return nil
	}
	for i := range rec.Planes {
		p := &rec.Planes[i]
		labels := p.Output(Labels)
		if labels == "" {
			continue
		}
		if err := b.repeatPlane(out, labels, p, rec.Name+p.Suffix); err != nil {
			return &InputError{Name: labels, Problem: fmt.Sprintf("written by an earlier run: %v", err), Advice: "remove it, and its image will be segmented again", Err: err}
		}
	}
	return nil
}

// repeatRows is how many rows of a label image are read at once.
const repeatRows = 256

// repeatPlane adds the nuclei of a label image, a large one by rows, with the
// confidence that their table tells.
func (b *batchFiles) repeatPlane(out, labels string, p *PlaneRecord, name string) error {
	confidence, err := readConfidence(under(out, p.Output(CSV)), p.Output(CSV) != "")
	if err != nil {
		return err
	}
	f, err := imageio.Open(under(out, labels))
	if err != nil {
		return err
	}
	defer f.Close()
	src := formats.Source{Name: name, W: f.Planes[0].W, H: f.Planes[0].H}
	if !p.Banded {
		l, err := f.ReadLabels(0)
		if err != nil {
			return err
		}
		nuclei := instance.Measure(l, &imageio.Image{PixelSize: src.PixelSize})
		for i := range nuclei {
			nuclei[i].Confidence = confidence[nuclei[i].ID]
		}
		return b.write(src, p, sequence(nuclei))
	}
	writers := b.begin(src, p)
	return instance.MeasureRows(src.W, src.H, src.PixelSize, !p.Corrected, func(y int) (*imageio.Labels, error) {
		return f.ReadLabelsRegion(0, 0, y, src.W, min(repeatRows, src.H-y))
	}, func(n *instance.Nucleus) error {
		n.Confidence = confidence[n.ID]
		for _, w := range writers {
			if err := w.Write(n); err != nil {
				return err
			}
		}
		return nil
	})
}
