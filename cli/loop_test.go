package cli

import (
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"unet/unet/dataset"
	"unet/unet/imageio"
)

// loop finds the commands of README.md under "Train on your own images".
var loop = regexp.MustCompile("(?s)Predict, correct, prepare, train, and predict better:\n\n```sh\n(.*?)```")

// TestLoopOfREADME follows README.md word for word, but for the length of the
// training: predict, correct, prepare, train, evaluate, predict.
func TestLoopOfREADME(t *testing.T) {
	if testing.Short() {
		t.Skip("it trains")
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := loop.FindSubmatch(readme)
	if block == nil {
		t.Fatal("README.md has no loop any more")
	}
	t.Chdir(t.TempDir())
	rng := rand.New(rand.NewPCG(18, 1))
	for _, folder := range []string{"my-images", "new-images"} {
		for i := range 10 {
			var list []disc
			for k := range 4 {
				list = append(list, disc{16 + k%2*32 + rng.IntN(5), 16 + k/2*32 + rng.IntN(5), 7 + rng.IntN(3)})
			}
			writeImage(t, filepath.Join(folder, fmt.Sprintf("X%d.png", i)), discs(64, 64, list...))
			if folder == "new-images" {
				break
			}
		}
	}
	predicted, corrected := 0, false
	for line := range strings.SplitSeq(string(block[1]), "\n") {
		command, _, _ := strings.Cut(line, "#")
		args := strings.Fields(command)
		switch {
		case strings.HasPrefix(line, "# correct"):
			corrected = true
			predicted = correctOne(t, "my-images/X0.labels.tif")
			continue
		case len(args) == 0:
			continue
		case args[0] != "unet":
			t.Fatalf("README.md: %q is no command of unet", line)
		case args[1] == "train":
			args = append(args, "--epochs", "1", "--steps", "2", "--batch", "2")
		}
		mustRun(t, 0, args[1:]...)
	}
	set, err := dataset.Open("set")
	if err != nil || !corrected {
		t.Fatal("nothing was corrected", err)
	}
	for _, e := range set.Entries {
		if e.ID == "X0" && e.Nuclei != predicted-1 {
			t.Errorf("the set has %d nuclei of the corrected image, of %d predicted", e.Nuclei, predicted)
		}
	}
	if len(set.Entries) != 10 {
		t.Errorf("%d images in the set", len(set.Entries))
	}
	f, err := os.Open("RESULTS/nuclei.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if rows, err := csv.NewReader(f).ReadAll(); err != nil || len(rows) < 2 {
		t.Errorf("the taught model finds nothing: %v, %v", rows, err)
	}
}

// correctOne removes a nucleus from a label image, as a person would, and returns
// how many there were.
func correctOne(t *testing.T, file string) int {
	t.Helper()
	l, err := imageio.ReadLabels(file)
	if err != nil {
		t.Fatal(err)
	}
	n := int(l.Max())
	if n < 3 {
		t.Fatalf("%s: %d nuclei were found", file, n)
	}
	for i, id := range l.ID {
		if id == 1 {
			l.ID[i] = 0
		}
	}
	if err := imageio.WriteLabels(file, l); err != nil {
		t.Fatal(err)
	}
	return n
}
