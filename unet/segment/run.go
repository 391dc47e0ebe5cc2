package segment

import (
	"context"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"unet/unet"
	"unet/unet/formats"
	"unet/unet/instance"
)

// Batch says what Run is to do.
type Batch struct {
	// Inputs are the images, as the function Inputs lists them.
	Inputs []Input
	// Choice says which planes of them are meant.
	Choice Choice
	// Out is the folder of the results, which is there.
	Out string
	// Formats are those of the results, sorted.
	Formats []string
	// SkipExisting leaves out images that an earlier run with the same settings
	// has done.
	SkipExisting bool
	// Jobs is how many images are read, computed and written at the same time;
	// 0: one for each thread, as memory allows.
	Jobs int
	// Version of the program is recorded with the results; "": unet.Version.
	Version string
}

// run is a Batch under way. Images are read ahead, computed, and written
// behind, at most jobs of each at a time; what concerns all images together is
// written in their order.
type run struct {
	*Segmenter
	batch    Batch
	observer Observer
	jobs     int
	pool     *pool
	writers  *semaphore.Weighted // places of planes that are written
	busy     sync.WaitGroup      // planes that are computed or written
	files    *batchFiles
	owners   map[string]string // inputs by the base of their results
	summary  Summary
	earlier  map[string]*ImageRecord // of the run that is continued, by input
}

// job is an input on its way: its planes come from the reader, and their
// results, in the same order, go to the collector.
type job struct {
	in     *Input
	record *ImageRecord
	kept   bool  // the earlier run's results stand
	err    error // of the reader, when planes is closed
	cut    bool  // the run ended before all its planes were computed

	planes  chan *plane
	results chan *result
}

// result is a plane that is computed and written; it is complete when ready is
// closed.
type result struct {
	ready  chan struct{}
	record PlaneRecord
	source formats.Source
	nuclei []instance.Nucleus
	spool  *spool // holds the nuclei instead, of a large plane
	err    error
}

// Run segments many files and writes the results to a folder. An image that
// fails does not stop the others: its record tells why. The error is that of the
// run as a whole; what was done until then is recorded, and SkipExisting goes on
// from there.
func (s *Segmenter) Run(ctx context.Context, b Batch, o Observer) (*Summary, error) {
	start := time.Now()
	if b.Version == "" {
		b.Version = unet.Version
	}
	r := &run{Segmenter: s, batch: b, observer: o, jobs: b.Jobs, owners: map[string]string{}}
	if r.jobs <= 0 {
		r.jobs = defaultJobs(s.engine.Threads(), s.memory)
	}
	r.summary = newSummary(s.model, r.settings(), b.Version, start)
	r.writers = semaphore.NewWeighted(int64(writesPerJob * r.jobs))
	r.pool = newPool(s, r.jobs)
	defer r.pool.close()
	if b.SkipExisting {
		r.earlier = r.readEarlier()
	}
	// What the images leave behind must not double the memory. Below the limit,
	// collecting less often costs nothing but memory.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(max(s.memory*3/4, 256<<20)))
	defer debug.SetGCPercent(debug.SetGCPercent(300))

	err := r.all(ctx)
	r.summary.Seconds = time.Since(start).Seconds()
	r.summary.Interrupted = err != nil
	if werr := r.writeRecords(); err == nil {
		err = werr
	}
	r.summary.count()
	return &r.summary, err
}

// all works through all inputs and completes the files of the batch.
func (r *run) all(ctx context.Context) (err error) {
	if r.files, err = createBatch(r.batch.Out, r.batch.Formats); err != nil {
		return err
	}
	defer r.files.abort()
	if err := r.pipeline(ctx); err != nil {
		return err
	}
	return r.files.commit()
}

// pipeline joins the stages by channels. Every stage ends when ctx does; the
// first error ends it.
func (r *run) pipeline(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	read := make(chan *job, r.jobs)
	computed := make(chan *job, writesPerJob*r.jobs)
	group.Go(func() error {
		defer close(read)
		return r.readAll(ctx, group, read)
	})
	group.Go(func() error {
		defer close(computed)
		return r.computeAll(ctx, read, computed)
	})
	group.Go(func() error { return r.collect(ctx, computed) })
	err := group.Wait()
	r.busy.Wait()
	for j := range computed { // after an error
		j.discard()
	}
	return err
}

// put sends v unless ctx ends before.
func put[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// computeAll starts the planes of all images in order.
func (r *run) computeAll(ctx context.Context, in <-chan *job, out chan<- *job) error {
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
	res.record, res.source, res.nuclei = r.planeRecord(p), r.source(p), found.Nuclei
	res.record.Scale, res.record.Estimate = found.Scale, found.Estimate
	res.record.Notes, res.record.Warnings = found.Notes, found.Warnings
	res.record.count(instance.Summarise(found.Nuclei, p.info.W, p.info.H))
	res.record.Outputs, res.err = r.write(p, found)
	res.record.Seconds = (time.Since(start) - waited).Seconds()
}

// wait takes places of writers and tells how long that took.
func (r *run) wait(share int64) time.Duration {
	start := time.Now()
	r.writers.Acquire(context.Background(), share) // those who have places end by themselves
	return time.Since(start)
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

func (r *run) has(format string) bool { return slices.Contains(r.batch.Formats, format) }

// planeRecord is what is known of a plane before it is computed.
func (r *run) planeRecord(p *plane) PlaneRecord {
	return PlaneRecord{Suffix: p.ref.Suffix, ID: p.in.ID + p.ref.Suffix, Plane: p.info.String(),
		Width: p.info.W, Height: p.info.H, PixelSize: r.pixelSize(p.info), Scale: 1, Channels: p.channels}
}

// settings records what decides the results.
func (r *run) settings() Settings {
	c := r.batch.Choice
	return Settings{Formats: r.batch.Formats, Page: c.Page.text, Channel: c.Channel.text, Z: c.Z.text, T: c.T.text, Well: unlessAll(c.Well), Field: unlessAll(c.Field), Level: c.Level,
		Diameter: r.diameter.String(), PixelSize: r.options.PixelSize, TTA: r.options.TTA, Precision: r.precision(),
		Threshold: r.threshold, Instance: r.params, MinAreaSet: r.options.MinArea != nil}
}

// unlessAll is a selection's text, "" for all.
func unlessAll(s Selection) string {
	if s.all() {
		return ""
	}
	return s.text
}

// precision names the numbers that are multiplied.
func (s *Segmenter) precision() string {
	switch {
	case s.model.Card.Precision != "":
		return s.model.Card.Precision
	case s.options.BFloat16:
		return "bfloat16"
	}
	return "float32"
}
