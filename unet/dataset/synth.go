package dataset

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"runtime"
	"time"

	"unet/unet/dataset/scene"
	"unet/unet/imageio"
)

// Synthesis says which synthetic images to make.
type Synthesis struct {
	Count int    // images
	Size  int    // width and height in pixels; 0 means 256
	Seed  uint64 // the same seed makes the same images
	// Crowded makes crowded tissue, fluorescent and stained, one image a field,
	// instead of all kinds in turn.
	Crowded bool
}

const (
	minSynth = 64
	maxSynth = 2048
	maxCount = 100_000
)

// synthKinds is the order in which kinds are made. Ten images hold all.
var synthKinds = [10]string{
	FluorescenceSmall, HistologyPurple, FluorescenceLarge, FluorescenceSmall, GrayTissue,
	FluorescenceSmall, HistologyPurple, PinkPurple, FluorescenceLarge, FluorescenceSmall,
}

// styles says how a kind is drawn.
var styles = map[string]scene.Style{
	FluorescenceSmall: scene.SmallFluorescence, FluorescenceLarge: scene.LargeFluorescence,
	HistologyPurple: scene.PurpleStain, PinkPurple: scene.PinkStain, GrayTissue: scene.GrayStain,
}

func (o *Synthesis) check() error {
	if o.Size == 0 {
		o.Size = 256
	}
	if o.Size < minSynth || o.Size > maxSynth {
		return fmt.Errorf("synthetic images of size %d: must be %d..%d", o.Size, minSynth, maxSynth)
	}
	if o.Count < 1 || o.Count > maxCount {
		return fmt.Errorf("%d synthetic images: must be 1..%d", o.Count, maxCount)
	}
	return nil
}

// Synthesise makes synthetic annotated images in memory, of all kinds in turn.
// As in published sets some are neighbouring crops of one field: every third
// field gives two images. Group holds the field's name.
func Synthesise(o Synthesis) ([]*Sample, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	var out []*Sample
	for f := 0; len(out) < o.Count; f++ {
		out = append(out, o.field(f)...)
	}
	return out[:o.Count], nil
}

// field makes the images of field f.
func (o *Synthesis) field(f int) []*Sample {
	if o.Crowded {
		return []*Sample{o.crowd(f)}
	}
	crops := 1 + f%3/2
	kind := synthKinds[f%len(synthKinds)]
	rng := rand.New(rand.NewPCG(o.Seed, uint64(f)))
	for {
		pic, labels := scene.Field(styles[kind], o.Size*crops, o.Size, rng)
		var out []*Sample
		for c := range crops {
			id := fmt.Sprintf("%s-%04d%c", kind, f, 'a'+c)
			img, lab := cutOut(pic, labels, c*o.Size, o.Size)
			if lab.Max() > 0 {
				out = append(out, &Sample{ID: id, Kind: kind, Group: fmt.Sprintf("field-%04d", f), Image: img, Labels: lab})
			}
		}
		if len(out) == crops { // else a small image has missed all nuclei
			return out
		}
	}
}

// crowd makes scene f of crowded tissue.
func (o *Synthesis) crowd(f int) *Sample {
	rng := rand.New(rand.NewPCG(o.Seed, uint64(f)))
	img, labels := scene.Crowded(o.Size, o.Size, nil, rng)
	for labels.Max() == 0 {
		img, labels = scene.Crowded(o.Size, o.Size, nil, rng)
	}
	return &Sample{ID: fmt.Sprintf("crowded-%05d", f), Kind: kindOf(img, labels), Group: fmt.Sprintf("field-%05d", f), Image: img, Labels: labels}
}

// cutOut returns columns x0..x0+w of an image.
func cutOut(m *imageio.Image, l *imageio.Labels, x0, w int) (*imageio.Image, *imageio.Labels) {
	img, lab := imageio.NewImage(w, m.H, m.C), imageio.NewLabels(w, m.H)
	for y := range m.H {
		copy(lab.ID[y*w:(y+1)*w], l.ID[y*m.W+x0:])
		for c := range m.C {
			copy(img.Plane(c)[y*w:(y+1)*w], m.Plane(c)[y*m.W+x0:])
		}
	}
	// What the cut leaves of a nucleus must be more than a sliver.
	a := areas(lab, int(lab.Max())+1)
	for i, k := range lab.ID {
		if a[k] < scene.MinNucleus {
			lab.ID[i] = 0
		}
	}
	compact(lab)
	return img, lab
}

// Generate writes synthetic annotated images as a zip in the Kaggle layout.
// The bytes depend on the options only.
func Generate(ctx context.Context, w io.Writer, o Synthesis) error {
	if err := o.check(); err != nil {
		return err
	}
	z := zip.NewWriter(w)
	left := o.Count
	batch := 2 * runtime.GOMAXPROCS(0) // fields in memory at once
	for f := 0; left > 0; f += batch {
		fields := make([][]*Sample, batch)
		err := parallel(ctx, batch, func(i int) error {
			fields[i] = o.field(f + i)
			return nil
		})
		if err != nil {
			return err
		}
		for _, samples := range fields {
			for _, s := range samples {
				if left == 0 {
					break
				}
				left--
				if err := zipSample(z, s); err != nil {
					return fmt.Errorf("writing synthetic images: %w", err)
				}
			}
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("writing synthetic images: %w", err)
	}
	return nil
}

// zipSample writes ID/images/ID.png as RGBA, as Kaggle's are, and one mask per
// nucleus named by the sum of its pixels.
func zipSample(z *zip.Writer, s *Sample) error {
	w, h := s.Image.W, s.Image.H
	pic := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		for c := range 3 {
			pic.Pix[4*i+c] = uint8(s.Image.Plane(c % s.Image.C)[i])
		}
		pic.Pix[4*i+3] = 255
	}
	if err := zipPNG(z, s.ID+"/images/"+s.ID+".png", pic); err != nil {
		return err
	}
	for k := uint32(1); k <= s.Labels.Max(); k++ {
		mask := image.NewGray(pic.Rect)
		for i, v := range s.Labels.ID {
			if v == k {
				mask.Pix[i] = 255
			}
		}
		sum := sha256.Sum256(mask.Pix)
		if err := zipPNG(z, s.ID+"/masks/"+hex.EncodeToString(sum[:])+".png", mask); err != nil {
			return err
		}
	}
	return nil
}

func zipPNG(z *zip.Writer, name string, m image.Image) error {
	var b bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := enc.Encode(&b, m); err != nil {
		return err
	}
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, Modified: time.Date(2018, 1, 16, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}
