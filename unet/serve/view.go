package serve

import (
	"fmt"
	"image/color"
	"net/http"
	"strconv"
	"strings"

	"unet/unet/imageio"
	"unet/unet/report"
	"unet/unet/segment"
)

// view is what there is to see of an image: its planes, and the channels of one.
type view struct {
	Width    int `json:"width"`
	Height   int `json:"height"`
	TileSide int `json:"tile_side"`
	// Large images list their nuclei by windows.
	Large bool `json:"large"`
	// Ready is 1, or how much of the overview of a large image is made.
	Ready     float64           `json:"ready"`
	PixelSize imageio.PixelSize `json:"pixel_size_um,omitzero"`
	Plane     int               `json:"plane"`
	Planes    []viewPlane       `json:"planes"`
	Channels  []viewChannel     `json:"channels"`
}

type viewPlane struct {
	Well    string `json:"well,omitempty"`
	Field   int    `json:"field"`
	Series  int    `json:"series"`
	Z       int    `json:"z"`
	T       int    `json:"t"`
	Page    int    `json:"page"`
	Channel string `json:"channel"`
	// Segmented says that there are results.
	Segmented bool `json:"segmented"`
}

type viewChannel struct {
	Name string `json:"name"`
	// Black and White are the samples shown so, Low and High the range of all.
	Black  float32 `json:"black"`
	White  float32 `json:"white"`
	Low    float32 `json:"low"`
	High   float32 `json:"high"`
	Colour string  `json:"colour"`
	// Shown says that it is the one in which nuclei are sought.
	Shown bool `json:"shown"`
}

func (s *Server) viewImage(w http.ResponseWriter, r *http.Request) error {
	d, err := s.document(r)
	if err != nil {
		return err
	}
	im, err := s.find(d.picture.id)
	if err != nil {
		return err
	}
	v, err := s.view(im, d.picture, d.plane)
	if err != nil {
		return err
	}
	v.PixelSize = d.source.PixelSize // also where it was given
	if v.Ready < 1 {
		if err := s.prepareShown(d.picture, d.plane, nil); err != nil {
			return err
		}
	}
	answer(w, http.StatusOK, v)
	return nil
}

// view describes a place of a picture.
func (s *Server) view(im *image, p *picture, plane int) (*view, error) {
	ref, err := p.ref(plane)
	if err != nil {
		return nil, err
	}
	v := &view{Width: ref.Info.W, Height: ref.Info.H, TileSide: tileSide, Plane: plane, Ready: 1, PixelSize: ref.Info.PixelSize}
	v.Large = int64(v.Width)*int64(v.Height) > int64(largePixels)
	for _, r := range p.refs {
		v.Planes = append(v.Planes, viewPlane{r.Info.Well, r.Info.Field, r.Info.Series, r.Info.Z, r.Info.T, r.Info.Page, segment.ChannelName(r.Info), im.plane(r.Suffix) != nil})
	}
	list := channels(ref)
	names := ref.Channels
	if ref.Info.C > 1 {
		names = []string{"colour"}
	}
	for k := range list {
		if s, _, o := p.finest(plane, k, 1<<20); s == nil && k == own(ref) {
			v.Ready = o.progress(p)
		}
		w, err := p.window(plane, k)
		if err != nil {
			return nil, err
		}
		c := viewChannel{Name: strconv.Itoa(k + 1), Black: finite(w.Black), White: finite(w.White), Low: finite(w.Low), High: finite(w.High), Colour: "ffffff", Shown: k == own(ref)}
		if k < len(names) && names[k] != "" {
			c.Name = names[k]
		}
		if len(list) > 1 {
			t := report.ChannelTint(k, len(list))
			c.Colour = fmt.Sprintf("%02x%02x%02x", int(t[0]*255), int(t[1]*255), int(t[2]*255))
		}
		v.Channels = append(v.Channels, c)
	}
	return v, nil
}

// finite is 0 for what JSON cannot hold.
func finite(v float32) float32 {
	if v-v != 0 {
		return 0
	}
	return v
}

// parseShown reads what channels to show: number, black, white and colour of
// each, as 0,120,4000,ffffff;1,80,900,00ff00. "" is what is usual.
func parseShown(text string) (list []shown, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ";") {
		f := strings.Split(part, ",")
		bad := &apiError{http.StatusBadRequest, "channels are number,black,white,colour;..., such as 0,120,4000,ffffff"}
		if len(f) != 4 || len(list) >= 64 {
			return nil, bad
		}
		var c shown
		if c.Channel, err = strconv.Atoi(f[0]); err != nil {
			return nil, bad
		}
		black, err1 := strconv.ParseFloat(f[1], 32)
		white, err2 := strconv.ParseFloat(f[2], 32)
		rgb, err3 := strconv.ParseUint(f[3], 16, 24)
		if err1 != nil || err2 != nil || err3 != nil {
			return nil, bad
		}
		c.Black, c.White, c.Colour = float32(black), float32(white), color.RGBA{uint8(rgb >> 16), uint8(rgb >> 8), uint8(rgb), 255}
		list = append(list, c)
	}
	return list, nil
}

func (s *Server) tile(w http.ResponseWriter, r *http.Request) error {
	var at [4]int
	for i, name := range []string{"level", "x", "y", "plane"} {
		n, err := natural(r, name, 0)
		if err != nil {
			return err
		}
		at[i] = n
	}
	id, text := r.PathValue("id"), r.URL.Query().Get("channels")
	show, err := parseShown(text)
	if err != nil {
		return err
	}
	var p *picture
	if d := s.opened(id, at[3]); d != nil {
		p = d.picture
	} else {
		d, err := s.document(r)
		if err != nil {
			return err
		}
		p = d.picture
	}
	key := fmt.Sprint(id, p.stamp, p.choice, at, text)
	s.mu.Lock()
	jpg := s.tiles.get(key)
	s.mu.Unlock()
	whole := jpg != nil
	if !whole {
		if jpg, whole, err = p.tile(at[3], at[0], at[1], at[2], show); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "image/jpeg")
	if whole {
		s.mu.Lock()
		s.tiles.put(key, id, jpg)
		s.mu.Unlock()
		w.Header().Set("Cache-Control", "private, max-age=300")
	} else if err := s.prepareShown(p, at[3], show); err != nil {
		return err
	}
	w.Write(jpg)
	return nil
}

// prepareShown has the overviews made of the channels that are looked at.
func (s *Server) prepareShown(p *picture, plane int, show []shown) error {
	if len(show) == 0 {
		show = []shown{{Channel: own(p.refs[plane])}}
	}
	for _, c := range show {
		if _, _, o := p.finest(plane, c.Channel, 1<<20); o != nil {
			s.prepare(p, o)
			p.mu.Lock()
			err := o.err
			p.mu.Unlock()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// progress is how much of an overview is made.
func (o *overview) progress(p *picture) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.small == nil || o.small.H == 0 {
		return 0
	}
	return float64(o.rows) / float64(o.small.H)
}
