package train

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset/augment"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestPartialConfig: a file of settings changes those it names, of the kind it
// names or else of --arch.
func TestPartialConfig(t *testing.T) {
	best, err := NucleiConfig("best")
	if err != nil {
		t.Fatal(err)
	}
	nuclei := Defaults{Kind: unet.Nuclei, Preset: "best"}
	full, err := yaml.Marshal(best)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file string
		defaults   Defaults
		change     func() Config
	}{
		{"empty", "# nothing\n", nuclei, func() Config { return best }},
		{"all", string(full), Defaults{Kind: unet.Paper, Preset: "quick"}, func() Config { return best }},
		{"one number", "batch: 16\n", nuclei, func() Config { c := best; c.Batch = 16; return c }},
		{"below another key", "augment: {blur: 0.5}\nwidth: 48\n", nuclei, func() Config {
			c := best
			c.Augment.Blur, c.Arch.Width = 0.5, 48
			return c
		}},
		{"kind of the file", "kind: paper\nepochs: 3\n", Defaults{Kind: unet.Nuclei, Preset: "best", Size: 128}, func() Config {
			c := paperConfig(128)
			c.Epochs = 3
			return c
		}},
		{"kind of the command line", "epochs: 3\n", Defaults{Kind: unet.Paper, Size: 128}, func() Config {
			c := paperConfig(128)
			c.Epochs = 3
			return c
		}},
		{"names of a policy and a loss", "augment: none\nloss: dice\nheads: foreground,border\npixel-weights: false\n", nuclei, func() Config {
			c := best
			c.Augment, c.PixelWeights, c.Arch.Heads = augment.None(128), false, []string{"foreground", "border"}
			c.Loss = maps.Clone(c.Loss)
			c.Loss["foreground"] = core.Loss{Scale: 1, Dice: 1}
			return c
		}},
		{"size of the file", "kind: paper\nsize: 64\n", nuclei, func() Config { return paperConfig(64) }},
	} {
		got, err := parseConfig("c.yaml", []byte(c.file), c.defaults)
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
		"":                            "it is empty",
		"kind: resnet\n":              `c.yaml: unknown kind "resnet"`,
		"batch: 3\nlearning_rat: 1\n": "line 2: learning_rat is not a setting",
		"augment: {blurr: 1}\n":       "line 1: augment: field blurr is not understood",
		"kind: paper\nbatch: 16\n":    "native size",
		"batch: 16\nbatch: 17\n":      "line 2: batch is given twice",
		"batch: [16]\n":               "batch has one value",
		"batch: many\n":               `batch "many": give a whole number`,
		"augment: wild\n":             `augment "wild": give none, flips or strong`,
		"learning_rate: 0.01\n":       "learning_rate is no longer a setting: it is lr now",
		"mode: max\n":                 "it follows from monitor now",
		"- batch\n":                   "name: value",
	} {
		if _, err := parseConfig("c.yaml", []byte(file), nuclei); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: error %v, want one with %q", file, err, says)
		}
	}
}

// TestFormerKeys: a former key is no setting, and leads to ones that are.
func TestFormerKeys(t *testing.T) {
	for key, says := range formerKeys {
		if FindSetting(key) != nil {
			t.Errorf("%s is still a setting", key)
		}
		if now, ok := strings.CutPrefix(says, "it is "); ok && strings.HasSuffix(now, " now") && !strings.Contains(now, "always") {
			if name := strings.TrimSuffix(now, " now"); FindSetting(name) == nil {
				t.Errorf("%s is said to be %s, which is not a setting", key, name)
			}
		}
	}
}

// TestSettings: every setting takes the text of its default, shows it, and
// refuses what it cannot be.
func TestSettings(t *testing.T) {
	for _, s := range Settings {
		for _, c := range []Config{presetConfig("standard"), paperConfig(128)} {
			text := s.Text(c)
			if text == "" || s.Default() == "" || s.Usage == "" {
				t.Errorf("%s: text %q, default %q, usage %q", s.Name, text, s.Default(), s.Usage)
			}
			if s.Name == "loss" || s.Name == "heads" { // as a text for people
				continue
			}
			set := c
			if err := s.Set(&set, text); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(c, set); diff != "" {
				t.Errorf("%s is not what it was: %s", s.Name, diff)
			}
		}
	}
	for _, c := range []struct{ name, value, says string }{
		{"batch", "0", "batch 0: 1 to 1024"}, {"lr", "NaN", "lr NaN: above 0"}, {"ema", "1", "ema 1: 0 to below 1"},
		{"schedule", "linear", "choose from constant, cosine, plateau"}, {"monitor", "luck", `monitor "luck"`}, {"schedule", "", `schedule ""`},
		{"min-delta", "-1", "min-delta -1: 0 or more"}, {"threshold", "2", "threshold 2: 0 to 1"},
		{"depth", "99", "depth 99"}, {"heads", "border", "heads"}, {"epochs", "1.5", "give a whole number"}, {"seed", "-1", "give a whole number"},
	} {
		cfg := presetConfig("quick")
		err := FindSetting(c.name).Set(&cfg, c.value)
		if err == nil {
			err = cfg.Check()
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: error %v, want one with %q", c.name, c.value, err, c.says)
		}
	}
}

// TestDefaults: the help tells the value that will be used.
func TestDefaults(t *testing.T) {
	for name, want := range map[string]string{"batch": "8; paper: 16", "epochs": "24, or the preset's; paper: 30", "seed": "1", "lr": "0.0015; paper: 0.001"} {
		if got := FindSetting(name).Default(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestOlderSettings: a run that an older version began continues if it was set
// as runs are now.
func TestOlderSettings(t *testing.T) {
	for _, c := range []struct {
		more string
		ok   bool
	}{
		{"", true}, {`,"Mode":"min","RestoreBest":true,"PlateauFactor":0.5`, true}, {`,"Mode":"max"`, false},
		{`,"RestoreBest":false`, false}, {`,"PlateauFactor":0.1`, false},
	} {
		text, err := json.Marshal(paperConfig(64))
		if err != nil {
			t.Fatal(err)
		}
		s := state{Config: append(text[:len(text)-1], c.more+"}"...)}
		got, err := s.settings()
		if (err == nil) != c.ok {
			t.Errorf("%q: error %v", c.more, err)
		}
		if diff := cmp.Diff(paperConfig(64), got); c.ok && diff != "" {
			t.Errorf("%q: %s", c.more, diff)
		}
	}
}
