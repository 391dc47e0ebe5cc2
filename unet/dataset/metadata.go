package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"syscall"
	"unet/unet/imageio/input"
)

// FormatVersion is the version of the folder layout and of metadata.json.
// Folders of a newer version are refused.
const FormatVersion = 1

// Metadata is what metadata.json says about a prepared set.
type Metadata struct {
	Format   int       `json:"format"`
	Source   Origin    `json:"source"`
	Settings Settings  `json:"settings"`
	Counts   Counts    `json:"counts"`
	Entries  []Entry   `json:"entries"` // sorted by ID
	Links    []Link    `json:"links"`   // why images share a group
	Findings []Finding `json:"findings"`
	Stats    *Stats    `json:"stats"` // of the source images, before resizing
}

// Origin says what a set was made from.
type Origin struct {
	Name   string `json:"name"`   // name of the archive or folder
	Images int    `json:"images"` // images found in it
	SHA256 string `json:"sha256"` // digest of its images and masks, in hexadecimal
}

// Settings are the options a set's content depends on.
type Settings struct {
	Size      int       `json:"size"`              // width and height of the images, in pixels; 0: native
	Seed      uint64    `json:"seed"`              // seed of the split
	Fractions Fractions `json:"fractions"`         // shares of images that each split was to get, 0 to 1
	Fix       bool      `json:"fix"`               // labels were repaired
	Sources   string    `json:"sources,omitempty"` // digest of the table of sources, if one was given
}

// Counts sums a set up.
type Counts struct {
	Images   int                       `json:"images"`   // images in the set
	Nuclei   int                       `json:"nuclei"`   // nuclei in them
	LeftOut  int                       `json:"left_out"` // images left out for an error
	Groups   int                       `json:"groups"`   // groups of images that show the same field
	Kinds    map[string]int            `json:"kinds"`    // images by kind
	Splits   map[string]int            `json:"splits"`   // images by split
	Table    map[string]map[string]int `json:"table"`    // images by kind and split
	Findings map[string]int            `json:"findings"` // number of findings, by check
}

// Without returns how many images were found and are not in the set, for an error
// or because corrections remove them.
func (c *Counts) Without() int { return c.LeftOut + c.Findings[removedCode] }

// Entry is one image of a prepared set.
type Entry struct {
	ID           string  `json:"id"`               // name of the image
	Kind         string  `json:"kind"`             // kind of image
	Group        string  `json:"group"`            // group of images that show the same field
	Source       string  `json:"source,omitempty"` // name of the laboratory, as far as it can be told; empty in sets of versions before 0.3
	Split        string  `json:"split,omitempty"`  // train, val or test
	W            int     `json:"w"`                // width as stored, in pixels
	H            int     `json:"h"`                // height as stored, in pixels
	C            int     `json:"c"`                // number of channels, 1 or 3
	SourceW      int     `json:"source_w"`         // width in the source, in pixels
	SourceH      int     `json:"source_h"`         // height in the source, in pixels
	Nuclei       int     `json:"nuclei"`           // number of nuclei as stored
	SourceNuclei int     `json:"source_nuclei"`    // number of nuclei before resizing
	Diameter     float64 `json:"diameter"`         // median diameter of the whole nuclei in the source, in pixels
	Mean         float64 `json:"mean"`             // mean luminance of the source, 0 to 1
	Std          float64 `json:"std"`              // standard deviation of the luminance, 0 to 1
	Inputs       Digests `json:"inputs"`           // digests of the files of the source
	Outputs      Digests `json:"outputs"`          // digests of the stored files
}

// imageFile and labelFile are the entry's files below the set's folder.
func (e *Entry) imageFile() string { return filepath.Join("images", e.ID+".png") }

func (e *Entry) labelFile() string {
	if e.Nuclei > 0xffff { // more than 16-bit PNG holds
		return filepath.Join("labels", e.ID+".tif")
	}
	return filepath.Join("labels", e.ID+".png")
}

// Link is a relation that puts two images into one group.
type Link struct {
	A    string `json:"a"`
	B    string `json:"b"`
	Kind string `json:"kind"` // duplicate, near-duplicate, overlapping-crops, adjacent-crops
}

// maxMetadata bounds metadata.json; a million images need about half of it.
const maxMetadata = 1 << 30

func readMetadata(dir string) (*Metadata, error) {
	name := filepath.Join(dir, "metadata.json")
	st, err := os.Stat(name)
	if _, missing := os.Stat(dir); errors.Is(missing, fs.ErrNotExist) {
		return nil, missing
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, &InputError{Name: dir, Problem: "is not a prepared set: it has no metadata.json", Advice: "make one with unet prepare"}
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size() > maxMetadata {
		return nil, &InputError{Name: name, Problem: "is not a file of sane size", Advice: "prepare the set again"}
	}
	f, err := input.Open(name)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	defer f.Close()
	m := &Metadata{}
	if err := m.decode(io.LimitReader(f, maxMetadata)); err != nil {
		return nil, &InputError{Name: name, Problem: "is damaged: " + oneLine(err), Advice: "prepare the set again"}
	}
	if err := m.check(); err != nil {
		return nil, &InputError{Name: name, Problem: err.Error(), Advice: "prepare the set again"}
	}
	return m, nil
}

// decode reads metadata.json, its lists an element at a time: they are as long as
// the set.
func (m *Metadata) decode(r io.Reader) error {
	d := json.NewDecoder(r)
	if err := expect(d, '{'); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		switch key {
		case "format":
			err = d.Decode(&m.Format)
		case "source":
			err = d.Decode(&m.Source)
		case "settings":
			err = d.Decode(&m.Settings)
		case "counts":
			err = d.Decode(&m.Counts)
		case "entries":
			m.Entries, err = decodeList[Entry](d)
		case "links":
			m.Links, err = decodeList[Link](d)
		case "findings":
			m.Findings, err = decodeList[Finding](d)
		case "stats":
			err = d.Decode(&m.Stats)
		default: // of another version
			err = d.Decode(new(json.RawMessage))
		}
		if err != nil {
			return err
		}
	}
	if err := expect(d, '}'); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("more follows its end at byte %d", d.InputOffset())
	}
	return nil
}

// decodeList reads an array, or null.
func decodeList[T any](d *json.Decoder) ([]T, error) {
	switch t, err := d.Token(); {
	case err != nil:
		return nil, err
	case t == nil:
		return nil, nil
	case t != json.Delim('['):
		return nil, fmt.Errorf("%v is not a list", t)
	}
	list := []T{}
	for d.More() {
		var v T
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, expect(d, ']')
}

// expect reads a bracket.
func expect(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	case t != want:
		return fmt.Errorf("%v at byte %d where %v belongs", t, d.InputOffset(), want)
	}
	return nil
}

// check refuses metadata that Load could be led astray by.
func (m *Metadata) check() error {
	switch {
	case m.Format > FormatVersion:
		return fmt.Errorf("has format %d, newer than %d, the newest this program knows", m.Format, FormatVersion)
	case m.Format < 1:
		return fmt.Errorf("has no valid format number")
	case m.Stats == nil:
		return fmt.Errorf("has no statistics")
	}
	seen := make(map[string]bool, len(m.Entries))
	for i := range m.Entries {
		e := &m.Entries[i]
		if bad := badID(e.ID); bad != "" {
			return fmt.Errorf("entry %d: image name %q %s", i, e.ID, bad)
		}
		if seen[e.ID] {
			return fmt.Errorf("entry %q occurs twice", e.ID)
		}
		seen[e.ID] = true
		if e.W < 1 || e.H < 1 || e.W > maxPixels || e.H > maxPixels || e.W*e.H > maxPixels || e.C != 1 && e.C != 3 || e.Nuclei < 0 {
			return fmt.Errorf("entry %q: impossible size %dx%dx%d", e.ID, e.W, e.H, e.C)
		}
		if !slices.Contains(Kinds, e.Kind) {
			return fmt.Errorf("entry %q: unknown kind %q", e.ID, e.Kind)
		}
		if e.Split != Train && e.Split != Val && e.Split != Test {
			return fmt.Errorf("entry %q: unknown split %q", e.ID, e.Split)
		}
	}
	return nil
}

// count fills in Counts from the entries and findings.
func (m *Metadata) count(leftOut int) {
	c := Counts{LeftOut: leftOut, Kinds: map[string]int{}, Splits: map[string]int{}, Table: map[string]map[string]int{}, Findings: map[string]int{}}
	groups := map[string]bool{}
	for _, e := range m.Entries {
		c.Images++
		c.Nuclei += e.Nuclei
		groups[e.Group] = true
		c.Kinds[e.Kind]++
		if e.Split == "" {
			continue
		}
		c.Splits[e.Split]++
		if c.Table[e.Kind] == nil {
			c.Table[e.Kind] = map[string]int{}
		}
		c.Table[e.Kind][e.Split]++
	}
	c.Groups = len(groups)
	for _, f := range m.Findings {
		c.Findings[f.Code]++
	}
	m.Counts = c
}
