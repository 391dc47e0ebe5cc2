// Command rivals compares unet with StarDist on the same work. Both are trained
// from random weights on the same fluorescence images and the same generated
// crowded scenes, for the same processor time, choose their thresholds on the
// same validation images, and predict, from file to label image, the images of
// laboratories that neither has seen. One scorer compares their label images
// with the truth.
//
//	unet prepare stage1_train.zip stage1_test_57.zip --corrections stage1_train_fixes.zip --out set --size native --fix
//	python3 -m venv build/stardist && build/stardist/bin/pip install tensorflow-cpu stardist
//	go run ./bench/quality/rivals [-python build/stardist/bin/python] [-folds 5] [-only 1,2] [-steps 1200] SET RUNS
//
// Each trains in its own way: unet as `unet train` does by default, for so many
// steps of 8 patches of 128 x 128; StarDist as stardist_worker.py says, on as
// many patches a step, until its process has used as much processor time as
// `unet train` did. Every program has one thread, so that threads that wait for
// others do not count as work. Only fluorescence is compared: StarDist's
// networks of one channel are for that.
//
// RUNS gets a folder for each fold of the sources. The same command continues
// where it was cut off: a program that has finished a fold does not do it
// again. The tables are Markdown; times are processor time.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"unet/bench/program"
	"unet/unet/dataset"
	"unet/unet/imageio"
)

func main() {
	b := &bench{}
	flag.StringVar(&b.python, "python", "build/stardist/bin/python", "Python with stardist and tensorflow-cpu")
	folds := flag.Int("folds", 5, "number of folds of the sources")
	only := flag.String("only", "", "comma-separated `FOLDS` to do, from 1 (default: all)")
	flag.IntVar(&b.steps, "steps", 1200, "steps of unet's training, a multiple of 4")
	flag.IntVar(&b.scenes, "scenes", 200, "number of crowded scenes, of which those of fluorescence are used")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "rivals: give a prepared set and a folder for the runs")
		os.Exit(2)
	}
	b.runs = flag.Arg(1)
	if err := b.run(flag.Arg(0), *folds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "rivals:", err)
		os.Exit(1)
	}
}

// bench is what all folds have in common.
type bench struct {
	program, python string
	runs            string
	steps, scenes   int
}

func (b *bench) run(dir string, folds int, only string) error {
	numbers, err := chosen(only, folds)
	if err != nil {
		return err
	}
	set, err := dataset.Open(dir)
	if err != nil {
		return err
	}
	set.Entries = slices.DeleteFunc(set.Entries, func(e dataset.Entry) bool { return !fluorescent(e) })
	parts, err := set.Folds(folds)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.runs, 0o777); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "rivals")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if b.program, err = program.Build(tmp); err != nil {
		return err
	}
	generated, err := b.generate()
	if err != nil {
		return err
	}
	us, them := &standing{name: "unet"}, &standing{name: "StarDist"}
	for _, k := range numbers {
		fold, err := set.LeaveOut(parts[k-1])
		if err != nil {
			return err
		}
		folder := filepath.Join(b.runs, fmt.Sprintf("fold-%d", k))
		if err := derive(filepath.Join(folder, "set"), fold, generated); err != nil {
			return err
		}
		if err := b.compare(folder, us, them); err != nil {
			return fmt.Errorf("fold %d: %w", k, err)
		}
	}
	table(us, them, len(numbers))
	return nil
}

// chosen reads the numbers of folds to do.
func chosen(only string, folds int) ([]int, error) {
	var list []int
	if only == "" {
		for k := range folds {
			list = append(list, k+1)
		}
		return list, nil
	}
	for text := range strings.SplitSeq(only, ",") {
		k, err := strconv.Atoi(text)
		if err != nil || k < 1 || k > folds {
			return nil, fmt.Errorf("-only %q: folds from 1 to %d", only, folds)
		}
		list = append(list, k)
	}
	return list, nil
}

func fluorescent(e dataset.Entry) bool { return strings.HasPrefix(e.Kind, "fluorescence") }

// generate makes the crowded scenes, a prepared set, unless they are there.
func (b *bench) generate() (*dataset.Set, error) {
	zip, dir := filepath.Join(b.runs, "scenes.zip"), filepath.Join(b.runs, "scenes")
	if set, err := dataset.Open(dir); err == nil {
		return set, nil
	}
	for _, args := range [][]string{
		{"sample", "--crowded", "--count", strconv.Itoa(b.scenes), "--out", zip, "--force"},
		{"prepare", zip, "--out", dir, "--size", "native"},
	} {
		if _, err := spend(exec.Command(b.program, append(args, "-q")...)); err != nil {
			return nil, err
		}
	}
	return dataset.Open(dir)
}

// derive writes a prepared set of the images of set, split as it says, and of
// the generated scenes of fluorescence, all to train on.
func derive(dir string, set, generated *dataset.Set) error {
	if _, err := os.Stat(filepath.Join(dir, "metadata.json")); err == nil {
		return nil // of a run that was cut off
	}
	meta := *set.Meta
	meta.Entries, meta.Links, meta.Findings = nil, nil, nil
	for _, folder := range []string{"images", "labels"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o777); err != nil {
			return err
		}
	}
	for _, from := range []*dataset.Set{set, generated} {
		for _, e := range from.Entries {
			if !fluorescent(e) {
				continue
			}
			if from == generated {
				e.Split, e.Source, e.Group = dataset.Train, "generated", e.ID
			}
			for _, folder := range []string{"images", "labels"} {
				name := filepath.Join(folder, e.ID+".png")
				b, err := os.ReadFile(filepath.Join(from.Dir, name))
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
					return err
				}
			}
			meta.Entries = append(meta.Entries, e)
		}
	}
	slices.SortFunc(meta.Entries, func(a, b dataset.Entry) int { return strings.Compare(a.ID, b.ID) })
	meta.Counts = dataset.Counts{Images: len(meta.Entries)}
	b, err := json.Marshal(&meta)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "metadata.json"), b, 0o666) // last: now it is whole
}

// compare has both programs do a fold and scores what they found.
func (b *bench) compare(folder string, us, them *standing) error {
	set, err := dataset.Open(filepath.Join(folder, "set"))
	if err != nil {
		return err
	}
	var images []string
	for _, i := range set.Split(dataset.Test) {
		images = append(images, filepath.Join(set.Dir, "images", set.Entries[i].ID+".png"))
	}
	ours, err := finish(filepath.Join(folder, "unet"), images, b.unet(set.Dir))
	if err != nil {
		return err
	}
	theirs, err := finish(filepath.Join(folder, "stardist"), images, b.stardist(set.Dir, ours.Train))
	if err != nil {
		return err
	}
	for _, i := range set.Split(dataset.Test) {
		sample, err := set.Load(i)
		if err != nil {
			return err
		}
		for s, program := range map[*standing]string{us: "unet", them: "stardist"} {
			file := filepath.Join(folder, program, "labels", sample.ID+".labels.tif")
			found, err := imageio.ReadLabels(file)
			if err != nil {
				return err
			}
			if err := s.add(sample, found); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	us.spent(ours)
	them.spent(theirs)
	return nil
}

// commands are what a program does, in the folder out.
type commands struct {
	train   func(out string) *exec.Cmd
	tune    func(out string) *exec.Cmd // choose thresholds on the validation images
	predict func(out, labels string, images []string) *exec.Cmd
}

func (b *bench) unet(set string) commands {
	command := func(args ...string) *exec.Cmd {
		return exec.Command(b.program, append(args, "--threads", "1", "-q")...)
	}
	model := func(out string) string { return filepath.Join(out, "run", "model.safetensors") }
	return commands{
		train: func(out string) *exec.Cmd {
			return command("train", set, "--out", filepath.Join(out, "run"), "--epochs", "4", "--steps", strconv.Itoa(b.steps/4))
		},
		tune: func(out string) *exec.Cmd {
			return command("evaluate", set, "--model", model(out), "--tune", "--split", dataset.Val)
		},
		predict: func(out, labels string, images []string) *exec.Cmd {
			// StarDist does not measure nuclei first to rescale its images.
			args := append([]string{"predict"}, images...)
			return command(append(args, "--model", model(out), "--out", labels, "--format", "labels", "--diameter", "native")...)
		},
	}
}

// stardist trains for so many seconds of processor time.
func (b *bench) stardist(set string, seconds float64) commands {
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(b.python, append([]string{"bench/quality/rivals/stardist_worker.py"}, args...)...)
		cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1")
		return cmd
	}
	return commands{
		train: func(out string) *exec.Cmd { return command("train", out, set, fmt.Sprintf("%.0f", seconds)) },
		tune:  func(out string) *exec.Cmd { return command("tune", out, set) },
		predict: func(out, labels string, images []string) *exec.Cmd {
			return command(append([]string{"predict", out, labels}, images...)...)
		},
	}
}

// times are seconds of processor time.
type times struct {
	Train, Tune float64
	Predict     float64 // all images
	First       float64 // the first image alone
	Images      int
}

// finish trains a program, predicts images into out/labels and returns what that
// took, or what it took when it was done before.
func finish(out string, images []string, c commands) (*times, error) {
	record := filepath.Join(out, "times.json")
	t := &times{Images: len(images)}
	if b, err := os.ReadFile(record); err == nil {
		return t, json.Unmarshal(b, t)
	}
	if err := os.RemoveAll(out); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return nil, err
	}
	for _, stage := range []struct {
		cmd     *exec.Cmd
		seconds *float64
	}{
		{c.train(out), &t.Train},
		{c.tune(out), &t.Tune},
		{c.predict(out, filepath.Join(out, "first"), images[:1]), &t.First},
		{c.predict(out, filepath.Join(out, "labels"), images), &t.Predict},
	} {
		var err error
		if *stage.seconds, err = spend(stage.cmd); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	return t, os.WriteFile(record, b, 0o666)
}

// spend runs a command and returns the processor time that it took, in seconds.
func spend(cmd *exec.Cmd) (float64, error) {
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s %s: %w", filepath.Base(cmd.Path), cmd.Args[1], err)
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), nil
}
