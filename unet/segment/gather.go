package segment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"unet/unet/formats"
)

// PartsError says which parts of a batch are not done.
type PartsError struct {
	Dir     string
	Missing []int
	Of      int
}

func (e *PartsError) Error() string {
	return fmt.Sprintf("%s: %d of %d parts are not done: %s", e.Dir, len(e.Missing), e.Of, ranges(e.Missing))
}

// Hint says what to do about it.
func (e *PartsError) Hint() string {
	return "run them again: each goes on where it ended"
}

// Adjust names the option that runs the first of them.
func (e *PartsError) Adjust() string { return fmt.Sprintf("shard %d/%d", e.Missing[0], e.Of) }

// ranges writes numbers in order, such as 1-3, 7.
func ranges(list []int) string {
	var text []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		if i == j {
			text = append(text, fmt.Sprint(list[i]))
		} else {
			text = append(text, fmt.Sprintf("%d-%d", list[i], list[j]))
		}
		i = j + 1
	}
	return strings.Join(text, ", ")
}

// ErrNoParts says that a folder holds no parts.
var ErrNoParts = errors.New("there are no parts to gather")

// Gather checks that every part of a batch is done and whole, and writes what
// belongs to all of them: the files of one run that had done all inputs, to the
// byte but for times. Then it removes what the parts left for it. It computes
// nothing, and reads no image: the nuclei of one that parts divided are drawn.
func Gather(ctx context.Context, dir string, o Observer) (*Summary, error) {
	start := time.Now()
	p, err := readPlan(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return gathered(dir)
	}
	if err != nil {
		return nil, err
	}
	r := &results{observer: o, batch: Batch{Out: dir, Formats: p.Settings.Formats, Markers: p.Markers}}
	if r.batch.Condition, err = ParseCondition(p.Condition); err != nil {
		return nil, err
	}
	for _, in := range p.Inputs {
		r.batch.Inputs = append(r.batch.Inputs, Input{Path: in.Path, Name: in.Name, ID: in.ID, Base: in.Base})
	}
	images, seconds, err := p.images(dir, r.batch.Inputs)
	if err != nil {
		return nil, err
	}
	r.summary = p.summary(start)
	if err := r.begin(ctx, nil); err != nil {
		return nil, err
	}
	defer r.folder.Close()
	err = r.gather(ctx, images)
	r.summary.Seconds = seconds + time.Since(start).Seconds()
	if err := r.complete(err); err != nil {
		return nil, err
	}
	// Without its plan there is nothing to gather.
	return &r.summary, errors.Join(os.Remove(planFile(dir)), os.RemoveAll(filepath.Join(dir, PartsDir)))
}

// gathered ends what a gathering began that was killed when all was written.
func gathered(dir string) (*Summary, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is no such folder, so %w", dir, ErrNoParts)
	}
	s := new(Summary)
	if _, err := os.Stat(filepath.Join(dir, PartsDir)); err != nil || readJSON(filepath.Join(dir, ManifestFile), s) != nil || s.Interrupted {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoParts)
	}
	return s, os.RemoveAll(filepath.Join(dir, PartsDir))
}

// summary begins the record of all parts.
func (p *plan) summary(start time.Time) Summary {
	return Summary{Schema: schema, Program: p.Program, Version: p.Version, Started: start.UTC().Format(time.RFC3339),
		Model: p.Model, Settings: p.Settings, Columns: formats.Columns, ImageColumns: formats.ImageColumns(), Images: []*ImageRecord{}}
}

// images returns the records of all images, in order, if all parts are done, and
// the time that they took together.
func (p *plan) images(dir string, all []Input) (list []imageParts, seconds float64, err error) {
	var missing []int
	for part := 1; part <= p.Parts; part++ {
		rec, err := readPart(dir, p, part)
		if err != nil {
			return nil, 0, err
		}
		mine := p.share(part, all)
		if rec == nil || rec.Interrupted || !slices.EqualFunc(rec.Images, mine, func(im *ImageRecord, in Input) bool {
			return im.Input == in.Path && im.Status != ""
		}) {
			missing = append(missing, part)
			continue
		}
		seconds += rec.Seconds
		for i, im := range rec.Images {
			if mine[i].span.from == 0 {
				list = append(list, imageParts{})
			}
			g := &list[len(list)-1]
			g.records, g.spans = append(g.records, im), append(g.spans, mine[i].span)
		}
	}
	if len(missing) > 0 {
		return nil, 0, &PartsError{dir, missing, p.Parts}
	}
	return list, seconds, nil
}

// gather takes the images of all parts in, as collect does with those of a run.
func (r *results) gather(ctx context.Context, images []imageParts) (err error) {
	if r.files, err = createBatch(r.batch); err != nil {
		return err
	}
	defer r.files.abort()
	owner := map[string]string{} // inputs by the base of their results
	for i, g := range images {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		in, im := &r.batch.Inputs[i], g.record()
		if im.Status == Failed {
			r.observer.Warn(im.failure())
		}
		for k := range im.Planes {
			p := &im.Planes[k]
			key := strings.ToLower(in.Base + p.Suffix)
			if other, ok := owner[key]; ok && other != in.Path {
				return &InputError{Name: in.Path, Problem: "its results are in the place of those of " + other, Advice: "rename one of them, or write them to different folders"}
			}
			owner[key] = in.Path
			if g.spans[0].whole() {
				err = r.gatherPlane(in, p)
			} else {
				err = r.joinPlane(ctx, in, p, g)
			}
			if err != nil {
				return err
			}
		}
		r.summary.Images = append(r.summary.Images, im)
		r.observer.Progress(Progress{Done: i + 1, Total: len(images), Last: im.Name})
	}
	return r.files.commit()
}

// gatherPlane checks that the files of a plane are there, and adds its nuclei to
// those of the batch.
func (r *results) gatherPlane(in *Input, p *PlaneRecord) error {
	names := p.Outputs
	if p.Thumbnail != nil {
		names = append(slices.Clip(names), p.Thumbnail.File)
	}
	for _, name := range names {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return &InputError{Name: in.Path, Problem: fmt.Sprintf("its result %q is not in the folder", name), Advice: "run its part again"}
		}
		if _, err := os.Stat(under(r.batch.Out, name)); err != nil {
			return &InputError{Name: in.Path, Problem: fmt.Sprintf("its result %s is not there any more", name), Advice: "run its part again", Err: err}
		}
	}
	return r.files.write(p.source(in.Name), p, keptNuclei(keptFile(r.batch.Out, in.Base+p.Suffix)))
}
