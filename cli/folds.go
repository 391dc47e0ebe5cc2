package cli

import (
	"errors"

	"unet/unet/crossval"
	"unet/unet/train"

	"github.com/urfave/cli/v2"
)

// foldsOf reads --folds: 0 for one training.
func foldsOf(c *cli.Context) (int, error) {
	if !c.IsSet("folds") {
		for _, name := range []string{"shard", "wait", "job"} {
			if c.IsSet(name) {
				return 0, usagef("--%s goes with --folds", name)
			}
		}
		return 0, nil
	}
	if by := crossval.By(c.String("split-by")); by != crossval.Sources && by != crossval.Groups {
		return 0, usagef("--folds goes with --split-by source or group")
	}
	for name, advice := range map[string]string{"fold": "it trains one of them", "resume": "the same command goes on by itself"} {
		if c.IsSet(name) {
			return 0, withHint(usagef("--%s does not go with --folds", name), advice)
		}
	}
	folds := c.Int("folds")
	if folds < 2 {
		return 0, usagef("--folds %d: 2 or more", folds)
	}
	return folds, nil
}

// crossValidate trains and scores all folds, or trains a part of them.
func crossValidate(c *cli.Context, o train.Options, folds int) (err error) {
	all := crossval.Options{Options: o, Folds: folds, By: crossval.By(c.String("split-by"))}
	if all.Part, all.Of, all.Wait, err = partOrAll(c); err != nil {
		return err
	}
	t := term(c)
	s, err := crossval.Run(c.Context, all, &trainObserver{terminal: t})
	switch {
	case errors.Is(err, errInterrupted):
		return withHint(err, "the same command goes on")
	case err != nil:
		return err
	case s == nil:
		t.printf("part %d of %d is trained\n", all.Part, all.Of)
		return nil
	case t.json:
		return t.writeJSON(s)
	}
	if err := t.table(s.FoldTable()); err != nil {
		return err
	}
	if len(s.Sources) > 0 {
		t.printf("\n")
		if err := t.table(s.SourceTable()); err != nil {
			return err
		}
	}
	t.printf("\nreport %s\n", s.Report)
	return nil
}
