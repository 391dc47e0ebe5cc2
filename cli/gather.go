package cli

import (
	"unet/unet/segment"

	"github.com/urfave/cli/v2"
)

func gatherCommand() *cli.Command {
	return &cli.Command{
		Name:      "gather",
		Usage:     "join the parts of unet predict --shard",
		UsageText: "unet gather DIR",
		Description: "DIR is the --out of the parts. Every part must be done; those that are not are\n" +
			"named (exit status 4). Then the files of all images together are written: the\n" +
			"manifest, tables, page, COCO and run lengths, as one process would have, to the\n" +
			"byte but for times. The exit status is 3 if some images were bad. No image is read\n" +
			"again.",
		Action: gather,
	}
}

// gather is the command.
func gather(c *cli.Context) error {
	t := term(c)
	if c.NArg() != 1 {
		return usagef("give the folder of the results, and nothing else")
	}
	dir := c.Args().First()
	summary, err := segment.Gather(c.Context, dir, &predictPrinter{t: t})
	if err != nil {
		return err
	}
	return printSummary(t, summary, dir)
}
