package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"unet/unet"
	"unet/unet/imageio/tiff"
	"unet/unet/segment"

	"github.com/google/go-cmp/cmp"
)

// times are what differs between two runs of the same work.
var times = regexp.MustCompile(`"(?:started|finished|seconds)": *[^,\n]*`)

// everything is all that lies in a folder, without times.
func everything(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // or not any more
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		rel, _ := filepath.Rel(dir, p)
		if rel == segment.ManifestFile {
			b = times.ReplaceAll(b, nil)
		}
		m[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sameFiles compares all that lies in two folders, by everything.
func sameFiles(t *testing.T, what string, want, got map[string]string) {
	t.Helper()
	for name, b := range want {
		if text, ok := got[name]; !ok {
			t.Errorf("%s: %s is not there", what, name)
		} else if text != b {
			t.Errorf("%s: %s differs: %.600s", what, name, cmp.Diff(b, text))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is left over", what, name)
		}
	}
}

// shardSet makes images of several sizes and kinds, one of which is broken, and
// returns the arguments that segment them.
func shardSet(t *testing.T, in string, images int) []string {
	t.Helper()
	for i := range images {
		w, h := 50+17*(i%5), 44+9*(i%7)
		writeImage(t, filepath.Join(in, fmt.Sprintf("plate%d/%02d.png", i%2, i)), discs(w, h, disc{20, 14 + i%9, 6}, disc{w - 9, 31, 7}))
	}
	if err := os.WriteFile(filepath.Join(in, "broken.tif"), []byte("II*\x00 and nothing else"), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"predict", in, filepath.Join(in, "missing.png"), "--model", brightnessModel(t, unet.Nuclei), "--condition", "folder",
		"--format", "labels,overlay,csv,mask,prob,roi,geojson,coco,rle-csv,zarr", "--quiet", "--out"}
}

// TestShards: parts in any order, repeated, begun again, and of any number leave
// what one process does.
func TestShards(t *testing.T) {
	dir := t.TempDir()
	args := shardSet(t, filepath.Join(dir, "in"), 13)
	once := filepath.Join(dir, "once")
	mustRun(t, exitPartial, append(args, once)...)
	want := everything(t, once)
	if len(want) < 100 {
		t.Fatalf("%d files", len(want))
	}
	for _, n := range []int{1, 2, 3, 7, 20} {
		if testing.Short() && n != 3 {
			continue
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			out := filepath.Join(dir, fmt.Sprint(n))
			rng := rand.New(rand.NewPCG(uint64(n), 1))
			part := func(i int) {
				mustRun(t, exitOK, append(args, out, "--shard", fmt.Sprintf("%d/%d", i+1, n))...)
			}
			order := rng.Perm(n)
			for k, i := range order {
				if k > 0 && n > 1 { // named are those that are missing
					_, stderr := mustRun(t, exitInput, "gather", out)
					if !strings.Contains(stderr, fmt.Sprintf("%d of %d parts", n-k, n)) || !strings.Contains(stderr, "--shard ") {
						t.Errorf("%s", stderr)
					}
				}
				part(i)
			}
			part(order[0]) // repeated
			// One whose results and record are lost in part is done again.
			if lost, err := filepath.Glob(filepath.Join(out, "plate1", "*.labels.tif")); err != nil || len(lost) == 0 || os.Remove(lost[0]) != nil {
				t.Fatal(lost, err)
			}
			mustRun(t, exitInput, "gather", out)
			for _, i := range order {
				part(i)
			}
			mustRun(t, exitPartial, "gather", out, "--quiet")
			sameFiles(t, "the gathered parts and one run", want, everything(t, out))
			_, stderr := mustRun(t, exitInput, "gather", out)
			if !strings.Contains(stderr, "no parts") {
				t.Errorf("gathered twice: %s", stderr)
			}
		})
	}
}

// startProgram starts the program by itself; ended tells how it did.
func startProgram(t *testing.T, args []string) (c *exec.Cmd, ended <-chan error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c = exec.CommandContext(t.Context(), self, args...)
	c.Env = append(os.Environ(), "UNET_TEST_MAIN=1")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { end <- c.Wait() }()
	return c, end
}

// killed runs the program and kills it when so many files have come to a folder,
// unless it is faster.
func killed(t *testing.T, out string, files int, args []string) {
	t.Helper()
	count := func() (n int) {
		filepath.WalkDir(out, func(string, fs.DirEntry, error) error { n++; return nil })
		return n
	}
	until := count() + files
	c, ended := startProgram(t, args)
	for count() <= until {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
	c.Process.Kill()
	<-ended
}

// TestShardsKilled kills parts again and again as they write, with two processes
// at each part.
func TestShardsKilled(t *testing.T) {
	dir := t.TempDir()
	args := shardSet(t, filepath.Join(dir, "in"), 24)
	once, out := filepath.Join(dir, "once"), filepath.Join(dir, "out")
	mustRun(t, exitPartial, append(args, once)...)
	rng := rand.New(rand.NewPCG(3, 4))
	for part := 1; part <= 3; part++ {
		c := append(args[:len(args):len(args)], out, "--shard", fmt.Sprintf("%d/3", part), "--jobs", "1")
		for range 4 {
			killed(t, out, rng.IntN(30), c)
		}
		_, one := startProgram(t, c)
		_, two := startProgram(t, c)
		if err := errors.Join(<-one, <-two); err != nil {
			t.Fatalf("part %d: %v", part, err)
		}
	}
	mustRun(t, exitPartial, "gather", out, "--quiet")
	sameFiles(t, "the gathered parts and one run", everything(t, once), everything(t, out))
}

// TestShardsDivided: parts of one large image, killed, repeated and of any number,
// leave what one process does.
func TestShardsDivided(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	in := filepath.Join(dir, "in")
	var list []disc
	for i := range 120 {
		list = append(list, disc{(i * 1237) % 400, (i*977 + 3*i) % 2100, 9 + i%20})
	}
	for y := range 130 { // a clump across several parts
		list = append(list, disc{200 + y%7, 300 + 6*y, 5})
	}
	big, then := filepath.Join(in, "big.tif"), time.Unix(1e9, 0)
	writeImage(t, big, discs(400, 2100, list...))
	if err := os.Chtimes(big, then, then); err != nil {
		t.Fatal(err)
	}
	writeImage(t, filepath.Join(in, "small.png"), discs(60, 50, disc{20, 20, 7}))
	for _, diameter := range []string{"native", "20"} {
		args := []string{"predict", in, "--model", model, "--diameter", diameter, "--max-memory", "360MiB", "--jobs", "16", "--keep", "area>=60,circularity>0.5", "--quiet",
			"--format", "labels,csv,geojson,overlay,density,mask,prob,rle-csv,coco,roi,zarr", "--out"}
		once := filepath.Join(dir, "once-"+diameter)
		mustRun(t, exitOK, append(args, once)...)
		want := everything(t, once)
		for _, n := range []int{1, 2, 3, 7} {
			if testing.Short() && n != 3 || (diameter == "native") == (n == 2) {
				continue
			}
			t.Run(fmt.Sprintf("%s, %d parts", diameter, n), func(t *testing.T) {
				out := filepath.Join(dir, fmt.Sprint(diameter, n))
				order := rand.New(rand.NewPCG(uint64(n), 5)).Perm(n)
				command := func(i int) []string {
					return append(args[:len(args):len(args)], out, "--shard", fmt.Sprintf("%d/%d", i+1, n))
				}
				part := func(i int) { mustRun(t, exitOK, command(i)...) }
				if n == 7 { // all at once
					var all []<-chan error
					for _, i := range order {
						_, ended := startProgram(t, command(i))
						all = append(all, ended)
					}
					for _, ended := range all {
						if err := <-ended; err != nil {
							t.Fatal(err)
						}
					}
				}
				for k, i := range order {
					for files := range 3 {
						if n == 3 {
							killed(t, out, files, command(i))
						}
					}
					if k == 1 && n < 7 { // another image by now
						now := time.Now()
						if err := os.Chtimes(big, now, now); err != nil {
							t.Fatal(err)
						}
						if _, stderr := mustRun(t, exitOK, command(i)...); !strings.Contains(stderr, "has changed since another part read it") {
							t.Error(stderr)
						}
						if err := os.Chtimes(big, then, then); err != nil {
							t.Fatal(err)
						}
					}
					part(i)
				}
				pieces, err := filepath.Glob(filepath.Join(out, segment.PartsDir, "pieces", "big.*-*-*"))
				if err != nil || len(pieces) != n && n > 1 {
					t.Errorf("%d pieces of %d parts: %v", len(pieces), n, err)
				}
				part(order[0]) // repeated
				if n > 1 {     // killed after some of its files
					if err := os.Remove(filepath.Join(pieces[0], "piece")); err != nil {
						t.Fatal(err)
					}
					mustRun(t, exitInput, "gather", out)
					for _, i := range order {
						part(i)
					}
				}
				mustRun(t, exitOK, "gather", out, "--quiet")
				sameFiles(t, "the gathered parts and one run", want, everything(t, out))
			})
		}
	}
}

// writeStack writes a hyperstack, as ImageJ does, of slices of two channels, each
// with discs of its own.
func writeStack(t *testing.T, file string, w, h, slices int) {
	t.Helper()
	const channels = 2
	f, err := tiff.Create(file, tiff.Options{W: w, H: h, Bits: 8, Pages: channels * slices,
		Description: fmt.Sprintf("ImageJ=1.53t\nimages=%d\nchannels=%d\nslices=%d\nhyperstack=true\nmode=grayscale\n", channels*slices, channels, slices)})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abort()
	for page := range channels * slices {
		var list []disc
		for i := range h / 12 {
			list = append(list, disc{(i*(1237+page) + 31*page) % w, (i*(977+5*page) + 3*i) % h, 6 + (i+page)%12})
		}
		m := discs(w, h, list...)
		row := make([]uint32, w)
		for y := range h {
			for x := range row {
				row[x] = uint32(m.Pix[y*w+x]) + uint32(page)
			}
			if err := f.WriteLabels(row); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestShardsDividedStack: parts of the planes of a stack of several channels, of which
// one is searched and all are measured, leave what one process does.
func TestShardsDividedStack(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	file := filepath.Join(dir, "stack.tif")
	writeStack(t, file, 400, 1200, 2)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"a channel of all slices", []string{"--channel", "1"}},
		{"each channel of a slice", []string{"--channel", "all", "--z", "1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"predict", file, "--model", model, "--diameter", "native", "--max-memory", "360MiB", "--jobs", "16", "--quiet",
				"--format", "labels,csv,overlay,prob"}, append(c.args, "--out")...)
			once, out := filepath.Join(t.TempDir(), "once"), filepath.Join(t.TempDir(), "out")
			mustRun(t, exitOK, append(args, once)...)
			for _, part := range []string{"3/3", "1/3", "2/3"} {
				mustRun(t, exitOK, append(args, out, "--shard", part)...)
			}
			pieces, err := filepath.Glob(filepath.Join(out, segment.PartsDir, "pieces", "stack*.*-*-*"))
			if err != nil || len(pieces) != 6 {
				t.Errorf("%d pieces of 2 planes in 3 parts: %v", len(pieces), err)
			}
			mustRun(t, exitOK, "gather", out, "--quiet")
			want := everything(t, once)
			sameFiles(t, "the gathered parts and one run", want, everything(t, out))
			if rows := readRows(t, filepath.Join(once, "nuclei.csv")); len(rows) < 100 || !strings.Contains(strings.Join(rows[0], " "), "mean_2") {
				t.Errorf("%d rows of %q", len(rows), rows[0])
			}
		})
	}
}

// TestShardsTooTall: a clump of nuclei that no part can hold fails its image, which
// one process would cut.
func TestShardsTooTall(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	file, out := filepath.Join(dir, "big.tif"), filepath.Join(dir, "out")
	var list []disc
	for y := range 100 {
		list = append(list, disc{200, 300 + 7*y, 5})
	}
	writeImage(t, file, discs(400, 1200, list...))
	args := []string{"predict", file, "--model", model, "--max-memory", "322MiB", "--jobs", "16", "--format", "csv", "--diameter", "native", "--out"}
	if _, stderr := mustRun(t, exitOK, append(args, filepath.Join(dir, "once"))...); !strings.Contains(stderr, "was cut") {
		t.Fatal(stderr)
	}
	for _, part := range []string{"1/2", "2/2"} {
		mustRun(t, exitOK, append(args, out, "--shard", part)...)
	}
	if _, stderr := mustRun(t, exitInput, "gather", out); !strings.Contains(stderr, "taller than") || !strings.Contains(stderr, "as one part") {
		t.Error(stderr)
	}
}

// TestShardsRefused: nobody joins a plan with other work.
func TestShardsRefused(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	args := append(shardSet(t, in, 5), out)
	mustRun(t, exitOK, append(args, "--shard", "1/2")...)
	writeImage(t, filepath.Join(dir, "more.png"), discs(40, 40))
	for _, c := range []struct {
		name string
		more []string
		says string
	}{
		{"another number of parts", []string{"--shard", "2/3"}, "into 2 parts, not 3"},
		{"other settings", []string{"--shard", "2/2", "--threshold", "0.7"}, "other settings"},
		{"more images", []string{"--shard", "2/2", filepath.Join(dir, "more.png")}, "the images are not the same"},
		{"no such part", []string{"--shard", "3/2"}, "there is no part 3 of 2"},
		{"no scheduler", []string{"--shard", "auto"}, "no scheduler"},
		{"all of it", nil, "into 2 parts, which are not gathered yet"},
	} {
		if _, stderr := mustRun(t, exitUsage, append(args, c.more...)...); !strings.Contains(stderr, c.says) {
			t.Errorf("%s: %s", c.name, stderr)
		}
	}
	if _, stderr := mustRun(t, exitInput, "gather", out); !strings.Contains(stderr, "1 of 2 parts are not done: 2") {
		t.Error(stderr)
	}
	t.Setenv("SLURM_ARRAY_TASK_ID", "2")
	mustRun(t, exitOK, append(args, "--shard", "auto/2")...)
	mustRun(t, exitPartial, "gather", out, "--quiet")
	mustRun(t, exitUsage, "gather")
	if _, stderr := mustRun(t, exitInput, "gather", filepath.Join(dir, "nowhere")); !strings.Contains(stderr, "no such folder") {
		t.Error(stderr)
	}
}

// sbatch stands for Slurm's: it runs the tasks of an array one after the other.
const sbatch = `#!/bin/sh
for a; do
  case $a in
  --array=1-*) tasks=${a#--array=1-} ;;
  --export=ALL,unet=*) export unet="${a#--export=ALL,unet=}" ;;
  esac
done
script=$(cat)
if [ -z "$tasks" ]; then
  exec sh -c "$script"
fi
for i in $(seq "$tasks"); do
  SLURM_ARRAY_TASK_ID=$i sh -c "$script" >&2 || exit 1
done
echo "7;cluster"
`

// TestClusterJob submits the job for Slurm of a folder with an odd name.
func TestClusterJob(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "it's $HOME")
	args := shardSet(t, filepath.Join(dir, "the images"), 7)
	once, out := filepath.Join(dir, "once"), filepath.Join(dir, "out")
	mustRun(t, exitPartial, append(args, once)...)
	job := append([]string{"cluster", "slurm"}, args[1:]...)
	script, _ := mustRun(t, exitOK, append(job, out, "--parts", "3")...)
	if err := os.WriteFile(filepath.Join(dir, "sbatch"), []byte(sbatch), 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), sh)
	c.Stdin = strings.NewReader(script)
	c.Dir = dir
	c.Env = append(os.Environ(), "UNET_TEST_MAIN=1", "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	text, err := c.CombinedOutput()
	if c.ProcessState == nil || c.ProcessState.ExitCode() != exitPartial {
		t.Fatalf("%v\n%s\n%s", err, script, text)
	}
	sameFiles(t, "the job and one run", everything(t, once), everything(t, out))
	for _, wrong := range [][]string{{"cluster", "cron"}, {"cluster", "slurm", dir}, {"cluster", "slurm", dir, "--out", out, "--parts", "0"}, {"cluster"}} {
		mustRun(t, exitUsage, wrong...)
	}
	mustRun(t, exitInput, "cluster", "slurm", filepath.Join(dir, "missing"), "--out", out)

	// Tasks of Nextflow run in folders of their own.
	t.Chdir(dir)
	if err := os.Mkdir("regions", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("groups.tsv", []byte("image\tcondition\na\tcontrol\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, status := range map[string]int{"the images": exitUsage, filepath.Join(dir, "the images"): exitOK} {
		if err := os.WriteFile("list.txt", []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		mustRun(t, status, "cluster", "nextflow", "--from-file", "list.txt", "--out", "new")
		mustRun(t, exitOK, "cluster", "slurm", "--from-file", "list.txt", "--out", "new")
	}
	script, _ = mustRun(t, exitOK, "cluster", "nextflow", "the images", "--out", "new", "--region", "regions", "--condition", "groups.tsv")
	for _, name := range []string{"the images", "new", "regions", "groups.tsv"} {
		if !strings.Contains(script, string(filepath.Separator)+name) {
			t.Errorf("%s is not absolute:\n%s", name, script)
		}
	}
}
