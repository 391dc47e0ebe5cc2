package formats

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"unet/unet/instance"
)

// coco writes a COCO data set.
type coco struct {
	w      *bufio.Writer
	images []cocoImage
	count  int
	begun  bool
}

type cocoImage struct {
	ID       int    `json:"id"`
	FileName string `json:"file_name"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
}

// cocoAnnotation is one object; Segmentation is read by shape.
type cocoAnnotation struct {
	ID           int             `json:"id"`
	ImageID      int             `json:"image_id"`
	CategoryID   int             `json:"category_id"`
	Segmentation json.RawMessage `json:"segmentation"`
	Area         int             `json:"area"`
	BBox         [4]int          `json:"bbox"`
	IsCrowd      int             `json:"iscrowd"`
	// Score is the nucleus' confidence, left out where it is unknown.
	Score float64 `json:"score,omitempty"`
}

type cocoRLE struct {
	Size   [2]int          `json:"size"` // height, width
	Counts json.RawMessage `json:"counts"`
}

// NewCOCO returns a writer of COCO JSON: images, one category "nucleus" and
// one annotation per nucleus with its mask in COCO's compressed run-length
// code, which is exact and is what pycocotools works with.
func NewCOCO(w io.Writer) Writer { return &coco{w: bufio.NewWriter(w)} }

func (c *coco) Begin(src Source) error {
	if src.W > 1<<32/max(1, src.H)-1 {
		return fmt.Errorf("%s: %d x %d pixels are more than COCO's run lengths can count; use GeoJSON", src.Name, src.W, src.H)
	}
	c.images = append(c.images, cocoImage{len(c.images) + 1, src.Name, src.W, src.H})
	return c.open()
}

func (c *coco) open() error {
	if c.begun {
		return nil
	}
	c.begun = true
	_, err := c.w.WriteString(`{"annotations":[`)
	return err
}

func (c *coco) Write(n *instance.Nucleus) error {
	if len(c.images) == 0 {
		return errNoImage
	}
	img := c.images[len(c.images)-1]
	counts, err := json.Marshal(string(compressCounts(counts(n.Runs, img.Width, img.Height))))
	if err != nil {
		return err
	}
	seg, err := json.Marshal(cocoRLE{[2]int{img.Height, img.Width}, counts})
	if err != nil {
		return err
	}
	c.count++
	b, err := json.Marshal(cocoAnnotation{
		ID: c.count, ImageID: img.ID, CategoryID: 1, Segmentation: seg,
		Area: n.Area, BBox: [4]int{n.X0, n.Y0, n.X1 - n.X0, n.Y1 - n.Y0},
		Score: n.Confidence,
	})
	if err != nil {
		return err
	}
	sep := ",\n"
	if c.count == 1 {
		sep = "\n"
	}
	c.w.WriteString(sep)
	_, err = c.w.Write(b)
	return err
}

func (c *coco) Close() error {
	if err := c.open(); err != nil {
		return err
	}
	images := c.images
	if images == nil {
		images = []cocoImage{}
	}
	b, err := json.Marshal(images)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.w, "\n],\n\"images\":%s,\n\"categories\":[{\"id\":1,\"name\":\"nucleus\"}]}\n", b)
	return c.w.Flush()
}

// counts returns COCO's run lengths: background and object in turn, column by
// column, from background.
func counts(runs []instance.Run, w, h int) []int {
	var out []int
	end := 0
	p := pairs(runs, h)
	for i := 0; i < len(p); i += 2 {
		out = append(out, p[i]-end, p[i+1])
		end = p[i] + p[i+1]
	}
	if end < w*h {
		out = append(out, w*h-end)
	}
	return out
}

// compressCounts is rleToString of the COCO API: each count, less the one
// before the last of its kind, in 5-bit digits from 48 on.
func compressCounts(counts []int) []byte {
	var b []byte
	for i, x := range counts {
		if i > 2 {
			x -= counts[i-2]
		}
		for more := true; more; {
			d := x & 31
			x >>= 5
			if d&16 != 0 {
				more = x != -1
			} else {
				more = x != 0
			}
			if more {
				d |= 32
			}
			b = append(b, byte(d+48))
		}
	}
	return b
}

// expandCounts is the inverse of compressCounts.
func expandCounts(s string) ([]int, error) {
	var out []int
	for i := 0; i < len(s); {
		x, shift := 0, 0
		for {
			if i == len(s) {
				return nil, errors.New("the compressed counts end within a number")
			}
			d := int(s[i]) - 48
			i++
			if d < 0 || d > 63 || shift > 40 {
				return nil, fmt.Errorf("byte %d of the compressed counts is not part of a count", i)
			}
			x |= d & 31 << shift
			shift += 5
			if d&32 == 0 {
				if d&16 != 0 {
					x |= -1 << shift
				}
				break
			}
		}
		if len(out) > 2 {
			x += out[len(out)-2]
		}
		out = append(out, x)
	}
	return out, nil
}

// ReadCOCO reads the images of a COCO file with their annotations, both as
// polygons and as run lengths, compressed or not. Crowd regions are skipped:
// they outline no single nucleus. Files above 1 GiB are refused.
func ReadCOCO(r io.Reader) ([]Encoded, error) {
	var file struct {
		Images      []cocoImage `json:"images"`
		Annotations []struct {
			ImageID      int             `json:"image_id"`
			Segmentation json.RawMessage `json:"segmentation"`
			IsCrowd      int             `json:"iscrowd"`
		} `json:"annotations"`
	}
	if err := json.NewDecoder(limited(r)).Decode(&file); err != nil {
		return nil, fmt.Errorf("COCO JSON: %w", err)
	}
	if file.Images == nil {
		return nil, errors.New("COCO JSON: no list of images in it")
	}
	all := make([]Encoded, len(file.Images))
	index := map[int]int{}
	for i, img := range file.Images {
		if _, twice := index[img.ID]; twice {
			return nil, fmt.Errorf("COCO JSON: two images have the id %d", img.ID)
		}
		if img.Width < 1 || img.Height < 1 || img.Width > maxPixels/img.Height {
			return nil, fmt.Errorf("COCO JSON, image %q: %d x %d pixels (limit %d in all)", img.FileName, img.Width, img.Height, maxPixels)
		}
		index[img.ID] = i
		all[i] = Encoded{Name: img.FileName, W: img.Width, H: img.Height}
	}
	for k, a := range file.Annotations {
		i, ok := index[a.ImageID]
		if !ok {
			return nil, fmt.Errorf("COCO JSON, annotation %d: there is no image with the id %d", k+1, a.ImageID)
		}
		if a.IsCrowd != 0 {
			continue
		}
		o, err := decodeSegmentation(a.Segmentation, all[i].W, all[i].H)
		if err != nil {
			return nil, fmt.Errorf("COCO JSON, annotation %d: %w", k+1, err)
		}
		all[i].objects = append(all[i].objects, o)
	}
	return all, nil
}

// decodeSegmentation reads polygons ([[x,y,x,y,…],…]) or run lengths.
func decodeSegmentation(raw json.RawMessage, w, h int) (object, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return object{}, errors.New("it has no segmentation")
	}
	var o object
	if raw[0] == '[' {
		var polygons [][]float64
		if err := json.Unmarshal(raw, &polygons); err != nil {
			return o, fmt.Errorf("its polygons: %w", err)
		}
		for _, p := range polygons {
			if len(p)%2 != 0 {
				return o, errors.New("a polygon has an odd number of coordinates")
			}
			ring := make([]instance.Point, len(p)/2)
			for i := range ring {
				ring[i] = instance.Point{X: p[2*i], Y: p[2*i+1]}
			}
			o.polygons = append(o.polygons, [][]instance.Point{ring})
		}
		return o, nil
	}
	var rle cocoRLE
	if err := json.Unmarshal(raw, &rle); err != nil {
		return o, fmt.Errorf("its run lengths: %w", err)
	}
	if rle.Size != [2]int{h, w} {
		return o, fmt.Errorf("its mask is %d x %d, its image %d x %d", rle.Size[1], rle.Size[0], w, h)
	}
	var list []int
	var text string
	err := json.Unmarshal(rle.Counts, &list)
	if err != nil {
		if err = json.Unmarshal(rle.Counts, &text); err == nil {
			list, err = expandCounts(text)
		}
	}
	if err != nil {
		return o, fmt.Errorf("its run lengths: %w", err)
	}
	at := 0
	for i, n := range list {
		if n < 0 || n > w*h-at {
			return o, fmt.Errorf("run length %d does not fit its mask of %d x %d", i+1, w, h)
		}
		if i%2 == 1 && n > 0 {
			o.pairs = append(o.pairs, at, n)
		}
		at += n
	}
	return o, nil
}
