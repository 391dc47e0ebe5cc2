package instance

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
)

// exactScene draws cones, touching or not, whose values are whole 256ths: the
// arithmetic of Separate is exact on them, on every machine.
func exactScene(w, h, n int) Maps {
	rng := rand.New(rand.NewPCG(3, 5))
	m := NewMaps(w, h, Foreground, Border, Distance)
	foreground, border, distance := m.Plane(Foreground), m.Plane(Border), m.Plane(Distance)
	for range n {
		cx, cy, r := rng.IntN(w), rng.IntN(h), 3+rng.IntN(20)
		for y := max(0, cy-r); y < min(h, cy+r); y++ {
			for x := max(0, cx-r); x < min(w, cx+r); x++ {
				d := (x-cx)*(x-cx) + (y-cy)*(y-cy)
				if d >= r*r {
					continue
				}
				i := y*w + x
				q := float32(256-256*d/(r*r)) / 256
				if foreground[i] > 0 && max(distance[i]-q, q-distance[i]) < 0.25 {
					border[i] = 0.75
				}
				foreground[i], distance[i] = 0.875, max(distance[i], q)
			}
		}
	}
	for i := range foreground {
		foreground[i] += float32(rng.IntN(128)-64) / 256
	}
	return m
}

// TestSeparateGolden: labels stay those of the release, to the bit. The
// settings of models are tuned with them.
func TestSeparateGolden(t *testing.T) {
	full := exactScene(517, 389, 260)
	noBorder := full.without(Border)
	foreground := noBorder.without(Distance)
	p := DefaultParams()
	rough := Params{Foreground: 0.25, Seed: 0.125, Prominence: 0.0625, Border: 0.5, MinArea: 0}
	edge := p
	edge.RemoveEdge, edge.MinArea = true, 60
	for _, k := range []struct {
		name string
		m    Maps
		p    Params
		want string
	}{
		{"full", full, p, "236 nuclei, 02d541611cc61c36"},
		{"rough", full, rough, "261 nuclei, a5078744f310deed"},
		{"edge", full, edge, "185 nuclei, 3ba055b6c9eb8c91"},
		{"no border", noBorder, p, "140 nuclei, d71cef010b5194a7"},
		{"foreground", foreground, p, "59 nuclei, 48ea29e90251d5b1"},
		{"noise", noise(rand.New(rand.NewPCG(7, 7)), 201, 143), rough, "2865 nuclei, 5e39e3c5a5d09f21"},
	} {
		l := Separate(k.m, k.p)
		h := fnv.New64a()
		binary.Write(h, binary.LittleEndian, l.ID)
		if got := fmt.Sprintf("%d nuclei, %016x", l.Max(), h.Sum64()); got != k.want {
			t.Errorf("%s: %s, want %s", k.name, got, k.want)
		}
	}
}
