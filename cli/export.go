package cli

import (
	"io"

	"unet/unet/imageio"
	"unet/unet/onnx"

	"github.com/urfave/cli/v2"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write a model for other programs, as ONNX",
		UsageText: "unet export MODEL --onnx FILE",
		Description: "MODEL is a model file, or `embedded` for the built-in one. The ONNX file (opset 17)\n" +
			"takes a normalised image of any height and width and returns the probability maps\n" +
			"under their names; how to normalise stands in its metadata, in the model card.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "onnx", Usage: "ONNX `FILE` to write"},
		},
		Action: export,
	}
}

func export(c *cli.Context) error {
	t := term(c)
	name, err := oneArgument(c, "a model")
	if err != nil {
		return err
	}
	out := c.String("onnx")
	if out == "" {
		return usagef("say what to write: --onnx FILE")
	}
	if err := notOver(out, name); err != nil {
		return err
	}
	m, err := modelFor(name)
	if err != nil {
		return err
	}
	defer m.Params.Free()
	if m.Card.Precision != "" {
		t.warnf("the model is quantised: exported are its float weights, whose maps differ slightly from its own")
	}
	if err := imageio.WriteFile(out, func(w io.Writer) error { return onnx.Write(w, m) }); err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(struct {
			File string   `json:"file"`
			Maps []string `json:"maps"`
		}{out, m.Card.Arch.Heads})
	}
	t.printf("%s written\n", out)
	return nil
}
