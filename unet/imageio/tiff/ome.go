package tiff

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet/imageio/input"
	"unet/unet/imageio/plane"
)

// An OME data set is one file, or several that name each other: every file
// holds the whole description, or names a companion file that does.

// maxMembers bounds the files of one OME data set.
const maxMembers = 1 << 16

// ome lists the planes of an OME-TIFF file as its XML lays them out, with those
// that it places in other files of the folder. Damaged XML is noted and the
// pages are listed plainly.
func (s *tiffSource) ome(text string) error {
	s.out.Format = "OME-TIFF"
	doc, err := parseOME(text)
	if doc.Metadata != "" && len(doc.Images) == 0 {
		err = s.companion(doc)
	}
	if err != nil && len(doc.Images) > 0 {
		s.out.Note("the OME description is %v; what comes before is used", err)
		err = nil
	}
	if err == nil {
		err = s.omePlanes(doc)
	}
	if err == nil && len(s.planes) == 0 {
		err = errors.New("it places no plane in this file")
	}
	if err != nil {
		count := "its page is"
		if n := len(s.pages); n != 1 {
			count = fmt.Sprintf("its %d pages are", n)
		}
		s.out.Note("the OME description cannot be used (%s); %s read without it", strings.ReplaceAll(err.Error(), "\n", " "), count)
		s.planes, s.out.Planes, s.out.Members = nil, nil, nil
		return s.plain(plane.PixelSize{})
	}
	return nil
}

// companion replaces a description that only names the file of another by that.
func (s *tiffSource) companion(doc *omeXML) error {
	if s.folder == "" {
		return fmt.Errorf("it is in %s", doc.Metadata)
	}
	name := baseName(doc.Metadata)
	text, err := readCompanion(filepath.Join(s.folder, name))
	if err != nil {
		return fmt.Errorf("it is in the file %s, which cannot be read", name)
	}
	other, err := parseOME(text)
	if err != nil && len(other.Images) == 0 {
		return fmt.Errorf("the companion file %s: %w", name, err)
	}
	doc.Images = other.Images
	s.out.Members = append(s.out.Members, filepath.Join(s.folder, name))
	return err
}

// readCompanion reads the XML of a companion file.
func readCompanion(name string) (string, error) {
	f, err := input.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDescription+1))
	if err == nil && len(b) > maxDescription {
		err = fmt.Errorf("more than %d bytes", maxDescription)
	}
	return decodeText(b), err
}

// baseName is a file name without folders of any system.
func baseName(name string) string { return path.Base(strings.ReplaceAll(name, "\\", "/")) }

// memberName is the name of another file of a set, below the folder of this one;
// names that lead elsewhere lose their folders.
func memberName(name string) string {
	local := filepath.Clean(filepath.FromSlash(strings.ReplaceAll(name, "\\", "/")))
	if !filepath.IsLocal(local) {
		return baseName(name)
	}
	return local
}

// OpenCompanion opens an OME data set by its companion file (*.companion.ome).
func OpenCompanion(name string) (*plane.File, error) {
	bad := func(format string, args ...any) error {
		return &plane.FormatError{Name: name, Format: "OME companion file", Reason: fmt.Sprintf(format, args...)}
	}
	text, err := readCompanion(name)
	if err != nil {
		return nil, err
	}
	doc, err := parseOME(text)
	if err != nil && len(doc.Images) == 0 {
		return nil, bad("%v", err)
	}
	s := &tiffSource{tiffFile: &tiffFile{name: name}, folder: filepath.Dir(name)}
	s.out = plane.NewFile(name, "OME-TIFF", s)
	if err != nil {
		s.out.Note("the OME description is %v; what comes before is used", err)
	}
	if err := s.omePlanes(doc); err != nil {
		return nil, bad("%v", err)
	}
	if len(s.planes) == 0 {
		return nil, bad("none of the files that it names is here")
	}
	return s.out, nil
}

// placer returns a function that tells whether the file that a TiffData
// element names is the one in hand. UUIDs decide where given: files get
// renamed. Names decide only when the XML speaks of several files.
func (doc *omeXML) placer(self string) func(file, id string) bool {
	names := map[string]bool{}
	for _, im := range doc.Images {
		for _, td := range im.Pixels.TiffData {
			names[td.UUID.File] = true
		}
	}
	return func(file, id string) bool {
		if self == "" {
			return false
		}
		if id = strings.TrimSpace(id); id != "" && doc.UUID != "" {
			return strings.EqualFold(id, doc.UUID)
		}
		return file == "" || len(names) == 1 || baseName(file) == self
	}
}

// isPicture reports whether an image is one of the label or the whole glass, as
// converters name those of slides, beside others.
func (doc *omeXML) isPicture(series int) bool {
	if !plane.IsPicture(doc.Images[series].Name) {
		return false
	}
	return slices.ContainsFunc(doc.Images, func(im omeImage) bool { return !plane.IsPicture(im.Name) })
}

// omePlanes lists the planes of all images of the XML that lie in this file or
// in others of its folder.
func (s *tiffSource) omePlanes(doc *omeXML) error {
	self := filepath.Base(s.name)
	if s.pages == nil { // a companion file holds none
		self = ""
	}
	inThisFile := doc.placer(self)
	next := map[string]int{} // page that follows, by file
	listed := 0
	found := omeFound{used: make([]bool, len(s.pages))}
	for series := range doc.Images {
		px := &doc.Images[series].Pixels
		if len(s.pages) > 0 {
			px.fit(s.pages[0].spp)
		}
		if err := px.check(); err != nil {
			return err
		}
		if listed += px.planes(); listed > plane.MaxPlanes {
			return fmt.Errorf("more than %d planes", plane.MaxPlanes)
		}
		places, err := px.layout(next, inThisFile)
		if err != nil {
			return err
		}
		if doc.isPicture(series) {
			found.picture(places)
			continue
		}
		size := px.pixelSize(s.out.Note)
		for i, at := range places {
			info := plane.Info{Series: series, Page: at.page, PixelSize: size}
			info.Channel, info.Z, info.T = px.place(i)
			switch {
			case at.page < 0:
			case at.file != "":
				m := s.member(at.file)
				if m == nil {
					found.notHere(at.file)
					continue
				}
				s.addMember(m, px, info)
			case at.page >= len(s.pages):
				found.missing++
			default:
				p := s.pages[at.page]
				if p.w != int(px.SizeX) || p.h != int(px.SizeY) {
					return fmt.Errorf("planes of %d x %d pixels, page %d has %d x %d", px.SizeX, px.SizeY, at.page, p.w, p.h)
				}
				if p.spp > 1 && p.photometric != photoRGB && p.photometric != photoYCbCr {
					info.Channel *= px.samples()
				}
				if err := s.add(p, info, px.channelName); err != nil {
					return err
				}
				found.used[at.page] = true
			}
		}
	}
	s.noteOME(&found)
	return nil
}

// omeFound is what became of the planes that a description lists.
type omeFound struct {
	used      []bool   // pages that it mentions
	pictures  int      // pages that are no image of cells
	missing   int      // planes of this file that it does not hold
	elsewhere int      // planes in files that are not here
	away      []string // the first of those files
}

// picture takes the pages of an image that is none of cells.
func (o *omeFound) picture(places []place) {
	for _, at := range places {
		if at.file == "" && at.page >= 0 && at.page < len(o.used) {
			o.used[at.page] = true
			o.pictures++
		}
	}
}

// notHere takes a plane that lies in a file that is not here.
func (o *omeFound) notHere(file string) {
	o.elsewhere++
	if !slices.Contains(o.away, file) && len(o.away) < 3 {
		o.away = append(o.away, file)
	}
}

// noteOME tells what was left out, and what is missing.
func (s *tiffSource) noteOME(found *omeFound) {
	left := 0
	for i, p := range s.pages {
		if !found.used[i] && !p.reduced {
			left++
		}
	}
	if found.pictures > 0 {
		s.out.Note(leftOut, counted(found.pictures, "page that is", "pages that are"))
	}
	if found.elsewhere > 0 {
		s.out.Note("%s in files that are not here: %s", counted(found.elsewhere, "plane of the image is", "planes of the image are"), strings.Join(found.away, ", "))
	}
	if found.missing > 0 {
		s.out.Note("%s not in the file: was recording stopped early?", counted(found.missing, "plane that the OME description lists is", "planes that the OME description lists are"))
	}
	if left > 0 {
		s.out.Note("left out: %s that the OME description does not mention", counted(left, "page", "pages"))
	}
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// place is the page that a plane lies on: of the file in hand when file is "".
// Page -1 is nowhere.
type place struct {
	file string
	page int
}

// layout returns the place of every plane in dimension order. Pages of a file
// count on from next where the XML says nothing.
func (px *omePixels) layout(next map[string]int, inThisFile func(file, id string) bool) ([]place, error) {
	places := make([]place, px.planes())
	for i := range places {
		places[i].page = -1
		if len(px.TiffData) == 0 && inThisFile("", "") {
			places[i].page = next[""] + i
		}
	}
	if len(px.TiffData) == 0 {
		next[""] += len(places)
	}
	work := 0 // planes placed, some of them again and again in forged XML
	for _, td := range px.TiffData {
		first := map[byte]int{'C': int(td.FirstC) / px.samples(), 'Z': int(td.FirstZ), 'T': int(td.FirstT)}
		at, step := 0, 1
		for _, axis := range []byte(px.Order[2:]) {
			f, n := first[axis], px.size(axis)
			if f < 0 || f >= n {
				return nil, fmt.Errorf("TiffData starts at %c %d of %d", axis, f, n)
			}
			at, step = at+f*step, step*n
		}
		file := ""
		if !inThisFile(td.UUID.File, td.UUID.ID) {
			if file = memberName(td.UUID.File); td.UUID.File == "" {
				file = "another file"
			}
		}
		page, n := next[file], len(places)
		if td.IFD.there {
			page, n = td.IFD.n, 1
		}
		if td.Count.there {
			n = td.Count.n
		}
		n = min(max(n, 0), len(places)-at)
		if work += n; work > 4*plane.MaxPlanes {
			return nil, errors.New("too many TiffData elements")
		}
		if page < 0 || page > maxPages {
			return nil, fmt.Errorf("TiffData at directory %d", page)
		}
		for i := range n {
			places[at+i] = place{file, page + i}
		}
		next[file] = max(next[file], page+n)
	}
	return places, nil
}

// member is another file of an OME data set, opened when it is read.
type member struct {
	path string
	file *tiffFile
	r    io.Closer
}

// member returns the file of that name in the folder, nil when it is not here.
func (s *tiffSource) member(name string) *member {
	if s.folder == "" {
		return nil
	}
	if m, ok := s.members[name]; ok {
		return m
	}
	if s.members == nil {
		s.members = map[string]*member{}
	}
	var m *member
	p := filepath.Join(s.folder, name)
	if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && len(s.members) < maxMembers {
		m = &member{path: p}
		s.out.Members = append(s.out.Members, p)
	}
	s.members[name] = m
	return m
}

// addMember lists a plane that lies in another file, by what the XML says about
// it; the file itself is looked into when the plane is read.
func (s *tiffSource) addMember(m *member, px *omePixels, info plane.Info) {
	info.W, info.H, info.C = int(px.SizeX), int(px.SizeY), 1
	info.Bits, info.Float = typeBits(px.Type)
	info.Name = px.channelName(info.Channel * px.samples())
	parts := px.samples()
	if parts == 3 {
		info.C, info.Name, parts = 3, "", 1
	}
	for k := range parts {
		s.planes = append(s.planes, tiffPlane{member: m, index: info.Page, part: k})
		s.out.Planes = append(s.out.Planes, info)
		info.Channel++
	}
}

// typeBits is the sample size of an OME pixel type.
func typeBits(name string) (bits int, float bool) {
	switch strings.ToLower(name) {
	case "int16", "uint16":
		return 16, false
	case "int32", "uint32":
		return 32, false
	case "float":
		return 32, true
	case "double":
		return 64, true
	case "bit":
		return 1, false
	}
	return 8, false
}

// openMembers is how many files of a data set are held open.
const openMembers = 8

// resolve returns the file and the plane to read: for a plane of another file
// the one that lies there.
func (s *tiffSource) resolve(i int) (*tiffFile, tiffPlane, error) {
	pl := s.planes[i]
	m := pl.member
	if m == nil {
		return s.tiffFile, pl, nil
	}
	if m.file == nil {
		if len(s.opened) == openMembers {
			s.opened[0].close()
			s.opened = s.opened[1:]
		}
		r, err := input.Open(m.path)
		if err != nil {
			return nil, pl, err
		}
		st, err := r.Stat()
		if err == nil {
			m.file, err = openTIFF(m.path, r, st.Size())
		}
		if err != nil {
			r.Close()
			return nil, pl, err
		}
		m.r = r
		s.opened = append(s.opened, m)
	}
	want := s.out.Planes[i]
	if pl.index >= len(m.file.pages) {
		return nil, pl, m.file.bad("the OME description places a plane on page %d, the file has %d", pl.index, len(m.file.pages))
	}
	p := m.file.pages[pl.index]
	if err := m.file.readable(p); err != nil {
		return nil, pl, err
	}
	parts := split(p, true)
	if pl.part >= len(parts) || p.w != want.W || p.h != want.H || len(parts[pl.part].samples) != want.C {
		return nil, pl, m.file.bad("page %d is not the plane of %d x %d pixels that the OME description places there", pl.index, want.W, want.H)
	}
	return m.file, parts[pl.part], nil
}

func (m *member) close() {
	m.r.Close()
	m.file, m.r = nil, nil
}
