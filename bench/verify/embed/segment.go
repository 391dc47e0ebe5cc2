package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/segment"
	"unet/unet/weights"
)

// segmenter finds nuclei with the built-in model. Its methods may be called by
// several goroutines: computations take turns.
type segmenter struct {
	model *unet.Model
	*segment.Segmenter
}

func newSegmenter(engine *core.Engine) (*segmenter, error) {
	model, err := weights.Default()
	if err != nil {
		return nil, err
	}
	s, err := segment.New(engine, model, segment.Options{})
	if err != nil {
		return nil, err
	}
	return &segmenter{model, s}, nil
}

// Close frees memory that Go's collector does not see.
func (s *segmenter) Close() {
	s.Segmenter.Close()
	s.model.Params.Free()
}

// Nuclei returns the nuclei of an image, measured.
func (s *segmenter) Nuclei(ctx context.Context, img *imageio.Image) ([]instance.Nucleus, error) {
	found, err := s.Image(ctx, img)
	if err != nil {
		return nil, err
	}
	return found.Nuclei, nil
}

// largest is the size of an image, as a file, that is taken over HTTP.
const largest = 64 << 20

// ServeHTTP answers a POST of an image file with its nuclei as JSON. A client
// that goes away ends the computation.
func (s *segmenter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "post an image file", http.StatusMethodNotAllowed)
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	img, err := imageio.Decode("upload", data)
	if err != nil { // one line that says what is wrong with the file
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	nuclei, err := s.Nuclei(r.Context(), img)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(nuclei)
}

// ask posts an image file to a server of nuclei.
func ask(ctx context.Context, url, file string) ([]instance.Nucleus, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return nil, fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(text))
	}
	var nuclei []instance.Nucleus
	return nuclei, json.NewDecoder(response.Body).Decode(&nuclei)
}
