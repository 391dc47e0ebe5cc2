// Command consumers has ImageJ redraw the ROI archives that unet writes, and
// compares what comes out with the label images they were made of, pixel by
// pixel. Needed are java and ImageJ's jar, which Debian's package libij-java
// brings.
//
//	go run ./bench/verify/consumers                      # made-up labels: holes, parts, far out
//	go run ./bench/verify/consumers OUT/*.labels.tif     # those of `unet predict`, too
//	go run ./bench/verify/consumers -jar ij.jar
//
// Numbers above 65535 are left out: the image it draws into has 16 bits.
package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/instance"
)

func main() {
	jar := flag.String("jar", "/usr/share/java/ij.jar", "ImageJ")
	flag.Parse()
	if err := run(*jar, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "consumers:", err)
		os.Exit(1)
	}
}

func run(jar string, files []string) error {
	if _, err := os.Stat(jar); err != nil {
		return fmt.Errorf("%w: install libij-java, or name ImageJ's jar with -jar", err)
	}
	dir, err := os.MkdirTemp("", "unet-rois")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, s := range [][2]int{{300, 200}, {40000, 60}, {60, 66000}, {150000, 70}} {
		name := fmt.Sprintf("made up, %d x %d", s[0], s[1])
		if err := redraw(jar, dir, name, makeUp(s[0], s[1])); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, f := range files {
		l, err := imageio.ReadLabels(f)
		if err == nil {
			err = redraw(jar, dir, f, l)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
	}
	return nil
}

// redraw writes the archive of l, has ImageJ fill its regions and compares.
func redraw(jar, dir, name string, l *imageio.Labels) error {
	for i, id := range l.ID {
		if id > 0xffff {
			l.ID[i] = 0
		}
	}
	nuclei := instance.Measure(l, nil)
	archive, drawn := filepath.Join(dir, "rois.zip"), filepath.Join(dir, "drawn.tif")
	err := atomicfile.WriteFile(archive, func(w io.Writer) error {
		return formats.WriteAll(formats.NewROI(w), formats.Source{Name: name, W: l.W, H: l.H}, nuclei)
	})
	if err != nil {
		return err
	}
	cmd := exec.Command("java", "-Djava.awt.headless=true", "-Xmx2g", "-cp", jar, filepath.FromSlash("bench/verify/oracle/DrawRois.java"),
		archive, fmt.Sprint(l.W), fmt.Sprint(l.H), drawn)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ImageJ: %w\n%s", err, out)
	}
	got, err := imageio.ReadLabels(drawn)
	if err != nil {
		return err
	}
	if got.W != l.W || got.H != l.H {
		return fmt.Errorf("ImageJ's image has %d x %d pixels, the labels %d x %d", got.W, got.H, l.W, l.H)
	}
	differ := 0
	for i, id := range l.ID {
		if got.ID[i] != id {
			if differ == 0 {
				fmt.Printf("  pixel (%d, %d) is %d, not %d\n", i%l.W, i/l.W, got.ID[i], id)
			}
			differ++
		}
	}
	if differ > 0 {
		return fmt.Errorf("%d pixels differ", differ)
	}
	fmt.Printf("%s: %d regions redrawn by ImageJ, no pixel differs\n", name, len(nuclei))
	return nil
}

// makeUp scatters ragged objects, some with holes or of several parts.
func makeUp(w, h int) *imageio.Labels {
	rng := rand.New(rand.NewPCG(1, uint64(w)))
	l := imageio.NewLabels(w, h)
	for id := uint32(1); id <= 200; id++ {
		cx, cy, r := rng.IntN(w), rng.IntN(h), 2+rng.IntN(12)
		for y := max(0, cy-r); y < min(h, cy+r); y++ {
			for x := max(0, cx-r); x < min(w, cx+r); x++ {
				if (x-cx)*(x-cx)+(y-cy)*(y-cy) < r*r && l.ID[y*w+x] == 0 && rng.IntN(12) > 0 {
					l.ID[y*w+x] = id
				}
			}
		}
	}
	return l
}
