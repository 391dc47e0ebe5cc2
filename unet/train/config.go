package train

import (
	"fmt"
	"math"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset/augment"
)

// Config is everything that decides what a training run computes. The same
// configuration, data and instruction set give the same weights, bit for bit,
// whatever the number of threads.
type Config struct {
	Kind  string     `yaml:"kind"`
	Arch  unet.Arch  `yaml:"arch"`
	Input unet.Input `yaml:"input"`
	// Threshold of the foreground probability for masks and pixel scores.
	Threshold float64 `yaml:"threshold"`

	Seed   uint64 `yaml:"seed"`
	Batch  int    `yaml:"batch"`
	Epochs int    `yaml:"epochs"`
	// Steps per epoch; 0: as many as show every image once.
	Steps   int            `yaml:"steps"`
	Augment augment.Policy `yaml:"augment"`
	// Balance is the power with which kinds and groups of images are drawn:
	// 1 as they are, 0 all equally often.
	Balance float64 `yaml:"balance"`
	// Scenes is the share of patches that show synthetic crowded tissue, in
	// which nuclei of the training images are packed (package scene).
	Scenes float64 `yaml:"scenes,omitempty" json:",omitempty"` // not in older checkpoints

	Loss map[string]core.Loss `yaml:"loss"` // of each head
	// PixelWeights uses the weight map (touching borders, small nuclei).
	PixelWeights bool `yaml:"pixel_weights"`

	LearningRate float64 `yaml:"learning_rate"`
	WeightDecay  float64 `yaml:"weight_decay"`
	Clip         float64 `yaml:"clip"`   // largest gradient norm; 0: any
	EMA          float64 `yaml:"ema"`    // decay of the averaged weights; 0: none
	Warmup       int     `yaml:"warmup"` // steps of linear warm-up, at most a third of all
	// Schedule is "constant", "cosine" (down to 1% over all epochs) or
	// "plateau" (times PlateauFactor after PlateauPatience epochs without a
	// better monitored value).
	Schedule        string  `yaml:"schedule"`
	PlateauFactor   float64 `yaml:"plateau_factor"`
	PlateauPatience int     `yaml:"plateau_patience"`

	// Monitor is the figure that decides which epoch is best, Mode "min" or
	// "max". Training stops after Patience epochs (0: never) without an
	// improvement of more than MinDelta, and keeps the best epoch's weights
	// if RestoreBest, else the last's.
	Monitor     string  `yaml:"monitor"`
	Mode        string  `yaml:"mode"`
	Patience    int     `yaml:"patience"`
	MinDelta    float64 `yaml:"min_delta"`
	RestoreBest bool    `yaml:"restore_best"`
	// ValidateEvery is the number of epochs between validations.
	ValidateEvery int `yaml:"validate_every"`
}

// PaperConfig is the paper's experiment: size x size images, one sigmoid map,
// binary cross-entropy, Adam, checkpoint on the validation loss.
func PaperConfig(size int) Config {
	return Config{
		Kind: unet.Paper,
		Arch: unet.Arch{Channels: 3, Depth: 4, Width: 16, Norm: "batch", Heads: []string{unet.HeadForeground}},
		// Images of 8 bits: the range is what the paper divides by.
		Input: unet.Input{Normalise: "range", Size: size}, Threshold: 0.5,
		Seed: 1, Batch: 16, Epochs: 30, Augment: augment.Flips(size), Balance: 1,
		Loss:         map[string]core.Loss{unet.HeadForeground: {Scale: 1, BCE: 1}},
		LearningRate: 1e-3, Schedule: "plateau", PlateauFactor: 0.5, PlateauPatience: 3,
		Monitor: "val_loss", Mode: "min", Patience: 8, RestoreBest: true, ValidateEvery: 1,
	}
}

// Presets of a nuclei model: epochs of 400 steps of 8 patches of 128 x 128.
// Many small steps on small patches learn more per pixel computed than fewer
// on larger ones (the ablations in unet/weights/ablation.md).
var presets = map[string]int{"quick": 4, "standard": 24, "best": 64}

// NucleiConfig is the default model: patches at native scale, heads for
// foreground, touching borders and distance, weight averaging, the best epoch
// by average precision. The preset is the length of training: quick, standard
// or best.
func NucleiConfig(preset string) (Config, error) {
	epochs, ok := presets[preset]
	if !ok {
		return Config{}, fmt.Errorf("unknown preset %q: quick, standard or best", preset)
	}
	policy := augment.Strong(128)
	return Config{
		Kind: unet.Nuclei,
		// As many weights as depth 4 and width 16 have, more work, and far more
		// nuclei told apart (unet/weights/ablation.md).
		Arch: unet.Arch{Channels: 3, Depth: 3, Width: 32, Norm: "batch",
			Heads: []string{unet.HeadForeground, unet.HeadBorder, unet.HeadDistance}},
		Input: unet.Input{Normalise: "percentile", Low: 1, High: 99.8, Outliers: 2.5}, Threshold: 0.5,
		Seed: 1, Batch: 8, Epochs: epochs, Steps: 400, Augment: policy, Balance: augment.Tempered,
		Loss: map[string]core.Loss{
			unet.HeadForeground: {Scale: 1, BCE: 1, Dice: 1},
			unet.HeadBorder:     {Scale: 1, BCE: 1, Dice: 0.5},
			unet.HeadDistance:   {Scale: 1, BCE: 1},
		},
		PixelWeights: true,
		LearningRate: 1.5e-3, WeightDecay: 1e-4, Clip: 10, EMA: 0.999, Warmup: 400, Schedule: "cosine",
		PlateauFactor: 0.5, PlateauPatience: 5,
		Monitor: "val_ap", Mode: "max", RestoreBest: true, ValidateEvery: 4,
	}, nil
}

// FineTuning adapts c to weights that are learned already, and to few images
// that are soon learned by heart: a fifth of the learning rate, an epoch of a
// nuclei model every 100 steps, and no epoch counts as better than another, or
// than the model training began with, for less than 0.01 (bench/quality/finetune).
func (c Config) FineTuning() Config {
	c.LearningRate = math.Round(c.LearningRate/5*1e9) / 1e9 // people read it
	c.ValidateEvery = 1
	if c.Mode == "max" {
		c.MinDelta = 0.01
	}
	if c.Steps > 100 {
		c.Epochs, c.Steps = c.Epochs*c.Steps/100, 100
		c.Warmup, c.EMA, c.Patience = 50, 0.99, 8
	}
	return c
}

// maxCount bounds epochs and steps, far above use, so that products of them
// are numbers still.
const maxCount = 1 << 20

// Check says what is wrong with c, or nil.
func (c Config) Check() error {
	if c.Kind != unet.Paper && c.Kind != unet.Nuclei {
		return fmt.Errorf("unknown kind %q: paper or nuclei", c.Kind)
	}
	if err := c.Arch.Check(); err != nil {
		return err
	}
	if err := c.Input.Check(); err != nil {
		return err
	}
	if err := c.Augment.Validate(); err != nil {
		return err
	}
	for _, h := range c.Arch.Heads {
		l, ok := c.Loss[h]
		if !ok || !(l.Scale > 0) || !(l.BCE >= 0) || !(l.Dice >= 0) || !(l.L1 >= 0) || l.BCE+l.Dice+l.L1 <= 0 {
			return fmt.Errorf("loss of head %s: needs scale > 0 and one of bce, dice, l1 above 0", h)
		}
	}
	switch {
	case c.Kind == unet.Paper && len(c.Arch.Heads) != 1:
		return fmt.Errorf("a paper model has one head, not %d", len(c.Arch.Heads))
	case c.Kind == unet.Paper && c.Augment.Size != c.Input.Size:
		return fmt.Errorf("patch size %d differs from input size %d", c.Augment.Size, c.Input.Size)
	case c.Augment.Size%c.Arch.Multiple() != 0:
		return fmt.Errorf("patch size %d is no multiple of %d, which depth %d needs", c.Augment.Size, c.Arch.Multiple(), c.Arch.Depth)
	case !(c.Threshold >= 0 && c.Threshold <= 1):
		return fmt.Errorf("threshold %v: 0 to 1", c.Threshold)
	case c.Batch < 1 || c.Batch > 1024:
		return fmt.Errorf("batch of %d: 1 to 1024", c.Batch)
	case c.Epochs < 1 || c.Epochs > maxCount:
		return fmt.Errorf("%d epochs: 1 to %d", c.Epochs, maxCount)
	case c.Steps > maxCount:
		return fmt.Errorf("%d steps: at most %d", c.Steps, maxCount)
	case c.Steps < 0 || c.Warmup < 0 || c.Patience < 0 || c.PlateauPatience < 0:
		return fmt.Errorf("steps, warmup and patience must not be negative")
	case !(c.LearningRate > 0) || c.LearningRate > 10:
		return fmt.Errorf("learning rate %v: above 0, up to 10", c.LearningRate)
	case !(c.WeightDecay >= 0) || !(c.Clip >= 0) || !(c.EMA >= 0 && c.EMA < 1) || !(c.Balance >= 0 && c.Balance <= 1):
		return fmt.Errorf("weight_decay, clip, ema (below 1) and balance (up to 1) must not be negative")
	case !(c.Scenes >= 0 && c.Scenes <= 1):
		return fmt.Errorf("scenes %v: 0 to 1", c.Scenes)
	case c.Schedule != "constant" && c.Schedule != "cosine" && c.Schedule != "plateau":
		return fmt.Errorf("unknown schedule %q: constant, cosine or plateau", c.Schedule)
	case c.Schedule == "plateau" && !(c.PlateauFactor > 0 && c.PlateauFactor < 1):
		return fmt.Errorf("plateau_factor %v: between 0 and 1", c.PlateauFactor)
	case c.Mode != "min" && c.Mode != "max":
		return fmt.Errorf("unknown mode %q: min or max", c.Mode)
	case c.ValidateEvery < 1:
		return fmt.Errorf("validate_every %d: at least 1", c.ValidateEvery)
	}
	_, err := Epoch{Val: &Scores{}}.Monitored(c.Monitor)
	return err
}

// rate is the learning rate of a step, plateau reductions aside.
func (c Config) rate(step, total int) float64 {
	r := c.LearningRate
	if c.Schedule == "cosine" {
		r *= 0.01 + 0.99*0.5*(1+math.Cos(math.Pi*float64(step)/float64(total)))
	}
	if warmup := min(c.Warmup, total/3); step < warmup {
		r *= float64(step+1) / float64(warmup)
	}
	return r
}

// losses returns the loss of each head, in their order.
func (c Config) losses() []core.Loss {
	list := make([]core.Loss, len(c.Arch.Heads))
	for i, h := range c.Arch.Heads {
		list[i] = c.Loss[h]
	}
	return list
}
