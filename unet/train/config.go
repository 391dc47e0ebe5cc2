package train

import (
	"fmt"
	"math"
	"strings"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset/augment"
)

// Config is everything that decides what a training run computes. The same
// configuration, data and instruction set give the same weights, bit for bit,
// whatever the number of threads.
type Config struct {
	Kind  string
	Arch  unet.Arch
	Input unet.Input
	// Threshold of the foreground probability for masks and pixel scores.
	Threshold float64

	Seed  uint64
	Batch int
	// MicroBatches is the number of equal parts that a step computes side by side, a
	// power of two. Processes share them; how many processes there are does not show
	// in the weights, the number of parts does in their last bits.
	MicroBatches int
	Epochs       int
	// Steps per epoch; 0: as many as show every image once.
	Steps   int
	Augment augment.Policy
	// Balance is the power with which kinds, sources and groups of images are drawn:
	// 1 as they are, 0 all equally often.
	Balance float64
	// Scenes is the share of patches that show synthetic crowded tissue, in
	// which nuclei of the training images are packed (package scene).
	Scenes float64 `json:",omitempty"` // not in older checkpoints

	// Rehearsal is, in a training that starts from a model, the share of patches that show
	// synthetic images as that model segments them. They stand for what it was trained on,
	// which it would forget (Robins, Catastrophic forgetting, rehearsal and pseudorehearsal,
	// 1995).
	Rehearsal float64 `json:",omitempty"` // not in older checkpoints

	Loss map[string]core.Loss // of each head
	// PixelWeights uses the weight map (touching borders, small nuclei).
	PixelWeights bool

	LearningRate float64
	WeightDecay  float64
	Clip         float64 // largest gradient norm; 0: any
	EMA          float64 // decay of the averaged weights; 0: none
	Warmup       int     // steps of linear warm-up, at most a third of all
	// Schedule is "constant", "cosine" (down to 1% over all epochs) or
	// "plateau" (half after PlateauPatience epochs without a better monitored
	// value).
	Schedule        string
	PlateauPatience int

	// Monitor is the score that decides which epoch is best and kept: the
	// lowest loss or the highest of the others. Training stops after Patience
	// epochs (0: never) without an improvement of more than MinDelta.
	Monitor  string
	Patience int
	MinDelta float64
	// ValidateEvery is the number of epochs between validations.
	ValidateEvery int
}

// paperConfig is the paper's experiment: size x size images, one sigmoid map,
// binary cross-entropy, Adam, checkpoint on the validation loss.
func paperConfig(size int) Config {
	return Config{
		Kind: unet.Paper,
		Arch: unet.Arch{Channels: 3, Depth: 4, Width: 16, Block: "plain", Up: "transposed", Norm: "batch", Heads: []string{unet.HeadForeground}},
		// Images of 8 bits: the range is what the paper divides by.
		Input: unet.Input{Normalise: "range", Size: size}, Threshold: 0.5,
		Seed: 1, Batch: 16, MicroBatches: 1, Epochs: 30, Augment: augment.Flips(size), Balance: 1,
		Loss:         map[string]core.Loss{unet.HeadForeground: {Scale: 1, BCE: 1}},
		LearningRate: 1e-3, Schedule: "plateau", PlateauPatience: 3,
		Monitor: "val_loss", Patience: 8, ValidateEvery: 1,
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
		Arch: unet.Arch{Channels: 3, Depth: 3, Width: 32, Block: "plain", Up: "transposed", Norm: "batch",
			Heads: []string{unet.HeadForeground, unet.HeadBorder, unet.HeadDistance}},
		Input: unet.Input{Normalise: "percentile", Low: 1, High: 99.8, Outliers: 5}, Threshold: 0.5,
		Seed: 1, Batch: 8, MicroBatches: 1, Epochs: epochs, Steps: 400, Augment: policy, Balance: augment.Tempered,
		Loss: map[string]core.Loss{
			unet.HeadForeground: {Scale: 1, BCE: 1, Dice: 1},
			unet.HeadBorder:     {Scale: 1, BCE: 1, Dice: 0.5},
			unet.HeadDistance:   {Scale: 1, BCE: 1},
		},
		PixelWeights: true,
		LearningRate: 1.5e-3, WeightDecay: 1e-4, Clip: 10, EMA: 0.999, Warmup: 400, Schedule: "cosine",
		PlateauPatience: 3,
		Monitor:         "val_kaggle_score", ValidateEvery: 4,
	}, nil
}

// presetConfig is NucleiConfig of a preset there is.
func presetConfig(preset string) Config {
	c, err := NucleiConfig(preset)
	if err != nil {
		panic(err)
	}
	return c
}

// fineTuning adapts c to weights that are learned already, and to few images
// that are soon learned by heart: a fifth of the learning rate, an epoch of a
// nuclei model every 100 steps, and no epoch counts as better than another, or
// than the model training began with, for less than 0.01; a quarter of the patches of a
// nuclei model rehearse what it knows (bench/quality/finetune).
func (c Config) fineTuning() Config {
	c.LearningRate = math.Round(c.LearningRate/5*1e9) / 1e9 // people read it
	c.ValidateEvery = 1
	if !c.lowestIsBest() {
		c.MinDelta = 0.01
	}
	if c.Kind == unet.Nuclei {
		c.Rehearsal = 0.25
	}
	if c.Steps > 100 {
		c.Epochs, c.Steps = c.Epochs*c.Steps/100, 100
		c.Warmup, c.EMA, c.Patience = 50, 0.99, 8
	}
	return c
}

// maxStep bounds the pixels of the patches of a step.
const maxStep = 1 << 26

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
	case c.Kind == unet.Paper && c.Rehearsal > 0:
		return fmt.Errorf("rehearsal %v: a paper model rehearses nothing", c.Rehearsal)
	case c.Kind == unet.Paper && c.Augment.Size != c.Input.Size:
		return fmt.Errorf("patch size %d differs from input size %d", c.Augment.Size, c.Input.Size)
	case c.Batch > 0 && c.Augment.Size > maxStep/c.Augment.Size/c.Batch:
		return fmt.Errorf("%d patches of %d x %d pixels are more than a step can hold (%d pixels)", c.Batch, c.Augment.Size, c.Augment.Size, maxStep)
	case c.MicroBatches < 1 || c.MicroBatches&(c.MicroBatches-1) != 0:
		return fmt.Errorf("micro-batches %d: 1, 2, 4, 8 and so on", c.MicroBatches)
	case c.Batch%c.MicroBatches != 0:
		return fmt.Errorf("a batch of %d patches has no %d equal parts (micro-batches)", c.Batch, c.MicroBatches)
	case c.Augment.Size%c.Arch.Multiple() != 0:
		return fmt.Errorf("patch size %d is not a multiple of %d, which depth %d needs", c.Augment.Size, c.Arch.Multiple(), c.Arch.Depth)
	}
	for _, s := range Settings {
		if s.check != nil {
			if err := s.check(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// oneLoss reports whether the training loss is that of validation, the binary
// cross-entropy of the foreground.
func (c Config) oneLoss() bool {
	return !c.PixelWeights && len(c.Arch.Heads) == 1 && c.Loss[unet.HeadForeground] == core.Loss{Scale: 1, BCE: 1}
}

// lowestIsBest reports whether low values of the monitored score are better.
func (c Config) lowestIsBest() bool { return strings.HasSuffix(c.Monitor, "_loss") }

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
