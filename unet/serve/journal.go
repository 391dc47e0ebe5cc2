package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"unet/unet/imageio"
)

// line is an edit in a journal.
type line struct {
	Tool string `json:"tool"`
	// Spans are y, first x, x after the last, number.
	Spans [][4]int64 `json:"spans,omitempty"`
}

// history is a label image and the edits done to it. Edits are never forgotten:
// undo and redo are lines of the journal, too.
type history struct {
	labels   *imageio.Labels
	edits    [][]span // done or taken back
	back     [][]span // takes edits back, one for each
	done     int      // edits in effect
	revision int      // lines of the journal
	file     *os.File
}

// openHistory reads the journal and does its edits to labels. What a process
// that was killed left of a last line is cut off: that edit was never answered.
func openHistory(name string, labels *imageio.Labels) (*history, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	h := &history{labels: labels, file: f}
	b, err := io.ReadAll(f)
	if err == nil {
		err = h.replay(name, b)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return h, nil
}

func (h *history) replay(name string, b []byte) error {
	whole := bytes.LastIndexByte(b, '\n') + 1
	for row := range bytes.Lines(b[:whole]) {
		var l line
		if err := json.Unmarshal(row, &l); err != nil {
			return fmt.Errorf("%s, line %d is damaged: %w", name, h.revision+1, err)
		}
		if err := h.do(l); err != nil {
			return fmt.Errorf("%s, line %d: %w", name, h.revision+1, err)
		}
	}
	if whole < len(b) {
		if err := h.file.Truncate(int64(whole)); err != nil {
			return err
		}
	}
	_, err := h.file.Seek(int64(whole), io.SeekStart)
	return err
}

// do changes the labels by a line.
func (h *history) do(l line) error {
	switch l.Tool {
	case "undo":
		if h.done == 0 {
			return fmt.Errorf("there is nothing to undo")
		}
		h.done--
		apply(h.labels, h.back[h.done])
	case "redo":
		if h.done == len(h.edits) {
			return fmt.Errorf("there is nothing to redo")
		}
		apply(h.labels, h.edits[h.done])
		h.done++
	default:
		spans := make([]span, len(l.Spans))
		for i, s := range l.Spans {
			if s[0] < 0 || s[0] >= int64(h.labels.H) || s[1] < 0 || s[1] >= s[2] || s[2] > int64(h.labels.W) || s[3] < 0 || s[3] > 1<<32-1 {
				return fmt.Errorf("an edit lies outside the image of %d x %d pixels", h.labels.W, h.labels.H)
			}
			spans[i] = span{int(s[0]), int(s[1]), int(s[2]), uint32(s[3])}
		}
		h.edits, h.back = append(h.edits[:h.done], spans), append(h.back[:h.done], apply(h.labels, spans))
		h.done++
	}
	h.revision++
	return nil
}

// edit does a command: it is on disk when edit returns.
func (h *history) edit(c Command) error {
	l := line{Tool: c.Tool}
	switch c.Tool {
	case "undo", "redo":
		if c.Tool == "undo" && h.done == 0 || c.Tool == "redo" && h.done == len(h.edits) {
			return fmt.Errorf("there is nothing to %s", c.Tool)
		}
	case "reset":
		l.Spans = h.original()
		if len(l.Spans) == 0 {
			return fmt.Errorf("the labels are the model's own")
		}
	default:
		spans, err := plan(h.labels, c)
		if err != nil {
			return err
		}
		for _, s := range spans {
			l.Spans = append(l.Spans, [4]int64{int64(s.Y), int64(s.X0), int64(s.X1), int64(s.ID)})
		}
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	at, err := h.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err = h.file.Write(append(b, '\n')); err == nil {
		err = h.file.Sync()
	}
	if err != nil { // a full disk: half a line must not stay before the next
		h.file.Truncate(at)
		h.file.Seek(at, io.SeekStart)
		return fmt.Errorf("the edit could not be saved and was not done: %w", err)
	}
	return h.do(l)
}

// original is the edit that brings the model's own labels back.
func (h *history) original() (spans [][4]int64) {
	own := &imageio.Labels{W: h.labels.W, H: h.labels.H, ID: append([]uint32{}, h.labels.ID...)}
	for i := h.done - 1; i >= 0; i-- {
		apply(own, h.back[i])
	}
	p := &painter{l: h.labels}
	own2 := own.ID
	p.each(func(x, y int, _ uint32) { p.set(x, y, own2[y*own.W+x]) })
	for _, s := range p.spans {
		spans = append(spans, [4]int64{int64(s.Y), int64(s.X0), int64(s.X1), int64(s.ID)})
	}
	return spans
}

// corrected reports whether edits are in effect.
func (h *history) corrected() bool { return h.done > 0 }

func (h *history) close() error { return h.file.Close() }
