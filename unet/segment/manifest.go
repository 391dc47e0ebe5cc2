package segment

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/input"
	"unet/unet/imageio/owned"
	"unet/unet/instance"
)

// writeRecords writes the manifest, the table of all images and the page.
func (r *results) writeRecords() error {
	return errors.Join(r.writeManifest(), r.writeTable(), r.writePage())
}

// writeManifest writes the run's record. While the run goes on, or was cut off,
// it also holds what the earlier run did of the images still to come.
func (r *results) writeManifest() error {
	r.summary.Finished = time.Now().UTC().Format(time.RFC3339)
	if r.plan != nil {
		return r.writePart()
	}
	return writeJSON(filepath.Join(r.batch.Out, ManifestFile), r.withOthers(r.summaryNow()))
}

// summaryNow is the record while the run goes on, with what the earlier run did
// of the images still to come.
func (r *results) summaryNow() Summary {
	s := r.summary
	s.count()
	if len(s.Images) < len(r.batch.Inputs) {
		s.Interrupted = true
		have := map[string]bool{}
		for _, im := range s.Images {
			have[im.Input] = true
		}
		for _, in := range r.batch.Inputs {
			if e := r.earlier[in.Path]; e != nil && !have[in.Path] {
				s.Images = append(slices.Clip(s.Images), e)
			}
		}
	}
	return s
}

// writeJSON writes a record.
func writeJSON(name string, v any) error { return atomicfile.WriteFile(name, owned.JSON(v)) }

// writeTable writes the line of every plane.
func (r *results) writeTable() error {
	s := r.withOthers(r.summary)
	return atomicfile.WriteFile(filepath.Join(r.batch.Out, SummaryFile), func(w io.Writer) error {
		return csv.NewWriter(w).WriteAll(s.table())
	})
}

// maxManifest bounds, in bytes, the manifest that is read: it has some hundred
// for each image.
const maxManifest = 1 << 30

// begin takes the folder of the results for this run, before anything is
// computed, and of a part only the inputs that are its own. Planes that are large,
// with the bytes of memory that their file takes, may be divided.
func (r *results) begin(ctx context.Context, large func(PlaneRef, int64) bool) (err error) {
	r.all = r.batch.Inputs
	for _, in := range r.all {
		if holds(in.Path, r.batch.Out) {
			return &owned.RefusedError{Name: r.batch.Out, Problem: "lies in an image, which results would change", Advice: "choose another folder, such as that which holds the image"}
		}
	}
	if r.batch.Part.Of == 0 {
		return r.takeFolder()
	}
	if r.plan, err = r.follow(ctx, large); err != nil {
		return err
	}
	r.batch.Inputs = r.plan.share(r.batch.Part.Index, r.all)
	return r.takePart(ctx)
}

// takeFolder fails where a result would replace what it may not.
func (r *results) takeFolder() (err error) {
	old := r.readManifest()
	restoreNames(old, r.all)
	o := owned.Options{Force: r.batch.Force}
	if old != nil {
		o.Made = old.made()
	}
	names := []string{ManifestFile, SummaryFile, PageFile}
	for format, name := range map[string]string{COCO: COCOFile, RLE: RLEFile, CSV: NucleiFile} {
		if r.has(format) {
			names = append(names, name)
		}
	}
	if r.plan != nil {
		names, o.Part = nil, fmt.Sprint(r.batch.Part.Index)
	}
	o.Inputs = append(o.Inputs, r.batch.Keep...)
	for _, in := range r.all {
		o.Inputs = append(append(o.Inputs, in.Path), in.Members...)
	}
	var results []string // of images of one plane; others turn up as they are read
	for _, in := range r.batch.Inputs {
		for _, format := range r.batch.Formats {
			if ext, ok := extensions[format]; ok && in.Err == nil {
				results = append(results, in.Base+ext)
			}
		}
	}
	if r.folder, err = owned.Open(r.batch.Out, o); err != nil {
		return err
	}
	if r.plan != nil { // what another process at this part is making is not in the way
		if err := r.folder.Claim(); err != nil {
			return err
		}
	}
	if err := r.folder.Check(results...); err != nil {
		return err
	}
	if err := r.folder.Claim(names...); err != nil {
		return err
	}
	r.goOn(old)
	r.noteCorrected(old)
	r.takeEarlier()
	if err := r.disown(old); err != nil {
		return err
	}
	r.noteOthers()
	r.noteStale(old)
	return nil
}

// noteOthers tells of images of earlier runs, which the tables and what is found over
// all nuclei hold, too.
func (r *results) noteOthers() {
	if len(r.others) == 0 || r.batch.Earlier != nil || r.plan != nil {
		return
	}
	r.observer.Note(fmt.Sprintf("the tables of %s also hold %s of earlier runs, such as %s; another folder has this run's alone",
		r.batch.Out, amount(len(r.others), "image", "images"), r.others[0].Input))
}

// noteStale tells of files of an earlier run with other settings, of images of this one
// or of all, in formats that this run does not write.
func (r *results) noteStale(old *Summary) {
	if !r.anew || r.batch.Earlier != nil {
		return
	}
	mine := r.mine()
	var stale []string
	add := func(format, name string) {
		if _, err := os.Stat(under(r.batch.Out, name)); err == nil && !r.has(format) {
			stale = append(stale, name)
		}
	}
	for _, k := range wholeFormats {
		add(k.format, k.name)
	}
	add(CSV, NucleiFile)
	for _, im := range old.Images {
		for i := range im.Planes {
			for _, name := range im.Planes[i].Outputs {
				if mine[im.Input] {
					add(FormatOf(name), name)
				}
			}
		}
	}
	if len(stale) > 0 {
		r.observer.Note(fmt.Sprintf("%s still holds %s of an earlier run with other settings or another model, such as %s: not of these results",
			r.batch.Out, amount(len(stale), "file", "files"), stale[0]))
	}
}

// takeEarlier adds images of the batch's earlier runs to those of the run before.
func (r *results) takeEarlier() {
	known := map[string]bool{}
	for _, im := range r.others {
		known[im.Name] = true
	}
	for _, in := range r.batch.Inputs {
		known[in.Name] = true
	}
	for _, e := range r.batch.Earlier {
		if !known[e.Record.Name] && r.continues(&Summary{Schema: schema, Model: e.Model, Settings: e.Settings}) {
			r.others = append(r.others, e.Record)
		}
	}
}

// disown takes out of the earlier run's record what this run is going to replace. If
// this one is killed before it writes its own, a later run must not take its files
// for those of the earlier one.
func (r *results) disown(old *Summary) error {
	if old == nil {
		return nil
	}
	bases := map[string]bool{}
	for _, in := range r.batch.Inputs {
		bases[strings.ToLower(in.Base)] = true
	}
	r.anew = !r.continues(old)
	kept := len(r.others)
	r.others = slices.DeleteFunc(r.others, func(im *ImageRecord) bool { return im.replaced(bases) })
	switch {
	case !r.anew && len(r.others) == kept:
		return nil
	case r.plan == nil:
		return r.writeManifest()
	}
	if err := os.Remove(filepath.Join(r.batch.Out, ManifestFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // else another part was first
	}
	return nil
}

// replaced reports whether results of inputs with these bases, in lower case, take the
// places of those of an image.
func (r *ImageRecord) replaced(bases map[string]bool) bool {
	for _, p := range r.Planes {
		for _, name := range p.Outputs {
			for i, c := range name {
				if base := strings.ToLower(name[:i]); c == '.' && (bases[base] || bases[strings.TrimSuffix(base, strings.ToLower(p.Suffix))]) {
					return true
				}
			}
		}
	}
	return false
}

// continues reports whether this run has the model and the settings of an earlier one.
func (r *results) continues(old *Summary) bool {
	return old.Model.SHA256 == r.summary.Model.SHA256 && reflect.DeepEqual(old.Settings, r.summary.Settings) && old.Schema == schema
}

// holds reports whether a folder is an OME-Zarr image, or lies in it.
func holds(in, dir string) bool {
	rel, err := filepath.Rel(absolute(in), absolute(dir))
	return err == nil && filepath.IsLocal(rel) && isZarr(in)
}

// made are the files that the run is known to have made.
func (s *Summary) made() []string {
	list := []string{ManifestFile, SummaryFile}
	for _, k := range wholeFormats {
		if slices.Contains(s.Settings.Formats, k.format) {
			list = append(list, k.name)
		}
	}
	for _, im := range s.Images {
		for i := range im.Planes {
			list = append(list, im.Planes[i].Outputs...)
		}
	}
	return list
}

// readManifest returns the record of the run before in the folder, nil where
// there is none.
func (r *results) readManifest() *Summary {
	name := filepath.Join(r.batch.Out, ManifestFile)
	b, err := input.ReadFile(name, maxManifest)
	if errors.Is(err, input.ErrTooLong) {
		r.observer.Warn(fmt.Sprintf("%v, which is more than any run writes: all images are segmented again", err))
	}
	if err != nil {
		return nil
	}
	var s Summary
	if err := json.Unmarshal(b, &s); err != nil {
		if r.batch.SkipExisting && (s.Schema == 0 || s.Schema == schema) {
			r.observer.Warn(fmt.Sprintf("%s cannot be read, all images are segmented again: %v", name, err))
		}
		if s.Model.SHA256 == "" {
			return nil
		}
	}
	if s.Schema == 0 || s.Model.SHA256 == "" {
		return nil // of another program
	}
	s.Images = slices.DeleteFunc(s.Images, func(im *ImageRecord) bool { return im == nil })
	return &s
}

// goOn takes over what earlier runs with the same model and settings have done:
// the images of this run, if they are to be skipped, and those of others.
func (r *results) goOn(old *Summary) {
	if old == nil || len(old.Images) == 0 {
		return
	}
	mine := r.mine()
	if !r.continues(old) {
		if r.batch.SkipExisting {
			r.observer.Note(fmt.Sprintf("the results in %s come from another model, other settings or another version: all images are segmented again", r.batch.Out))
		} else if slices.ContainsFunc(old.Images, func(im *ImageRecord) bool { return !mine[im.Input] }) {
			r.observer.Note(fmt.Sprintf("%s also holds results of other images, from another model, other settings or another version: %s and %s are of this run alone", r.batch.Out, SummaryFile, ManifestFile))
		}
		return
	}
	if r.batch.SkipExisting {
		r.earlier = map[string]*ImageRecord{}
	}
	for _, im := range old.Images {
		switch {
		case im.Status == Failed:
		case !mine[im.Input]:
			r.others = append(r.others, im)
		case r.earlier != nil:
			r.earlier[im.Input] = im
		}
	}
}

// mine are the paths of the inputs.
func (r *results) mine() map[string]bool {
	mine := map[string]bool{}
	for _, in := range r.batch.Inputs {
		mine[in.Path] = true
	}
	return mine
}

// noteCorrected tells of images that a person has corrected and that are now segmented
// again: their corrections are kept, and out of sight.
func (r *results) noteCorrected(old *Summary) {
	if old == nil || r.earlier != nil {
		return
	}
	mine := r.mine()
	var corrected []string
	for _, im := range old.Images {
		if mine[im.Input] && slices.ContainsFunc(im.Planes, func(p PlaneRecord) bool { return p.Corrected }) {
			corrected = append(corrected, im.Input)
		}
	}
	if len(corrected) == 0 {
		return
	}
	what := corrected[0] + " was corrected by hand: its"
	if n := len(corrected); n > 1 {
		what = fmt.Sprintf("%d images, such as %s, were corrected by hand: their", n, corrected[0])
	}
	r.observer.Note(what + " nuclei are the model's own again until `unet serve` opens the folder and puts the corrections back")
}

// restoreNames gives images of an earlier run whose names are not UTF-8 these
// names back: JSON holds U+FFFD for each wrong byte. Where two inputs are written
// alike, neither is known again.
func restoreNames(old *Summary, inputs []Input) {
	if old == nil {
		return
	}
	written := func(name string) string { return string([]rune(name)) }
	known := map[string]*Input{}
	for i := range inputs {
		key := written(inputs[i].Path)
		if _, twice := known[key]; twice {
			known[key] = nil
			continue
		}
		known[key] = &inputs[i]
	}
	for _, im := range old.Images {
		in := known[im.Input]
		if in == nil || in.Path == im.Input {
			continue
		}
		restore := func(name *string) { *name = strings.Replace(*name, written(in.Base), in.Base, 1) }
		im.Input, im.Name = in.Path, in.Name
		for i := range im.Planes {
			p := &im.Planes[i]
			for k := range p.Outputs {
				restore(&p.Outputs[k])
			}
			if p.Thumbnail != nil {
				restore(&p.Thumbnail.File)
			}
		}
	}
}

// withOthers is the summary with the images of earlier runs whose results are
// still in the folder.
func (r *results) withOthers(s Summary) Summary {
	replaced := map[string]bool{}
	for _, im := range s.Images {
		for _, p := range im.Planes {
			for _, name := range p.Outputs {
				replaced[name] = true
			}
		}
	}
	s.Images = slices.Clip(s.Images)
	for _, im := range r.others {
		if !slices.ContainsFunc(im.Planes, func(p PlaneRecord) bool {
			return slices.ContainsFunc(p.Outputs, func(name string) bool { return replaced[name] })
		}) {
			s.Images = append(s.Images, im)
		}
	}
	return s
}

// stands reports whether the results of an earlier run are all there.
func (r *results) stands(in *Input, e *ImageRecord) bool {
	if !in.span.whole() {
		return r.pieceStands(in, e)
	}
	if r.keepsNuclei() {
		return r.nucleiStand(in, e) && r.outputsStand(in, e)
	}
	if (r.has(RLE) || r.has(COCO)) && !r.has(Labels) {
		return false // the files of the batch need the nuclei again
	}
	if r.has(COCO) && !r.has(CSV) && r.summary.Settings.Instance.Confidence != (instance.Calibration{}) {
		return false // and their confidence, which label images do not hold
	}
	return r.outputsStand(in, e)
}

// outputsStand reports whether the files of an image's planes are there.
func (r *results) outputsStand(in *Input, e *ImageRecord) bool {
	for _, p := range e.Planes {
		for _, name := range p.Outputs {
			if !strings.HasPrefix(name, in.Base+p.Suffix+".") || !filepath.IsLocal(name) {
				return false // other inputs have changed its name
			}
			if st, err := os.Stat(under(r.batch.Out, name)); err != nil || !st.Mode().IsRegular() && !(st.IsDir() && strings.Contains(name, ".zarr")) {
				return false
			}
		}
	}
	return len(e.Planes) > 0
}
