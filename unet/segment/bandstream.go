package segment

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"unet/unet"
	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// bandWork is how a large plane is computed.
type bandWork struct {
	read     unet.Rows
	levels   unet.Levels
	scale    float64
	rows     int // that may be held
	from, to int // the rows whose nuclei are wanted
}

// sink takes rows of a large plane: as they are computed, and as they are segmented.
type sink interface {
	band(y int, m instance.Maps, img *imageio.Image) error
	block(b instance.Block) error
}

// errEnough is returned by a sink that needs no more rows.
var errEnough = errors.New("no more rows are needed")

// stream computes a plane band by band, and hands on what is finished. It returns
// the nuclei that do not count, and how many clumps were cut.
func (r *run) stream(ctx context.Context, p *plane, w *bandWork, src formats.Source, out sink) (dropped []instance.Dropped, cuts int, err error) {
	stream := instance.NewStream(p.info.W, r.paramsAt(w.scale), out.block)
	stream.MaxRows, stream.PixelSize = w.rows, r.pixelSize(p.info)
	stream.From, stream.Owned = w.read.From, w.from
	var left leftOut
	found := 0
	keeper, sheet := instance.Keeper{Rules: r.options.Keep}, src.Sheet()
	stream.Keep = func(n *instance.Nucleus) (bool, error) {
		if n.Y0 < w.from || n.Y0 >= w.to {
			return false, nil // another part's
		}
		why, err := keeper.Drop(n, sheet)
		if why != "" {
			left.add(n, why)
			return false, err
		}
		found++
		return true, err
	}
	all := p.rows(p.ref.Measured...)
	width, height := r.scaled(p.info, w.scale)
	err = r.predictor.BandsAt(ctx, w.read, w.levels, width, height, func(y int, m instance.Maps, img *imageio.Image) error {
		measured := img
		if len(p.ref.Measured) > 1 {
			var err error
			if measured, err = all.Read(y, m.H); err != nil {
				return err
			}
		}
		if p.stains != nil {
			measured, _ = p.stains.Append(measured)
		}
		if err := out.band(y, m, img); err != nil {
			return err
		}
		if err := stream.Add(m, measured); err != nil {
			return err
		}
		r.observer.Progress(Progress{Image: p.in.Name, Done: min(max(y+m.H, w.from), w.to) - w.from, Total: w.to - w.from, Nuclei: found})
		return nil
	})
	if err == nil {
		err = stream.Close()
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	return left.list(), stream.Cuts(), err
}

// leftOut counts the nuclei of a large plane that do not count. They come in any
// order; the reasons are listed in that of the first nucleus of each.
type leftOut struct {
	counts []instance.Dropped
	first  map[string]instance.Run
}

func (l *leftOut) add(n *instance.Nucleus, why string) {
	if l.first == nil {
		l.first = map[string]instance.Run{}
	}
	l.counts = instance.Count(l.counts, why, 1)
	if at, ok := l.first[why]; !ok || byPlace(n.Runs[0], at) < 0 {
		l.first[why] = n.Runs[0]
	}
}

// list sorts the reasons.
func (l *leftOut) list() []instance.Dropped {
	slices.SortFunc(l.counts, func(a, b instance.Dropped) int { return byPlace(l.first[a.Why], l.first[b.Why]) })
	return l.counts
}

// byPlace compares runs by their first pixels.
func byPlace(a, b instance.Run) int { return cmp.Or(cmp.Compare(a.Y, b.Y), cmp.Compare(a.X0, b.X0)) }
