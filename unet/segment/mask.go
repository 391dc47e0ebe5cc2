package segment

import (
	"fmt"

	"unet/unet/imageio"
)

// maskWarning says that a mask holds less than the labels: nuclei that touch are
// one piece of it. "" where they are not.
func maskWarning(l *imageio.Labels) string {
	nuclei, pieces := piecesOfMask(l)
	if pieces == nuclei {
		return ""
	}
	return fmt.Sprintf("the mask joins nuclei that touch: it has %s instead of %d; the format labels keeps them apart", amount(pieces, "piece", "pieces"), nuclei)
}

// piecesOfMask counts nuclei, and the groups of them that touch, at corners, too.
func piecesOfMask(l *imageio.Labels) (nuclei, pieces int) {
	parent := map[uint32]uint32{}
	find := func(id uint32) uint32 {
		for parent[id] != id {
			parent[id] = parent[parent[id]]
			id = parent[id]
		}
		return id
	}
	at := func(x, y int) uint32 {
		if x < 0 || x >= l.W || y >= l.H {
			return 0
		}
		return l.ID[y*l.W+x]
	}
	for i, id := range l.ID {
		if id == 0 {
			continue
		}
		if _, ok := parent[id]; !ok {
			parent[id] = id
			nuclei++
			pieces++
		}
		x, y := i%l.W, i/l.W
		for _, other := range [4]uint32{at(x+1, y), at(x-1, y+1), at(x, y+1), at(x+1, y+1)} {
			if other == 0 || other == id {
				continue
			}
			if _, ok := parent[other]; !ok {
				parent[other] = other
				nuclei++
				pieces++
			}
			if a, b := find(id), find(other); a != b {
				parent[b] = a
				pieces--
			}
		}
	}
	return nuclei, pieces
}
