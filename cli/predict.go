package cli

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"unet/unet"
	"unet/unet/segment"

	"github.com/urfave/cli/v2"
)

func predictCommand() *cli.Command {
	const planes, scale, nuclei, measurements, run = "Planes of a file", "Scale", "Nuclei", "Measurements", "Run"
	return &cli.Command{
		Name:      "predict",
		Usage:     "segment images",
		UsageText: "unet predict IMAGE... --out DIR [options]",
		Description: "IMAGE is a file (PNG, JPEG, BMP, GIF, WebP, TIFF, OME-TIFF, ImageJ stack), a slide,\n" +
			"an OME-Zarr folder or plate, a folder that holds any of these at any depth, or a\n" +
			"quoted pattern. The results of a/b.tif in a folder are DIR/a/b.labels.tif and so on.\n" +
			"DIR/index.html shows all images, DIR/summary.csv has a line for each, DIR/nuclei.csv\n" +
			"one for each nucleus (if csv is among the formats), and DIR/manifest.json records\n" +
			"the run.\n\n" +
			"Formats: labels (label image, TIFF), zarr (label image, OME-Zarr with a pyramid; in\n" +
			"IMAGE.zarr/labels/nuclei where DIR holds IMAGE.zarr and it has one plane), overlay\n" +
			"(picture with outlines), csv (measurements), mask (PNG), prob (probability maps,\n" +
			"float TIFF), density (map of the density of nuclei, PNG), roi (ImageJ), geojson\n" +
			"(QuPath); and, for all images together, coco (COCO JSON) and rle-csv (Kaggle\n" +
			"submission).\n\n" +
			"An image that cannot be read does not stop the others (exit status 3, or 4 if none\n" +
			"can be read). A run that was cut off continues with --skip-existing.\n\n" +
			"With --shard, processes on any number of machines that share the folder do a part\n" +
			"each: some of the images, or some rows of one too large for memory. A part that is\n" +
			"run again continues where it stopped; its exit status is 0 once each of its images\n" +
			"is done or known to be bad. Then unet gather DIR joins the parts to what one process\n" +
			"would have written.",
		Flags: append(measuringFlags(nuclei, measurements),
			positiveFlag(measurements),
			colourFlag(measurements),
			&cli.StringFlag{Name: "condition", Usage: "compare conditions on DIR/index.html; `HOW` they are told apart: folder, well, a regular expression with groups such as '(control|drug)', or a CSV file with the columns image (or well) and condition", Category: measurements},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "`FOLDER` of the results", Category: run},
			&cli.StringFlag{Name: "model", Usage: "model `FILE` (default: the built-in model)", Category: run},
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "comma-separated `LIST` of " + strings.Join(segment.Formats, ", ") + " (default: labels,overlay,csv; mask,prob,overlay for a paper model)", Category: run},
			&cli.StringFlag{Name: "from-file", Usage: "also read image names from the file `LIST`, one per line; - is standard input", Category: run},
			shardFlag("do only `PART` I/N of the images, such as 3/20, or auto: the part that an array job of Slurm, Kubernetes, LSF, Grid Engine or PBS says; unet gather joins the parts", run),
			&cli.BoolFlag{Name: "skip-existing", Usage: "skip images already done by an earlier run with the same settings", Category: run},
			forceFlag(run),
			&cli.IntFlag{Name: "jobs", Usage: "`NUMBER` of images processed at the same time", DefaultText: "one per thread, as memory allows", Category: run},
			memoryFlag("use at most `SIZE`, such as 2GiB; images that need more are segmented in bands", run),
			&cli.BoolFlag{Name: "tta", Usage: "test-time augmentation: average over mirrored images; more accurate, 4 times slower", Category: run},
			precisionFlag(run),
			&cli.StringFlag{Name: "page", Value: "all", Usage: "`PAGES` counted from 0, such as 2 or 0,3-5", Category: planes},
			&cli.StringFlag{Name: "channel", Usage: "`CHANNELS` by name, by number from 0, or red, green or blue of a colour image (default: the one named like a nuclear stain, or else each by itself)", Category: planes},
			&cli.StringFlag{Name: "z", Value: "all", Usage: "`SLICES` counted from 0", Category: planes},
			&cli.StringFlag{Name: "t", Value: "all", Usage: "time `POINTS` counted from 0", Category: planes},
			&cli.StringFlag{Name: "well", Value: "all", Usage: "`WELLS` of a plate, such as B03", Category: planes},
			&cli.StringFlag{Name: "field", Value: "all", Usage: "`FIELDS` of wells, counted from 0", Category: planes},
			levelFlag(planes),
			&cli.StringFlag{Name: "diameter", Value: "auto", Usage: "`SIZE` of the nuclei in pixels, or as 12um; auto: measured, and an image is rescaled if its nuclei are much larger or smaller than those the model was trained on; native: no scaling", Category: scale},
			pixelSizeFlag(scale),
			&cli.Float64Flag{Name: "threshold", Usage: "foreground `PROBABILITY` above which a pixel belongs to a nucleus", DefaultText: "the model's", Category: nuclei},
			&cli.IntFlag{Name: "min-area", Usage: "drop nuclei smaller than this many `PIXELS` of the image", DefaultText: "the model's", Category: nuclei},
			&cli.BoolFlag{Name: "remove-edge", Usage: "drop nuclei cut by the edge of the image", Category: nuclei},
		),
		Action: listening(predict),
	}
}

// predict is the command.
func predict(c *cli.Context) error {
	t := term(c)
	batch, args, err := predictBatch(c)
	if err != nil {
		return err
	}
	model, options, err := predictWith(c, &batch)
	if err != nil {
		return err
	}
	defer model.Params.Free()
	batch.Inputs = segment.Inputs(args, batch.Out)
	batch.Keep = []string{c.String("model"), c.String("from-file")}
	if len(batch.Inputs) == 1 && batch.Inputs[0].Err != nil && batch.Part.Of == 0 {
		return batch.Inputs[0].Err
	}
	e, err := newEngine(c)
	if err != nil {
		return err
	}
	defer e.Close()
	s, err := segment.New(e, model, options)
	if err != nil {
		return usagef("%v", err)
	}
	defer s.Close()
	if options.BFloat16 {
		warnPrecision(c, e, segment.BFloat16)
	}
	if err := s.CheckMarkers(c.Context, batch); err != nil {
		return err
	}
	if err := os.MkdirAll(batch.Out, 0o755); err != nil {
		return err
	}
	summary, err := s.Run(c.Context, batch, &predictPrinter{t: t})
	if err != nil && summary == nil && !errors.Is(err, errInterrupted) {
		return err // nothing was begun
	}
	if err != nil && batch.Part.Of > 0 {
		return withHint(err, "the same command continues from here")
	}
	if err != nil {
		return withHint(err, "the same command with --skip-existing continues from here")
	}
	if batch.Part.Of > 0 {
		return printPart(t, summary, batch)
	}
	return printSummary(t, summary, batch.Out)
}

// predictWith reads the model and what has to suit it.
func predictWith(c *cli.Context, b *segment.Batch) (m *unet.Model, o segment.Options, err error) {
	if m, err = modelFor(c.String("model")); err != nil {
		return nil, o, err
	}
	if o, err = predictOptions(c, m); err == nil {
		b.Formats, err = resultFormats(c.String("format"), m)
	}
	if err == nil && len(b.Markers) > 0 && !slices.Contains(b.Formats, segment.CSV) {
		err = withHint(usagef("--positive needs the measurements of every nucleus"), "add csv to --format")
	}
	if err != nil {
		m.Params.Free()
	}
	return m, o, err
}

// predictBatch reads what is to be done, and with which arguments.
func predictBatch(c *cli.Context) (b segment.Batch, args []string, err error) {
	b = segment.Batch{Out: c.String("out"), SkipExisting: c.Bool("skip-existing"), Force: c.Bool("force"), Jobs: c.Int("jobs"), Version: version()}
	if b.Out == "" {
		return b, nil, usagef("--out is missing: the folder of the results")
	}
	if st, err := os.Stat(b.Out); err == nil && !st.IsDir() {
		return b, nil, usagef("--out %s is a file: give a folder", b.Out)
	}
	if b.Choice, err = planesFlags(c); err != nil {
		return b, nil, err
	}
	b.Condition, err = segment.ParseCondition(c.String("condition"))
	if file := new(*fs.PathError); errors.As(err, file) || errors.As(err, new(*segment.InputError)) {
		return b, nil, err // it names the table
	}
	if err != nil {
		return b, nil, usagef("--condition %s: %v", c.String("condition"), err)
	}
	if b.Regions, err = regions(c); err != nil {
		return b, nil, err
	}
	if b.ColourBy, err = colourBy(c); err != nil {
		return b, nil, err
	}
	if b.Markers, err = positive(c); err != nil {
		return b, nil, err
	}
	if b.Part.Index, b.Part.Of, err = shard(c); err != nil {
		return b, nil, err
	}
	args = c.Args().Slice()
	if list := c.String("from-file"); list != "" {
		more, err := readList(c.Context, term(c), list)
		if err != nil {
			return b, nil, err
		}
		args = append(args, more...)
	}
	if len(args) == 0 {
		return b, nil, usagef("an argument is missing: the images, a folder or a pattern")
	}
	if c.IsSet("jobs") && (b.Jobs < 1 || b.Jobs > 64) {
		return b, nil, usagef("--jobs %d: 1 to 64", b.Jobs)
	}
	return b, args, nil
}

// predictOptions reads what decides the results.
func predictOptions(c *cli.Context, m *unet.Model) (o segment.Options, err error) {
	o = segment.Options{TTA: c.Bool("tta"), RemoveEdge: c.Bool("remove-edge")}
	if o.Diameter, err = segment.ParseDiameter(c.String("diameter")); err != nil {
		return o, usagef("--diameter %s: %v", c.String("diameter"), err)
	}
	if c.IsSet("threshold") {
		if o.Threshold = c.Float64("threshold"); !(o.Threshold > 0 && o.Threshold < 1) {
			return o, usagef("--threshold %v: above 0 and below 1", o.Threshold)
		}
	}
	if c.IsSet("min-area") {
		area := c.Int("min-area")
		if area < 0 {
			return o, usagef("--min-area %d: 0 or more", area)
		}
		o.MinArea = &area
	}
	if o.PixelSize, err = pixelSize(c); err != nil {
		return o, err
	}
	if o.Measuring, err = measuring(c); err != nil {
		return o, err
	}
	if o.Memory, err = maxMemory(c); err != nil {
		return o, err
	}
	numbers, err := precision(c, m)
	o.BFloat16 = numbers == segment.BFloat16
	return o, err
}

// resultFormats reads a list of formats; "" is what suits the model.
func resultFormats(text string, m *unet.Model) (list []string, err error) {
	switch {
	case text == "" && m.Card.Kind == unet.Paper:
		return []string{segment.Mask, segment.Overlay, segment.Prob}, nil
	case text == "":
		return []string{segment.CSV, segment.Labels, segment.Overlay}, nil
	}
	for f := range strings.SplitSeq(text, ",") {
		f = strings.TrimSpace(f)
		if !slices.Contains(segment.Formats, f) {
			return nil, withHint(usagef("--format %s: there is no format %q", text, f), "choose from "+strings.Join(segment.Formats, ", "))
		}
		list = append(list, f)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// planesFlags reads which planes of a file are meant.
func planesFlags(c *cli.Context) (ch segment.Choice, err error) {
	for name, s := range map[string]*segment.Selection{"page": &ch.Page, "channel": &ch.Channel, "z": &ch.Z, "t": &ch.T, "well": &ch.Well, "field": &ch.Field} {
		if *s, err = segment.ParseSelection(c.String(name), name == "channel" || name == "well"); err != nil {
			return ch, usagef("--%s %s: %v", name, c.String(name), err)
		}
	}
	ch.LevelGiven = c.IsSet("level")
	if ch.Level = c.Int("level"); ch.Level < 0 {
		return ch, usagef("--level %d: 0 or more", ch.Level)
	}
	return ch, nil
}

// levelFlag is the option that chooses a level of a pyramid.
func levelFlag(category string) cli.Flag {
	return &cli.IntFlag{Name: "level", Usage: "`LEVEL` of a slide or pyramid; higher levels are smaller", DefaultText: "0, the full resolution", Category: category}
}
