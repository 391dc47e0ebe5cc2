package cli

import (
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"

	"unet/unet/imageio"
	"unet/unet/segment"

	"github.com/urfave/cli/v2"
)

// memoryFlag is the option that bounds the memory; usage tells of what.
func memoryFlag(usage, category string) cli.Flag {
	return &cli.StringFlag{Name: "max-memory", Usage: usage, DefaultText: "half of the free memory", Category: category}
}

// maxMemory is what that option allows, 0 where it is not given.
func maxMemory(c *cli.Context) (bytes int64, err error) {
	if s := c.String("max-memory"); s != "" {
		if bytes, err = parseSize(s); err != nil {
			return 0, usagef("--max-memory %s: %v", s, err)
		}
	}
	return bytes, nil
}

// room is the memory for what a command holds as a whole.
type room struct{ all, left int64 }

// newRoom reads --max-memory.
func newRoom(c *cli.Context) (*room, error) {
	bytes, err := maxMemory(c)
	if bytes == 0 {
		bytes = segment.DefaultMemory()
	}
	debug.SetMemoryLimit(bytes) // what is left behind must not double it
	return &room{bytes, bytes}, err
}

// file is as much room for one of several files that are held one after the other.
func (r *room) file() *room { return &room{r.all, r.all} }

// take takes memory, or says of which file there is too much.
func (r *room) take(name string, bytes int64) error {
	if bytes > r.left {
		return &imageio.LimitError{Name: name, What: fmt.Sprintf("it would take %s of memory, and %s is allowed", imageio.BytesText(r.all-r.left+bytes), imageio.BytesText(r.all)),
			Advice: "allow more with --max-memory, or cut the image"}
	}
	r.left -= bytes
	return nil
}

// give gives memory back.
func (r *room) give(bytes int64) { r.left += bytes }

// open opens an image file if there is room for one that is decoded whole, which
// close gives back.
func (r *room) open(name string) (f *imageio.File, close func(), err error) {
	decoded := imageio.RasterBytes(name)
	if err := r.take(name, decoded); err != nil {
		return nil, nil, err
	}
	if f, err = imageio.Open(name); err != nil {
		return nil, nil, err
	}
	return f, func() {
		f.Close()
		r.give(decoded)
	}, nil
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
