package cli

import (
	"errors"
	"slices"
	"strings"

	"unet/core"
	"unet/unet"
	"unet/unet/report"
	"unet/unet/train"

	"github.com/urfave/cli/v2"
)

func sweepCommand() *cli.Command {
	return &cli.Command{
		Name:      "sweep",
		Usage:     "train many variants of a model and keep the best",
		UsageText: "unet sweep DIR --out FOLDER --vary lr=0.0003,0.001 --vary width=16,32",
		Description: "Trains every combination of the varied settings (or --random N of them) on the\n" +
			"prepared set DIR, one run per folder, and ranks them on the validation images:\n" +
			"nuclei models by MeanAP, paper models by the F1 of pixels, each at the threshold\n" +
			"that suits it best. An interrupted sweep continues where it stopped. FOLDER gets\n" +
			"index.html, results.csv, results.json and best.safetensors. A variant that diverges\n" +
			"is left out, and not tried again with the same settings; the exit status is then 3.\n\n" +
			"With --shard many processes, such as the tasks of an array job, each train a part of\n" +
			"the variants; the same command without it then trains what is missing and ranks them\n" +
			"all.\n\n" +
			"Every setting of `unet train` and of its config.yaml can be varied. The values of\n" +
			"loss are bce, dice and bce+dice, those of augment are none, flips and strong.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "`FOLDER` of the sweep"},
			&cli.StringSliceFlag{Name: "vary", Usage: "`SETTING=VALUES` to try, separated by commas; may be repeated"},
			&cli.IntFlag{Name: "random", Usage: "try only `N` combinations, drawn at random", DefaultText: "all"},
			shardFlag("train the `PART` I/N of the variants, such as 3/20, or auto: the part that an array job says", ""),
			waitFlag("variants"),
			jobFlag("variant"),
			kindFlag(unet.Nuclei),
			&cli.StringFlag{Name: "config", Usage: "YAML `FILE` of the settings that are not varied"},
			settingFlag("epochs", "4; paper: 30"),
			settingFlag("seed", "1"),
			forceFlag(""),
		},
		Action: listening(runSweep),
	}
}

// runSweep is the command.
func runSweep(c *cli.Context) error {
	return together(c, func(peers core.Peers) error {
		if err := core.Agree(peers, alone(peers, "a sweep", "without mpirun, divide it with --shard")); err != nil {
			return err
		}
		return sweep(c)
	})
}

// sweep trains the variants one after the other.
func sweep(c *cli.Context) error {
	dir, err := oneArgument(c, "the folder of a prepared set")
	if err != nil {
		return err
	}
	if n := c.Int("random"); c.IsSet("random") && n < 1 {
		return usagef("--random %d: 1 or more", n)
	}
	o := train.SweepOptions{Out: c.String("out"), Random: c.Int("random"), Force: c.Bool("force"), Program: version()}
	if o.Out == "" {
		return usagef("--out is missing: the folder of the sweep")
	}
	if o.Part, o.Of, o.Wait, err = partOrAll(c); err != nil {
		return err
	}
	if o.Vary, err = parseVary(c.StringSlice("vary")); err != nil {
		return err
	}
	w, err := openWork(c, dir)
	if err != nil {
		return err
	}
	defer w.close()
	o.Set, o.Engine = w.set, w.engine
	o.Base, err = train.ReadConfig(c.String("config"), train.Defaults{Kind: c.String("kind"), Preset: "quick", Size: o.Set.Meta.Settings.Size})
	if err == nil {
		err = setOptions(c, &o.Base)
	}
	if err != nil {
		return err
	}
	if c.IsSet("job") {
		return writeSweepJob(c, dir, o)
	}
	t := term(c)
	s, err := train.Sweep(c.Context, o, &trainObserver{terminal: t})
	if errors.Is(err, errInterrupted) {
		return withHint(err, "the same command continues the sweep")
	}
	if err != nil {
		return err
	}
	switch {
	case s == nil:
		t.printf("part %d of %d is trained\n", o.Part, o.Of)
		return nil
	case t.json:
		err = t.writeJSON(s)
	default:
		err = printSweep(t, s)
	}
	if err == nil && len(s.Failed) > 0 {
		err = &partialErr{len(s.Failed), len(s.Failed) + len(s.Variants), "variants"}
	}
	return err
}

// parseVary reads the values of --vary, which urfave splits at commas.
func parseVary(parts []string) (list []train.Axis, err error) {
	for _, part := range parts {
		if name, value, ok := strings.Cut(part, "="); ok {
			if !slices.Contains(train.SettingNames(), name) {
				return nil, usagef("--vary %s: unknown setting; choose from %s", name, strings.Join(train.SettingNames(), ", "))
			}
			list, part = append(list, train.Axis{Setting: name}), value
		}
		if len(list) == 0 {
			return nil, usagef("--vary %s: write it as SETTING=VALUE,VALUE", part)
		}
		a := &list[len(list)-1]
		a.Values = append(a.Values, part)
	}
	if len(list) == 0 {
		return nil, usagef("--vary is missing: what to vary, such as --vary lr=0.0003,0.001")
	}
	return list, nil
}

// printSweep shows the ranking without its last two columns, for narrow
// terminals.
func printSweep(t *terminal, s *train.SweepSummary) error {
	narrow := &report.Table{Columns: s.Table.Columns[:len(s.Table.Columns)-2]}
	for _, r := range s.Table.Rows {
		narrow.Rows = append(narrow.Rows, r[:len(narrow.Columns)])
	}
	if err := t.table(narrow); err != nil {
		return err
	}
	t.printf("best model %s\n", s.Model)
	t.printf("report %s\n", s.Report)
	return nil
}
