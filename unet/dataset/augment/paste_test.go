package augment

import (
	"math"
	"slices"
	"testing"

	"unet/unet/imageio"
)

func TestCopyPasteAddsNuclei(t *testing.T) {
	rng := source(15)
	empty, err := NewLabelled(imageio.NewImage(128, 128, 1), imageio.NewLabels(128, 128))
	if err != nil {
		t.Fatal(err)
	}
	for i := range empty.Image.Pix {
		empty.Image.Pix[i] = 0.1
	}
	// The donor is brighter all over, and its nuclei touch others that must
	// not come along.
	donor := discs(rng, 100, 100, 3, 6, 8)
	for i, id := range donor.Labels.ID {
		donor.Image.Pix[i] = 0.4
		if id != 0 {
			donor.Image.Pix[i] = 0.9
			if i%100 > 0 && donor.Labels.ID[i-1] == 0 {
				for k := 1; k <= 3 && i%100 >= k; k++ {
					donor.Labels.ID[i-k], donor.Image.Pix[i-k] = 99, 2
				}
			}
		}
		donor.Image.Pix[10000+i], donor.Image.Pix[20000+i] = donor.Image.Pix[i], donor.Image.Pix[i]
	}
	donor.Nuclei = slices.DeleteFunc(nuclei(donor.Labels), func(n Nucleus) bool { return n.ID == 99 })
	out, ids := make([]float32, 128*128), make([]uint32, 128*128)
	for _, zoom := range []float64{1, 1.5} {
		p := Policy{Size: 128, CopyPaste: 1, Scale: [2]float64{zoom, zoom}}
		total := 0
		for range 100 {
			p.Patch(rng, empty, []Labelled{donor}, out, 1, ids)
			area, sum := map[uint32]int{}, map[uint32]float64{}
			for i, id := range ids {
				area[id]++
				sum[id] += float64(out[i])
				if out[i] < 0.05 || id == 0 && out[i] > 0.4 {
					t.Fatalf("sample %d is %v with label %d", i, out[i], id)
				}
			}
			if mean := sum[0] / float64(area[0]); math.Abs(mean-0.1) > 0.01 {
				t.Fatalf("background is %v after pasting, want 0.1", mean)
			}
			delete(area, 0)
			for id, a := range area {
				if a := float64(a) / (zoom * zoom); a < 80 || a > 350 {
					t.Fatalf("zoom %v: nucleus of %v pixels, want that of a disc of radius 8 times 0.8 to 1.25", zoom, a)
				}
				if mean := sum[id] / float64(area[id]); mean < 0.5 || mean > 0.6 {
					t.Fatalf("nucleus of brightness %v, want a little less than 0.1 + 0.5", mean)
				}
			}
			total += len(area)
		}
		if total < 150 || total > 400 {
			t.Errorf("%d nuclei pasted in 100 patches, want about 300", total)
		}
	}
	Policy{Size: 128, CopyPaste: 1}.Patch(rng, empty, nil, out, 1, ids)
	if slices.Max(ids) != 0 {
		t.Error("an image without nuclei got some from nowhere")
	}
}

func TestCopyPasteMakesContacts(t *testing.T) {
	rng := source(21)
	s := discs(rng, 128, 128, 1, 3, 7)
	out, ids := make([]float32, 128*128), make([]uint32, 128*128)
	var target TargetMaps
	contacts := 0
	for range 100 {
		Policy{Size: 128, CopyPaste: 1}.Patch(rng, s, nil, out, 1, ids)
		Targets(ids, 128, 128, &target)
		if slices.Max(target.Border) > 0 {
			contacts++
		}
		for _, n := range s.Nuclei {
			left := 0
			for _, id := range ids {
				if id == n.ID {
					left++
				}
			}
			if left < n.Area*6/10 {
				t.Fatalf("%d of %d pixels are left of a nucleus", left, n.Area)
			}
		}
	}
	if contacts < 50 {
		t.Errorf("%d of 100 patches have touching nuclei, want at least half", contacts)
	}
}

func TestCopyPasteKeepsContrast(t *testing.T) {
	rng := source(24)
	bright, dark := discs(rng, 128, 128, 1, 3, 7), discs(rng, 128, 128, 1, 6, 7)
	for i, v := range dark.Image.Pix {
		dark.Image.Pix[i] = 1 - v
	}
	dark, err := NewLabelled(dark.Image, dark.Labels)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(bright.Contrast-1) > 1e-6 || math.Abs(dark.Contrast+1) > 1e-6 {
		t.Fatalf("contrasts %v and %v, want 1 and -1", bright.Contrast, dark.Contrast)
	}
	out, ids := make([]float32, 128*128), make([]uint32, 128*128)
	for range 50 {
		Policy{Size: 128, CopyPaste: 1}.Patch(rng, bright, []Labelled{dark}, out, 1, ids)
		if v := slices.Min(out); v < -0.2 {
			t.Fatalf("a dark nucleus (%v) was pasted among bright ones", v)
		}
	}
}
