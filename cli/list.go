package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"unet/unet/imageio/input"
)

// interruptible is a reader that may wait for long, as that of a terminal or a
// pipe does: where its context ends, it is left waiting.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (r interruptible) Read(p []byte) (int, error) {
	type result struct {
		b   []byte
		err error
	}
	read := make(chan result, 1)
	go func() {
		b := make([]byte, len(p))
		n, err := r.r.Read(b)
		read <- result{b[:n], err}
	}()
	select {
	case got := <-read:
		return copy(p, got.b), got.err
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	}
}

// readList reads names of images, one per line, from a file or "-".
func readList(ctx context.Context, t *terminal, name string) ([]string, error) {
	var r io.Reader = interruptible{ctx, t.in}
	if name != "-" {
		f, err := input.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	var list []string
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<16)
	for sc.Scan() {
		line := strings.TrimSpace(strings.TrimPrefix(sc.Text(), "\ufeff"))
		if strings.ContainsRune(line, 0) {
			return nil, inputf("the list names one image per line", "list %s: line %d holds a zero byte, which no name can", name, len(list)+1)
		}
		if line != "" {
			list = append(list, line)
		}
	}
	if err := sc.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = errors.New("a line is longer than any file name")
		}
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, inputf("the list names one image per line", "list %s: %w", name, err)
	}
	return list, nil
}
