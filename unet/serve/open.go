package serve

import (
	"container/list"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet/formats"
	"unet/unet/imageio/atomicfile"
	"unet/unet/instance"
	"unet/unet/segment"
)

// BusyError says that another server has the folder.
type BusyError struct {
	Folder string
	By     string // who it is, as far as it says
}

// Error implements error.
func (e *BusyError) Error() string {
	return fmt.Sprintf("%s is served already%s", e.Folder, e.By)
}

// Hint tells what to do.
func (e *BusyError) Hint() string {
	return "open the address that the other unet serve has printed: it takes any number of browsers, and shows everybody's edits"
}

// takeFolder locks the folder of corrections for this process: two would write to
// the same journals. Where the file system knows no locks it goes without.
func takeFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if errors.Is(atomicfile.TryLock(f), atomicfile.ErrLocked) {
		by := ""
		b := make([]byte, 200)
		if n, _ := f.ReadAt(b, 0); n > 0 {
			by = ", by " + strings.TrimSpace(strings.Map(printable, string(b[:n])))
		}
		f.Close()
		return nil, &BusyError{filepath.Dir(filepath.Dir(dir)), by}
	}
	host, _ := os.Hostname()
	f.Truncate(0)
	f.WriteAt(fmt.Appendf(nil, "process %d on %s\n", os.Getpid(), host), 0)
	return f, nil
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// opened returns the document of a plane if it is open.
func (s *Server) opened(id string, plane int) *document {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.documents, func(d *document) bool { return d.picture.id == id && d.plane == plane })
	if i < 0 {
		return nil
	}
	return s.documents[i]
}

// pictureOf opens the picture of an image. Those used longest ago are closed
// where all together may take more than a quarter of the memory.
func (s *Server) pictureOf(im *image) (*picture, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.pictures, func(p *picture) bool { return p.id == im.ID }); i >= 0 {
		p := s.pictures[i]
		if p.stamp == im.stamp && p.choice == im.shape() {
			s.pictures = slices.Insert(slices.Delete(s.pictures, i, i+1), 0, p)
			return p, nil
		}
		s.drop(p)
	}
	p, err := openPicture(im, filepath.Join(s.o.Dir, filepath.FromSlash(im.Name)), filepath.Join(s.out, "overviews"), im.choice, s.o.Memory/4)
	if err != nil {
		return nil, err
	}
	s.pictures = slices.Insert(s.pictures, 0, p)
	total := int64(0)
	for i, q := range slices.Clone(s.pictures) {
		if total += q.bytes; (total > s.o.Memory/4 || i >= mostOpen) && i > 0 {
			s.drop(q)
		}
	}
	return p, nil
}

// mostOpen bounds the pictures and documents that are open: each keeps files open.
const mostOpen = 64

// drop closes a picture and what is open of it. The lock is held.
func (s *Server) drop(p *picture) {
	s.pictures = slices.DeleteFunc(s.pictures, func(q *picture) bool { return p == q })
	s.documents = slices.DeleteFunc(s.documents, func(d *document) bool {
		if d.picture == p {
			go d.close() // an edit may be under way
		}
		return d.picture == p
	})
	s.tiles.forget(p.id)
	go p.close()
}

// open returns the document of a plane of an image.
func (s *Server) open(im *image, plane int) (*document, error) {
	p, err := s.pictureOf(im)
	if err != nil {
		return nil, err
	}
	ref, err := p.ref(plane)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	i := slices.IndexFunc(s.documents, func(d *document) bool { return d.picture == p && d.plane == plane })
	var d *document
	if i >= 0 {
		d = s.documents[i]
		s.documents = slices.Delete(s.documents, i, i+1)
	} else {
		d = s.newDocument(p, plane, ref)
	}
	s.documents = slices.Insert(s.documents, 0, d)
	if len(s.documents) > mostOpen {
		go s.documents[mostOpen].close()
		s.documents = s.documents[:mostOpen]
	}
	s.mu.Unlock()

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return nil, errClosed
	}
	if d.history == nil && (!d.loaded || im.plane(d.suffix) != nil) {
		d.describe(im, ref)
		d.loaded = true
		return d, d.load()
	}
	return d, nil
}

func (s *Server) newDocument(p *picture, plane int, ref segment.PlaneRef) *document {
	return &document{s: s, ctx: s.base, plane: plane, suffix: ref.Suffix, picture: p, w: ref.Info.W, h: ref.Info.H}
}

// describe takes over what is recorded of the plane.
func (d *document) describe(im *image, ref segment.PlaneRef) {
	d.im, d.rec = im, im.plane(d.suffix)
	d.source = formats.Source{Name: im.Name + d.suffix, W: d.w, H: d.h, FullW: ref.Info.FullW, FullH: ref.Info.FullH, PixelSize: ref.Info.PixelSize}
	if d.rec == nil {
		return
	}
	d.source.PixelSize, d.source.Channels, d.source.Rings, d.source.Region = d.rec.PixelSize, d.rec.Channels, d.rec.Rings, d.rec.Region
	d.channels, d.measuring, d.margin = d.rec.Channels, segment.Measuring{}, 0
	s := im.origin.Settings
	if stains, err := instance.ParseStains(s.Stains); err == nil && s.Stains != "" {
		if n := len(d.channels) - len(stains.Names()); n > 0 && slices.Equal(d.channels[n:], stains.Names()) {
			d.measuring.Stains, d.channels = stains, d.channels[:n]
		}
	}
	if ring, err := segment.ParseLength(s.Ring); err == nil && d.rec.Rings {
		d.measuring.Ring = ring
		width := ring.Pixels
		if ring.Micrometres > 0 {
			width = ring.Micrometres / min(d.source.PixelSize.X, d.source.PixelSize.Y)
		} else if size := d.source.PixelSize; size.Known() {
			width *= max(1, size.X/size.Y)
		}
		d.margin = 2*int(math.Ceil(width)) + 1 // as far as a nucleus that bounds the ring
	}
}

// forget closes the documents of an image whose results are new.
func (s *Server) forget(id string) {
	var closed []*document
	s.mu.Lock()
	s.documents = slices.DeleteFunc(s.documents, func(d *document) bool {
		if d.picture.id == id {
			closed = append(closed, d)
		}
		return d.picture.id == id
	})
	s.mu.Unlock()
	for _, d := range closed {
		d.close() // after what is under way
	}
}

// prepare makes an overview in the background, once, and tells the pages how far
// it is.
func (s *Server) prepare(p *picture, o *overview) {
	p.mu.Lock()
	began := o.began || o.done
	o.began = true
	p.mu.Unlock()
	if began || s.base.Err() != nil {
		return
	}
	s.work.Go(func() {
		s.overviews.Lock()
		defer s.overviews.Unlock()
		tell := func(done float64, text string) {
			s.events.send("picture", map[string]any{"id": p.id, "done": min(done, 1), "error": text})
		}
		err := o.make(p, func(done float64) error {
			tell(min(done, 0.99), "")
			return s.base.Err()
		})
		if err != nil {
			p.mu.Lock()
			o.err = err
			p.mu.Unlock()
			tell(1, err.Error())
			return
		}
		tell(1, "")
	})
}

// pictureCache keeps tiles that were drawn, those used last.
type pictureCache struct {
	most, bytes int64
	order       list.List
	at          map[string]*list.Element
}

type drawn struct {
	key, id string
	jpg     []byte
}

func (c *pictureCache) get(key string) []byte {
	e := c.at[key]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(drawn).jpg
}

func (c *pictureCache) put(key, id string, jpg []byte) {
	if c.at == nil {
		c.at = map[string]*list.Element{}
	}
	if c.at[key] != nil {
		return
	}
	c.at[key] = c.order.PushFront(drawn{key, id, jpg})
	c.bytes += int64(len(jpg))
	for c.bytes > c.most {
		c.remove(c.order.Back())
	}
}

func (c *pictureCache) remove(e *list.Element) {
	t := c.order.Remove(e).(drawn)
	delete(c.at, t.key)
	c.bytes -= int64(len(t.jpg))
}

// forget drops the tiles of an image.
func (c *pictureCache) forget(id string) {
	for e := c.order.Front(); e != nil; {
		next := e.Next()
		if e.Value.(drawn).id == id {
			c.remove(e)
		}
		e = next
	}
}
