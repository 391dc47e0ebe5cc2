package serve

import (
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/owned"
	"unet/unet/instance"
	"unet/unet/segment"
)

// follower lets the results follow the edits: it knows of which planes the files are
// older than the labels.
type follower struct {
	mu   sync.Mutex
	due  map[edited]bool
	err  error         // of the last pass
	pass chan struct{} // closed at the end of a pass

	news  chan struct{} // something is due
	hurry chan struct{} // somebody waits for it
	files sync.Mutex    // held by who writes results
	work  sync.WaitGroup

	comparing sync.Mutex // held by who compares results with corrections
	seen      string     // what the manifest was then
}

// edited names a plane.
type edited struct{ id, suffix string }

// How long after the last edit results follow, how long they are waited for, and
// how long after an error they are tried again. Tests make it less.
var followAfter, settleTime, tryAgain = 400 * time.Millisecond, 30 * time.Second, 10 * time.Second

func newFollower() *follower {
	return &follower{due: map[edited]bool{}, pass: make(chan struct{}), news: make(chan struct{}, 1), hurry: make(chan struct{}, 1)}
}

// tell puts something into a channel that holds one, unless it does already.
func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// add says that a plane was edited.
func (f *follower) add(e edited) {
	f.mu.Lock()
	f.due[e] = true
	f.mu.Unlock()
	tell(f.news)
}

// list are the planes that are due, in order.
func (f *follower) list() []edited {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []edited
	for e := range f.due {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b edited) int { return strings.Compare(a.id+a.suffix, b.id+b.suffix) })
	return list
}

// passed ends a pass that has brought planes up to date, or failed.
func (f *follower) passed(done []edited, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range done {
		delete(f.due, e)
	}
	f.err = err
	close(f.pass)
	f.pass = make(chan struct{})
}

// follow brings the results up to date, a moment after the last edit, until the
// server is closed.
func (s *Server) follow() {
	s.compareAll() // with what a process that was killed has left
	for {
		if len(s.follower.list()) == 0 {
			select {
			case <-s.follower.news:
			case <-s.follower.hurry:
			case <-s.base.Done():
				return
			}
		}
		wait := time.NewTimer(followAfter)
		for waiting := true; waiting; {
			select {
			case <-s.follower.news:
				wait.Reset(followAfter)
			case <-s.follower.hurry:
				waiting = false
			case <-wait.C:
				waiting = false
			case <-s.base.Done():
				s.catchUp(context.Background()) // an edit just before the end
				return
			}
		}
		if s.catchUp(s.base) != nil {
			select {
			case <-time.After(tryAgain):
			case <-s.follower.news:
			case <-s.follower.hurry:
			case <-s.base.Done():
				return
			}
		}
	}
}

// compareAll finds what is overdue, unless the manifest is the one that was looked at:
// another program may have written results into the folder, too.
func (s *Server) compareAll() {
	s.follower.comparing.Lock()
	defer s.follower.comparing.Unlock()
	stamp := stampOf(filepath.Join(s.out, segment.ManifestFile))
	if stamp != "" && stamp == s.follower.seen {
		return
	}
	for _, im := range s.images() {
		s.overdue(&im)
	}
	s.follower.seen = stamp
}

// overdue finds planes of an image whose results do not tell of the last edit.
func (s *Server) overdue(im *image) {
	if im.record == nil {
		return
	}
	for i := range im.record.Planes {
		p := &im.record.Planes[i]
		n, ok := s.corrections(im, p.Suffix)
		if ok && (n.Corrected != p.Corrected || s.followed(im, p.Suffix) != n.Journal) {
			s.follower.add(edited{im.ID, p.Suffix})
		}
	}
}

// followed is the size of the journal that the results tell of, -1 if that is not
// known.
func (s *Server) followed(im *image, suffix string) int64 {
	b, err := os.ReadFile(s.correction(im, suffix, ".followed"))
	n, nerr := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || nerr != nil {
		return -1
	}
	return n
}

// settle waits until the results tell of all edits.
func (s *Server) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	f := s.follower
	late := &apiError{http.StatusServiceUnavailable, "the results are being brought up to date with the corrections: try again in a moment"}
	s.compareAll()
	for {
		f.mu.Lock()
		n, pass := len(f.due), f.pass
		f.mu.Unlock()
		if n == 0 {
			return nil
		}
		tell(f.hurry)
		select {
		case <-pass:
		case <-ctx.Done():
			return late
		}
		f.mu.Lock()
		err := f.err
		f.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// catchUp is a pass: it writes the files of all planes that are due, and then what
// tells of all images.
func (s *Server) catchUp(ctx context.Context) error {
	list := s.follower.list()
	if len(list) == 0 {
		s.follower.passed(nil, nil)
		return nil
	}
	s.follower.files.Lock()
	defer s.follower.files.Unlock()
	var revisions []segment.Revision
	var failed error
	sizes := map[edited]int64{}
	images := map[string]*image{}
	for _, im := range s.images() {
		images[im.ID] = &im
	}
	for _, e := range list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		im := images[e.id]
		if im == nil || im.plane(e.suffix) == nil {
			sizes[e] = -1 // gone
			continue
		}
		v, size, err := s.rewrite(ctx, im, e.suffix)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s%s: %w", im.Name, e.suffix, err))
			continue
		}
		revisions, sizes[e] = append(revisions, v), size
	}
	err := s.revise(ctx, revisions)
	var done []edited
	for e, size := range sizes {
		if size < 0 {
			done = append(done, e)
		} else if err == nil {
			if err := s.setFollowed(images[e.id], e.suffix, size); err != nil {
				failed = errors.Join(failed, err)
			}
			if n, _ := s.corrections(images[e.id], e.suffix); n.Journal == size { // else edited meanwhile
				done = append(done, e)
			}
		}
	}
	failed = errors.Join(failed, err)
	s.follower.passed(done, failed)
	s.events.send("results", map[string]int{"due": len(s.follower.list())})
	return failed
}

func (s *Server) setFollowed(im *image, suffix string, size int64) error {
	return atomicfile.WriteFile(s.correction(im, suffix, ".followed"), func(w io.Writer) error {
		_, err := fmt.Fprintln(w, size)
		return err
	})
}

// revise enters revisions in the records of the last run and of earlier ones. What
// there is to say of the batch the run has said: no job is under way that could.
func (s *Server) revise(ctx context.Context, list []segment.Revision) error {
	if len(list) == 0 {
		return nil
	}
	if err := s.reviseEarlier(list); err != nil {
		return err
	}
	err := segment.Revise(ctx, s.out, list, segment.Quiet{})
	if errors.Is(err, owned.ErrBusy) {
		return &apiError{http.StatusServiceUnavailable, "another program is writing results into this folder: they follow the corrections when it ends"}
	}
	if errors.Is(err, segment.ErrNoRun) {
		return nil
	}
	return err
}

// rewrite writes the files of a plane from its labels as they are; of one without
// corrections they are the model's own again. It returns what they tell, and the
// size of the journal that they are of.
func (s *Server) rewrite(ctx context.Context, im *image, suffix string) (v segment.Revision, size int64, err error) {
	d, size, err := s.copyOf(ctx, im, suffix)
	if err != nil {
		return v, 0, err
	}
	defer d.history.close()
	if err := s.keepOwn(im, suffix); err != nil {
		return v, 0, err
	}
	rec := *im.plane(suffix)
	rec.Corrected = d.history.corrected()
	d.rec = &rec
	v = segment.Revision{Image: im.Name, Suffix: suffix, Corrected: rec.Corrected}
	if !rec.Corrected {
		if err := d.bringBack(); err != nil {
			return v, 0, err
		}
	} else if err := d.writeAll(); err != nil {
		return v, 0, err
	}
	t := instance.Tally{Region: d.region()}
	if err := d.each(func(n *instance.Nucleus) error { t.Add(n); return nil }); err != nil {
		return v, 0, err
	}
	v.Nuclei = t.Summary(d.w, d.h)
	if rec.Region > 0 && t.Region == nil {
		v.Nuclei.Coverage = math.NaN()
	}
	return v, size, nil
}

// region is where nuclei were counted; nil: everywhere, or the region is not any more
// what it was.
func (d *document) region() *imageio.Labels {
	if d.rec.Region == 0 {
		return nil
	}
	all, err := segment.ParseRegions(d.im.origin.Settings.Region)
	if err != nil {
		return nil
	}
	l, _, err := all.Read(d.im.record.Name, imageio.PlaneInfo{W: d.w, H: d.h, FullW: d.source.FullW, FullH: d.source.FullH})
	if err != nil || instance.RegionPixels(l) != d.rec.Region {
		return nil
	}
	return l
}

// own is where the model's result of a format is kept that corrections replace.
func (s *Server) own(im *image, suffix, format string) string {
	return s.correction(im, suffix, im.extension(suffix, format))
}

const thumbnailExt = ".thumb.jpg"

// keepOwn copies those results of the model that are not kept yet: corrections are
// going to replace them. Stores of OME-Zarr are written anew from the labels instead.
func (s *Server) keepOwn(im *image, suffix string) error {
	rec := im.plane(suffix)
	copies := map[string]string{}
	for _, name := range rec.Outputs {
		if f := segment.FormatOf(name); f != segment.Zarr && f != segment.Prob && filepath.IsLocal(filepath.FromSlash(name)) {
			copies[name] = s.own(im, suffix, f)
		}
	}
	if t := rec.Thumbnail; t != nil && filepath.IsLocal(filepath.FromSlash(t.File)) {
		copies[t.File] = s.correction(im, suffix, thumbnailExt)
	}
	checked := false
	for name, to := range copies {
		if exists(to) {
			continue
		}
		if !checked && !s.sameLabels(im, suffix) {
			return nil // of another run than the corrections
		}
		checked = true
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		err := copyFile(to, filepath.Join(s.out, filepath.FromSlash(name)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // somebody has removed it
			return err
		}
	}
	return nil
}

// bringBack puts the results of the model in the place of corrected ones.
func (d *document) bringBack() error {
	for _, name := range d.rec.Outputs {
		format := segment.FormatOf(name)
		file, own := filepath.Join(d.s.out, filepath.FromSlash(name)), d.s.own(d.im, d.suffix, format)
		switch {
		case !filepath.IsLocal(filepath.FromSlash(name)) || format == segment.Prob || format == "":
			continue
		case exists(own):
			if err := copyFile(file, own); err != nil {
				return err
			}
		default:
			if err := d.writeFile(file, format); err != nil {
				return err
			}
		}
	}
	own := d.s.correction(d.im, d.suffix, thumbnailExt)
	if t := d.rec.Thumbnail; t != nil && exists(own) && filepath.IsLocal(filepath.FromSlash(t.File)) {
		return copyFile(filepath.Join(d.s.out, filepath.FromSlash(t.File)), own)
	}
	return nil
}

// writeAll writes all results of a corrected plane but probability maps, which the
// network alone gives.
func (d *document) writeAll() error {
	for _, name := range d.rec.Outputs {
		format := segment.FormatOf(name)
		if format == segment.Prob || format == "" || !filepath.IsLocal(filepath.FromSlash(name)) {
			continue
		}
		if err := d.writeFile(filepath.Join(d.s.out, filepath.FromSlash(name)), format); err != nil {
			return err
		}
	}
	t := d.rec.Thumbnail
	if t == nil || !filepath.IsLocal(filepath.FromSlash(t.File)) {
		return nil
	}
	m, err := d.thumbnail()
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(d.s.out, filepath.FromSlash(t.File)), func(w io.Writer) error {
		return jpeg.Encode(w, m, &jpeg.Options{Quality: 85})
	})
}
