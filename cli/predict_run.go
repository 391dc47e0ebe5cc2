package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"unet/core"
	"unet/unet"
	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// predictRun segments a list of images. Images are read ahead, computed, and
// written behind, at most jobs of each at a time; what concerns all images
// together is written in their order. Threads that each compute a small image
// need not wait for each other, so these are computed side by side, and large
// ones by all threads together.
type predictRun struct {
	t         *terminal
	out       string
	engine    *core.Engine
	predictor *unet.Predictor      // of all threads
	team      chan *unet.Predictor // predictor, when it is idle
	lanes     lanes
	model     *unet.Model
	settings  predictSettings
	planes    planeChoice
	diameter  diameter
	jobs      int
	budget    int64
	skip      bool
	inputs    []input

	owners   map[string]string // inputs by the base of their results
	manifest manifest
	earlier  map[string]*imageRecord // of the run that is continued, by input
	batch    *batchFiles
	done     int
}

// task is one plane on its way through the run.
type task struct {
	in  *input
	job planeJob
	// sha256 of the file.
	sha256 string
	// decoded is the memory an open file takes that was decoded as a whole.
	decoded int64
	// img is segmented, measured gives the intensities.
	img, measured *imageio.Image
	// last says that no other plane follows in the run.
	last bool
	// file is open for planes too large to be read whole; release lets the
	// reader go on with it.
	file    *imageio.File
	release chan struct{}
}

// arrival is an input that is being read: its planes come one by one.
type arrival struct {
	in     *input
	record *imageRecord
	tasks  chan *task
	err    error // when tasks is closed
	kept   bool  // the earlier run's results stand
}

// finished is a plane that is being written.
type finished struct {
	record *imageRecord
	plane  planeRecord
	nuclei []instance.Nucleus
	source formats.Source
	err    error
	ready  chan struct{}
	last   bool // of its image
	kept   bool
}

// run is the command after its options.
func (r *predictRun) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	start := time.Now()
	r.manifest = newManifest(r.model, r.settings, start)
	if r.skip {
		r.earlier = r.readEarlier()
	}
	err := withBatchFiles(r.out, r.settings, func(b *batchFiles) error {
		r.batch = b
		return r.pipeline(ctx)
	})
	r.manifest.Seconds = time.Since(start).Seconds()
	r.manifest.Interrupted = err != nil
	if werr := r.writeManifest(); werr != nil && err == nil {
		err = werr
	}
	if werr := r.manifest.writeSummary(filepath.Join(r.out, summaryFile)); werr != nil && err == nil {
		err = werr
	}
	if err != nil {
		return withHint(err, "the same command with --skip-existing goes on from here")
	}
	return r.report()
}

// pipeline works through all inputs. An error ends the run; those of single
// images do not.
func (r *predictRun) pipeline(ctx context.Context) error {
	var group sync.WaitGroup // not waited for in a panic: it would be for ever
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	arrivals := make(chan *arrival, r.jobs)
	group.Go(func() {
		defer close(arrivals)
		for i := range r.inputs {
			a := &arrival{in: &r.inputs[i], record: &imageRecord{Input: r.inputs[i].path, Name: r.inputs[i].name}, tasks: make(chan *task)}
			// The place in the queue comes first: it bounds the readers.
			select {
			case arrivals <- a:
			case <-ctx.Done():
				return
			}
			group.Go(func() {
				defer close(a.tasks)
				a.err = r.read(ctx, a)
			})
		}
	})

	queue := make(chan *finished, writesPerJob*r.jobs)
	var end error
	ended := make(chan struct{})
	group.Go(func() {
		defer close(ended)
		if end = r.collect(queue); end != nil {
			stop(end)
		}
		for f := range queue { // let the others go
			if f.record == nil {
				close(f.ready)
			}
		}
	})
	send := func(f *finished) bool {
		select {
		case queue <- f:
			return true
		case <-ctx.Done():
			return false
		}
	}
	writers := make(chan struct{}, writesPerJob*r.jobs)
	var turn sync.Mutex // to take places of writers, several at once
	for a := range arrivals {
		for t := range a.tasks {
			f := &finished{record: a.record, ready: make(chan struct{})}
			if err := r.claim(t); err != nil {
				f.err = err
				if t.file != nil {
					close(t.release)
				}
				close(f.ready)
			} else if t.file != nil {
				// Its results go straight to the batch's files: all before
				// it must be there.
				r.drain(queue)
				f.plane, f.err = r.large(ctx, t)
				close(t.release)
				close(f.ready)
			} else if scale, err := r.scaleOf(t); err != nil {
				f.err = err
				close(f.ready)
			} else if predictors, err := r.take(t, scale); err != nil {
				f.err = err
				close(f.ready)
			} else {
				p := <-predictors
				group.Go(func() {
					defer close(f.ready)
					c, err := r.compute(ctx, p, t, scale)
					// Who waits to write keeps others from computing more.
					n := r.writeShare(t.job, t.decoded)
					turn.Lock()
					for range n {
						writers <- struct{}{}
					}
					turn.Unlock()
					predictors <- p
					if f.err = err; err == nil {
						f.plane, f.nuclei, f.source, f.err = r.finish(ctx, t, c)
					}
					for range n {
						<-writers
					}
				})
			}
			if ctx.Err() != nil || !send(f) {
				break
			}
		}
		if ctx.Err() != nil {
			break
		}
		last := &finished{record: a.record, err: a.err, last: true, kept: a.kept, ready: make(chan struct{})}
		close(last.ready)
		if !send(last) {
			break
		}
	}
	if ctx.Err() != nil {
		stop(nil)
		for a := range arrivals { // readers see ctx
			for t := range a.tasks {
				if t.release != nil {
					close(t.release)
				}
			}
		}
	}
	close(queue)
	<-ended
	cause := context.Cause(ctx)
	stop(nil)
	group.Wait()
	if end != nil {
		return end
	}
	return cause
}

// claim fails where another input has results of the same name, which only shows
// once its planes are known: those of a.tif may be named like those of a_p0.tif.
func (r *predictRun) claim(t *task) error {
	key := strings.ToLower(t.base()) // some file systems ignore case
	if owner, ok := r.owners[key]; ok && owner != t.in.path {
		return withHint(fmt.Errorf("%s: its results would replace those of %s", t.in.path, owner), "rename one of them, or write them to different folders")
	}
	if r.owners == nil {
		r.owners = map[string]string{}
	}
	r.owners[key] = t.in.path
	return nil
}

// drain waits until everything sent to the collector has been taken in.
func (r *predictRun) drain(queue chan *finished) {
	mark := &finished{ready: make(chan struct{})}
	queue <- mark
	<-mark.ready
}

// collect takes finished planes in order and writes the batch's files.
func (r *predictRun) collect(queue chan *finished) error {
	skipped := 0
	p := r.t.progress("segmenting", "images", len(r.inputs), 0)
	saved := time.Now()
	for f := range queue {
		if f.record == nil { // of drain
			close(f.ready)
			continue
		}
		<-f.ready
		switch {
		case errors.Is(f.err, context.Canceled), errors.Is(f.err, errInterrupted):
			return f.err
		case f.err != nil:
			f.record.fail(f.err)
		case f.kept:
			skipped++
			if err := r.batch.repeat(r.out, f.record); err != nil {
				return err
			}
		case !f.last:
			if err := r.batch.write(f); err != nil {
				return err
			}
			f.record.Planes = append(f.record.Planes, f.plane)
		}
		if !f.last {
			continue
		}
		if f.record.Status == "" {
			f.record.Status = statusDone
		}
		if f.record.Status == statusFailed {
			if len(r.inputs) > 1 { // else it is what the program ends with
				text := f.record.Error
				if !strings.Contains(text, oneLine(f.record.Input)) {
					text = f.record.Input + ": " + text
				}
				if f.record.Hint != "" {
					text += "; " + f.record.Hint
				}
				r.t.warnf("%s", text)
			}
		}
		for _, pl := range f.record.Planes {
			for _, w := range pl.Warnings {
				r.t.warnf("%s%s: %s", f.record.Input, pl.Suffix, w)
			}
			for _, n := range pl.Notes {
				r.t.notef("%s%s: %s", oneRow(f.record.Input), pl.Suffix, n)
			}
		}
		if !f.kept {
			for _, n := range f.record.Notes {
				r.t.notef("%s: %s", oneRow(f.record.Input), n)
			}
		}
		r.manifest.Images = append(r.manifest.Images, f.record)
		r.done++
		p.skipped = skipped
		p.update(r.done, f.record.Name)
		if time.Since(saved) > 10*time.Second {
			saved = time.Now()
			if err := r.writeManifest(); err != nil {
				return err
			}
		}
	}
	return nil
}

// read opens an input and hands on its planes.
func (r *predictRun) read(ctx context.Context, a *arrival) error {
	if a.in.err != nil {
		return a.in.err
	}
	sum, err := hashInput(ctx, a.in.path)
	if err != nil {
		return err
	}
	a.record.SHA256 = sum
	if e := r.earlier[a.in.path]; e != nil && e.SHA256 == sum && r.stands(a.in, e) {
		a.kept = true
		*a.record = *e
		a.record.Status = statusSkipped
		return nil
	}
	decoded := imageio.RasterBytes(a.in.path)
	if decoded > r.budget/2 {
		return &imageio.LimitError{Name: a.in.path, What: fmt.Sprintf("its format is decoded as a whole, which takes %d MiB, and --max-memory is %d MiB", decoded>>20, r.budget>>20),
			Advice: "allow more with --max-memory, or store it as a tiled TIFF, which is read in pieces"}
	}
	f, err := imageio.Open(a.in.path)
	if err != nil {
		return err
	}
	defer f.Close()
	jobs, notes, err := r.planes.planeJobs(f)
	if err != nil {
		return err
	}
	a.record.Format = f.Format
	for i, job := range jobs {
		t := &task{in: a.in, job: job, sha256: sum, decoded: decoded, last: a.in == &r.inputs[len(r.inputs)-1] && i == len(jobs)-1}
		if r.tooLarge(job, decoded) {
			t.file, t.release = f, make(chan struct{})
		} else if err := t.load(f); err != nil {
			return err
		}
		select {
		case a.tasks <- t:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if t.file != nil {
			<-t.release
		}
	}
	a.record.Notes = append(slices.Clone(f.Notes), notes...)
	return nil
}

// load reads the plane and the channels measured with it.
func (t *task) load(f *imageio.File) error {
	img, err := f.ReadPlane(t.job.index)
	if err != nil {
		return err
	}
	t.img = img.Gray()
	t.img.Bits, t.img.Float, t.img.PixelSize = img.Bits, img.Float, img.PixelSize
	if len(t.job.measured) < 2 {
		t.measured = t.img
		if t.img.C == 1 {
			t.job.channels = t.job.channels[:0]
			t.job.channels = append(t.job.channels, channelName(t.job.info))
		}
		return nil
	}
	m := &imageio.Image{W: img.W, H: img.H, C: len(t.job.measured), Bits: img.Bits, Float: img.Float, PixelSize: img.PixelSize}
	m.Pix = make([]float32, 0, m.C*m.W*m.H)
	for _, i := range t.job.measured {
		if i != t.job.index {
			other, err := f.ReadPlane(i)
			if err != nil {
				return err
			}
			m.Pix = append(m.Pix, other.Plane(0)...)
			continue
		}
		m.Pix = append(m.Pix, img.Plane(0)...)
	}
	t.measured = m
	return nil
}

func channelName(p imageio.PlaneInfo) string {
	if p.Name != "" {
		return p.Name
	}
	return fmt.Sprint(p.Channel + 1)
}

// tooLarge says that a plane is done in bands: whole it would take more than
// its share of the memory, together with the decoded file.
func (r *predictRun) tooLarge(j planeJob, decoded int64) bool {
	if r.model.Card.Input.Size > 0 {
		return false
	}
	return j.samples() > imageio.MaxSamples || r.planeBytes(j)+decoded > r.budget/int64(r.jobs+2)
}

// writesPerJob is how many small planes are written at the same time for every
// job: writing waits for the disk more than it computes.
const writesPerJob = 4

// writeShare is how many of the writesPerJob places of a job a plane takes while
// it is written, by the memory it holds.
func (r *predictRun) writeShare(j planeJob, decoded int64) int {
	share := r.budget / int64(r.jobs+2) / writesPerJob
	return int(min(1+(r.planeBytes(j)+decoded)/share, writesPerJob))
}

// planeBytes is the memory that a plane takes on its way through the run.
func (r *predictRun) planeBytes(j planeJob) int64 {
	heads := len(r.model.Card.Arch.Heads)
	return int64(j.info.W)*int64(j.info.H)*int64(4*heads+40) + 8*j.samples()
}

// samples are those of the plane, or of the channels measured with it.
func (j planeJob) samples() int64 {
	return int64(j.info.W) * int64(j.info.H) * int64(max(j.info.C, len(j.measured)))
}

// computed is what the network says of a plane.
type computed struct {
	maps    instance.Maps
	scale   float64
	seconds float64
}

// compute runs the network on a plane.
func (r *predictRun) compute(ctx context.Context, p *unet.Predictor, t *task, scale float64) (computed, error) {
	start := time.Now()
	if t.last { // by all threads, as they become free
		p = p.On(r.engine)
	}
	maps, err := r.mapsAt(ctx, p, t, scale)
	return computed{maps, scale, time.Since(start).Seconds()}, err
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// hashInput is the SHA-256 of a file, or of all names and files of a folder.
func hashInput(ctx context.Context, p string) (string, error) {
	h := sha256.New()
	one := func(q string) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		f, err := os.Open(q)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(h, readerFunc(func(p []byte) (int, error) {
			if err := context.Cause(ctx); err != nil {
				return 0, err
			}
			return f.Read(p)
		}))
		return err
	}
	err := error(nil)
	if isDir(p) {
		err = filepath.WalkDir(p, func(q string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			rel, _ := filepath.Rel(p, q)
			io.WriteString(h, filepath.ToSlash(rel)+"\x00")
			return one(q)
		})
	} else {
		err = one(p)
	}
	return hex.EncodeToString(h.Sum(nil)), err
}

// report prints the result.
func (r *predictRun) report() error {
	m := &r.manifest
	m.count()
	if r.t.json {
		if err := r.t.writeJSON(m); err != nil {
			return err
		}
	} else if m.Failed == 0 || len(r.inputs) > 1 {
		const most = 20
		shown := 0
		for _, im := range m.Images {
			for _, p := range im.Planes {
				if shown++; shown > most {
					continue
				}
				line := im.Name + p.Suffix + ": " + plural(p.Nuclei, "nucleus", "nuclei")
				if p.Nuclei > 0 {
					line += fmt.Sprintf(", median diameter %.1f px", p.Diameter)
				}
				if p.Scale != 1 {
					line += fmt.Sprintf(", scaled by %.3g", p.Scale)
				}
				if im.Status == statusSkipped {
					line += " (kept)"
				}
				r.t.printf("%s\n", oneRow(line))
			}
		}
		if shown > most {
			r.t.printf("... and %d more\n", shown-most)
		}
		r.t.printf("%s\n", strings.Join(m.totals(r.out), ", "))
	}
	if m.Failed > 0 {
		if len(r.inputs) == 1 {
			return m.Images[0].err
		}
		return &partialErr{m.Failed, len(r.inputs)}
	}
	return nil
}
