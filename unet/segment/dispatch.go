package segment

import (
	"context"
	"slices"
	"strings"
	"time"

	"unet/unet"
	"unet/unet/instance"
)

// computeAll starts the planes of all images in order.
func (r *run) computeAll(ctx context.Context, in <-chan *job, out chan<- *job) error {
	r.claimStanding()
	for j := range in {
		j.results = make(chan *result, writesPerJob*r.jobs)
		if err := put(ctx, out, j); err != nil {
			close(j.results)
			return err
		}
		if err := r.computeJob(ctx, j); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func (r *run) computeJob(ctx context.Context, j *job) error {
	defer close(j.results)
	for p := range j.planes {
		res := &result{ready: make(chan struct{})}
		if err := r.start(ctx, p, res); err != nil {
			res.err = err
			p.done()
			close(res.ready)
		}
		if err := put(ctx, j.results, res); err != nil {
			j.cut = true
			<-res.ready
			res.discard()
			return err
		}
	}
	return nil
}

// start begins to compute a plane in memory, and does a large one.
func (r *run) start(ctx context.Context, p *plane, res *result) error {
	if err := r.claim(p); err != nil {
		return err
	}
	if err := r.knowsColumns(p); err != nil {
		return err
	}
	if p.file != nil {
		r.busy.Wait() // it needs the memory of the others
		r.bands(ctx, p, res)
		p.done()
		close(res.ready)
		return nil
	}
	scale, err := r.givenScale(p)
	if err != nil {
		return err
	}
	from, err := r.pool.from(p, scale)
	if err != nil {
		return err
	}
	by := <-from
	r.busy.Go(func() {
		defer close(res.ready)
		r.finish(ctx, p, scale, res, by, func() { from <- by })
	})
	return nil
}

// knowsColumns fails where a rule, or the colours, name what is not measured of a
// plane, before it is computed.
func (r *run) knowsColumns(p *plane) error {
	channels := p.channels
	if r.options.Stains != nil {
		channels = append(slices.Clone(channels), r.options.Stains.Names()...)
	}
	src := r.source(p, channels)
	sheet := src.Sheet()
	var names []string
	for _, rule := range r.options.Keep {
		names = append(names, rule.Column)
	}
	if by := r.batch.ColourBy.Column; by != "" {
		names = append(names, by)
	}
	for _, name := range names {
		if sheet.Index(name) < 0 {
			err := &instance.UnknownColumnError{Name: name, Known: sheet.Columns}
			return &InputError{Name: p.name, Problem: err.Error(), Advice: err.Hint(), Err: err}
		}
	}
	return nil
}

// finish computes and writes a plane. The first of its maps are from the
// predictor by, which is given back then.
func (r *run) finish(ctx context.Context, p *plane, scale float64, res *result, by *unet.Predictor, giveBack func()) {
	start := time.Now()
	var waited time.Duration
	share := r.writeShare(p.ref, p.decoded)
	mine := true
	found, err := r.compute(ctx, p, scale, func(ctx context.Context, scale float64) (instance.Maps, error) {
		if !mine {
			return r.maps(ctx, r.predictor, p, scale)
		}
		mine = false
		if p.last { // by all threads, as they become free
			m, err := r.maps(ctx, by.WithEngine(r.engine), p, scale)
			waited += r.wait(share)
			giveBack()
			return m, err
		}
		m, err := r.maps(ctx, by, p, scale)
		// Who waits to write keeps others from computing more.
		waited += r.wait(share)
		giveBack()
		return m, err
	})
	defer r.writers.Release(share)
	if res.err = err; err != nil {
		return
	}
	res.record, res.source, res.nuclei = r.planeRecord(p), r.source(p, found.Channels), found.Nuclei
	res.record.Channels, res.record.Rings, res.record.Region = res.source.Channels, res.source.Rings, res.source.Region
	res.record.Scale, res.record.Estimate = found.Scale, found.Estimate
	res.record.Notes, res.record.Warnings = found.Notes, found.Warnings
	if r.has(Mask) && r.model.Card.Kind != unet.Paper {
		if w := maskWarning(found.Labels); w != "" {
			res.record.Warnings = append(res.record.Warnings, w)
		}
	}
	res.record.count(found.Summarise(p.info.W, p.info.H))
	res.err = r.write(p, found, &res.record)
	res.record.Seconds = (time.Since(start) - waited).Seconds()
}

// wait takes places of writers and tells how long that took.
func (r *run) wait(share int64) time.Duration {
	start := time.Now()
	r.writers.Acquire(context.Background(), share) // those who have places end by themselves
	return time.Since(start)
}

// claimStanding enters the owners of results of earlier runs that stand.
func (r *run) claimStanding() {
	bases := map[string]string{}
	for _, in := range r.batch.Inputs {
		bases[strings.ToLower(in.Base)] = in.Base
	}
	enter := func(im *ImageRecord) {
		for i := range im.Planes {
			base := im.Planes[i].base()
			key := strings.ToLower(base)
			// Of names that differ in case alone another may have had this one before.
			if of, ok := bases[key]; base != "" && (!ok || of == base) {
				r.owners[key] = im.Input
			}
		}
	}
	for _, im := range r.others {
		enter(im)
	}
	for _, e := range r.batch.Earlier {
		enter(e.Record)
	}
	for _, in := range r.batch.Inputs {
		if e := r.earlier[in.Path]; e != nil {
			enter(e)
		}
	}
}

// claim fails where another input has results of the same name, which only shows
// once its planes are known: those of a.tif may be named like those of a_p0.tif.
func (r *run) claim(p *plane) error {
	key := strings.ToLower(p.base()) // some file systems ignore case
	if owner, ok := r.owners[key]; ok && owner != p.in.Path {
		return &InputError{Name: p.in.Path, Problem: "its results would replace those of " + owner, Advice: "rename one of them, or write them to different folders"}
	}
	r.owners[key] = p.in.Path
	return nil
}
