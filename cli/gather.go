package cli

import (
	"context"
	"errors"
	"time"

	"unet/unet/segment"

	"github.com/urfave/cli/v2"
)

func gatherCommand() *cli.Command {
	return &cli.Command{
		Name:      "gather",
		Usage:     "join the parts of unet predict --shard",
		UsageText: "unet gather DIR [--wait]",
		Description: "DIR is the --out of the parts. Every part must be done; those that are not are\n" +
			"listed (exit status 4). Then the files for all images together are written:\n" +
			"manifest, tables, page, COCO and run lengths, byte for byte as one process would\n" +
			"have written them, except for times, and those of images that parts divided. The\n" +
			"exit status is 3 if some images were bad. No image is read again.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "wait", Usage: "wait until all parts are done"},
		},
		Action: listening(gather),
	}
}

// lookEvery is how often gather --wait looks for parts that are done.
const lookEvery = 10 * time.Second

// gather is the command.
func gather(c *cli.Context) error {
	t := term(c)
	if c.NArg() != 1 {
		return usagef("give the folder of the results, and nothing else")
	}
	dir := c.Args().First()
	for told := false; ; told = true {
		summary, err := segment.Gather(c.Context, dir, &predictPrinter{t: t})
		if err == nil {
			return printSummary(t, summary, dir)
		}
		if !c.Bool("wait") || !errors.As(err, new(*segment.PartsError)) && !errors.Is(err, segment.ErrNoParts) {
			return err
		}
		if !told {
			t.notef("waiting: %v", err)
		}
		select {
		case <-time.After(lookEvery):
		case <-c.Context.Done():
			return context.Cause(c.Context)
		}
	}
}
