package serve

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/segment"
)

// Analysis is the answer of /analyse/json.
type Analysis struct {
	Schema    int                `json:"schema"`                      // version of the layout: a field that goes or changes its meaning raises it
	Width     int                `json:"width"`                       // width of the image, in pixels
	Height    int                `json:"height"`                      // its height
	PixelSize imageio.PixelSize  `json:"pixel_size_um,omitzero"`      // size of a pixel, in µm; [width, height] where pixels are not square
	Scale     float64            `json:"scale"`                       // how much the image was enlarged for the network
	Estimate  float64            `json:"diameter_estimate,omitempty"` // usual diameter that was found before scaling, in pixels of the image; absent: not estimated
	Warnings  []string           `json:"warnings,omitempty"`          // what may be wrong with the result
	Notes     []string           `json:"notes,omitempty"`             // what is good to know of it
	Channels  []string           `json:"channels"`                    // names of the channels that were measured
	Nuclei    []instance.Nucleus `json:"nuclei"`                      // each nucleus
}

// analysisSchema is the version of Analysis as JSON.
const analysisSchema = 1

// analyse segments an image that is not kept, and answers with the nuclei as a file.
func (s *Server) analyse(w http.ResponseWriter, r *http.Request) error {
	format := r.PathValue("format")
	if !slices.Contains(analysed, format) {
		return &apiError{http.StatusNotFound, "there is no such format: " + strings.Join(analysed, ", ") + ", json"}
	}
	found, source, _, err := s.analysed(w, r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	return formats.WriteAll(segment.NewWriter(format, w), source, found.Nuclei)
}

// analyseJSON is analyse with all that is told of the image.
func (s *Server) analyseJSON(w http.ResponseWriter, r *http.Request) error {
	found, source, notes, err := s.analysed(w, r)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, Analysis{analysisSchema, source.W, source.H, source.PixelSize, found.Scale, found.Estimate, found.Warnings,
		append(notes, found.Notes...), source.Channels, append([]instance.Nucleus{}, found.Nuclei...)})
	return nil
}

// analysed segments the image that a request holds. The notes are those on its file.
func (s *Server) analysed(w http.ResponseWriter, r *http.Request) (found *segment.Result, source formats.Source, notes []string, err error) {
	t := settings{Diameter: r.URL.Query().Get("diameter")}
	if text := r.URL.Query().Get("threshold"); text != "" {
		if t.Threshold, err = strconv.ParseFloat(text, 64); err != nil {
			return nil, source, nil, &apiError{http.StatusBadRequest, "threshold is a number, not " + strconv.Quote(clip(text))}
		}
	}
	o, err := t.read(&segment.Batch{}, nil, s.model())
	if err != nil {
		return nil, source, nil, err
	}
	o.Memory = s.o.Memory
	limit := min(s.o.MaxUpload, s.o.Memory/8)
	data, err := io.ReadAll(io.LimitReader(s.body(w, r), limit+1))
	if err != nil {
		return nil, source, nil, err
	}
	if int64(len(data)) > limit {
		return nil, source, nil, &http.MaxBytesError{Limit: limit}
	}
	img, notes, err := chosenPlane(r, data)
	if err != nil {
		return nil, source, nil, err
	}
	found, source, err = s.segmentOne(r.Context(), img, o)
	return found, source, notes, err
}

// chosenPlane decodes the plane that the request names of an image that it holds.
// An image of several needs a name, since the answer is about one.
func chosenPlane(r *http.Request, data []byte) (img *imageio.Image, notes []string, err error) {
	f, err := imageio.OpenData("image", data)
	if err != nil {
		return nil, nil, &apiError{http.StatusUnprocessableEntity, err.Error()}
	}
	plane, err := natural(r, "plane", -1)
	switch last := len(f.Planes) - 1; {
	case err != nil:
		return nil, nil, err
	case plane > last, plane < 0 && last > 0:
		return nil, nil, &apiError{http.StatusUnprocessableEntity, fmt.Sprintf("the image has planes 0 to %d (channels, slices, times, pages): choose one with plane=NUMBER", last)}
	}
	if img, err = f.ReadPlane(max(plane, 0)); err != nil {
		return nil, nil, &apiError{http.StatusUnprocessableEntity, err.Error()}
	}
	return img, f.Notes, nil
}

// segmentOne segments an image in memory, while nothing else is computed.
func (s *Server) segmentOne(ctx context.Context, img *imageio.Image, o segment.Options) (*segment.Result, formats.Source, error) {
	if !s.compute.TryLock() {
		return nil, formats.Source{}, &apiError{http.StatusTooManyRequests, "the program is at work: try again later"}
	}
	defer s.compute.Unlock()
	seg, err := segment.New(s.o.Engine, s.model(), o)
	if err != nil {
		return nil, formats.Source{}, err
	}
	defer seg.Close()
	found, err := seg.Image(ctx, img)
	if err != nil {
		return nil, formats.Source{}, err
	}
	return found, seg.Source("image", img.Gray(), found), err
}
