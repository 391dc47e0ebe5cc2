package segment

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"unet/unet"
	"unet/unet/formats"
	"unet/unet/imageio/owned"
	"unet/unet/instance"
)

// Batch says what Run is to do.
type Batch struct {
	// Inputs are the images, as the function Inputs lists them.
	Inputs []Input
	// Keep are further files that no result may replace, such as the model's.
	Keep []string
	// Choice says which planes of them are meant.
	Choice Choice
	// Out is the folder of the results, which is there.
	Out string
	// Formats are those of the results, sorted.
	Formats []string
	// SkipExisting leaves out images that an earlier run with the same settings
	// has done.
	SkipExisting bool
	// Force lets results replace files that no earlier run made. Inputs are never
	// replaced.
	Force bool
	// Earlier are records of images whose results are in the folder, too. Those with
	// the same model and settings count to this batch, as those of the run before do.
	Earlier []Earlier
	// Part is the part of the inputs to do, each with the same results as in a run
	// of all of them. What belongs to all together is left to Gather.
	Part Part
	// Condition tells the conditions of the images apart.
	Condition Condition
	// Regions tells where in each image nuclei count.
	Regions Regions
	// ColourBy is the measurement that colours nuclei in pictures.
	ColourBy ColourBy
	// Markers tell positive nuclei from others.
	Markers []Marker
	// Jobs is how many images are read, computed and written at the same time;
	// 0: one for each thread, as memory allows.
	Jobs int
	// Version of the program is recorded with the results; "": unet.Version.
	Version string
}

// Earlier is what became of an image in an earlier run.
type Earlier struct {
	Origin
	Record *ImageRecord
}

// run is a Batch under way. Images are read ahead, computed, and written
// behind, at most jobs of each at a time; what concerns all images together is
// written in their order.
type run struct {
	*Segmenter
	results
	jobs    int
	pool    *pool
	writers *semaphore.Weighted // places of planes that are written
	decoded *semaphore.Weighted // bytes of open files that are decoded whole
	busy    sync.WaitGroup      // planes that are computed or written
	owners  map[string]string   // inputs by the base of their results
}

// results are the folder of a batch and what is recorded of it, which needs
// neither model nor engine.
type results struct {
	batch    Batch
	observer Observer
	files    *batchFiles
	all      []Input       // of the batch, of which batch.Inputs may be a part
	plan     *plan         // of a part
	folder   *owned.Folder // where the results go
	summary  Summary
	earlier  map[string]*ImageRecord // of the run that is continued, by input
	others   []*ImageRecord          // of earlier runs with the same settings, of other inputs
	anew     bool                    // the run before had another model or other settings

	shown      Summary            // with others: what the page and the table of nuclei show
	histograms map[string]logBins // of all nuclei, by column of the table
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
	if b.Part.Of == 0 {
		if err := undivided(b.Out); err != nil {
			return nil, err
		}
	}
	b.Choice.PixelSize = s.options.PixelSize
	r := &run{Segmenter: s, results: results{batch: b, observer: &inTurn{o: o}}, jobs: b.Jobs, owners: map[string]string{}}
	if r.jobs <= 0 {
		r.jobs = defaultJobs(s.engine.Threads(), s.memory)
	}
	r.summary = newSummary(s.model, r.settings(), b.Version, start)
	r.writers = semaphore.NewWeighted(int64(writesPerJob * r.jobs))
	r.decoded = semaphore.NewWeighted(s.memory / 2)
	r.pool = newPool(s, r.jobs)
	defer r.pool.close()
	if err := r.begin(ctx, r.tooLarge); err != nil {
		return nil, err
	}
	defer r.folder.Close() // the list is complete, if not in order
	// What the images leave behind must not double the memory.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(max(s.memory*3/4, 256<<20)))

	err := r.through(ctx)
	r.summary.Seconds = time.Since(start).Seconds()
	return &r.summary, r.complete(err)
}

// complete writes what belongs to all images, after what became of them.
func (r *results) complete(err error) error {
	r.summary.Interrupted = err != nil
	if r.plan != nil {
		r.summary.count()
		return errors.Join(err, r.writeManifest(), r.folder.Close())
	}
	r.assign()
	r.summary.count()
	if err == nil && r.has(CSV) {
		err = r.writeNuclei()
	}
	if err != nil && r.anew {
		if rerr := r.removeWhole(); rerr != nil {
			err = errors.Join(err, rerr)
		}
	}
	r.compare()
	if werr := r.writeRecords(); err == nil {
		err = werr
	}
	if cerr := r.folder.Close(); err == nil {
		err = cerr
	}
	r.summary.count()
	return err
}

// removeWhole removes the files of all nuclei, which are of the run before when this one
// ends early.
func (r *results) removeWhole() (err error) {
	for format, name := range map[string]string{COCO: COCOFile, RLE: RLEFile, CSV: NucleiFile} {
		if !r.has(format) {
			continue
		}
		if rerr := os.Remove(filepath.Join(r.batch.Out, name)); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// through works through all inputs and completes the files of the batch.
func (r *run) through(ctx context.Context) (err error) {
	if r.files, err = createBatch(r.batch); err != nil {
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

func (r *results) has(format string) bool { return slices.Contains(r.batch.Formats, format) }

// planeRecord is what is known of a plane before it is computed.
func (r *run) planeRecord(p *plane) PlaneRecord {
	return PlaneRecord{Suffix: p.ref.Suffix, ID: p.in.ID + p.ref.Suffix, Plane: p.info.String(),
		Width: p.info.W, Height: p.info.H, FullWidth: p.info.FullW, FullHeight: p.info.FullH, PixelSize: r.pixelSize(p.info), Scale: 1, Channels: p.channels, WellName: wellText(p.info.Well), OnPlate: p.info.Well != ""}
}

// settings records what decides the results.
func (r *run) settings() Settings {
	c := r.batch.Choice
	return Settings{Formats: r.batch.Formats, Page: c.Page.text, Channel: c.Channel.text, Z: c.Z.text, T: c.T.text, Well: unlessAll(c.Well), Field: unlessAll(c.Field), Level: c.Level,
		Diameter: r.diameter.String(), PixelSize: r.options.PixelSize, TTA: r.options.TTA, Precision: r.precision(),
		Threshold: r.threshold, Instance: r.params, MinAreaSet: r.options.MinArea != nil,
		Ring: r.options.Ring.String(), Stains: r.options.Stains.String(), Keep: keepText(r.options.Keep), Region: r.batch.Regions.path, ColourBy: r.batch.ColourBy.String()}
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
