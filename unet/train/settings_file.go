package train

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset/augment"
	"unet/unet/imageio/input"

	"go.yaml.in/yaml/v3"
)

// SettingError says that settings are wrong.
type SettingError struct {
	Problem string
	Advice  string // what to do about it
	// Option is that which Advice speaks of, as programs name it; "" for none.
	Option string
}

func (e *SettingError) Error() string { return e.Problem }

// Hint returns what to do about it.
func (e *SettingError) Hint() string { return e.Advice }

// Adjust names the option that the hint speaks of.
func (e *SettingError) Adjust() string { return e.Option }

func wrongSetting(format string, args ...any) error {
	return &SettingError{Problem: fmt.Sprintf(format, args...)}
}

// Defaults says which settings hold where none are given.
type Defaults struct {
	Kind   string // unet.Nuclei or unet.Paper
	Preset string // of a nuclei model: quick, standard or best
	Size   int    // of the images of a paper model, 0 for unknown
	// From is the model that training begins with, nil for random weights: its
	// network and normalisation hold.
	From *unet.Card
}

// Config returns the settings.
func (d Defaults) Config() (c Config, err error) {
	if d.From != nil && d.Kind != d.From.Kind {
		return c, wrongSetting("a %s model cannot start from one of kind %s", d.Kind, d.From.Kind)
	}
	switch d.Kind {
	case unet.Paper:
		if d.Size == 0 {
			return c, &SettingError{Problem: "a paper model needs images resized to squares, and these have their native size", Advice: "prepare the set again", Option: "size 128"}

		}
		c = paperConfig(d.Size)
	case unet.Nuclei:
		if c, err = NucleiConfig(d.Preset); err != nil {
			return c, wrongSetting("%v", err)
		}
	default:
		return c, wrongSetting("unknown kind %q: nuclei or paper", d.Kind)
	}
	if d.From == nil {
		return c, nil
	}
	if d.Kind == unet.Paper && d.From.Input.Size != d.Size {
		return c, &SettingError{Problem: fmt.Sprintf("the model takes images of %[1]d x %[1]d pixels, and those of the set have %[2]d x %[2]d", d.From.Input.Size, d.Size), Advice: "prepare the set again", Option: fmt.Sprintf("size %d", d.From.Input.Size)}

	}
	c = c.fineTuning()
	c.Arch, c.Input = d.From.Arch, d.From.Input
	c.Arch.Block, c.Arch.Up = cmp.Or(c.Arch.Block, "plain"), cmp.Or(c.Arch.Up, "transposed") // as they are spelled in files
	maps.DeleteFunc(c.Loss, func(head string, _ core.Loss) bool { return !slices.Contains(c.Arch.Heads, head) })
	return c, nil
}

// maxFile bounds a file of settings, in bytes; real ones have two thousand.
const maxFile = 1 << 20

// ReadConfig returns the defaults, changed by the YAML file at path unless that
// is "".
func ReadConfig(path string, d Defaults) (Config, error) {
	if path == "" {
		return d.Config()
	}
	f, err := input.Open(path)
	if err != nil {
		return Config{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, err
	}
	return parseConfig(path, text, d)
}

// parseConfig puts the settings that file path holds over the defaults; its
// kind, and size of a paper model, come first.
func parseConfig(path string, text []byte, d Defaults) (Config, error) {
	wrong := func(problem any) (Config, error) {
		return Config{}, &SettingError{Problem: fmt.Sprintf("%s: %v", path, problem), Advice: "config.yaml in the folder of any run shows every setting"}
	}
	if len(text) > maxFile {
		return wrong(fmt.Sprintf("more than %d bytes are no settings", maxFile))
	}
	if len(bytes.TrimSpace(text)) == 0 { // cut off, perhaps
		return wrong("it is empty")
	}
	var file yaml.Node
	if err := yaml.Unmarshal(text, &file); err != nil {
		return wrong(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if file.IsZero() { // comments alone change nothing
		return d.Config()
	}
	settings := file.Content[0]
	for i := 0; i+1 < len(settings.Content); i += 2 {
		switch value := settings.Content[i+1].Value; settings.Content[i].Value {
		case "kind":
			d.Kind = value
		case "size":
			if n, err := strconv.Atoi(value); err == nil && n > 0 {
				d.Size = n
			}
		}
	}
	c, err := d.Config()
	if err != nil {
		return wrong(err)
	}
	if err := c.UnmarshalYAML(settings); err != nil {
		return wrong(err)
	}
	return c, nil
}

// formerKeys are keys of older versions and what became of them.
var formerKeys = map[string]string{
	"arch":             "its settings are given one by one now: depth, width, norm, dropout, channels and heads",
	"input":            "its settings are given one by one now: normalise, low, high and size",
	"learning_rate":    "it is lr now",
	"pixel_weights":    "it is pixel-weights now",
	"weight_decay":     "it is weight-decay now",
	"plateau_patience": "it is plateau-patience now",
	"min_delta":        "it is min-delta now",
	"validate_every":   "it is validate-every now",
	"plateau_factor":   "it is always 0.5 now",
	"mode":             "it follows from monitor now: the lowest loss, the highest score",
	"restore_best":     "the best epoch is always kept now",
}

// UnmarshalYAML changes the settings that a mapping names.
func (c *Config) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: settings are written as `name: value`", n.Line)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := key.Value
		s := FindSetting(name)
		switch {
		case seen[name]:
			return fmt.Errorf("line %d: %s is given twice", key.Line, name)
		case name == "kind":
			c.Kind = value.Value
		case s == nil && formerKeys[name] != "":
			return fmt.Errorf("line %d: %s is no longer a setting: %s", key.Line, name, formerKeys[name])
		case s == nil:
			return fmt.Errorf("line %d: %s is not a setting", key.Line, name)
		default:
			if err := s.read(c, value); err != nil {
				return fmt.Errorf("line %d: %w", key.Line, err)
			}
		}
		seen[name] = true
	}
	return nil
}

// read takes the value from YAML: text as Set reads it, a list, or a mapping
// of what makes up a policy or a loss.
func (s *Setting) read(c *Config, n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return s.Set(c, n.Value)
	}
	p := s.field(c)
	switch p.(type) {
	case *[]string, *augment.Policy, *map[string]core.Loss:
	default:
		return fmt.Errorf("%s has one value", s.Name)
	}
	text, err := yaml.Marshal(n)
	if err == nil {
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		err = d.Decode(p)
	}
	if err == nil {
		return nil
	}
	var types *yaml.TypeError
	if errors.As(err, &types) { // the lines are those of the part
		_, problem, _ := strings.Cut(types.Errors[0], ": ")
		problem, _, _ = strings.Cut(problem, " not found in type")
		return fmt.Errorf("%s: %s is not understood", s.Name, problem)
	}
	return fmt.Errorf("%s: %w", s.Name, err)
}

// MarshalYAML writes all settings in their order.
func (c Config) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	add := func(name string, value any) error {
		var v yaml.Node
		if err := v.Encode(value); err != nil {
			return err
		}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, &v)
		return nil
	}
	if err := add("kind", c.Kind); err != nil {
		return nil, err
	}
	for _, s := range Settings {
		if err := add(s.Name, s.field(&c)); err != nil {
			return nil, err
		}
	}
	return n, nil
}
