package train

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset/augment"
)

// Setting is one of a training's settings. Its name is that of the option of
// `unet train`, of the key in config.yaml, of what `unet sweep` varies and of
// the line in the report.
type Setting struct {
	Name     string
	Category string // in the help
	Usage    string // with a `PLACEHOLDER` for the value
	// Rare settings have a key, but no option.
	Rare bool

	field func(*Config) any // points to it
	check func(Config) error
}

// The categories of the help.
const (
	ofNetwork  = "Network"
	ofTraining = "Training"
)

// Settings lists all settings in the order of config.yaml, the kind of model
// aside, which decides on the others' defaults.
var Settings = []Setting{
	{Name: "channels", Category: ofNetwork, Rare: true, Usage: "`CHANNELS` of the input, 1 or 3",
		field: func(c *Config) any { return &c.Arch.Channels }},
	{Name: "depth", Category: ofNetwork, Usage: "`LEVELS` of the U-Net",
		field: func(c *Config) any { return &c.Arch.Depth }},
	{Name: "width", Category: ofNetwork, Usage: "`CHANNELS` of the first level",
		field: func(c *Config) any { return &c.Arch.Width }},
	{Name: "block", Category: ofNetwork, Usage: "`KIND` of the convolutions of a level: " + oneOf(unet.Blocks()),
		field: func(c *Config) any { return &c.Arch.Block }},
	{Name: "attention", Category: ofNetwork, Usage: "put an attention gate on every skip connection",
		field: func(c *Config) any { return &c.Arch.Attention }},
	{Name: "up", Category: ofNetwork, Usage: "`WAY` the decoder upsamples: " + oneOf(unet.Ups()),
		field: func(c *Config) any { return &c.Arch.Up }},
	{Name: "norm", Category: ofNetwork, Usage: "`KIND` of normalisation: " + oneOf(unet.Norms),
		field: func(c *Config) any { return &c.Arch.Norm }},
	{Name: "dropout", Category: ofNetwork, Usage: "`RATE` of dropout after every pooling",
		field: func(c *Config) any { return &c.Arch.Dropout }},
	{Name: "heads", Category: ofNetwork, Rare: true, Usage: "`MAPS` the network predicts",
		field: func(c *Config) any { return &c.Arch.Heads }},
	{Name: "normalise", Category: ofNetwork, Rare: true, Usage: "`WAY` images are normalised: range or percentile",
		field: func(c *Config) any { return &c.Input.Normalise }},
	{Name: "low", Category: ofNetwork, Rare: true, Usage: "`PERCENTILE` that becomes 0",
		field: func(c *Config) any { return &c.Input.Low }},
	{Name: "high", Category: ofNetwork, Rare: true, Usage: "`PERCENTILE` that becomes 1",
		field: func(c *Config) any { return &c.Input.High }},
	{Name: "outliers", Category: ofNetwork, Rare: true, Usage: "`FACTOR` that bounds the upper level against few bright pixels, 0 for no bound",
		field: func(c *Config) any { return &c.Input.Outliers }},
	{Name: "size", Category: ofNetwork, Rare: true, Usage: "`PIXELS` of the square that images are resized to, 0 for native scale",
		field: func(c *Config) any { return &c.Input.Size }},
	real("threshold", ofNetwork, "`PROBABILITY` above which a pixel is foreground", "0 to 1",
		func(v float64) bool { return v >= 0 && v <= 1 }, func(c *Config) *float64 { return &c.Threshold }),
	{Name: "seed", Category: ofTraining, Usage: "`NUMBER` that fixes the initial weights, the order of images and the augmentation",
		field: func(c *Config) any { return &c.Seed }},
	whole("batch", "`PATCHES` per step", 1, 1024, func(c *Config) *int { return &c.Batch }),
	{Name: "micro-batches", Category: ofTraining, Usage: "`PARTS` that a step computes side by side, a power of two; processes of mpirun share them",
		field: func(c *Config) any { return &c.MicroBatches }},
	whole("epochs", "`NUMBER` of epochs at most", 1, maxCount, func(c *Config) *int { return &c.Epochs }),
	whole("steps", "`NUMBER` of steps in an epoch, 0 to show every image once", 0, maxCount, func(c *Config) *int { return &c.Steps }),
	{Name: "augment", Category: ofTraining, Usage: "`POLICY` of augmentation: none, flips or strong",
		field: func(c *Config) any { return &c.Augment }},
	rare(real("balance", ofTraining, "`POWER` with which kinds, sources and groups of images are drawn: 1 as they are, 0 equally often", "0 to 1",
		func(v float64) bool { return v >= 0 && v <= 1 }, func(c *Config) *float64 { return &c.Balance })),
	rare(real("scenes", ofTraining, "`SHARE` of patches that show synthetic crowded tissue", "0 to 1",
		func(v float64) bool { return v >= 0 && v <= 1 }, func(c *Config) *float64 { return &c.Scenes })),
	rare(real("rehearsal", ofTraining, "`SHARE` of patches, in training from a model, of synthetic images as that model segments them", "0 to below 1",
		func(v float64) bool { return v >= 0 && v < 1 }, func(c *Config) *float64 { return &c.Rehearsal })),
	{Name: "loss", Category: ofTraining, Rare: true, Usage: "`TERMS` of the foreground's loss: bce, dice or bce+dice",
		field: func(c *Config) any { return &c.Loss }},
	{Name: "pixel-weights", Category: ofTraining, Rare: true, Usage: "whether borders and small nuclei weigh more",
		field: func(c *Config) any { return &c.PixelWeights }},
	real("lr", ofTraining, "learning `RATE`", "above 0, up to 10",
		func(v float64) bool { return v > 0 && v <= 10 }, func(c *Config) *float64 { return &c.LearningRate }),
	rare(notNegative("weight-decay", "`FACTOR` of weight decay", func(c *Config) *float64 { return &c.WeightDecay })),
	rare(notNegative("clip", "largest `NORM` of the gradient, 0 for any", func(c *Config) *float64 { return &c.Clip })),
	rare(real("ema", ofTraining, "`DECAY` of the averaged weights, 0 for none", "0 to below 1",
		func(v float64) bool { return v >= 0 && v < 1 }, func(c *Config) *float64 { return &c.EMA })),
	rare(whole("warmup", "`STEPS` of linear warm-up, at most a third of all", 0, maxCount, func(c *Config) *int { return &c.Warmup })),
	choice("schedule", "`SCHEDULE` of the learning rate: constant, cosine or plateau", func(c *Config) *string { return &c.Schedule },
		"constant", "cosine", "plateau"),
	rare(whole("plateau-patience", "`EPOCHS` without a better one after which the plateau schedule halves the rate, 0 for never", 0, maxCount,
		func(c *Config) *int { return &c.PlateauPatience })),
	choice("monitor", "`SCORE` that decides which epoch is best: "+strings.Join(monitors(), ", "), func(c *Config) *string { return &c.Monitor },
		monitors()...),
	whole("patience", "stop after `EPOCHS` without improvement; 0: never", 0, maxCount, func(c *Config) *int { return &c.Patience }),
	notNegative("min-delta", "smallest `CHANGE` of the monitored score that counts as better", func(c *Config) *float64 { return &c.MinDelta }),
	rare(whole("validate-every", "`EPOCHS` between validations", 1, maxCount, func(c *Config) *int { return &c.ValidateEvery })),
}

// maxCount bounds epochs and steps, far above use, so that products of them
// are numbers still.
const maxCount = 1 << 20

func whole(name, usage string, least, most int, at func(*Config) *int) Setting {
	return Setting{Name: name, Category: ofTraining, Usage: usage, field: func(c *Config) any { return at(c) },
		check: func(c Config) error {
			if v := *at(&c); v < least || v > most {
				return fmt.Errorf("%s %d: %d to %d", name, v, least, most)
			}
			return nil
		}}
}

func real(name, category, usage, want string, ok func(float64) bool, at func(*Config) *float64) Setting {
	return Setting{Name: name, Category: category, Usage: usage, field: func(c *Config) any { return at(c) },
		check: func(c Config) error {
			if v := *at(&c); !ok(v) {
				return fmt.Errorf("%s %v: %s", name, v, want)
			}
			return nil
		}}
}

func notNegative(name, usage string, at func(*Config) *float64) Setting {
	return real(name, ofTraining, usage, "0 or more", func(v float64) bool { return v >= 0 }, at)
}

// oneOf lists values for people, such as "a, b or c".
func oneOf(list []string) string {
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

func choice(name, usage string, at func(*Config) *string, values ...string) Setting {
	return Setting{Name: name, Category: ofTraining, Usage: usage, field: func(c *Config) any { return at(c) },
		check: func(c Config) error {
			if v := *at(&c); !slices.Contains(values, v) {
				return fmt.Errorf("%s %q: choose from %s", name, v, strings.Join(values, ", "))
			}
			return nil
		}}
}

func rare(s Setting) Setting {
	s.Rare = true
	return s
}

// SettingNames lists the names of all settings.
func SettingNames() []string {
	var list []string
	for _, s := range Settings {
		list = append(list, s.Name)
	}
	return list
}

// FindSetting returns the setting of a name, nil if there is none.
func FindSetting(name string) *Setting {
	i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &Settings[i]
}

// Switch reports whether the setting is true or false.
func (s *Setting) Switch() bool {
	_, ok := s.field(&Config{}).(*bool)
	return ok
}

// Set gives the setting of c the value written as text. Config.Check says
// whether it is a sensible one.
func (s *Setting) Set(c *Config, text string) (err error) {
	want := ""
	switch p := s.field(c).(type) {
	case *int:
		*p, err = strconv.Atoi(text)
		want = "a whole number"
	case *uint64:
		*p, err = strconv.ParseUint(text, 10, 64)
		want = "a whole number"
	case *float64:
		*p, err = strconv.ParseFloat(text, 64)
		want = "a number"
	case *bool:
		*p, err = strconv.ParseBool(text)
		want = "true or false"
	case *string:
		*p = text
		if now, ok := formerMonitors[text]; ok && s.Name == "monitor" {
			return fmt.Errorf("monitor %q: it is %s now", text, now)
		}
	case *[]string:
		*p = strings.Split(text, ",")
	case *augment.Policy:
		*p, err = namedPolicy(text, p.Size)
		want = "none, flips or strong"
	case *map[string]core.Loss:
		*p, err = namedLoss(text, *p)
		want = "bce, dice or bce+dice"
	}
	if err != nil {
		return fmt.Errorf("%s %q: give %s", s.Name, text, want)
	}
	return nil
}

// Text returns the value in c, as Set reads it where it has a name.
func (s *Setting) Text(c Config) string {
	switch p := s.field(&c).(type) {
	case *float64:
		return short(*p)
	case *string:
		return *p
	case *[]string:
		return strings.Join(*p, ", ")
	case *augment.Policy:
		return policyName(*p)
	case *map[string]core.Loss:
		return lossText(c)
	case *int:
		return strconv.Itoa(*p)
	case *uint64:
		return strconv.FormatUint(*p, 10)
	case *bool:
		return strconv.FormatBool(*p)
	}
	return ""
}

// Default says which value holds where none is given.
func (s *Setting) Default() string {
	standard, quick := presetConfig("standard"), presetConfig("quick")
	text := s.Text(standard)
	if s.Text(quick) != text {
		text += ", or the preset's"
	}
	if paper := s.Text(paperConfig(128)); paper != s.Text(standard) {
		text += "; paper: " + paper
	}
	return text
}

var errNoName = errors.New("there is nothing of this name")

func namedPolicy(name string, size int) (augment.Policy, error) {
	switch name {
	case "none":
		return augment.None(size), nil
	case "flips":
		return augment.Flips(size), nil
	case "strong":
		return augment.Strong(size), nil
	}
	return augment.Policy{}, errNoName
}

func policyName(p augment.Policy) string {
	for _, name := range []string{"none", "flips", "strong"} {
		if q, err := namedPolicy(name, p.Size); err == nil && q == p {
			return name
		}
	}
	return "custom"
}

// namedLoss changes the terms of the foreground's loss.
func namedLoss(name string, of map[string]core.Loss) (map[string]core.Loss, error) {
	terms, ok := map[string][2]float64{"bce": {1, 0}, "dice": {0, 1}, "bce+dice": {1, 1}}[name]
	if !ok {
		return of, errNoName
	}
	of = maps.Clone(of)
	l := of[unet.HeadForeground]
	l.BCE, l.Dice = terms[0], terms[1]
	of[unet.HeadForeground] = l
	return of, nil
}

// lossText names the terms of the training loss, head by head.
func lossText(c Config) string {
	var heads []string
	for _, h := range c.Arch.Heads {
		l := c.Loss[h]
		var terms []string
		for _, v := range []struct {
			weight float64
			name   string
		}{{l.BCE, "binary cross-entropy"}, {l.Dice, "Dice loss"}, {l.L1, "L1"}} {
			switch w := v.weight * l.Scale; {
			case w == 1:
				terms = append(terms, v.name)
			case w > 0:
				terms = append(terms, short(w)+" "+v.name)
			}
		}
		text := strings.Join(terms, " + ")
		if len(c.Arch.Heads) > 1 {
			text = h + ": " + text
		}
		heads = append(heads, text)
	}
	text := strings.Join(heads, "; ")
	if c.PixelWeights {
		text += "; pixels weighted"
	}
	return text
}

// short prints a number of a setting.
func short(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
