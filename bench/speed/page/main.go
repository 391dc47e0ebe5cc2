//go:build unix

// Command page measures how soon `unet serve` shows a large image, and how fast
// its tiles come: a tiled TIFF without smaller versions, of which an overview is
// made at the first click, and an OME-Zarr with a pyramid.
//
//	go run ./bench/speed/page                  40 000 x 40 000 pixels
//	go run ./bench/speed/page -image FILE      an image of your own
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"unet/bench/program"
	"unet/unet/imageio/tiff"
	"unet/unet/imageio/zarr"
)

func main() {
	side := flag.Int("side", 40000, "width and height of the images")
	image := flag.String("image", "", "an image to show instead")
	memory := flag.String("max-memory", "2GiB", "memory allowed")
	flag.Parse()
	if err := run(*side, *image, *memory); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		os.Exit(1)
	}
}

func run(side int, image, memory string) error {
	dir, err := os.MkdirTemp("", "unet-page")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	unet, err := program.Build(dir)
	if err != nil {
		return err
	}
	if image != "" {
		if image, err = filepath.Abs(image); err != nil {
			return err
		}
		return measure(unet, image, memory, dir)
	}
	for name, make := range map[string]func(string, int) error{"plain.tif": plain, "pyramid.zarr": pyramid} {
		file := filepath.Join(dir, name)
		if err := make(file, side); err != nil {
			return err
		}
		if err := measure(unet, file, memory, dir); err != nil {
			return err
		}
		os.RemoveAll(file)
	}
	return nil
}

// rows are those of an image of blobs on noise.
func rows(side, y, n int) []uint32 {
	rng := rand.New(rand.NewPCG(1, uint64(y)))
	out := make([]uint32, side*n)
	for i := range out {
		u, v := i%side%40-20, (y+i/side)%40-20
		out[i] = rng.Uint32N(20)
		if u*u+v*v < 150 {
			out[i] += 150
		}
	}
	return out
}

func plain(name string, side int) error {
	f, err := tiff.Create(name, tiff.Options{W: side, H: side, Bits: 8, Tiled: true})
	if err != nil {
		return err
	}
	defer f.Abort() // nothing after Close
	for y := 0; y < side; y += 256 {
		if err := f.WriteLabels(rows(side, y, min(256, side-y))); err != nil {
			return err
		}
	}
	return f.Close()
}

func pyramid(name string, side int) error {
	f, err := zarr.CreateLabels(name, zarr.LabelOptions{W: side, H: side})
	if err != nil {
		return err
	}
	defer f.Abort() // nothing after Close
	for y := 0; y < side; y += 256 {
		if err := f.WriteLabels(rows(side, y, min(256, side-y))); err != nil {
			return err
		}
	}
	return f.Close()
}

// site is the server on a folder that holds a link to the image.
type site struct {
	cmd         *exec.Cmd
	base, token string
}

func serve(unet, dir, memory string) (*site, error) {
	s := &site{cmd: exec.Command(unet, "serve", dir, "--max-memory", memory, "--quiet")}
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	s.base, s.token, _ = strings.Cut(strings.TrimSpace(line), "/?token=")
	return s, err
}

// stop ends the server and returns its peak memory in bytes.
func (s *site) stop() int64 {
	s.cmd.Process.Signal(os.Interrupt)
	s.cmd.Wait()
	return s.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

func (s *site) get(path string) ([]byte, time.Duration, error) {
	start := time.Now()
	r, err := http.NewRequest("GET", s.base+"/api/v1"+path, nil)
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", path, resp.Status, b)
	}
	return b, time.Since(start), err
}

type view struct {
	Width, Height int
	TileSide      int `json:"tile_side"`
	Ready         float64
}

// click opens the image as the page does, and returns how long it takes until
// there is something to see.
func (s *site) click() (id string, v view, took time.Duration, err error) {
	b, _, err := s.get("/images")
	if err != nil {
		return "", v, 0, err
	}
	var list []struct{ ID string }
	if err := json.Unmarshal(b, &list); err != nil || len(list) == 0 {
		return "", v, 0, fmt.Errorf("%d images: %w", len(list), err)
	}
	id = list[0].ID
	start := time.Now()
	if b, _, err = s.get("/images/" + id + "/view"); err != nil {
		return "", v, 0, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return "", v, 0, err
	}
	_, _, err = s.get(fmt.Sprintf("/images/%s/tiles/%d/0/0", id, v.whole()))
	return id, v, time.Since(start), err
}

// whole is the level at which one tile holds the image.
func (v view) whole() (level int) {
	for max(v.Width, v.Height)>>level > v.TileSide {
		level++
	}
	return level
}

func measure(unet, image, memory, dir string) error {
	folder := filepath.Join(dir, "folder")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := os.Rename(image, filepath.Join(folder, filepath.Base(image))); err != nil {
		if err := exec.Command("cp", "-r", image, folder).Run(); err != nil {
			return err
		}
	}
	for _, visit := range []string{"first visit", "next visit"} {
		s, err := serve(unet, folder, memory)
		if err != nil {
			return err
		}
		id, v, took, err := s.click()
		if err != nil {
			s.stop()
			return err
		}
		fmt.Printf("%s, %d x %d, %s: something to see after %.0f ms", filepath.Base(image), v.Width, v.Height, visit, took.Seconds()*1000)
		start := time.Now()
		for v.Ready < 1 {
			time.Sleep(100 * time.Millisecond)
			b, _, err := s.get("/images/" + id + "/view")
			if err == nil {
				err = json.Unmarshal(b, &v)
			}
			if err != nil {
				s.stop()
				return err
			}
		}
		fmt.Printf(", the overview %.1f s later\n", time.Since(start).Seconds())
		if visit == "next visit" {
			if err := s.pan(id, v); err != nil {
				s.stop()
				return err
			}
		}
		fmt.Printf("  peak memory %d MiB\n", s.stop()>>20)
	}
	return nil
}

// pan looks at tiles along a way through the image at all levels, twice.
func (s *site) pan(id string, v view) error {
	rng := rand.New(rand.NewPCG(7, 7))
	for level := range v.whole() + 1 {
		wide, high := (v.Width>>level+v.TileSide-1)/v.TileSide, (v.Height>>level+v.TileSide-1)/v.TileSide
		x, y := rng.IntN(wide), rng.IntN(high)
		var tiles [][2]int
		for range min(24, wide*high) {
			tiles = append(tiles, [2]int{x, y})
			x, y = (x+1)%wide, (y+rng.IntN(2))%high
		}
		fmt.Printf("  level %d:", level)
		for _, cache := range []string{"cold", "warm"} {
			var times []time.Duration
			for _, at := range tiles {
				_, took, err := s.get(fmt.Sprintf("/images/%s/tiles/%d/%d/%d", id, level, at[0], at[1]))
				if err != nil {
					return err
				}
				times = append(times, took)
			}
			slices.Sort(times)
			fmt.Printf("  %s %.1f ms (at most %.1f)", cache, times[len(times)/2].Seconds()*1000, times[len(times)-1].Seconds()*1000)
		}
		fmt.Println(" a tile")
	}
	return nil
}
