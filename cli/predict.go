package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"

	"github.com/urfave/cli/v2"
)

// Formats of results.
const (
	formatLabels  = "labels"
	formatMask    = "mask"
	formatProb    = "prob"
	formatOverlay = "overlay"
	formatROI     = "roi"
	formatGeoJSON = "geojson"
	formatCOCO    = "coco"
	formatRLE     = "rle-csv"
	formatCSV     = "csv"
)

var resultFormats = []string{formatLabels, formatMask, formatProb, formatOverlay, formatROI, formatGeoJSON, formatCOCO, formatRLE, formatCSV}

func predictCommand() *cli.Command {
	const planes, scale, nuclei, run = "Planes of a file", "Scale", "Nuclei", "Run"
	return &cli.Command{
		Name:      "predict",
		Usage:     "segment images",
		UsageText: "unet predict IMAGE... --out DIR [options]",
		Description: "IMAGE is a file (PNG, JPEG, BMP, GIF, WebP, TIFF, OME-TIFF, ImageJ stack), an\n" +
			"OME-Zarr folder, a folder of them (with all below it) or a quoted pattern. For\n" +
			"a/b.tif of a folder the results are DIR/a/b.labels.tif and so on; DIR/summary.csv\n" +
			"has a line per image and DIR/manifest.json all facts about the run.\n\n" +
			"Formats: labels (label image, TIFF), overlay (picture with outlines), csv\n" +
			"(measurements), mask (PNG), prob (probability maps, float TIFF), roi (ImageJ),\n" +
			"geojson (QuPath); and of all images together coco (COCO JSON) and rle-csv (Kaggle\n" +
			"submission).\n\n" +
			"An image that cannot be read does not stop the others (exit status 3). A run that\n" +
			"was cut off goes on with --skip-existing.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "`FOLDER` of the results", Category: run},
			&cli.StringFlag{Name: "model", Usage: "model `FILE` (default: the built-in model)", Category: run},
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "comma-separated `LIST` of " + strings.Join(resultFormats, ", ") + " (default: labels,overlay,csv; mask,prob,overlay for a paper model)", Category: run},
			&cli.StringFlag{Name: "from-file", Usage: "take further images from `LIST`, one per line, or - for standard input", Category: run},
			&cli.BoolFlag{Name: "skip-existing", Usage: "leave out images that an earlier run with the same settings has done", Category: run},
			&cli.IntFlag{Name: "jobs", Usage: "images read, computed and written at the same time", DefaultText: "one for each thread, as memory allows", Category: run},
			&cli.StringFlag{Name: "max-memory", Usage: "`SIZE` such as 2GiB; images that need more are done in bands (default: half of what is free)", Category: run},
			&cli.BoolFlag{Name: "tta", Usage: "average over mirror images: better, 4 times slower", Category: run},
			precisionFlag(run),
			&cli.StringFlag{Name: "page", Value: "all", Usage: "`PAGES` from 0, such as 2 or 0,3-5", Category: planes},
			&cli.StringFlag{Name: "channel", Usage: "`CHANNELS` by number from 0 or name (default: the nuclear stain if one is named so, else all)", Category: planes},
			&cli.StringFlag{Name: "z", Value: "all", Usage: "`SLICES` from 0", Category: planes},
			&cli.StringFlag{Name: "t", Value: "all", Usage: "`TIMES` from 0", Category: planes},
			&cli.StringFlag{Name: "diameter", Value: diameterAuto, Usage: "`SIZE` of nuclei in pixels, or as 12um; auto: as found, scaled and computed again if far from those of training; native: no scaling", Category: scale},
			pixelSizeFlag(scale),
			&cli.Float64Flag{Name: "threshold", Usage: "`PROBABILITY` above which a pixel is a nucleus'", DefaultText: "the model's", Category: nuclei},
			&cli.IntFlag{Name: "min-area", Usage: "smallest nucleus in `PIXELS` of the image", DefaultText: "the model's", Category: nuclei},
			&cli.BoolFlag{Name: "remove-edge", Usage: "drop nuclei that the image's edge cuts", Category: nuclei},
		},
		Action: predict,
	}
}

// predictSettings is what decides the results; it is recorded with them.
type predictSettings struct {
	Formats    []string          `json:"formats"`
	Page       string            `json:"page"`
	Channel    string            `json:"channel"`
	Z          string            `json:"z"`
	T          string            `json:"t"`
	Diameter   string            `json:"diameter"`
	PixelSize  imageio.PixelSize `json:"pixel_size,omitzero"`
	TTA        bool              `json:"tta"`
	Precision  string            `json:"precision"`
	Threshold  float64           `json:"threshold"` // of masks of a paper model
	Instance   instance.Params   `json:"instance"`
	MinAreaSet bool              `json:"min_area_set"` // in pixels of the image, whatever the scale
}

func (s predictSettings) has(format string) bool { return slices.Contains(s.Formats, format) }

// predict is the command.
func predict(c *cli.Context) error {
	t := term(c)
	out := c.String("out")
	if out == "" {
		return usagef("--out is missing: the folder of the results")
	}
	if st, err := os.Stat(out); err == nil && !st.IsDir() {
		return usagef("--out %s is a file: give a folder", out)
	}
	choice, err := planesFlags(c)
	if err != nil {
		return err
	}
	args := c.Args().Slice()
	if list := c.String("from-file"); list != "" {
		more, err := readList(t, list)
		if err != nil {
			return err
		}
		args = append(args, more...)
	}
	if len(args) == 0 {
		return usagef("an argument is missing: the images, a folder or a pattern")
	}
	if n := c.Int("jobs"); c.IsSet("jobs") && (n < 1 || n > 64) {
		return usagef("--jobs %d: 1 to 64", n)
	}
	budget := defaultMemory()
	if s := c.String("max-memory"); s != "" {
		if budget, err = parseSize(s); err != nil {
			return usagef("--max-memory %s: %v", s, err)
		}
	}
	model, err := modelFor(c.String("model"))
	if err != nil {
		return err
	}
	defer model.Params.Free()
	settings, err := predictFlags(c, model)
	if err != nil {
		return err
	}
	inputs := gatherInputs(args, out)
	if len(inputs) == 1 && inputs[0].err != nil {
		return inputs[0].err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	e, err := newEngine(c)
	if err != nil {
		return err
	}
	defer e.Close()
	p := unet.NewPredictor(e, model)
	defer p.Close()
	p.Flips = settings.TTA
	setPrecision(c, e, p, settings.Precision)
	jobs := defaultJobs(e.Threads(), budget)
	if c.IsSet("jobs") {
		jobs = c.Int("jobs")
	}
	r := &predictRun{t: t, out: out, engine: e, predictor: p, team: make(chan *unet.Predictor, 1), model: model, settings: settings, planes: choice,
		jobs: jobs, budget: budget, skip: c.Bool("skip-existing"), inputs: inputs}
	r.team <- p
	defer r.lanes.close()
	r.diameter, err = parseDiameter(settings.Diameter)
	if err != nil {
		return err
	}
	if r.diameter != (diameter{}) && model.Card.Input.Size > 0 {
		return usagef("--diameter: a model that resizes every image to %d pixels has no scale", model.Card.Input.Size)
	}
	if r.diameter != (diameter{}) && model.Card.Diameter[1] <= 0 {
		return usagef("--diameter: the model does not say what size of nuclei it was trained on")
	}
	// What the images leave behind must not double the memory.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(max(budget*3/4, 256<<20)))
	// Below that limit, collecting less often costs nothing but memory.
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	return r.run(c.Context)
}

func planesFlags(c *cli.Context) (ch planeChoice, err error) {
	for name, s := range map[string]*selection{"page": &ch.page, "channel": &ch.channel, "z": &ch.z, "t": &ch.t} {
		if *s, err = parseSelection(name, c.String(name), name == "channel"); err != nil {
			return ch, err
		}
	}
	return ch, nil
}

// predictFlags reads the settings and puts those of nuclei into the model.
func predictFlags(c *cli.Context, m *unet.Model) (predictSettings, error) {
	card := &m.Card
	s := predictSettings{Page: c.String("page"), Channel: c.String("channel"), Z: c.String("z"), T: c.String("t"),
		Diameter: c.String("diameter"), TTA: c.Bool("tta")}
	if !c.IsSet("diameter") && (card.Diameter[1] <= 0 || card.Input.Size > 0) {
		s.Diameter = diameterNative
	}
	if c.IsSet("threshold") {
		v := c.Float64("threshold")
		if !(v > 0 && v < 1) {
			return s, usagef("--threshold %v: above 0 and below 1", v)
		}
		card.Threshold, card.Instance.Foreground = v, v
	}
	if c.IsSet("min-area") {
		if c.Int("min-area") < 0 {
			return s, usagef("--min-area %d: not below 0", c.Int("min-area"))
		}
		card.Instance.MinArea, s.MinAreaSet = c.Int("min-area"), true
	}
	if c.Bool("remove-edge") {
		card.Instance.RemoveEdge = true
	}
	var err error
	if s.PixelSize, err = pixelSize(c); err != nil {
		return s, err
	}
	if s.Precision, err = precision(c, m); err != nil {
		return s, err
	}
	s.Threshold, s.Instance = card.Threshold, card.Instance
	if card.Kind == unet.Paper {
		s.Instance.Foreground = card.Threshold
	}
	switch text := c.String("format"); {
	case text != "":
		for f := range strings.SplitSeq(text, ",") {
			f = strings.TrimSpace(f)
			if !slices.Contains(resultFormats, f) {
				return s, withHint(usagef("--format %s: there is no format %q", text, f), "choose from "+strings.Join(resultFormats, ", "))
			}
			if !s.has(f) {
				s.Formats = append(s.Formats, f)
			}
		}
		slices.Sort(s.Formats)
	case card.Kind == unet.Paper:
		s.Formats = []string{formatMask, formatOverlay, formatProb}
	default:
		s.Formats = []string{formatCSV, formatLabels, formatOverlay}
	}
	return s, nil
}

// parseSize reads a number of bytes such as 2GiB or 500MB.
func parseSize(s string) (int64, error) {
	units := []struct {
		name string
		size float64
	}{{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40}, {"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9},
		{"tb", 1e12}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40}, {"b", 1}}
	text, unit := strings.ToLower(strings.TrimSpace(s)), 1.0
	for _, u := range units {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			text, unit = n, u.size
			break
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(v > 0) || v*unit > 1<<50 {
		return 0, fmt.Errorf("give a size such as 2GiB")
	}
	return int64(v * unit), nil
}

// defaultMemory is half of the memory that is free, where the system tells, or
// 4 GiB.
func defaultMemory() int64 {
	free := int64(8 << 30)
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			var kb int64
			if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kb); n == 1 {
				free = kb << 10
			}
		}
	}
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := os.ReadFile(name); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
				free = min(free, n)
			}
		}
	}
	if runtime.GOARCH == "386" || runtime.GOARCH == "arm" {
		free = min(free, 2<<30)
	}
	return max(free/2, 512<<20)
}

// under joins a slash path below the output folder.
func under(out, name string) string { return filepath.Join(out, filepath.FromSlash(name)) }
