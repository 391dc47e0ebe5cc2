package cli

import (
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/input"
	"unet/unet/imageio/owned"
	"unet/unet/report"

	"github.com/urfave/cli/v2"
)

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:      "demo",
		Usage:     "run everything once on synthetic images, in about two minutes",
		UsageText: "unet demo [--out FOLDER]",
		Description: "Makes synthetic images, prepares and inspects them, trains the paper's U-Net,\n" +
			"evaluates it, and segments images with the built-in model. Every step is a command\n" +
			"of its own and is shown as you would type it. FOLDER/index.html leads to the results.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Value: "unet-demo", Usage: "`FOLDER` for the results; an earlier demo there is replaced"},
		},
		Action: listening(demo),
	}
}

// demoStep is a command of the demonstration and what it shows.
type demoStep struct {
	title string
	args  []string
	link  string // what to open, relative to the folder
	look  string // a picture to show, a pattern relative to the folder
}

func demo(c *cli.Context) (err error) {
	t := term(c)
	out := c.String("out")
	if _, err := os.Stat(out); err == nil {
		if _, err := os.Stat(filepath.Join(out, demoMark)); err != nil {
			return usagef("%s exists and is not from an earlier demo: choose another --out", out)
		}
		if err := removeDemo(out); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	if err := markDemo(out); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, markDemo(out)) }()
	in := func(name string) string { return filepath.Join(out, name) }
	images, set, run := in("images.zip"), in("set"), in("run")
	steps := []demoStep{
		{"Synthetic images", []string{"sample", "--out", images, "--count", "64", "--size", "192", "--seed", "1"}, "images.zip", ""},
		{"A checked, split set of 128 x 128 images", []string{"prepare", images, "--out", set, "--size", "128"}, "set/README.md", ""},
		{"What the images are like", []string{"inspect", images, "--out", in("inspect")}, "inspect/index.html", "inspect/sheet-*.png"},
		{"Training the paper's U-Net", []string{"train", set, "--kind", "paper", "--out", run, "--epochs", "20", "--name", "demo"}, "run/report.html", "run/curves.png"},
		{"How good it is", []string{"evaluate", "--model", filepath.Join(run, "model.safetensors"), set, "--out", in("evaluation")}, "evaluation/index.html", "evaluation/sheet-random.png"},
		{"Nuclei found by the built-in model", []string{"predict", filepath.Join(set, "images"), "--out", in("nuclei"), "--format", "labels,overlay,csv,roi"}, "nuclei/summary.csv", "nuclei/*.overlay.png"},
	}
	start := time.Now()
	page := &report.Page{Title: "unet demo", Subtitle: "From an archive of synthetic images to measured nuclei, step by step.",
		Footer: "unet " + version()}
	for i, s := range steps {
		command := "unet"
		for _, a := range s.args {
			command += " " + a
		}
		t.notef("\n[%d/%d] %s\n$ %s", i+1, len(steps), s.title, command)
		began := time.Now()
		if err := runCommand(c.Context, t, c, s.args); err != nil {
			return err
		}
		if err := markDemo(out); err != nil {
			return err
		}
		sec := page.Section(s.title)
		sec.Code(command)
		sec.Facts([]report.Fact{
			{Name: "time", Value: shortDuration(time.Since(began))},
			{Name: "open", Value: s.link, Link: s.link},
		})
		if err := showPictures(sec, out, s.look); err != nil {
			return err
		}
	}
	if err := atomicfile.WriteFile(in("index.html"), page.HTML); err != nil {
		return err
	}
	t.notef("")
	t.printf("done in %s; open %s\n", shortDuration(time.Since(start)), in("index.html"))
	return nil
}

// showPictures puts a few of the pictures a step made on the page.
func showPictures(sec *report.Section, out, pattern string) error {
	if pattern == "" {
		return nil
	}
	names, err := filepath.Glob(filepath.Join(out, filepath.FromSlash(pattern)))
	if err != nil {
		return err
	}
	const most = 4
	for i := range min(most, len(names)) {
		name := names[i*len(names)/min(most, len(names))]
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		img, err := png.Decode(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		rel, err := filepath.Rel(out, name)
		if err != nil {
			return err
		}
		if err := sec.Picture(img, rel, filepath.ToSlash(rel)); err != nil {
			return err
		}
	}
	return nil
}

// demoMark marks a folder that demo made and may replace.
const demoMark = ".unet-demo"

// markDemo lists the files of the demonstration in its mark.
func markDemo(out string) error {
	files, err := owned.Strangers(out, nil, math.MaxInt)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(out, demoMark), func(w io.Writer) error {
		for _, name := range files {
			fmt.Fprintf(w, "%q\n", name)
		}
		return nil
	})
}

// removeDemo removes an earlier demonstration, unless there are files in its
// folder that it did not make.
func removeDemo(out string) error {
	text, err := input.ReadFile(filepath.Join(out, demoMark), 1<<24)
	if err != nil {
		return err
	}
	known := map[string]bool{demoMark: true}
	for line := range strings.Lines(string(text)) {
		if name, err := strconv.Unquote(strings.TrimSuffix(line, "\n")); err == nil {
			known[name] = true
		}
	}
	strangers, err := owned.Strangers(out, known, 1)
	if err != nil {
		return err
	}
	if len(strangers) > 0 {
		return &owned.RefusedError{Name: filepath.Join(out, filepath.FromSlash(strangers[0])),
			Problem: "is not of the earlier demo, and would be lost with it", Advice: "move it elsewhere, or choose another --out"}
	}
	return os.RemoveAll(out)
}

// runCommand runs another command with the same terminal and threads.
func runCommand(ctx context.Context, t *terminal, c *cli.Context, args []string) error {
	args = append([]string{"unet"}, args...)
	if c.IsSet("threads") {
		args = append(args, "--threads", c.String("threads"))
	}
	if t.quiet {
		args = append(args, "--quiet")
	}
	inner := &terminal{in: t.in, out: t.out, err: t.err, width: t.width}
	if t.quiet {
		inner.out = io.Discard
	}
	app := newApp(inner)
	args, err := reorder(app, args)
	if err != nil {
		return err
	}
	err = app.RunContext(ctx, args)
	inner.clear()
	var partial *partialErr
	if errors.As(err, &partial) {
		return errors.New(partial.Error())
	}
	return err
}
