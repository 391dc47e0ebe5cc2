package cli

import (
	"fmt"
	"strings"

	"unet/unet/evaluate"
	"unet/unet/imageio"
	"unet/unet/imageio/owned"
	"unet/unet/segment"

	"github.com/urfave/cli/v2"
)

func quantizeCommand() *cli.Command {
	return &cli.Command{
		Name:      "quantize",
		Usage:     "quantise a model to 8 bits, for faster prediction",
		UsageText: "unet quantize MODEL DIR [--out FILE]",
		Description: "Measures the ranges of all layers on training images of the prepared set DIR and\n" +
			"writes the quantised model, half the size, if KaggleScore and Dice on the\n" +
			fmt.Sprintf("validation split fall by at most %g; otherwise it fails and writes nothing. Layers\n", evaluate.MostLost) +
			"at full resolution stay in float where the scores need it. `unet predict --model FILE`\n" +
			"uses the result.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "`FILE` to write", DefaultText: "MODEL with -int8 in its name"},
			&cli.IntFlag{Name: "images", Value: 32, Usage: "`NUMBER` of training images to measure ranges on"},
			forceFlag(""),
		},
		Action: listening(runQuantize),
	}
}

// runQuantize is the command.
func runQuantize(c *cli.Context) error {
	t := term(c)
	if c.NArg() != 2 {
		return usagef("give a model and the folder of a prepared set")
	}
	file, dir := c.Args().Get(0), c.Args().Get(1)
	images := c.Int("images")
	if images < 1 {
		return usagef("--images %d: at least 1", images)
	}
	out := c.String("out")
	switch {
	case out != "":
	case strings.HasPrefix(file, "embedded"):
		return withHint(usagef("the built-in model has no file to name the result after"), "give --out FILE")
	default:
		out = segment.Stem(file) + "-int8.safetensors"
	}
	if err := owned.File(out, c.Bool("force"), file); err != nil {
		return err
	}
	w, err := openWork(c, dir, file)
	if err != nil {
		return err
	}
	defer w.close()
	q, err := evaluate.Quantize(c.Context, w.engine, w.model, w.set, images, &evaluateObserver{terminal: t})
	if err != nil {
		return err
	}
	defer q.Model.Params.Free()
	if q.Lost() {
		return withHint(fmt.Errorf("not written: KaggleScore would go from %.4f to %.4f and Dice from %.4f to %.4f, a loss of more than %g",
			q.KaggleScoreBefore, q.KaggleScoreAfter, q.DiceBefore, q.DiceAfter, evaluate.MostLost), "keep the float model")
	}
	if err := q.Model.Save(out, true); err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(quantizeResult{firstLayout, out, q, q.Speedup()})
	}
	t.printf("KaggleScore  %.4f, was %.4f\n", q.KaggleScoreAfter, q.KaggleScoreBefore)
	t.printf("Dice         %.4f, was %.4f\n", q.DiceAfter, q.DiceBefore)
	t.printf("speed        %.2f times: %.1f ms for a batch of 4, was %.1f ms\n", q.Speedup(), q.MillisAfter, q.MillisBefore)
	t.printf("size         %s, was %s\n", imageio.BytesText(int64(q.BytesAfter)), imageio.BytesText(int64(q.BytesBefore)))
	if len(q.FloatLayers) > 0 {
		t.printf("in float     %s\n", strings.Join(q.FloatLayers, ", "))
	}
	t.printf("%s written\n", out)
	return nil
}
