package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"unet/core"
	"unet/core/selftest"
	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/segment"
	"unet/unet/weights"

	"github.com/urfave/cli/v2"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:      "doctor",
		Usage:     "check this machine and print a page for a bug report",
		UsageText: "unet doctor [FOLDER]",
		Description: `Prints version, processor, memory and kernels, checks every kernel of every
instruction set against the reference, measures how fast they are, and tests files
and locks in the folder for temporary files and in FOLDER (default: the current one;
give the one your results go to). It takes a few seconds. Exit status 1: something
is wrong.`,
		Action: doctor,
	}
}

// finding is one line of the doctor's page.
type finding struct {
	What    string `json:"what"`              // name of the check
	Text    string `json:"text"`              // what was found
	Problem string `json:"problem,omitempty"` // what is wrong; absent if all is well
}

func doctor(c *cli.Context) error {
	t := term(c)
	if c.NArg() > 1 {
		return usagef("give one folder")
	}
	folder := c.Args().First()
	if folder == "" {
		folder = "."
	}
	e, err := newEngine(c)
	if err != nil {
		return err
	}
	defer e.Close()
	var page []finding
	problems := 0
	for _, examine := range []func() []finding{
		describeProgram, func() []finding { return describeMachine(e) }, testKernels,
		func() []finding { return testSpeed(e) }, func() []finding { return testNetwork(c, e) },
		func() []finding {
			return []finding{testFolder("temporary", os.TempDir()), testFolder("folder", folder)}
		},
	} {
		if err := c.Context.Err(); err != nil {
			return err
		}
		for _, f := range examine() {
			page = append(page, f)
			if f.Problem != "" {
				problems++
				f.Text = strings.TrimPrefix(f.Text+"; ", "; ") + "PROBLEM: " + f.Problem
			}
			if !t.json {
				t.printf("%-10s %s\n", f.What, oneRow(f.Text))
			}
		}
	}
	if t.json {
		if err := t.writeJSON(doctorResult{secondLayout, page}); err != nil {
			return err
		}
	}
	if problems > 0 {
		return withHint(fmt.Errorf("%s found", count(problems, "problem")), "put this page into a bug report")
	}
	return nil
}

func describeProgram() []finding {
	how := "with C kernels"
	if len(selftest.ISAs()) == 0 {
		how = "without C kernels (CGO_ENABLED=0)"
	}
	text := fmt.Sprintf("%s, %s, %s/%s, %s", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, how)
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, s := range b.Settings {
			if s.Key == "GOAMD64" || s.Key == "GOARM64" {
				text += ", " + s.Key + "=" + s.Value
			}
		}
	}
	return []finding{{What: "unet", Text: text}}
}

func describeMachine(e *core.Engine) []finding {
	memory := "not known"
	if total, free := segment.SystemMemory(); total > 0 {
		memory = fmt.Sprintf("%s, %s free, predict takes at most %s", imageio.BytesText(total), imageio.BytesText(free),
			imageio.BytesText(segment.DefaultMemory()))
	}
	var settings []string
	for _, name := range []string{"UNET_ISA", "UNET_THREADS", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG", "LANG", "LC_ALL", "TERM", "NO_COLOR"} {
		if v, ok := os.LookupEnv(name); ok {
			settings = append(settings, name+"="+v)
		}
	}
	return []finding{
		{What: "processor", Text: core.CPU()},
		{What: "memory", Text: memory},
		{What: "kernels", Text: fmt.Sprintf("%s (available: %s), %d threads", e.ISA(), strings.Join(core.ISAs(), ", "), e.Threads())},
		{What: "settings", Text: strings.Join(settings, " ")},
	}
}

// testLayers are small, with odd sizes and channels that fill no block, one for each
// kind of kernel.
var testLayers = []selftest.Shape{
	{N: 2, IC: 3, OC: 16, H: 19, W: 21}, {N: 1, IC: 35, OC: 20, H: 19, W: 21}, {N: 2, IC: 32, OC: 32, H: 9, W: 13},
	{N: 1, IC: 32, OC: 16, H: 5, W: 6, TConv: true},
}

// testKernels holds every kernel against the reference.
func testKernels() (list []finding) {
	for _, isa := range selftest.ISAs() {
		count := 0
		var wrong []string
		for _, k := range selftest.Kernels {
			tested, failed := false, false
			for _, l := range testLayers {
				if k.Fits(l) && k.On(isa) {
					tested = true
					failed = failed || !k.Check(isa, l).OK()
				}
			}
			if tested {
				count++
			}
			if failed {
				wrong = append(wrong, k.Name)
			}
		}
		f := finding{What: "self-test", Text: fmt.Sprintf("%s: %d of %d kernels compute what they should", isa, count-len(wrong), count)}
		if len(wrong) > 0 {
			f.Problem = strings.Join(wrong, ", ") + " do not"
		}
		list = append(list, f)
	}
	return list
}

// leastShare is the share of the processor's own rate of multiply-adds below which a
// kernel is slow. Winograd's saves three of four multiplications.
var leastShare = map[string]float64{"conv3x3": 0.6, "wino43": 0.9}

// testSpeed compares what a core does in the kernels that count with what it can do.
func testSpeed(e *core.Engine) (list []finding) {
	runtime.LockOSThread() // whose time is taken
	defer runtime.UnlockOSThread()
	layer := selftest.Shape{N: 1, IC: 64, OC: 64, H: 64, W: 64}
	for _, isa := range selftest.ISAs() {
		if isa.String() != e.ISA() {
			continue
		}
		peak := selftest.Peak(isa)
		f := finding{What: "speed", Text: fmt.Sprintf("one core on %s: %.0f GFLOP/s of multiply-adds", isa, peak)}
		for _, k := range selftest.Kernels {
			least, ok := leastShare[k.Name]
			if !ok {
				continue
			}
			_, best := k.Time(isa, layer, 5)
			share := k.Work(layer) / float64(best.Nanoseconds()) / peak
			f.Text += fmt.Sprintf(", %s %.0f %% of it", k.Name, 100*share)
			if share < least && e.ISA() != "c" {
				f.Text += fmt.Sprintf(" (at least %.0f %% are usual: other programs may be running)", 100*least)
			}
		}
		f.Text += fmt.Sprintf(", copies %.0f GB/s", selftest.Bandwidth())
		list = append(list, f)
	}
	return list
}

// testNetwork runs the built-in model once and holds it against the portable
// engine.
func testNetwork(c *cli.Context, e *core.Engine) []finding {
	f := finding{What: "network"}
	err := func() error {
		m, err := weights.Default()
		if err != nil {
			return err
		}
		defer m.Params.Free()
		const side = 128
		img := imageio.NewImage(side, side, 3)
		img.Bits = 8
		for i := range img.Pix {
			img.Pix[i] = float32(i * i % 251)
		}
		maps, took, err := mapsOn(c, m, e, img)
		if err != nil {
			return err
		}
		plain, err := core.NewEngine("go", 0)
		if err != nil {
			return err
		}
		defer plain.Close()
		want, slow, err := mapsOn(c, m, plain, img)
		if err != nil {
			return err
		}
		worst := float32(0)
		for i, v := range maps {
			worst = max(worst, v-want[i], want[i]-v)
		}
		f.Text = fmt.Sprintf("%s, %d x %d pixels: %.1f ms, in plain Go %.0f ms; they differ by %.1g at most",
			weights.DefaultName, side, side, took.Seconds()*1e3, slow.Seconds()*1e3, worst)
		if !(worst < 1e-3) {
			return errors.New("the maps are wrong")
		}
		return nil
	}()
	if err != nil {
		f.Problem = err.Error()
	}
	return []finding{f}
}

// mapsOn returns the maps that the model makes on an engine and the time of a second
// run, when weights and memory are in place.
func mapsOn(c *cli.Context, m *unet.Model, e *core.Engine, img *imageio.Image) (maps []float32, took time.Duration, err error) {
	p := unet.NewPredictor(e, m)
	defer p.Close()
	for range 2 {
		start := time.Now()
		found, err := p.Maps(c.Context, img)
		if err != nil {
			return nil, 0, err
		}
		took = time.Since(start)
		maps = found.Pix
	}
	return maps, took, nil
}

// testFolder writes, locks, replaces and removes files in dir, as commands do.
func testFolder(what, dir string) finding {
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	f := finding{What: what, Text: abs}
	if err := tryFolder(abs, &f); err != nil {
		f.Problem = err.Error()
	}
	return f
}

func tryFolder(dir string, f *finding) error {
	work, err := os.MkdirTemp(dir, ".unet-doctor-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	path := filepath.Join(work, "Größe 核.txt")
	for _, text := range []string{"one", "two"} {
		if err := atomicfile.WriteFile(path, func(w io.Writer) error { _, err := io.WriteString(w, text); return err }); err != nil {
			return err
		}
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, []byte(text)) {
			return fmt.Errorf("what was written cannot be read: %q, %v", b, err)
		}
	}
	f.Text += ": writes, renames"
	if _, err := os.Stat(filepath.Join(work, "GRÖßE 核.TXT")); err == nil {
		f.Text += ", does not tell upper from lower case"
	}
	return tryLocks(path, f)
}

// tryLocks sees whether the file system's locks keep others out.
func tryLocks(path string, f *finding) error {
	var files []*os.File
	for range 2 {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		files = append(files, file)
	}
	switch first, second := atomicfile.TryLock(files[0]), atomicfile.TryLock(files[1]); {
	case first != nil:
		f.Text += ", has no locks (" + first.Error() + "): do not train twice in one folder"
	case !errors.Is(second, atomicfile.ErrLocked):
		return fmt.Errorf("its locks do not keep others out: %v", second)
	default:
		f.Text += ", locks"
	}
	return nil
}
