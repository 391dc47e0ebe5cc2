package cli

import (
	"errors"

	"unet/core"
	"unet/unet"
	"unet/unet/segment"

	"github.com/urfave/cli/v2"
)

func precisionFlag(category string) cli.Flag {
	return &cli.StringFlag{Name: "precision", Value: "auto", Category: category,
		Usage: "`TYPE` of arithmetic: auto (float32, or int8 if the model is quantised), float32, or bfloat16 (faster on a CPU with AVX-512 BF16)"}
}

// precision returns what --precision chooses for a model.
func precision(c *cli.Context, m *unet.Model) (string, error) {
	p, err := segment.ParsePrecision(c.String("precision"), m)
	var bad *segment.PrecisionError
	if errors.As(err, &bad) {
		return "", withHint(usagef("--%v", bad), bad.Hint())
	}
	return p, err
}

// warnPrecision tells of a precision that e is slow at.
func warnPrecision(c *cli.Context, e *core.Engine, precision string) {
	if precision == segment.BFloat16 && !e.FastBFloat16() {
		term(c).warnf("this CPU has no instructions for bfloat16: the results are right, but --precision float32 is faster")
	}
}
