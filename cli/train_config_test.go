package cli

import (
	"strings"
	"testing"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/train"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestPartialConfig: a file of settings changes those it names, of the kind it
// names or else of --arch.
func TestPartialConfig(t *testing.T) {
	native, squares := &dataset.Set{Dir: "native", Meta: &dataset.Metadata{}}, &dataset.Set{Meta: &dataset.Metadata{}}
	squares.Meta.Settings.Size = 128
	best, err := train.NucleiConfig("best")
	if err != nil {
		t.Fatal(err)
	}
	nuclei := base{kind: unet.Nuclei, preset: "best", set: native}
	full, err := yaml.Marshal(best)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file string
		base       base
		change     func() train.Config
	}{
		{"empty", "# nothing\n", nuclei, func() train.Config { return best }},
		{"all", string(full), base{kind: unet.Paper, preset: "quick", set: native}, func() train.Config { return best }},
		{"one number", "batch: 16\n", nuclei, func() train.Config { c := best; c.Batch = 16; return c }},
		{"below another key", "augment: {blur: 0.5}\narch: {width: 32}\n", nuclei, func() train.Config {
			c := best
			c.Augment.Blur, c.Arch.Width = 0.5, 32
			return c
		}},
		{"kind of the file", "kind: paper\nepochs: 3\n", base{kind: unet.Nuclei, preset: "best", set: squares}, func() train.Config {
			c := train.PaperConfig(128)
			c.Epochs = 3
			return c
		}},
		{"kind of the command line", "epochs: 3\n", base{kind: unet.Paper, set: squares}, func() train.Config {
			c := train.PaperConfig(128)
			c.Epochs = 3
			return c
		}},
		{"size of the file", "kind: paper\ninput: {size: 64}\n", nuclei, func() train.Config { return train.PaperConfig(64) }},
	} {
		got, err := parseConfig("c.yaml", []byte(c.file), c.base)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.change(), got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
		if err := got.Check(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for file, says := range map[string]string{
		"kind: resnet\n":           `c.yaml: unknown kind "resnet"`,
		"learning_rat: 1\n":        "learning_rat",
		"augment: {blurr: 1}\n":    "blurr",
		"kind: paper\nbatch: 16\n": "native holds images at native size",
	} {
		if _, err := parseConfig("c.yaml", []byte(file), nuclei); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: error %v, want one with %q", file, err, says)
		}
	}
}
