package cli

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"unet/unet"
	"unet/unet/segment"

	"github.com/google/go-cmp/cmp"
)

// TestMain makes the test binary be the program itself when it is started
// with UNET_TEST_MAIN, so that tests see a whole process.
func TestMain(m *testing.M) {
	if os.Getenv("UNET_TEST_MAIN") != "" {
		os.Exit(Main(append([]string{"unet"}, os.Args[1:]...), os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// process runs the program in a process of its own, in dir.
func process(t *testing.T, dir string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	// Long enough for any machine: it ends what would never end.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, self, args...)
	c.Dir, c.Stdout, c.Stderr = dir, &out, &errs
	c.Env = append(append(os.Environ(), "UNET_TEST_MAIN=1"), env...)
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}

// misuse is a wrong command line or a bad input. OUT in args becomes a path
// where nothing is.
type misuse struct {
	args string
	code int
	says string // within the error line
	env  string
	// prints is within standard output, for commands that say there what they
	// found before they fail; else it must be empty.
	prints string
}

// misuses run in the folder that badFiles fills.
var misuses = []misuse{
	// Commands and options.
	{args: "predcit", code: exitUsage, says: `no command "predcit"`},
	{args: "xyzzy", code: exitUsage, says: `no command "xyzzy"`},
	{args: "--frobnicate", code: exitUsage, says: "there is no option --frobnicate\nhint: options come after the command; see `unet --help`"},
	{args: "--json version", code: exitUsage, says: "after the command"},
	{args: "help predcit", code: exitUsage, says: `no command "predcit"`},
	{args: "predict good.png --out OUT --treshold 0.5", code: exitUsage, says: "no option --treshold\nhint: did you mean --threshold?"},
	{args: "predict good.png --out OUT --min-area x", code: exitUsage, says: `--min-area "x": give a whole number`},
	{args: "predict good.png --out OUT --threshold x", code: exitUsage, says: `--threshold "x": give a number`},
	{args: "predict good.png --out OUT --json=maybe", code: exitUsage, says: `--json "maybe": give no value, true or false`},
	{args: "predict --frobnicate good.png --out OUT", code: exitUsage, says: "frobnicate"},
	{args: "predict good.png --out", code: exitUsage, says: "--out needs a value"},
	{args: "predict good.png", code: exitUsage, says: "--out is missing"},
	{args: "predict good.png -dash.png --out OUT", code: exitUsage, says: "no option -dash.png\nhint: if the file is meant, write ./-dash.png"},
	{args: "predict good.png --out OUT --condition bad.json", code: exitUsage, says: "--condition bad.json: the regular expression"},
	{args: "predict good.png --out OUT --condition twice.csv", code: exitInput, says: "unet: twice.csv: line 3: "},
	{args: "predict good.png --out OUT --condition none.csv", code: exitInput, says: "unet: none.csv: no such file or folder"},
	{args: "predict --out OUT", code: exitUsage, says: "argument is missing"},
	{args: "predict good.png --out OUT --threads -1", code: exitUsage, says: "0 to "},
	{args: "predict good.png --out OUT --threads -2", code: exitUsage, says: "\nhint: see `unet predict --help`"},
	{args: "predict good.png --out OUT --threads many", code: exitUsage, says: "many"},
	{args: "predict good.png --out OUT --threads 100000", code: exitUsage, says: "--threads"},
	{args: "predict good.png --out OUT", env: "UNET_ISA=mmx", code: exitUsage, says: "mmx"},
	{args: "predict good.png --out OUT", env: "UNET_THREADS=x", code: exitUsage, says: "UNET_THREADS"},
	{args: "predict good.png --out OUT --jobs 0", code: exitUsage, says: "--jobs"},
	{args: "predict good.png --out OUT --max-memory plenty", code: exitUsage, says: "--max-memory"},
	{args: "predict good.png --out OUT --max-memory -1GiB", code: exitUsage, says: "--max-memory"},
	{args: "predict good.png --out OUT --format labels,jpeg2000", code: exitUsage, says: "jpeg2000"},
	{args: "predict good.png --out OUT --threshold 1.5", code: exitUsage, says: "--threshold"},
	{args: "predict good.png --out OUT --threshold NaN", code: exitUsage, says: "--threshold"},
	{args: "predict good.png --out OUT --precision half", code: exitUsage, says: "half"},
	{args: "predict good.png --out OUT --precision int8", code: exitUsage, says: "int8"},
	{args: "predict good.png --out OUT --min-area -3", code: exitUsage, says: "--min-area"},
	{args: "predict good.png --out OUT --pixel-size -1", code: exitUsage, says: "--pixel-size"},
	{args: "predict good.png --out OUT --pixel-size NaN", code: exitUsage, says: "--pixel-size"},
	{args: "predict good.png --out OUT --diameter large", code: exitUsage, says: "--diameter"},
	{args: "predict good.png --out OUT --diameter -4um", code: exitUsage, says: "--diameter"},
	{args: "predict good.png --out OUT --page 3-1", code: exitUsage, says: "page"},
	{args: "predict good.png --out OUT --model embedded:none", code: exitUsage, says: `"none"`},
	// Images.
	{args: "predict none.png --out OUT", code: exitInput, says: "none.png"},
	{args: "predict no*.png --out OUT", code: exitInput, says: "no*.png"},
	{args: "predict empty --out OUT", code: exitInput, says: "empty"},
	{args: "predict good.png --out OUT --from-file none.txt", code: exitInput, says: "none.txt"},
	{args: "predict zero.png --out OUT", code: exitInput, says: "zero.png"},
	{args: "predict cut.png --out OUT", code: exitInput, says: "cut.png"},
	{args: "predict text.png --out OUT", code: exitInput, says: "text.png"},
	{args: "predict huge.png --out OUT", code: exitResource, says: "huge.png"},
	{args: "predict images.zip --out OUT", code: exitFormat, says: "zip archive\nhint: unpack it and give the folder; `unet prepare`"},
	{args: "predict good.png cut.tif --out OUT --format csv --model model.safetensors", code: exitPartial, says: "cut.tif"},
	{args: "predict cut.tif --out OUT", code: exitInput, says: "cut.tif"},
	{args: "predict cyclic.tif --out OUT", code: exitInput, says: "cyclic.tif"},
	{args: "predict nodir.tif --out OUT", code: exitInput, says: "nodir.tif"},
	{args: "predict good.png --out good.png", code: exitUsage, says: "good.png is a file"},
	// Models.
	{args: "predict good.png --out OUT --model none.safetensors", code: exitInput, says: "unet: none.safetensors: no such file or folder"},
	{args: "predict good.png --out OUT --model good.png", code: exitFormat, says: "good.png"},
	{args: "predict good.png --out OUT --model empty", code: exitFormat, says: "empty"},
	{args: "predict good.png --out OUT --model zero.safetensors", code: exitFormat, says: "zero.safetensors"},
	{args: "predict good.png --out OUT --model cut.safetensors", code: exitFormat, says: "cut.safetensors"},
	{args: "predict good.png --out OUT --model newer.safetensors", code: exitFormat, says: "model format 99"},
	{args: "predict good.png --out OUT --model header.safetensors", code: exitFormat, says: "header.safetensors"},
	{args: "info none.safetensors", code: exitInput, says: "none.safetensors"},
	{args: "info cut.safetensors", code: exitFormat, says: "cut.safetensors"},
	{args: "info model.safetensors model.safetensors", code: exitUsage, says: "too many arguments"},
	{args: "version now", code: exitUsage, says: "now"},
	{args: "licenses all", code: exitUsage, says: "all"},
	// Sets and archives.
	{args: "prepare", code: exitUsage, says: "argument is missing"},
	{args: "prepare images.zip", code: exitUsage, says: "--out is missing"},
	{args: "prepare images.zip --out OUT --size 7", code: exitUsage, says: "--size"},
	{args: "prepare images.zip --out OUT --size big", code: exitUsage, says: "--size"},
	{args: "prepare images.zip --out OUT --split 0.5,0.1", code: exitUsage, says: "--split"},
	{args: "prepare images.zip --out OUT --split 2,-1,0", code: exitUsage, says: "--split"},
	{args: "prepare none.zip --out OUT", code: exitInput, says: "none.zip"},
	{args: "prepare images.zip --out good.png/set", code: exitInput, says: "unet: good.png: not a folder"},
	{args: "prepare cut.zip --out OUT", code: exitInput, says: "cut.zip"},
	{args: "prepare text.zip --out OUT", code: exitInput, says: "text.zip"},
	{args: "prepare evil.zip --out OUT", code: exitInput, says: "evil.zip"},
	{args: "prepare link.zip --out OUT", code: exitInput, says: "symbolic link"},
	{args: "prepare claims.zip --out OUT", code: exitInput, says: "claims"},
	{args: "prepare empty --out OUT", code: exitInput, says: "empty"},
	{args: "inspect", code: exitUsage, says: "argument"},
	{args: "inspect none", code: exitInput, says: "unet: none: no such file or folder"},
	{args: "inspect images.zip --out good.png", code: exitInput, says: "unet: good.png: not a folder"},
	{args: "inspect cut.zip", code: exitInput, says: "cut.zip"},
	{args: "inspect images.zip --samples 0", code: exitUsage, says: "--samples"},
	{args: "sample", code: exitUsage, says: "--out is missing"},
	{args: "sample --out OUT.tar", code: exitUsage, says: ".zip"},
	{args: "sample --out OUT.zip --count 0", code: exitUsage, says: "--count"},
	{args: "sample --out OUT.zip --size 9", code: exitUsage, says: "--size"},
	// Training.
	{args: "train", code: exitUsage, says: "argument is missing"},
	{args: "train set", code: exitUsage, says: "--out is missing"},
	{args: "train none --out OUT", code: exitInput, says: "unet: none: no such file or folder"},
	{args: "train empty --out OUT", code: exitInput, says: "empty"},
	{args: "train set --out OUT --kind resnet", code: exitUsage, says: "resnet"},
	{args: "train set --out OUT --preset slow", code: exitUsage, says: "slow"},
	{args: "train set --out OUT --memory low", code: exitUsage, says: "no option --memory"},
	{args: "train set --out OUT --depth 99", code: exitUsage, says: "depth 99"},
	{args: "train set --out OUT --width 17", code: exitUsage, says: "width 17"},
	{args: "train set --out OUT --lr NaN", code: exitUsage, says: "lr NaN"},
	{args: "train set --out OUT --batch 0", code: exitUsage, says: "batch"},
	{args: "train set --out OUT --epochs -1", code: exitUsage, says: "epochs"},
	{args: "train set --out OUT --augment wild", code: exitUsage, says: "wild"},
	{args: "train set --out OUT --monitor luck", code: exitUsage, says: "luck"},
	{args: "train set --out OUT --config none.yaml", code: exitInput, says: "none.yaml"},
	{args: "train set --out OUT --config text.yaml", code: exitUsage, says: "text.yaml"},
	{args: "train set --out OUT --config key.yaml", code: exitUsage, says: "key.yaml"},
	{args: "train set --out OUT --config kind.yaml", code: exitUsage, says: "resnet"},
	{args: "train set --out OUT --config alias.yaml", code: exitUsage, says: "alias.yaml"},
	{args: "train set --out OUT --config long.yaml", code: exitUsage, says: "more than"},
	{args: "train set --out OUT --config rate.yaml", code: exitUsage, says: "rate.yaml: lr 99: above 0, up to 10"},
	{args: "train set --out OUT --config rate.yaml --lr 98", code: exitUsage, says: "unet: lr 98: above 0"},
	{args: "train set --out OUT --config rehearsal.yaml", code: exitUsage, says: "rehearsal 0.5: only a training that starts from a model rehearses what that knows\nhint: leave the setting out, or give a model to start from (--from)"},
	{args: "train set --out good.png --epochs 1 --steps 1", code: exitUsage, says: "good.png is a file\nhint: give a folder for the run"},
	{args: "train set --out good.png/run --epochs 1 --steps 1", code: exitInput, says: "good.png/run: not in a folder"},
	{args: "train set --out OUT --resume", code: exitInput, says: "no checkpoint to continue from"},
	{args: "train set --out OUT --from embedded --depth 2", code: exitUsage, says: "belong to another network"},
	{args: "train set --out OUT --from cut.safetensors", code: exitFormat, says: "cut.safetensors"},
	{args: "sweep set --out OUT", code: exitUsage, says: "--vary"},
	{args: "sweep set --out OUT --vary colour=red", code: exitUsage, says: "colour"},
	{args: "sweep set --out OUT --vary lr=0.1,0.2 --random 0", code: exitUsage, says: "--random 0: 1 or more"},
	{args: "sweep set --out set --vary lr=0.1", code: exitUsage, says: "set holds a prepared set"},
	{args: "train set --split-by source --folds 2 --out set", code: exitUsage, says: "set holds a prepared set"},
	{args: "train set --split-by group --out OUT", code: exitUsage, says: "goes with --folds"},
	{args: "train none --split-by source --folds 2 --out OUT --job slurm", code: exitInput, says: "none"},
	{args: "train set --split-by source --folds 2 --out OUT --depth 99 --job slurm", code: exitUsage, says: "depth 99"},
	{args: "sweep none --out OUT --vary lr=0.1 --job slurm", code: exitInput, says: "none"},
	{args: "cluster slurm good.png --out OUT --threshold 7", code: exitUsage, says: "--threshold 7"},
	{args: "cluster slurm good.png --out OUT --format jpeg2000", code: exitUsage, says: "jpeg2000"},
	{args: "cluster slurm good.png --out OUT --model none.safetensors", code: exitInput, says: "none.safetensors"},
	{args: "cluster slurm --from-file - --out OUT", code: exitUsage, says: "standard input"},
	{args: "sweep set --kind nuclei --out OUT --vary lr=abc", code: exitUsage, says: `lr "abc": give a number`},
	{args: "sweep set --kind nuclei --out OUT --vary depth=1.5", code: exitUsage, says: `depth "1.5": give a whole number`},
	{args: "train set --out OUT --monitor foo", code: exitUsage, says: "monitor"},
	// Scores.
	{args: "evaluate", code: exitUsage, says: "argument"},
	{args: "evaluate none", code: exitInput, says: "none"},
	{args: "evaluate set --split future", code: exitUsage, says: "future"},
	{args: "evaluate set --tune", code: exitUsage, says: "--tune"},
	{args: "evaluate set --model cut.safetensors", code: exitFormat, says: "cut.safetensors"},
	// Label images and tables.
	{args: "measure", code: exitUsage, says: "argument is missing"},
	{args: "measure none.tif", code: exitInput, says: "unet: none.tif: no such file or folder\nhint: check the name"},
	{args: "measure good.png/none.tif", code: exitInput, says: "unet: good.png/none.tif: not in a folder"},
	{args: "measure labels.tif --out none/table.csv", code: exitInput, says: "the folder none does not exist\nhint: make the folder"},
	{args: "measure labels.tif --out good.png/table.csv", code: exitInput, says: "the folder good.png is a file\nhint: "},
	{args: "measure labels.tif good.png --level 1", code: exitUsage, says: "good.png: it has no level 1\nhint: the file has levels 0-0"},
	{args: "measure labels.tif --max-memory 1", code: exitResource, says: "and 1 B is allowed"},
	{args: "measure cut.tif", code: exitInput, says: "cut.tif"},
	{args: "measure labels.tif huge.png", code: exitResource, says: "huge.png"},
	{args: "measure labels.tif wide.png", code: exitInput, says: "wide.png"},
	{args: "view labels.tif", code: exitUsage, says: "--out is missing"},
	{args: "view none.tif --out OUT.png", code: exitInput, says: "none.tif"},
	{args: "view labels.tif --out OUT.png --scale 0", code: exitUsage, says: "--scale"},
	{args: "view labels.tif good.png --out good.png", code: exitUsage, says: "would be overwritten"},
	{args: "view labels.tif --out OUT.jpg", code: exitUsage, says: ".png"},
	{args: "measure labels.tif good.png --out labels.tif", code: exitUsage, says: "would be overwritten"},
	{args: "convert labels.tif ./labels.tif", code: exitUsage, says: "would be overwritten"},
	{args: "convert labels.tif ./", code: exitUsage, says: "would be overwritten"},
	{args: "convert labels.tif OUT.roi", code: exitUsage, says: "holds one region"},
	{args: "convert labels.tif", code: exitUsage, says: "input and an output"},
	{args: "convert labels.tif OUT.docx", code: exitUsage, says: "no format"},
	{args: "convert none OUT.zip", code: exitInput, says: "unet: none: no such file or folder"},
	{args: "convert labels.tif OUT", code: exitUsage, says: "or, for a folder, a name that ends in /"},
	{args: "convert bad.csv OUT.tif --size 64x64", code: exitInput, says: "bad.csv"},
	{args: "convert bad.geojson OUT.tif --size 64x64", code: exitInput, says: "bad.geojson"},
	{args: "convert bad.json OUT.tif", code: exitInput, says: "bad.json"},
	{args: "convert rois.zip OUT.tif --size 64x64", code: exitInput, says: "rois.zip"},
	{args: "convert labels.tif OUT.zip --size 1x", code: exitUsage, says: "--size"},
	// Measurements that are not there.
	{args: "predict good.png --out OUT --format csv --model model.safetensors --keep foo>3", code: exitUsage, says: `no measurement "foo"`},
	{args: "predict good.png --out OUT --format csv --model model.safetensors --colour-by foo", code: exitUsage, says: `no measurement "foo"`},
	{args: "predict good.png --out OUT --format csv --model model.safetensors --positive foo", code: exitUsage, says: "no channel or measurement foo"},
	{args: "predict good.png --out OUT --format csv --model model.safetensors --keep area_um2>5", code: exitInput, says: "\nhint: say how large pixels are (--pixel-size)"},
	{args: "measure labels.tif --keep foo>3", code: exitUsage, says: `no measurement "foo"`},
	{args: "measure labels.tif --positive foo", code: exitUsage, says: "no channel or measurement foo"},
	{args: "measure labels.tif --keep area_um2>5", code: exitInput, says: "\nhint: say how large pixels are (--pixel-size)"},
	// Choices that cannot be met.
	{args: "predict good.png --out OUT --pixel-size 0", code: exitUsage, says: "--pixel-size"},
	{args: "measure labels.tif --page 3", code: exitUsage, says: "labels.tif: no plane is chosen"},
	{args: "measure labels.tif --z 3", code: exitUsage, says: "no plane is chosen"},
	{args: "measure labels.tif --channel 7", code: exitUsage, says: "--channel: no image is given"},
	{args: "view labels.tif --out OUT.png --page 3", code: exitUsage, says: "no plane is chosen"},
	{args: "view labels.tif --out OUT.png --channel 7", code: exitUsage, says: "--channel: no image is given"},
	{args: "view labels.tif --out OUT.png --level 1", code: exitUsage, says: "--level: no image is given"},
	{args: "convert labels.tif OUT.zip --page 3", code: exitUsage, says: "no plane is chosen"},
	{args: "convert labels.tif OUT.zip --z 7", code: exitUsage, says: "no plane is chosen"},
	{args: "convert labels.tif OUT.zip --z -5", code: exitUsage, says: "--z -5: 0 or more"},
	{args: "convert labels.tif OUT.zip --name nope", code: exitUsage, says: "--name: labels.tif holds one image"},
	{args: "convert labels.tif OUT.zip --size 10x10", code: exitInput, says: "labels.tif has 64 x 48 pixels, not 10 x 10\nhint: "},
	{args: "convert labels.tif OUT.zip --image wide.png", code: exitInput, says: "not 80 x 48"},
	{args: "convert whole.zip OUT.tif --size 64x48 --page 4", code: exitUsage, says: "--page: whole.zip is no label file"},
	{args: "convert whole.zip OUT.tif --size 64x48 --z 4", code: exitUsage, says: "there is no slice 4"},
	{args: "convert whole.zip OUT.tif --size 64x48 --name nope", code: exitUsage, says: "--name: whole.zip holds one image"},
}

// badFiles fills a folder with good and bad inputs.
func badFiles(t *testing.T) string {
	dir := t.TempDir()
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(at("empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"zero.png", "zero.safetensors"} {
		write(name, nil)
	}
	for _, name := range []string{"text.png", "text.zip", "text.yaml", "bad.json", "bad.geojson"} {
		write(name, []byte("this is\nnot\tthe file you are looking for\n"))
	}
	writeImage(t, at("good.png"), discs(64, 48, threeDiscs...))
	writeImage(t, at("wide.png"), discs(80, 48, threeDiscs...))
	writeImage(t, at("labels.tif"), numbered(64, 48, threeDiscs...))
	png := read("good.png")
	write("cut.png", png[:len(png)/2])
	write("huge.png", hugePNG(png))
	tif := read("labels.tif")
	write("cut.tif", tif[:len(tif)/2])
	write("cyclic.tif", []byte{'I', 'I', 42, 0, 8, 0, 0, 0, 0, 0, 8, 0, 0, 0})      // a directory without entries, its own successor
	write("nodir.tif", []byte{'I', 'I', 42, 0, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0}) // a directory far behind the end

	model, err := os.ReadFile(brightnessModel(t, unet.Nuclei))
	if err != nil {
		t.Fatal(err)
	}
	write("model.safetensors", model)
	write("cut.safetensors", model[:len(model)-1])
	write("newer.safetensors", newer(model))
	write("header.safetensors", append(binary.LittleEndian.AppendUint64(nil, 1<<60), model[8:]...))

	mustRun(t, exitOK, "sample", "--out", at("images.zip"), "--count", "10", "--size", "64", "--quiet")
	mustRun(t, exitOK, "prepare", at("images.zip"), "--out", at("set"), "--size", "native", "--quiet")
	archive := read("images.zip")
	write("cut.zip", archive[:len(archive)/2])
	var evil bytes.Buffer
	z := zip.NewWriter(&evil)
	for _, name := range []string{"../../escaped.png", "/escaped.png", `..\escaped.png`} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(png)
	}
	z.Close()
	write("evil.zip", evil.Bytes())
	write("rois.zip", evil.Bytes())
	for name, head := range map[string]zip.FileHeader{
		"link.zip":   {Name: "images/a.png", ExternalAttrs: 0o120777 << 16, CreatorVersion: 3 << 8},
		"claims.zip": {Name: "a/images/a.png", CompressedSize64: 9, UncompressedSize64: 1 << 40},
	} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.CreateRaw(&head)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("/etc/host"))
		z.Close()
		write(name, b.Bytes())
	}
	write("rate.yaml", []byte("lr: 99\n"))
	write("rehearsal.yaml", []byte("rehearsal: 0.5\n"))
	write("key.yaml", []byte("kind: nuclei\nlerning_rate: 1\n"))
	write("kind.yaml", []byte("kind: resnet\n"))
	write("long.yaml", make([]byte, 1<<20+1))
	write("alias.yaml", []byte("a: &a [x,x]\nb: &b [*a,*a]\nkind: *b\n"))
	write("twice.csv", []byte("image,condition\na,x\na,y\n"))
	write("-dash.png", png)
	write("bad.csv", []byte("ImageId,EncodedPixels\na,1 2 1 9999999999999\n"))
	writeHostileFiles(t, dir)
	return dir
}

// newer edits the format version of a model, to one not yet invented.
func newer(model []byte) []byte {
	n := binary.LittleEndian.Uint64(model)
	text := strings.Replace(string(model[8:8+n]), `\"version\":1`, `\"version\":99`, 1)
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(out, text...), model[8+n:]...)
}

// hugePNG makes a PNG claim a size of 2^20 x 2^20 pixels.
func hugePNG(png []byte) []byte {
	b := bytes.Clone(png)
	binary.BigEndian.PutUint32(b[16:], 1<<20)
	binary.BigEndian.PutUint32(b[20:], 1<<20)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

// TestMisuse checks that every misuse and bad input ends with the right exit
// status and one clear line, and leaves nothing behind.
func TestMisuse(t *testing.T) {
	dir := badFiles(t)
	before := contents(t, dir)
	for _, m := range slices.Concat(misuses, hostileFiles) {
		t.Run(strings.NewReplacer("/", "_", " ", "_").Replace(m.args+m.env), func(t *testing.T) {
			work, temp := t.TempDir(), t.TempDir()
			env := []string{"TMPDIR=" + temp}
			if m.env != "" {
				env = append(env, m.env)
			}
			var args []string
			for a := range strings.FieldsSeq(m.args) {
				args = append(args, strings.ReplaceAll(a, "OUT", filepath.Join(work, "out")))
			}
			code, stdout, stderr := process(t, dir, env, args...)
			if code != m.code {
				t.Errorf("exit status %d, want %d", code, m.code)
			}
			if code != exitPartial && (stdout != "") != (m.prints != "") || !strings.Contains(stdout, m.prints) {
				t.Errorf("standard output: %s", stdout)
			}
			if complaint := checkErrorText(stderr, m); complaint != "" {
				t.Errorf("%s", complaint)
			}
			for _, f := range append(tree(t, work), tree(t, temp)...) {
				switch name := filepath.Base(f); {
				case name == segment.ManifestFile, name == segment.SummaryFile:
				case name == "index.html", name == "nuclei.csv", filepath.Base(filepath.Dir(f)) == "pages": // the page of results
				case m.code == exitPartial && strings.HasPrefix(name, "good."):
				default:
					t.Errorf("%s was left behind", f)
				}
			}
			if t.Failed() {
				t.Logf("unet %s\nstatus %d\n%s--\n%s", m.args, code, stdout, stderr)
			}
		})
	}
	if d := cmp.Diff(before, contents(t, dir)); d != "" {
		t.Errorf("the inputs changed: %s", d)
	}
}

// checkErrorText says what is wrong with the standard error of a failed run:
// it must be one line of error, perhaps after one about the only input, and
// perhaps followed by a hint.
func checkErrorText(stderr string, m misuse) string {
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	if n := len(lines); n > 1 && strings.HasPrefix(lines[n-1], "hint: ") {
		lines = lines[:n-1]
	}
	last := lines[len(lines)-1]
	switch {
	case strings.Contains(stderr, "goroutine ") || strings.Contains(stderr, "panic"):
		return "a stack trace"
	case !strings.HasPrefix(last, "unet: "):
		return "the error line does not begin with the program's name"
	case m.code != exitPartial && len(lines) > 1:
		return "more than one line and a hint"
	case !strings.Contains(stderr, m.says):
		return "the error does not mention " + m.says
	case len(last) > 400:
		return "the error line is too long"
	}
	return ""
}

// TestHelpWords: what other programs understand shows help and version.
func TestHelpWords(t *testing.T) {
	for args, want := range map[string]string{"help": "COMMANDS:", "help predict": "--skip-existing", "--version": "unet " + version()} {
		var out, errs bytes.Buffer
		code := Main(append([]string{"unet"}, strings.Fields(args)...), strings.NewReader(""), &out, &errs)
		if code != exitOK || !strings.Contains(out.String(), want) || errs.Len() > 0 {
			t.Errorf("unet %s: exit status %d\n%s%s", args, code, out.String(), errs.String())
		}
	}
}

// TestLostOutput: results that cannot be written are an error.
func TestLostOutput(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full here")
	}
	dir := t.TempDir()
	writeImage(t, filepath.Join(dir, "labels.tif"), numbered(64, 48, threeDiscs...))
	for _, args := range [][]string{{"info"}, {"info", "--json"}, {"version"}, {"licenses"}, {"measure", filepath.Join(dir, "labels.tif")}} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		code := Main(append([]string{"unet"}, args...), strings.NewReader(""), full, &stderr)
		full.Close()
		if code != exitResource || strings.Count(stderr.String(), "\n") != 2 {
			t.Errorf("unet %q: exit status %d\n%s", args, code, stderr.String())
		}
	}
}
