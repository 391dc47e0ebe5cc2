package cli

import (
	"unet/core"
	"unet/unet"

	"github.com/urfave/cli/v2"
)

// Values of --precision besides that of a quantised model.
const (
	precisionAuto     = "auto"
	precisionFloat32  = "float32"
	precisionBFloat16 = "bfloat16"
)

func precisionFlag(category string) cli.Flag {
	return &cli.StringFlag{Name: "precision", Value: precisionAuto, Category: category,
		Usage: "`TYPE` of arithmetic: auto (float32, or int8 if the model is quantised), float32, or bfloat16 (faster on a CPU with AVX-512 BF16)"}
}

// precision returns what --precision chooses for a model.
func precision(c *cli.Context, m *unet.Model) (string, error) {
	own := precisionFloat32
	if m.Card.Precision != "" {
		own = m.Card.Precision
	}
	switch p := c.String("precision"); p {
	case precisionAuto, own:
		return own, nil
	case precisionFloat32, precisionBFloat16:
		if own != precisionFloat32 {
			return "", withHint(usagef("--precision %s: the model is quantised to %s", p, own), "give the model it was made from")
		}
		return p, nil
	case unet.Int8:
		return "", withHint(usagef("--precision %s: the model is not quantised", p), "`unet quantize` makes a quantised model of it")
	default:
		return "", withHint(usagef("--precision %s: there is no such precision", p), "choose from auto, float32, bfloat16")
	}
}

// warnPrecision tells of a precision that e is slow at.
func warnPrecision(c *cli.Context, e *core.Engine, precision string) {
	if precision == precisionBFloat16 && !e.FastBFloat16() {
		term(c).warnf("this CPU has no instructions for bfloat16: the results are right, but --precision float32 is faster")
	}
}
