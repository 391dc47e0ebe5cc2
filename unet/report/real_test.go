package report

import (
	"archive/zip"
	"image"
	"image/color"
	_ "image/png"
	"path"
	"sort"
	"strings"
	"testing"

	"unet/unet/dataset/dsb2018"
	"unet/unet/imageio"
	"unet/unet/metrics"
)

// realSamples reads images from the DSB2018 training archive: the first per
// image size, at most most of them.
func realSamples(t testing.TB, most int) []Sample {
	t.Helper()
	z, err := zip.OpenReader(dsb2018.Archive(t))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	images, masks := map[string]*zip.File{}, map[string][]*zip.File{}
	for _, f := range z.File {
		id, _, _ := strings.Cut(f.Name, "/")
		switch path.Base(path.Dir(f.Name)) {
		case "images":
			images[id] = f
		case "masks":
			masks[id] = append(masks[id], f)
		}
	}
	var ids []string
	for id := range images {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	perSize := map[image.Point]int{}
	var out []Sample
	for _, id := range ids {
		if len(out) == most {
			break
		}
		m := decode(t, images[id])
		size := m.Bounds().Size()
		if perSize[size]++; perSize[size] > 1 {
			continue
		}
		s := Sample{Name: id, Image: imageio.NewImage(size.X, size.Y, 3), Truth: imageio.NewLabels(size.X, size.Y)}
		for i := range size.X * size.Y {
			r, g, b, _ := m.At(i%size.X, i/size.X).RGBA()
			for c, v := range []uint32{r, g, b} {
				s.Image.Plane(c)[i] = float32(v >> 8)
			}
		}
		for k, f := range masks[id] {
			mask := decode(t, f)
			for i := range s.Truth.ID {
				if color.GrayModel.Convert(mask.At(i%size.X, i/size.X)).(color.Gray).Y > 127 {
					s.Truth.ID[i] = uint32(k + 1)
				}
			}
		}
		out = append(out, s)
	}
	return out
}

func decode(t testing.TB, f *zip.File) image.Image {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m, _, err := image.Decode(r)
	if err != nil {
		t.Fatalf("%s: %v", f.Name, err)
	}
	return m
}

// spoil makes a prediction with known mistakes from a truth: it forgets every
// seventh nucleus, invents one, merges touching pairs, splits and shrinks one.
func spoil(truth *imageio.Labels) (*imageio.Labels, *Outcomes) {
	pred := imageio.NewLabels(truth.W, truth.H)
	near := adjacency(truth, 2)
	merged := map[uint32]uint32{}
	for id := uint32(1); id <= truth.Max(); id += 7 {
		if n := near[id]; len(n) > 0 && n[0]%7 > 1 && len(merged) < 3 {
			merged[n[0]] = id
		}
	}
	const split, shrunk = 4, 12
	x0, x1 := truth.W, 0
	for i, id := range truth.ID {
		if id == split {
			x0, x1 = min(x0, i%truth.W), max(x1, i%truth.W)
		}
	}
	edge := outline(truth)
	for i, id := range truth.ID {
		switch {
		case id == 0 || id%7 == 0 || id == shrunk && (edge[i] || i%2 == 0):
		case id == split && i%truth.W > (x0+x1)/2:
			pred.ID[i] = truth.Max() + 2
		case merged[id] != 0:
			pred.ID[i] = merged[id]
		default:
			pred.ID[i] = id
		}
	}
	ghost := truth.Max() + 1
	for y := range truth.H {
		for x := range truth.W {
			dx, dy := x-truth.W/2, y-truth.H/3
			if i := y*truth.W + x; dx*dx+dy*dy < 90 && pred.ID[i] == 0 && truth.ID[i] == 0 {
				pred.ID[i] = ghost
			}
		}
	}
	overlap, err := metrics.Compare(truth, pred)
	if err != nil {
		panic(err)
	}
	o := &Outcomes{}
	o.Truth, o.Pred = overlap.Errors(0.5)
	return pred, o
}
