package unet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"unet/core"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/input"
	"unet/unet/instance"
)

// Kinds of model.
const (
	Paper  = "paper"  // images resized to a fixed square, one foreground map
	Nuclei = "nuclei" // native scale, maps for separating touching nuclei
)

// formatVersion is the newest version of the model file this program writes
// and reads.
const formatVersion = 1

// Model is a trained network with everything needed to use it. Any number of
// predictors may use it at once, as long as nobody changes it.
type Model struct {
	Card   Card
	Params *core.Params
	// SHA256 is the hash of the file the model was read from, if any.
	SHA256 string
}

// Card describes a model; it is the metadata of a model file.
type Card struct {
	Version   int             `json:"version"`                  // version of the format
	Kind      string          `json:"kind"`                     // nuclei or paper
	Name      string          `json:"name,omitempty"`           // name of the model
	Arch      Arch            `json:"arch"`                     // the network
	Input     Input           `json:"input"`                    // how images are normalised
	Threshold float64         `json:"threshold"`                // foreground probability above which a pixel is in the mask, 0 to 1
	Instance  instance.Params `json:"instance"`                 // parameters that turn maps into nuclei
	Former    instance.Params `json:"former_instance,omitzero"` // the same before tuning
	// Diameter is the range (10th, 50th, 90th percentile) of nucleus
	// diameters seen in training, in pixels; zero: not recorded.
	Diameter    [3]float64 `json:"diameter"`
	Training    Training   `json:"training"`               // where the weights come from
	Precision   string     `json:"precision,omitempty"`    // what the network computes in: int8, or absent for float32
	FloatLayers []string   `json:"float_layers,omitempty"` // layers that are computed in float32 nevertheless
}

// KnownDiameters is the range of usual nucleus diameters of an image, in
// pixels, which the model segments well at native scale, zero if not known.
// Training shows nuclei at half to twice their size; of small ones too few
// pixels are left for that to help (measured on images of the Data Science Bowl
// resized by 1/3 to 3: below four fifths of the 10th percentile, enlarging them
// wins clearly).
func (c Card) KnownDiameters() (low, high float64) {
	return 0.8 * c.Diameter[0], 2 * c.Diameter[2]
}

// Training records how a model came to be.
type Training struct {
	Program  string             `json:"program,omitempty"`  // version of the program that trained it
	ISA      string             `json:"isa,omitempty"`      // instruction set that it was trained with
	Date     string             `json:"date,omitempty"`     // when training ended
	Data     string             `json:"data,omitempty"`     // description and digest of the set
	LeftOut  []string           `json:"left_out,omitempty"` // sources that were kept out of training
	License  string             `json:"license,omitempty"`  // licence of the data, and so of the weights
	From     string             `json:"from,omitempty"`     // SHA-256 of the model it began with
	Images   int                `json:"images,omitempty"`   // number of training images
	Epochs   int                `json:"epochs,omitempty"`   // epochs done when these weights were kept
	Steps    int                `json:"steps,omitempty"`    // updates of the weights
	Settings json.RawMessage    `json:"settings,omitempty"` // all settings of the training
	Metrics  map[string]float64 `json:"metrics,omitempty"`  // scores on the validation split
}

// Input says how an image becomes the network's input.
type Input struct {
	// Normalise is "range" (divide by the largest value of the sample type)
	// or "percentile" (Low and High become 0 and 1, not clipped).
	Normalise string  `json:"normalise"`
	Low       float64 `json:"low,omitempty"`      // percentile that becomes 0
	High      float64 `json:"high,omitempty"`     // percentile that becomes 1
	Outliers  float64 `json:"outliers,omitempty"` // how far the upper percentile may be from the bulk of samples, against few bright pixels; 0: no bound, as in models before version 0.3
	// Size is the square every image is resized to; 0: native scale, tiled.
	Size int `json:"size,omitempty"`
}

// NewModel returns a model with freshly initialised weights.
func NewModel(card Card, seed uint64, training bool) (*Model, error) {
	m, err := newModel(card, training)
	if err != nil {
		return nil, err
	}
	initialise(m.Params, seed)
	if training {
		m.Params.ResetAverage()
	}
	return m, nil
}

func newModel(card Card, training bool) (*Model, error) {
	if err := card.Arch.Check(); err != nil {
		return nil, err
	}
	card.Version = formatVersion
	m := &Model{Card: card, Params: core.NewParams()}
	card.Arch.declare(m.Params)
	card.declareRanges(m.Params)
	if err := m.Params.Alloc(training); err != nil {
		return nil, err
	}
	return m, nil
}

// ModelError says that a file is not a usable model.
type ModelError struct {
	Name    string // file
	Problem string
	Advice  string // what to do about it
	// Option is that which Advice speaks of, as programs name it; "" for none.
	Option string
}

func (e *ModelError) Error() string { return fmt.Sprintf("%s: %s", e.Name, e.Problem) }

// Hint says what to do about it.
func (e *ModelError) Hint() string { return e.Advice }

// Adjust names the option that the hint speaks of.
func (e *ModelError) Adjust() string { return e.Option }

// LoadModel reads a model file for prediction.
func LoadModel(path string) (*Model, error) {
	f, size, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadModel(path, f, size)
}

// openFile opens a file of a model and tells its size in bytes.
func openFile(path string) (*os.File, int64, error) {
	f, err := input.Open(path)
	if kind := new(input.KindError); errors.As(err, &kind) {
		return nil, 0, &ModelError{Name: path, Problem: "it is " + kind.Kind + ", not a file", Advice: "give the .safetensors file itself"}
	}
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size(), nil
}

// ReadModel reads a model of the given size in bytes; name is used in errors.
func ReadModel(name string, r io.Reader, size int64) (*Model, error) {
	m, _, _, err := readModel(name, r, size, false)
	return m, err
}

// halfLimit is the least number that half precision rounds to infinity.
const halfLimit = 65520

// What to do about a file that is no model, or not a whole one.
const (
	notAModel = "a model is a .safetensors file written by `unet train`"
	damaged   = "the file may be damaged, or its training may have failed"
)

// readModel returns the model and what a checkpoint holds besides: the
// tensors that are no parameters and the state of training.
func readModel(name string, r io.Reader, size int64, training bool) (m *Model, extra map[string]tensor, state string, err error) {
	fail := func(advice string, err error) (*Model, map[string]tensor, string, error) {
		return nil, nil, "", &ModelError{Name: name, Problem: err.Error(), Advice: advice}
	}
	hash := sha256.New()
	r = io.TeeReader(r, hash)
	file, err := readHeader(r, size)
	if err != nil {
		return fail(notAModel, err)
	}
	card, advice, err := readCard(file.metadata["unet"])
	if err != nil {
		return fail(advice, err)
	}
	// The claimed network must not be larger than the file that holds it, and
	// the file not much larger than the network.
	if need := card.Arch.parameters(); int64(need)*2 > size {
		return fail(damaged, fmt.Errorf("its card describes %d parameters, more than the file holds", need))
	}
	if err := card.Arch.holds(file); err != nil {
		return fail(damaged, err)
	}
	list, err := file.read(r)
	if err != nil {
		return fail(notAModel, err)
	}
	if m, err = newModel(card, training); err != nil {
		return fail(damaged, err)
	}
	if extra, err = m.fill(list); err != nil {
		m.Params.Free()
		return fail(damaged, err)
	}
	m.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return m, extra, file.metadata["state"], nil
}

// readCard reads the card of a model file; advice says what to do about an error.
func readCard(text string) (card Card, advice string, err error) {
	if text == "" {
		return card, notAModel, errors.New("a safetensors file, but not of unet")
	}
	var version struct{ Version int }
	if err := json.Unmarshal([]byte(text), &version); err != nil {
		return card, notAModel, fmt.Errorf("damaged model card: %w", err)
	}
	if version.Version < 1 {
		return card, damaged, fmt.Errorf("model format %d: there is none below 1", version.Version)
	}
	if version.Version > formatVersion {
		return card, "use a newer unet", fmt.Errorf("model format %d, this program knows formats up to %d", version.Version, formatVersion)
	}
	if err := json.Unmarshal([]byte(text), &card); err != nil {
		return card, notAModel, fmt.Errorf("damaged model card: %w", err)
	}
	return card, damaged, card.Check()
}

// fill takes the parameters from the tensors of a file and returns the others.
func (m *Model) fill(list []tensor) (extra map[string]tensor, err error) {
	extra = map[string]tensor{}
	found, all := 0, len(m.Params.All())
	for _, t := range list {
		q := m.Params.Get(t.name)
		if q == nil {
			extra[t.name] = t
			continue
		}
		if !slices.Equal(q.Shape, t.shape) {
			return nil, fmt.Errorf("tensor %s has shape %v, want %v", t.name, t.shape, q.Shape)
		}
		if i := notFinite(t.data); i >= 0 {
			return nil, fmt.Errorf("tensor %s: value %d is %v", t.name, i, t.data[i])
		}
		copy(q.Value, t.data)
		found++
	}
	if found != all {
		return nil, fmt.Errorf("%d of %d parameters are missing", all-found, all)
	}
	return extra, nil
}

// notFinite is the index of the first value that is NaN or infinite, or -1.
func notFinite(list []float32) int {
	return slices.IndexFunc(list, func(v float32) bool { return v-v != 0 })
}

// Check says what is wrong with c, or nil.
func (c Card) Check() error {
	if err := c.Arch.Check(); err != nil {
		return err
	}
	if c.Kind != Paper && c.Kind != Nuclei {
		return fmt.Errorf("unknown kind of model %q", c.Kind)
	}
	if c.Precision != "" && c.Precision != Int8 {
		return fmt.Errorf("unknown precision %q", c.Precision)
	}
	if err := c.Input.Check(); err != nil {
		return err
	}
	if !(c.Threshold >= 0 && c.Threshold <= 1) {
		return fmt.Errorf("threshold %v is not between 0 and 1", c.Threshold)
	}
	for _, d := range c.Diameter {
		if !(d >= 0 && d <= 1e6) {
			return fmt.Errorf("diameters %v of nuclei", c.Diameter)
		}
	}
	return c.Instance.Validate()
}

// Check says what is wrong with in, or nil.
func (in Input) Check() error {
	switch {
	case in.Normalise != "range" && in.Normalise != "percentile":
		return fmt.Errorf("unknown normalisation %q: range or percentile", in.Normalise)
	case in.Normalise == "percentile" && !(in.Low >= 0 && in.Low < in.High && in.High <= 100):
		return fmt.Errorf("percentiles %v and %v", in.Low, in.High)
	case in.Outliers != 0 && !(in.Outliers >= 1):
		return fmt.Errorf("outliers %v: 0, or at least 1", in.Outliers)
	case in.Size < 0 || in.Size > 4096:
		return fmt.Errorf("input size %d", in.Size)
	}
	return nil
}

// parameters counts the floats of a network without allocating it.
func (a Arch) parameters() int {
	p := core.NewParams()
	a.declare(p)
	n := 0
	for _, q := range p.All() {
		n += q.Len()
	}
	return n
}

// holds refuses a file of more values than a network and its training have: its
// parameters and, in a checkpoint, Adam's two moments and the average of each, which
// are stored as they lie in memory, each parameter padded to 16 values. Files with
// holes can be of any size without taking place on a disk.
func (a Arch) holds(f *tensorFile) error {
	const padding = 3 * 15
	p := core.NewParams()
	a.declare(p)
	if n, need := f.values(), a.parameters(); n > 4*int64(need)+padding*int64(len(p.All())) {
		return fmt.Errorf("it holds %d values, more than a network of %d parameters has", n, need)
	}
	return nil
}

// tensors lists the parameters for a file.
func (m *Model) tensors(half bool) []tensor {
	var list []tensor
	for _, q := range m.Params.All() {
		list = append(list, tensor{name: q.Name, shape: q.Shape, data: q.Value, half: half})
	}
	return list
}

// Write writes the model file; half stores weights in half precision.
func (m *Model) Write(w io.Writer, half bool) error {
	return m.write(w, "", m.tensors(half))
}

func (m *Model) write(w io.Writer, state string, list []tensor) error {
	for _, t := range list {
		if i := notFinite(t.data); i >= 0 {
			return fmt.Errorf("tensor %s: value %d is %v: no model has such weights", t.name, i, t.data[i])
		}
		if i := slices.IndexFunc(t.data, func(v float32) bool { return v >= halfLimit || v <= -halfLimit }); t.half && i >= 0 {
			return fmt.Errorf("tensor %s: value %d, %v, is too large for half precision", t.name, i, t.data[i])
		}
	}
	text, err := json.Marshal(m.Card)
	if err != nil {
		return err
	}
	meta := map[string]string{"unet": string(text)}
	if state != "" {
		meta["state"] = state
	}
	return writeTensors(w, meta, list)
}

// Save writes the model to a file, whole or not at all.
func (m *Model) Save(path string, half bool) error {
	return atomicfile.WriteFile(path, func(w io.Writer) error { return m.Write(w, half) })
}

// Clone returns a copy of the model for prediction, of the averaged weights if
// average.
func (m *Model) Clone(average bool) (*Model, error) {
	c, err := newModel(m.Card, false)
	if err != nil {
		return nil, err
	}
	m.CopyTo(c, average)
	return c, nil
}

// CopyTo copies the weights, or their averages, into a model of the same
// network.
func (m *Model) CopyTo(c *Model, average bool) {
	for _, q := range m.Params.All() {
		data := q.Value
		if average {
			data = m.Params.Average(q)
		}
		copy(c.Params.Get(q.Name).Value, data)
	}
}

// Bytes returns the model file in memory.
func (m *Model) Bytes(half bool) ([]byte, error) {
	var b bytes.Buffer
	err := m.Write(&b, half)
	return b.Bytes(), err
}

// RewriteCard replaces the card of a model file, whole or not at all, and
// leaves the weights as they are.
func RewriteCard(path string, card Card) error {
	f, size, err := openFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	file, err := readHeader(f, size)
	if err != nil {
		return &ModelError{Name: path, Problem: err.Error(), Advice: notAModel}
	}
	meta := file.metadata
	if meta["unet"] == "" {
		return &ModelError{Name: path, Problem: "a safetensors file, but not of unet", Advice: notAModel}
	}
	if err := card.Check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := card.Arch.holds(file); err != nil {
		return &ModelError{Name: path, Problem: err.Error(), Advice: "the file may be damaged"}
	}
	list, err := file.read(f)
	if err != nil {
		return &ModelError{Name: path, Problem: err.Error(), Advice: notAModel}
	}
	f.Close() // Windows replaces no open file
	text, err := json.Marshal(card)
	if err != nil {
		return err
	}
	meta["unet"] = string(text)
	return atomicfile.WriteFile(path, func(w io.Writer) error { return writeTensors(w, meta, list) })
}
