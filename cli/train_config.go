package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/dataset/augment"
	"unet/unet/train"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

// trainConfig builds the configuration from preset, file and options.
func trainConfig(c *cli.Context, set *dataset.Set, out string) (train.Config, error) {
	file := c.String("config")
	b := base{kind: c.String("arch"), preset: c.String("preset"), fineTune: c.IsSet("from"), set: set}
	if c.Bool("resume") {
		if file != "" {
			return train.Config{}, usagef("--resume continues with the run's own settings: leave --config out")
		}
		cfg, err := readConfig(filepath.Join(out, "config.yaml"), b)
		if err != nil {
			return cfg, err
		}
		// The command that began the run may be repeated, nothing else.
		asked := cfg
		if c.IsSet("arch") {
			asked.Kind = c.String("arch")
		}
		if err := options(c, &asked); err != nil {
			return cfg, err
		}
		if !reflect.DeepEqual(asked, cfg) {
			return cfg, withHint(usagef("--resume continues with the run's own settings, and the options given are others"),
				"leave them out, or begin another run; "+filepath.Join(out, "config.yaml")+" shows the settings")
		}
		return cfg, nil
	}
	cfg, err := readConfig(file, b)
	if err != nil {
		return cfg, err
	}
	if err := options(c, &cfg); err != nil {
		return cfg, err
	}
	if err := cfg.Check(); err != nil {
		return cfg, usagef("%v", err)
	}
	return cfg, nil
}

// base is what a file of settings changes.
type base struct {
	kind, preset string
	// fineTune says that training does not begin with random weights.
	fineTune bool
	set      *dataset.Set
}

// config returns the settings of b for images of size x size, which 0 leaves
// to the set.
func (b base) config(size int) (train.Config, error) {
	var cfg train.Config
	var err error
	switch b.kind {
	case unet.Paper:
		if size == 0 {
			size = b.set.Meta.Settings.Size
		}
		if size == 0 {
			return cfg, withHint(usagef("%s holds images at native size, a paper model needs squares", b.set.Dir),
				"prepare the set with --size 128")
		}
		cfg = train.PaperConfig(size)
	case unet.Nuclei:
		if cfg, err = train.NucleiConfig(b.preset); err != nil {
			return cfg, usagef("%v", err)
		}
	default:
		return cfg, usagef("unknown --arch %q: nuclei or paper", b.kind)
	}
	if b.fineTune {
		cfg = cfg.FineTuning()
	}
	return cfg, nil
}

// options applies the single options given on the command line.
func options(c *cli.Context, cfg *train.Config) error {
	ints := map[string]*int{"depth": &cfg.Arch.Depth, "width": &cfg.Arch.Width, "epochs": &cfg.Epochs,
		"steps": &cfg.Steps, "batch": &cfg.Batch, "patience": &cfg.Patience}
	floats := map[string]*float64{"dropout": &cfg.Arch.Dropout, "threshold": &cfg.Threshold, "lr": &cfg.LearningRate, "min-delta": &cfg.MinDelta}
	texts := map[string]*string{"norm": &cfg.Arch.Norm, "schedule": &cfg.Schedule, "monitor": &cfg.Monitor, "mode": &cfg.Mode}
	for name, p := range ints {
		if c.IsSet(name) {
			*p = c.Int(name)
		}
	}
	for name, p := range floats {
		if c.IsSet(name) {
			*p = c.Float64(name)
		}
	}
	for name, p := range texts {
		if c.IsSet(name) {
			*p = c.String(name)
		}
	}
	if c.IsSet("seed") {
		cfg.Seed = c.Uint64("seed")
	}
	if c.IsSet("augment") {
		policy, err := namedPolicy(c.String("augment"), cfg.Augment.Size)
		if err != nil {
			return err
		}
		cfg.Augment = policy
	}
	return nil
}

func namedPolicy(name string, size int) (augment.Policy, error) {
	switch name {
	case "none":
		return augment.None(size), nil
	case "flips":
		return augment.Flips(size), nil
	case "strong":
		return augment.Strong(size), nil
	}
	return augment.Policy{}, usagef("unknown augmentation %q: none, flips or strong", name)
}

// readConfig returns the settings of b, changed by the file at path unless it
// is "".
func readConfig(path string, b base) (train.Config, error) {
	if path == "" {
		return b.config(0)
	}
	f, err := os.Open(path)
	if err != nil {
		return train.Config{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return train.Config{}, err
	}
	return parseConfig(path, text, b)
}

var goType = regexp.MustCompile(` not found in type [\w.]+`)

// maxConfig bounds a file of settings, in bytes; real ones have two thousand.
const maxConfig = 1 << 20

// parseConfig puts the settings that file path holds over those of b; its kind
// comes first. Unknown keys are errors.
func parseConfig(path string, text []byte, b base) (cfg train.Config, err error) {
	wrong := func(problem any) error {
		// The yaml package names types of Go, which tell users nothing.
		text := goType.ReplaceAllString(fmt.Sprint(problem), " is no setting")
		return &usageErr{problem: fmt.Sprintf("%s: %s", path, text), command: "train",
			hint: "the run folder's config.yaml shows every setting"}
	}
	if len(text) > maxConfig {
		return cfg, wrong(fmt.Sprintf("more than %d bytes are no settings", maxConfig))
	}
	var first struct {
		Kind  string
		Input struct{ Size int }
	}
	// An empty file changes nothing.
	if err := yaml.Unmarshal(text, &first); err != nil {
		return cfg, wrong(err)
	}
	switch first.Kind {
	case "": // that of the command line
	case unet.Nuclei, unet.Paper:
		b.kind = first.Kind
	default:
		return cfg, wrong(fmt.Sprintf("unknown kind %q: nuclei or paper", first.Kind))
	}
	if cfg, err = b.config(first.Input.Size); err != nil {
		return cfg, err
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&cfg); err != nil && !errors.Is(err, io.EOF) {
		return cfg, wrong(err)
	}
	return cfg, nil
}
