package serve

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/segment"
)

// ResultsFolder is where results lie below the folder of the images.
const ResultsFolder = "unet"

// Options of New.
type Options struct {
	// Dir is the folder of the images.
	Dir string
	// Engine and Model find the nuclei; both stay the caller's.
	Engine *core.Engine
	Model  *unet.Model
	// Chosen says that the user has chosen the model: the one that was used last in
	// the folder does not take its place.
	Chosen bool
	// Settings describes those of SettingNames for the page.
	Settings []Setting
	// Version of the program is recorded with the results.
	Version string
	// Memory is how many bytes may be used; 0: half of what is free.
	Memory int64
	// MaxUpload is the largest file that may be added, in bytes.
	MaxUpload int64
	// Token is what a browser or program must know to be let in.
	Token string
	// Hosts are the values of the Host header that are answered.
	Hosts []string
}

// Server holds the state behind the page.
type Server struct {
	o      Options
	out    string
	root   *os.Root
	lock   *os.File // of the folder
	events *events
	slots  chan struct{} // requests in work
	queue  chan struct{} // and waiting

	mu        sync.Mutex
	pictures  []*picture // the one used last comes first
	documents []*document
	tiles     pictureCache
	job       *job // nil: none has been
	teaching  *job // the last that was one
	models    models
	follower  *follower
	listed    listing
	base      context.Context
	stop      context.CancelFunc
	work      sync.WaitGroup
	requests  sync.WaitGroup // that are answered
	compute   sync.Mutex     // one computation at a time
	overviews sync.Mutex     // one is made at a time
	// journals is held by who opens or writes one: a document that is being closed
	// and its successor must not write over each other's edits.
	journals sync.Mutex
}

// New opens a folder. Close it.
func New(o Options) (*Server, error) {
	if o.Memory <= 0 {
		o.Memory = segment.DefaultMemory()
	}
	if o.MaxUpload <= 0 {
		o.MaxUpload = 1 << 30
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	out := filepath.Join(o.Dir, ResultsFolder)
	if err := os.MkdirAll(filepath.Join(out, "corrections"), 0o755); err != nil {
		return nil, err
	}
	lock, err := takeFolder(filepath.Join(out, "corrections"))
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		lock.Close()
		return nil, err
	}
	s := &Server{o: o, out: out, root: root, lock: lock, events: newEvents(), follower: newFollower(), slots: make(chan struct{}, inWork), queue: make(chan struct{}, inWork+waiting)}
	s.tiles.most = min(128<<20, o.Memory/16)
	s.base, s.stop = context.WithCancel(context.Background())
	if err := s.openModels(); err != nil {
		s.Close()
		return nil, err
	}
	s.remember()
	s.dropUploads()
	if err := s.renameCorrections(); err != nil {
		s.Close()
		return nil, err
	}
	if err := s.dropReplaced(); err != nil {
		s.Close()
		return nil, err
	}
	s.follower.work.Go(s.follow)
	return s, nil
}

// Close ends what is under way and waits for it: then neither engine nor model nor the
// folder is in use. The HTTP server that answers with Handler should be closed before,
// or a client that sends a file slowly is waited for. Edits are on disk already.
func (s *Server) Close() error {
	s.mu.Lock()
	s.stop() // nothing begins from now on
	s.mu.Unlock()
	s.requests.Wait()
	s.work.Wait()
	s.follower.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.documents {
		d.close()
	}
	for _, p := range s.pictures {
		p.close()
	}
	s.documents, s.pictures = nil, nil
	s.closeModels()
	s.lock.Close()
	return s.root.Close()
}

// HTTPServer answers with Handler and gives up on clients that are slow.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 1 << 16}
}

// image is an image of the folder as the page lists it.
type image struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Status is new, done or failed.
	Status     string   `json:"status"`
	Error      string   `json:"error,omitempty"`
	Count      int      `json:"count"`
	Diameter   float64  `json:"diameter_median"`
	Confidence float64  `json:"confidence,omitempty"`
	Warnings   []string `json:"warnings,omitempty"`
	// Corrected says that edits are in effect.
	Corrected bool `json:"corrected"`
	// Planes is how many planes of the file were segmented. Count is that of all
	// of them, diameter and confidence are those of the first.
	Planes int `json:"planes,omitempty"`

	in      segment.Input
	stamp   string // of the file
	record  *segment.ImageRecord
	origin  segment.Origin         // of the record
	markers []segment.MarkerRecord // of the batch
	choice  segment.Choice         // of the planes that were segmented, and those beside them
}

// imageID names an image in addresses; paths are never part of them.
func imageID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:8])
}

// listing is the folder as it was listed last, so that who asks for one image of
// ten thousand need not wait for all.
type listing struct {
	when   time.Time
	inputs map[string]segment.Input // by id
	// stamp is that of the files that records were read from.
	stamp   string
	records map[string]keptRecord
}

// listedFor is how long names are not looked for again.
const listedFor = 2 * time.Second

// images lists the folder. Links that lead out of it are left out.
func (s *Server) images() []image {
	records := s.records()
	list := []image{}
	inputs := map[string]segment.Input{}
	for _, in := range segment.Inputs([]string{s.o.Dir}, s.out) {
		if in.Err != nil {
			continue // the folder holds no image yet
		}
		if im := s.imageOf(in, records); im != nil {
			list, inputs[im.ID] = append(list, *im), in
		}
	}
	s.mu.Lock()
	s.listed.when, s.listed.inputs = time.Now(), inputs
	s.mu.Unlock()
	return list
}

// imageOf is an image of the folder, nil where its file cannot be had.
func (s *Server) imageOf(in segment.Input, records map[string]keptRecord) *image {
	st, err := s.root.Stat(filepath.FromSlash(in.Name))
	if err != nil {
		return nil
	}
	im := &image{ID: imageID(in.Name), Name: in.Name, Status: "new", in: in, stamp: fmt.Sprint(st.Size(), st.ModTime().UnixNano())}
	if k, ok := records[in.Name]; ok {
		r := k.Record
		im.record, im.origin, im.markers, im.choice = r, k.Origin, k.markers, k.choice()
		im.Status, im.Error, im.Planes = r.Status, r.Error, len(r.Planes)
		if r.Status == segment.Skipped {
			im.Status = segment.Done
		}
		s.count(im)
	}
	return im
}

// keptRecord is what became of an image, and what that comes from.
type keptRecord struct {
	segment.Origin
	Record *segment.ImageRecord `json:"record"`
	// Files are what its results were, by name, when a run began to replace them.
	Files   map[string]string `json:"files,omitempty"`
	markers []segment.MarkerRecord
}

// choice is that of the planes which were segmented. Slices and points in time
// are all shown, whatever was segmented of them.
func (k keptRecord) choice() (c segment.Choice) {
	c.Level = k.Settings.Level
	c.Channel, _ = segment.ParseSelection(k.Settings.Channel, true)
	return c
}

// earlierFile holds the records of images whose results are of earlier runs: the
// manifest is of one model with one set of settings.
const earlierFile = "earlier.json"

// records are those of the manifest, and of earlier runs whose results are there
// still, by the names of images: the folder may have another path now. They are read
// again when the files have changed.
func (s *Server) records() map[string]keptRecord {
	stamp := stampOf(filepath.Join(s.out, earlierFile)) + " " + stampOf(filepath.Join(s.out, segment.ManifestFile))
	s.mu.Lock()
	list := s.listed.records
	same := list != nil && s.listed.stamp == stamp
	s.mu.Unlock()
	if same {
		return list
	}
	list = map[string]keptRecord{}
	taken := map[string]bool{} // names of results of the last run
	var summary segment.Summary
	if b, err := os.ReadFile(filepath.Join(s.out, segment.ManifestFile)); err == nil && json.Unmarshal(b, &summary) == nil {
		for _, r := range summary.Images {
			if r != nil {
				list[r.Name] = keptRecord{Origin: segment.Origin{Version: summary.Version, Model: summary.Model, Settings: summary.Settings}, Record: r, markers: summary.Markers}
				for _, p := range r.Planes {
					for _, name := range p.Outputs {
						taken[name] = true
					}
				}
			}
		}
	}
	for _, k := range s.earlier() {
		if _, again := list[k.Record.Name]; !again && s.complete(k.Record, taken) {
			list[k.Record.Name] = k
		}
	}
	s.mu.Lock()
	s.listed.stamp, s.listed.records = stamp, list
	s.mu.Unlock()
	return list
}

// complete reports whether the results of an image are all there, and none of their
// names is taken: then others are there that another image has given its base to.
func (s *Server) complete(r *segment.ImageRecord, taken map[string]bool) bool {
	for _, p := range r.Planes {
		for _, name := range p.Outputs {
			if _, err := s.root.Stat(path.Join(ResultsFolder, name)); err != nil || taken[name] {
				return false
			}
		}
	}
	return len(r.Planes) > 0
}

// keepRecords writes those of all images that have results, before a run that may
// leave some of them out of its manifest, and replaces those of some again. It returns
// those of the others.
func (s *Server) keepRecords(images, again []image) (others []segment.Earlier, err error) {
	list := []keptRecord{}
	for i := range images {
		im := &images[i]
		if im.record == nil || im.Status != segment.Done {
			continue
		}
		k := keptRecord{Origin: im.origin, Record: im.record}
		if slices.ContainsFunc(again, func(m image) bool { return m.ID == im.ID }) {
			k.Files = s.stamps(im.record)
		} else {
			others = append(others, segment.Earlier{Origin: im.origin, Record: im.record})
		}
		list = append(list, k)
	}
	return others, s.writeEarlier(list)
}

// stamps tell versions of the results of an image apart.
func (s *Server) stamps(r *segment.ImageRecord) map[string]string {
	stamps := map[string]string{}
	for _, p := range r.Planes {
		for _, name := range p.Outputs {
			stamps[name] = stampOf(filepath.Join(s.out, filepath.FromSlash(name)))
		}
	}
	return stamps
}

// dropReplaced drops the records of results that a run has replaced, in part where it
// was ended or killed: no record tells of what there is now.
func (s *Server) dropReplaced() error {
	list := s.earlier()
	changed := false
	list = slices.DeleteFunc(list, func(k keptRecord) bool {
		changed = changed || k.Files != nil
		return k.Files != nil && !maps.Equal(k.Files, s.stamps(k.Record))
	})
	if !changed {
		return nil
	}
	for i := range list {
		list[i].Files = nil
	}
	return s.writeEarlier(list)
}

// reviseEarlier enters revisions in the records of earlier runs.
func (s *Server) reviseEarlier(list []segment.Revision) error {
	earlier := s.earlier()
	changed := false
	for _, k := range earlier {
		for _, v := range list {
			changed = v.Enter(k.Record) || changed
		}
	}
	if !changed {
		return nil
	}
	return s.writeEarlier(earlier)
}

// earlier are the records of earlier runs.
func (s *Server) earlier() (list []keptRecord) {
	b, err := os.ReadFile(filepath.Join(s.out, earlierFile))
	if err != nil || json.Unmarshal(b, &list) != nil {
		return nil
	}
	return slices.DeleteFunc(list, func(k keptRecord) bool { return k.Record == nil })
}

func (s *Server) writeEarlier(list []keptRecord) error {
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(s.out, earlierFile), func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// count sums up the planes of an image, corrected as they are.
func (s *Server) count(im *image) {
	for i := range im.record.Planes {
		p := &im.record.Planes[i]
		n := numbers{Count: p.Nuclei, Diameter: p.Diameter}
		if c, ok := s.corrections(im, p.Suffix); ok {
			n = c
		}
		im.Corrected = im.Corrected || n.Corrected
		im.Count += n.Count
		if i == 0 {
			im.Diameter, im.Confidence = n.Diameter, p.Statistics.Confidence
		}
		for _, w := range p.Warnings {
			if !slices.Contains(im.Warnings, w) && len(im.Warnings) < 10 {
				im.Warnings = append(im.Warnings, w)
			}
		}
	}
}

// find returns an image by its id.
func (s *Server) find(id string) (*image, error) {
	s.mu.Lock()
	in, ok := s.listed.inputs[id]
	ok = ok && time.Since(s.listed.when) < listedFor
	s.mu.Unlock()
	if ok {
		if im := s.imageOf(in, s.records()); im != nil {
			return im, nil
		}
	}
	list := s.images()
	i := slices.IndexFunc(list, func(m image) bool { return m.ID == id })
	if i < 0 {
		return nil, &apiError{http.StatusNotFound, "there is no such image"}
	}
	return &list[i], nil
}

// plane is the record of a plane of the image, nil where there is none.
func (im *image) plane(suffix string) *segment.PlaneRecord {
	if im.record == nil {
		return nil
	}
	i := slices.IndexFunc(im.record.Planes, func(p segment.PlaneRecord) bool { return p.Suffix == suffix })
	if i < 0 {
		return nil
	}
	return &im.record.Planes[i]
}

// extension ends the names of a plane's results of a format.
func (im *image) extension(suffix, format string) string {
	p := im.plane(suffix)
	return segment.Extension(format, p != nil && p.Banded)
}

// correction is where the edits of a plane lie (.journal), the results of the model
// that they replace (.labels.tif and others), the numbers of what came of them
// (.numbers.json), and the size of the journal that results tell of (.followed). The
// name is that of the image with its extension: the base of its results changes with
// the other images of the folder.
func (s *Server) correction(im *image, suffix, ext string) string {
	return filepath.Join(s.out, "corrections", filepath.FromSlash(im.Name)+suffix+ext)
}

// output is the file of a format of a plane, "" if there is none.
func (s *Server) output(im *image, suffix, format string) string {
	p := im.plane(suffix)
	if p == nil {
		return ""
	}
	name := filepath.FromSlash(p.Output(format))
	if name == "" || !filepath.IsLocal(name) {
		return ""
	}
	return filepath.Join(s.out, name)
}

// add puts a file into the folder under a name that is not taken.
func (s *Server) add(name string, copyTo func(*os.File) error) (string, error) {
	name = filepath.Base(filepath.FromSlash(strings.ReplaceAll(name, "\\", "/")))
	if name == "" || strings.HasPrefix(name, ".") || !filepath.IsLocal(name) || len(name) > 150 || !segment.IsImage(name) {
		return "", &apiError{http.StatusUnsupportedMediaType, fmt.Sprintf("%.60q is not a name of an image", name)}
	}
	ext := filepath.Ext(name)
	tmp := ".upload-" + rand.Text() + ext
	f, err := s.root.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	defer s.root.Remove(tmp) // after the link it is the other name
	err = copyTo(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", err
	}
	opened, err := imageio.Open(filepath.Join(s.o.Dir, tmp))
	if err != nil {
		return "", &apiError{http.StatusUnprocessableEntity, strings.ReplaceAll(err.Error(), filepath.Join(s.o.Dir, tmp), name)}
	}
	opened.Close()
	for k := 1; k < 1000; k++ {
		to := name
		if k > 1 {
			to = fmt.Sprintf("%s (%d)%s", strings.TrimSuffix(name, ext), k, ext)
		}
		err := link(s.root, tmp, to) // never replaces a file
		if err != nil && !errors.Is(err, fs.ErrExist) {
			err = s.moveTo(tmp, to) // a file system without links, as on USB sticks
		}
		if err == nil {
			return to, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return "", &apiError{http.StatusConflict, "too many files of this name"}
}

// upload is the name of a file that is being added.
var upload = regexp.MustCompile(`^\.upload-[A-Z2-7]{26}\.[A-Za-z0-9]+$`)

// dropUploads removes what a server that was killed has left of files that were being
// added.
func (s *Server) dropUploads() {
	list, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return // listing the images tells
	}
	for _, e := range list {
		if upload.MatchString(e.Name()) && e.Type().IsRegular() {
			s.root.Remove(e.Name())
		}
	}
}

// link gives a file a second name. Tests let it fail.
var link = (*os.Root).Link

// moveTo gives a file another name, which must not be taken.
func (s *Server) moveTo(from, to string) error {
	f, err := s.root.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	f.Close()
	return s.root.Rename(from, to)
}
