package serve

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"unet/unet"
	"unet/unet/imageio/atomicfile"
)

// usedFile names the model that the folder is segmented with, as long as nobody
// asks for another; it lies in the folder of the models that were kept.
const usedFile = "used"

// models are those that the page can segment with.
type models struct {
	given  *unet.Model            // by the caller
	loaded map[string]*unet.Model // by file below the folder of results
	used   string                 // "": the one given
}

// modelsFolder is where models that teaching gave are kept.
func (s *Server) modelsFolder() string { return filepath.Join(s.out, "models") }

// useModel takes a model, file below the folder of results, for all that is
// segmented from now on; "" is the one given. The lock is held.
func (s *Server) useModel(file string) error {
	m := s.models.given
	if file != "" {
		var err error
		if m, err = s.loadModel(file); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.modelsFolder(), 0o755); err != nil {
		return err
	}
	if err := atomicfile.WriteFile(filepath.Join(s.modelsFolder(), usedFile), func(w io.Writer) error {
		_, err := io.WriteString(w, file+"\n")
		return err
	}); err != nil {
		return err
	}
	s.models.used, s.o.Model = file, m
	return nil
}

// loadModel reads a model once. The lock is held.
func (s *Server) loadModel(file string) (*unet.Model, error) {
	if m := s.models.loaded[file]; m != nil {
		return m, nil
	}
	if !filepath.IsLocal(filepath.FromSlash(file)) {
		return nil, &apiError{http.StatusBadRequest, "that is not a name of a model"}
	}
	m, err := unet.LoadModel(filepath.Join(s.out, filepath.FromSlash(file)))
	if err != nil {
		return nil, err
	}
	s.models.loaded[file] = m
	return m, nil
}

// openModels takes the model that was used last in the folder.
func (s *Server) openModels() error {
	s.models = models{given: s.o.Model, loaded: map[string]*unet.Model{}}
	if s.o.Chosen {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(s.modelsFolder(), usedFile))
	if err != nil || strings.TrimSpace(string(b)) == "" {
		return nil
	}
	file := strings.TrimSpace(string(b))
	m, err := s.loadModel(file)
	if err != nil {
		return fmt.Errorf("the model used last in this folder: %w", err)
	}
	s.models.used, s.o.Model = file, m
	return nil
}

func (s *Server) closeModels() {
	for _, m := range s.models.loaded {
		m.Params.Free()
	}
}

func (s *Server) model() *unet.Model {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.o.Model
}

// listedModel is a model as the page lists it.
type listedModel struct {
	// File is below the folder of results; "" is the one that unet serve was
	// started with.
	File string `json:"file"`
	Name string `json:"name"`
	Used bool   `json:"used"`
}

// listModels lists the model given, those kept, and the one in use.
func (s *Server) listModels() []listedModel {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := "built-in"
	if s.o.Chosen {
		name = s.models.given.Card.Name
	}
	list := []listedModel{{"", name, s.models.used == ""}}
	files, _ := fs.Glob(os.DirFS(s.modelsFolder()), "*.safetensors")
	found := s.models.used == ""
	for _, f := range files {
		file := "models/" + f
		list = append(list, listedModel{file, strings.TrimSuffix(f, ".safetensors"), file == s.models.used})
		found = found || file == s.models.used
	}
	if !found {
		list = append(list, listedModel{s.models.used, s.models.used, true})
	}
	return list
}

func (s *Server) getModels(w http.ResponseWriter, _ *http.Request) error {
	answer(w, http.StatusOK, s.listModels())
	return nil
}

type useRequest struct {
	File string `json:"file"`
}

func (s *Server) postModels(w http.ResponseWriter, r *http.Request) error {
	var q useRequest
	if err := readJSON(r, &q); err != nil {
		return err
	}
	s.mu.Lock()
	err := s.useModel(q.File)
	if err == nil && s.teaching != nil && s.teaching.State.Model != "" {
		s.teaching.State.InUse = s.below(s.teaching.State.Model) == q.File
	}
	s.mu.Unlock()
	if err != nil {
		return &apiError{http.StatusBadRequest, err.Error()}
	}
	s.events.send("models", nil)
	answer(w, http.StatusOK, s.listModels())
	return nil
}
