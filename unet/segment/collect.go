package segment

import (
	"context"
	"time"
)

// saveEvery is how often the manifest is written while the run goes on.
const saveEvery = 10 * time.Second

// collect takes in finished images in order, and writes their nuclei to the
// files of the batch. When the run is cut off it takes those that are complete.
func (r *run) collect(ctx context.Context, in <-chan *job) error {
	kept := 0
	saved := time.Now()
	for j := range in {
		if err := r.collectJob(ctx, j); err != nil {
			j.discard()
			return err
		}
		if j.kept {
			kept++
		}
		r.tell(j)
		r.summary.Images = append(r.summary.Images, j.record)
		r.observer.Progress(Progress{Done: len(r.summary.Images), Total: len(r.batch.Inputs), Kept: kept, Last: j.record.Name})
		if time.Since(saved) > saveEvery {
			saved = time.Now()
			if err := r.writeManifest(); err != nil {
				return err
			}
		}
	}
	return context.Cause(ctx)
}

// collectJob takes in the planes of an image.
func (r *run) collectJob(ctx context.Context, j *job) error {
	for res := range j.results {
		<-res.ready
		if res.err != nil && ctx.Err() != nil {
			res.discard()
			return context.Cause(ctx)
		}
		if res.err != nil {
			j.record.fail(res.err)
			res.discard()
			continue
		}
		nuclei := sequence(res.nuclei)
		if res.spool != nil {
			nuclei = res.spool.all()
		}
		err := r.files.write(res.source, &res.record, nuclei)
		res.discard()
		if err != nil {
			return err
		}
		j.record.Planes = append(j.record.Planes, res.record)
	}
	switch {
	case j.cut, j.err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case j.err != nil:
		j.record.fail(j.err)
	case j.kept:
		return r.files.repeat(r.batch.Out, j.record)
	case j.record.Status == "":
		j.record.Status = Done
	}
	return nil
}

// tell lets the observer know of an image's error, warnings and notes.
func (r *run) tell(j *job) {
	rec := j.record
	if rec.Status == Failed && (len(r.all) > 1 || r.plan != nil) { // else it is what the run ends with
		r.observer.Warn(rec.failure())
	}
	for _, p := range rec.Planes {
		for _, w := range p.Warnings {
			r.observer.Warn(rec.Input + p.Suffix + ": " + w)
		}
		for _, n := range p.Notes {
			r.observer.Note(rec.Input + p.Suffix + ": " + n)
		}
	}
	if j.kept {
		return
	}
	for _, n := range rec.Notes {
		r.observer.Note(rec.Input + ": " + n)
	}
}

// discard drops the results of an image that nobody collects.
func (j *job) discard() {
	for res := range j.results {
		<-res.ready
		res.discard()
	}
}

// discard removes the temporary file of a large plane.
func (res *result) discard() {
	if res.spool != nil {
		res.spool.remove()
		res.spool = nil
	}
}
