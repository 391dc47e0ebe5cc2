package segment

import (
	"cmp"
	"context"
	"math"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"unet/unet/imageio"
)

// start is where a part begins: with an input or, if Of is above 0, with its rows
// from Piece/Of of its height on.
type start struct {
	Input int `json:"input"`
	Piece int `json:"piece,omitempty"`
	Of    int `json:"of,omitempty"`
}

func (s start) compare(t start) int {
	return cmp.Or(cmp.Compare(s.Input, t.Input), cmp.Compare(s.Piece, t.Piece))
}

// Parts is a number of parts for a batch in which each has about a GiB of images,
// minutes of work, and at least one image, or some rows of a large one.
func Parts(ctx context.Context, b Batch) (int, error) {
	list, err := costs(ctx, b, func(PlaneRef, int64) bool { return true })
	var total, most int64
	for _, c := range list {
		total += c.bytes
		most += max(1, min(c.bytes>>30, int64(c.pieces)))
	}
	return int(max(1, min(total>>30, most, mostParts))), err
}

// mostParts is what Slurm lets an array have unless it is told otherwise.
const mostParts = 1000

// cost is the work that an input makes, in bytes that are read and samples that
// are computed, and into how many pieces it may be divided.
type cost struct {
	bytes  int64
	pieces int
}

func costs(ctx context.Context, b Batch, large func(PlaneRef, int64) bool) ([]cost, error) {
	list := make([]cost, len(b.Inputs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16) // they wait for the disk
	for i := range b.Inputs {
		group.Go(func() error {
			list[i] = costOf(&b.Inputs[i], b, large)
			return context.Cause(ctx)
		})
	}
	return list, group.Wait()
}

// leastRows is how many rows a piece of an image has at least.
const leastRows = 256

// costOf is the cost of an input. What cannot be read costs little: it fails soon.
func costOf(in *Input, b Batch, large func(PlaneRef, int64) bool) cost {
	c := cost{1, 1}
	if st, err := os.Stat(in.Path); err == nil && st.Mode().IsRegular() {
		c.bytes += st.Size()
	}
	if decoded := imageio.RasterBytes(in.Path); decoded > 0 {
		c.bytes += decoded
		return c
	}
	if in.Err != nil || imageio.CheckSize(in.Path) != nil {
		return c
	}
	f, err := imageio.Open(in.Path)
	if err != nil {
		return c
	}
	defer f.Close()
	refs, _, err := b.Choice.Planes(f)
	if err != nil {
		return c
	}
	pieces := math.MaxInt
	for _, ref := range refs {
		c.bytes += ref.samples() * int64(max(8, ref.Info.Bits)) / 8
		if b.Regions.path != "" || !large(ref, f.ChunkBytes(ref.Index)) {
			pieces = 1
		}
		pieces = min(pieces, ref.Info.H/leastRows)
	}
	if len(refs) > 0 {
		c.pieces = max(1, pieces)
	}
	return c
}

// starts cuts a row of costs, all above 0, into n parts of about the same sum: each
// part begins at the place nearest to its share.
func starts(costs []cost, n int) []start {
	var total int64
	for _, c := range costs {
		total += c.bytes
	}
	list := make([]start, n)
	at, sum := 0, int64(0)
	for k := range list {
		share := float64(total) * float64(k) / float64(n)
		for at < len(costs) && float64(sum+costs[at].bytes) <= share {
			sum += costs[at].bytes
			at++
		}
		list[k].Input = at
		if at == len(costs) {
			continue
		}
		of := costs[at].pieces
		switch piece := int(math.Round((share - float64(sum)) / float64(costs[at].bytes) * float64(of))); piece {
		case 0:
		case of:
			list[k].Input++
		default:
			list[k].Piece, list[k].Of = piece, of
		}
	}
	return list
}

// share is the inputs of a part, from 1, of all of the plan.
func (p *plan) share(part int, all []Input) []Input {
	from, to := p.Starts[part-1], start{Input: len(all)}
	if part < p.Parts {
		to = p.Starts[part]
	}
	if from == to {
		return nil
	}
	end := to.Input
	if to.Piece > 0 {
		end++
	}
	list := slices.Clone(all[from.Input:end])
	if from.Piece > 0 {
		list[0].span = span{from.Piece, from.Of, from.Of}
	}
	if to.Piece > 0 {
		last := &list[len(list)-1]
		last.span = span{last.span.from, to.Piece, to.Of}
	}
	return list
}

// valid reports whether the parts of a plan follow each other.
func (p *plan) valid() bool {
	if p.Schema != planSchema || p.Parts < 1 || len(p.Starts) != p.Parts || p.Starts[0] != (start{}) || !slices.IsSortedFunc(p.Starts, start.compare) {
		return false
	}
	of := map[int]int{} // pieces by input
	for _, s := range p.Starts {
		n, again := of[s.Input]
		switch {
		case s.Piece == 0 && s.Of == 0 && s.Input >= 0 && s.Input <= len(p.Inputs):
		case s.Piece < 1 || s.Piece >= s.Of || s.Of > 1<<30 || s.Input >= len(p.Inputs) || again && n != s.Of:
			return false
		default:
			of[s.Input] = s.Of
		}
	}
	return true
}
