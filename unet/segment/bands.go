package segment

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/imageio/zarr"
	"unet/unet/instance"
)

// bands segments a plane that is too large for memory, in bands of rows, while
// no other plane is at work. What differs from the others: labels have 32 bits,
// masks are TIFF files, every probability map has its own file, and the overlay
// is a smaller picture.
func (r *run) bands(ctx context.Context, p *plane, res *result) {
	start := time.Now()
	res.record = r.planeRecord(p)
	res.record.Banded = true
	res.err = r.bandsOf(ctx, p, res)
	slices.Sort(res.record.Outputs)
	res.record.Seconds = time.Since(start).Seconds()
}

func (r *run) bandsOf(ctx context.Context, p *plane, res *result) (err error) {
	if err := r.fits(p); err != nil {
		return err
	}
	rec := &res.record
	w := &bandWork{read: p.rows(p.ref.Index)}
	w.from, w.to = p.in.span.rows(p.info.H)
	w.levels, err = shared(ctx, r, p.in, p.base()+".levels", func() (unet.Levels, error) {
		return r.model.Card.Input.Levels(ctx, w.read)
	})
	if err != nil {
		return err
	}
	r.measuredInBands(p, w.levels, rec)
	var network int64
	if w.rows, network, err = r.bandScale(ctx, p, w.levels, rec); err != nil {
		return err
	}
	w.scale = rec.Scale
	// What was used before must not count against this image.
	r.predictor.Close()
	r.pool.forget()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(max(r.memory-network-(32<<20), 256<<20)))
	debug.FreeOSMemory()

	about := banded{Base: p.base(), File: p.in.Path, Source: r.source(p, p.channels), Description: r.description(p, w.scale),
		Heads: r.model.Card.Arch.Heads, Sizes: r.sizes(), Tiles: r.tileWarning(p.info, w.scale)}
	res.source = about.Source
	if !p.in.span.whole() {
		return r.piece(ctx, p, w, about, rec)
	}
	out := &bandFiles{r: &r.results, banded: about, rec: rec}
	defer func() { res.spool = out.spool }()
	defer out.abort() // nothing after commit
	if err := out.create(); err != nil {
		return err
	}
	dropped, cuts, err := r.stream(ctx, p, w, about.Source, out)
	if err != nil {
		return err
	}
	if warning := cutWarning(cuts, w.rows); warning != "" {
		rec.Warnings = append(rec.Warnings, warning)
	}
	if err := out.commit(); err != nil {
		return err
	}
	out.count(dropped)
	return nil
}

// measuredInBands finds what is measured of a large plane, and tells what is not.
func (r *run) measuredInBands(p *plane, levels unet.Levels, rec *PlaneRecord) {
	if len(p.ref.Measured) < 2 && (levels.Gray || p.info.C == 1) {
		p.channels = []string{ChannelName(p.info)}
	}
	if r.options.Stains != nil && (levels.Gray || p.info.C < 3) {
		rec.Warnings = append(rec.Warnings, noStains)
	} else if r.options.Stains != nil {
		p.stains = r.options.Stains
		p.channels = append(slices.Clone(p.channels), p.stains.Names()...)
	}
	rec.Channels = p.channels
	note, warning := undefinedText(levels.Undefined)
	rec.Notes, rec.Warnings = appendText(rec.Notes, note), appendText(rec.Warnings, warning)
	if r.batch.ColourBy != (ColourBy{}) {
		rec.Warnings = append(rec.Warnings, "nuclei of an image that is segmented in bands are not coloured by a measurement")
	}
	if r.options.Rings() {
		rec.Warnings = append(rec.Warnings, "rings are not measured in an image that is segmented in bands; allow more memory for them")
	}
}

// fits fails where a large plane is too wide for bands at any scale, before it is
// read, which may take hours.
func (r *run) fits(p *plane) error {
	scale, err := r.givenScale(p)
	if err != nil {
		return err
	}
	least := scale
	if r.diameter.auto() {
		least = minScale
	}
	narrow, low := r.scaled(p.info, least)
	if _, _, err = r.predictor.MaxRows(p.info.W, narrow, low, 1, r.bandMemory(p)); err == nil {
		return nil
	}
	w, h := r.scaled(p.info, scale)
	_, _, err = r.predictor.MaxRows(p.info.W, w, h, max(1, len(p.channels)), r.bandMemory(p))
	return p.named(err)
}

// named is an error of the predictor, which knows no files, with the name of the
// plane's.
func (p *plane) named(err error) error {
	var limit *imageio.LimitError
	if !errors.As(err, &limit) {
		return err
	}
	named := *limit
	named.Name = p.name
	return &named
}

// cutWarning says how often a clump was too tall for the rows held; "" if none was.
func cutWarning(times, rows int) string {
	often := "once"
	switch {
	case times == 0:
		return ""
	case times > 1:
		often = fmt.Sprintf("%d times", times)
	}
	return fmt.Sprintf("%s a clump of nuclei was taller than %d rows and was cut; more memory avoids it", often, rows)
}

// bandMemory is what the bands of a plane may take.
func (r *run) bandMemory(p *plane) int64 {
	memory := r.memory - p.decoded
	if r.has(Zarr) {
		memory -= zarr.LabelBytes(p.info.W)
	}
	return memory
}

// bandScale finds the scale of a large plane, the rows that may be held at it,
// and the memory of the network.
func (r *run) bandScale(ctx context.Context, p *plane, levels unet.Levels, rec *PlaneRecord) (rows int, network int64, err error) {
	if rec.Scale, err = r.givenScale(p); err != nil {
		return 0, 0, err
	}
	if r.diameter.auto() {
		type found struct{ Diameter, Scale float64 }
		f, err := shared(ctx, r, p.in, p.base()+".scale", func() (found, error) {
			d, scale, err := r.estimateLarge(ctx, p, levels)
			return found{d, scale}, err
		})
		if err != nil {
			return 0, 0, err
		}
		if rec.Estimate, rec.Scale = f.Diameter, f.Scale; rec.Scale != 1 {
			rec.Notes = append(rec.Notes, r.scaleNote(rec.Estimate, rec.Scale))
		}
	}
	w, h := r.scaled(p.info, rec.Scale)
	memory := r.bandMemory(p)
	rows, network, err = r.predictor.MaxRows(p.info.W, w, h, len(p.channels), memory)
	if err != nil && r.diameter.auto() && rec.Scale > 1 { // nobody asked for this size
		rec.Warnings = append(rec.Warnings, err.Error()+": native scale")
		rec.Scale = 1
		rows, network, err = r.predictor.MaxRows(p.info.W, p.info.W, p.info.H, len(p.channels), memory)
	}
	return rows, network, p.named(err)
}

// sampleSide and farSample are the sides in pixels of the four windows of a large plane
// from which the size of its nuclei is estimated, at native scale and from afar.
const sampleSide, farSample = 512, 2048

// estimateLarge estimates the size of the nuclei of a plane read in pieces, and the
// scale that suits it, from windows in the middle of its quarters.
func (r *run) estimateLarge(ctx context.Context, p *plane, levels unet.Levels) (diameter, scale float64, err error) {
	var found, all []int
	var near sighting
	params := r.params
	params.RemoveEdge = true // what the window cuts is no nucleus
	err = r.windows(ctx, p, levels, sampleSide, 1, func(m instance.Maps) {
		labels := instance.Separate(m, params)
		part := areas(labels)
		all = append(all, r.withSmaller(part, m, params)...)
		found = append(found, part...)
		near.add(m, r.rated(m, labels, nil))
	})
	if err != nil {
		return 0, 1, err
	}
	look := func(scale float64) (far sighting, err error) {
		params := r.paramsAt(scale)
		params.RemoveEdge = true
		err = r.windows(ctx, p, levels, farSample, scale, func(m instance.Maps) {
			far.add(m, r.rated(m, instance.Separate(m, params), nil))
		})
		return far, err
	}
	large, err := r.larger(near, min(farSample, p.info.W, p.info.H), look)
	if err != nil {
		return 0, 1, err
	}
	if large > 0 {
		scale := r.scaleFor(large)
		if again, err := look(scale); err != nil || agrees(usualCount(again.sizes), large) {
			return large, scale, err
		}
	}
	diameter, scale = r.estimate(found, all)
	return diameter, scale, nil
}

// windows computes the maps of windows of a large plane, in the middle of its quarters,
// as the network sees them at a scale.
func (r *run) windows(ctx context.Context, p *plane, levels unet.Levels, side int, scale float64, each func(instance.Maps)) error {
	w, h := min(side, p.info.W), min(side, p.info.H)
	for quarter := range 4 {
		x0 := min(max(p.info.W*(1+quarter%2*2)/4-w/2, 0), p.info.W-w)
		y0 := min(max(p.info.H*(1+quarter/2*2)/4-h/2, 0), p.info.H-h)
		window := unet.Rows{W: w, H: h, Read: func(y, n int) (*imageio.Image, error) {
			return p.file.ReadRegion(p.ref.Index, x0, y0+y, w, n)
		}}
		m := instance.NewMaps(w, h, r.model.Card.Arch.Heads...)
		sw, sh := r.scaled(imageio.PlaneInfo{W: w, H: h}, scale)
		err := r.predictor.BandsAt(ctx, window, levels, sw, sh, func(y int, part instance.Maps, _ *imageio.Image) error {
			for _, name := range part.Names {
				copy(m.Plane(name)[y*w:], part.Plane(name))
			}
			return nil
		})
		if err != nil {
			return err
		}
		each(m)
	}
	return nil
}
