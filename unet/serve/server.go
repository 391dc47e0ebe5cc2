package serve

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
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
	events *events
	slots  chan struct{} // requests in work
	queue  chan struct{} // and waiting

	mu        sync.Mutex
	documents []*document // the one used last comes first
	job       *job        // nil: none has been
	base      context.Context
	stop      context.CancelFunc
	work      sync.WaitGroup
	compute   sync.Mutex // one computation at a time
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
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, out: out, root: root, events: newEvents(), slots: make(chan struct{}, inWork), queue: make(chan struct{}, inWork+waiting)}
	s.base, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Close ends what is under way and waits for it. Edits are on disk already.
func (s *Server) Close() error {
	s.stop()
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.documents {
		d.close()
	}
	s.documents = nil
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
	// Planes is how many planes of the file were segmented; the page shows the
	// first.
	Planes int `json:"planes,omitempty"`

	in    segment.Input
	plane *segment.PlaneRecord
}

// imageID names an image in addresses; paths are never part of them.
func imageID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:8])
}

// images lists the folder. Links that lead out of it are left out.
func (s *Server) images() []image {
	records := map[string]*segment.ImageRecord{}
	var summary segment.Summary
	if b, err := os.ReadFile(filepath.Join(s.out, segment.ManifestFile)); err == nil && json.Unmarshal(b, &summary) == nil {
		for _, r := range summary.Images {
			records[r.Name] = r // the folder may have another path now
		}
	}
	list := []image{}
	for _, in := range segment.Inputs([]string{s.o.Dir}, s.out) {
		if in.Err != nil {
			continue // the folder holds no image yet
		}
		if _, err := s.root.Stat(filepath.FromSlash(in.Name)); err != nil {
			continue
		}
		im := image{ID: imageID(in.Name), Name: in.Name, Status: "new", in: in}
		if r := records[in.Name]; r != nil {
			im.Status, im.Error, im.Planes = r.Status, r.Error, len(r.Planes)
			if r.Status == segment.Skipped {
				im.Status = segment.Done
			}
			if len(r.Planes) > 0 {
				p := &r.Planes[0]
				im.plane, im.Count, im.Diameter, im.Confidence, im.Warnings = p, p.Nuclei, p.Diameter, p.Statistics.Confidence, p.Warnings
			}
		}
		if st, err := os.Stat(s.journalFile(&im)); err == nil && st.Size() > 0 {
			if d := s.opened(im.ID); d != nil {
				im.Corrected, im.Count, im.Diameter = d.numbers()
			} else {
				im.Corrected = true
			}
		}
		list = append(list, im)
	}
	return list
}

// find returns an image by its id.
func (s *Server) find(id string) (*image, error) {
	list := s.images()
	i := slices.IndexFunc(list, func(m image) bool { return m.ID == id })
	if i < 0 {
		return nil, &apiError{http.StatusNotFound, "there is no such image"}
	}
	return &list[i], nil
}

func (s *Server) resultName(im *image) string {
	suffix := ""
	if im.plane != nil {
		suffix = im.plane.Suffix
	}
	return im.in.Base + suffix
}

// journalFile and ownFile hold the edits of an image and the model's own labels.
func (s *Server) journalFile(im *image) string {
	return filepath.Join(s.out, "corrections", filepath.FromSlash(s.resultName(im))+".journal")
}

func (s *Server) ownFile(im *image) string {
	return filepath.Join(s.out, "corrections", filepath.FromSlash(s.resultName(im))+".labels.tif")
}

// output is the file of a result of an image, "" if there is none.
func (s *Server) output(im *image, ext string) string {
	if im.plane == nil {
		return ""
	}
	for _, name := range im.plane.Outputs {
		if strings.HasSuffix(name, ext) && filepath.IsLocal(filepath.FromSlash(name)) {
			return filepath.Join(s.out, filepath.FromSlash(name))
		}
	}
	return ""
}

// add puts a file into the folder under a name that is not taken.
func (s *Server) add(name string, copyTo func(*os.File) error) (string, error) {
	name = filepath.Base(filepath.FromSlash(strings.ReplaceAll(name, "\\", "/")))
	if name == "" || strings.HasPrefix(name, ".") || !filepath.IsLocal(name) || len(name) > 150 || !segment.IsImage(name) {
		return "", &apiError{http.StatusUnsupportedMediaType, fmt.Sprintf("%.60q is no name of an image", name)}
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
		err := s.root.Link(tmp, to) // never replaces a file
		if err == nil {
			return to, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return "", &apiError{http.StatusConflict, "too many files of this name"}
}
