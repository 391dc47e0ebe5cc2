package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	stdimage "image"
	"io"
	"net/http"
	"os"
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
	*labels
	revision int // lines of the journal
	name     string
	file     *os.File // nil before the first edit
}

// openHistory reads the journal and does its edits to labels, which the history
// closes. What a process that was killed left of a last line is cut off: that
// edit was never answered. A journal that is not there is made by the first edit.
func openHistory(name string, l *labels) (*history, error) {
	h := &history{labels: l, name: name}
	f, err := os.OpenFile(name, os.O_RDWR, 0o644)
	if os.IsNotExist(err) {
		return h, nil
	}
	if err != nil {
		return nil, err
	}
	h.file = f
	b, err := io.ReadAll(f)
	whole := bytes.LastIndexByte(b, '\n') + 1
	if err == nil {
		err = h.replay(b[:whole])
	}
	if err == nil && whole < len(b) {
		err = f.Truncate(int64(whole))
	}
	if err == nil {
		_, err = f.Seek(int64(whole), io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return h, nil
}

// readHistory is openHistory for who only looks. It returns the size of the journal,
// too, without a last line that is being written.
func readHistory(name string, l *labels) (*history, int64, error) {
	h := &history{labels: l, name: name}
	b, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		return nil, 0, err
	}
	whole := bytes.LastIndexByte(b, '\n') + 1
	return h, int64(whole), h.replay(b[:whole])
}

// replay does the edits of a journal.
func (h *history) replay(b []byte) error {
	for row := range bytes.Lines(b) {
		var l line
		if err := json.Unmarshal(row, &l); err != nil {
			return fmt.Errorf("%s, line %d is damaged: %w", h.name, h.revision+1, err)
		}
		e, err := h.read(l)
		if err == nil {
			err = h.take(l.Tool, e)
		}
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", h.name, h.revision+1, err)
		}
	}
	return nil
}

// read is the edit of a line.
func (h *history) read(l line) (edit, error) {
	e := edit{spans: make([]span, len(l.Spans)), reset: l.Tool == "reset"}
	for i, s := range l.Spans {
		if s[0] < 0 || s[0] >= int64(h.h) || s[1] < 0 || s[1] >= s[2] || s[2] > int64(h.w) || s[3] < 0 || s[3] > 1<<32-1 {
			return e, fmt.Errorf("an edit lies outside the image of %d x %d pixels", h.w, h.h)
		}
		e.spans[i] = span{int(s[0]), int(s[1]), int(s[2]), uint32(s[3])}
	}
	return e, nil
}

// take changes the labels by a line.
func (h *history) take(tool string, e edit) error {
	if err := h.possible(tool); err != nil {
		return err
	}
	switch tool {
	case "undo", "redo":
		h.step(tool == "undo")
	default:
		h.do(e)
	}
	h.revision++
	return nil
}

func (h *history) possible(tool string) error {
	if tool == "undo" && h.done == 0 || tool == "redo" && h.done == len(h.edits) {
		return fmt.Errorf("there is nothing to %s", tool)
	}
	return nil
}

// maxWindow bounds the pixels of the window in which an edit is done.
const maxWindow = 1 << 26

// spansOf finds what a command changes, and of undo and redo the edit that is
// meant. box tells where nuclei lie, next is a number that is free.
func (h *history) spansOf(c Command, next uint32, box func(id uint32) stdimage.Rectangle) ([]span, error) {
	switch c.Tool {
	case "undo", "redo":
		if err := h.possible(c.Tool); err != nil {
			return nil, err
		}
		k := h.done
		if c.Tool == "undo" {
			k--
		}
		return h.edits[k].spans, nil
	case "reset":
		spans, err := h.original()
		if err == nil && len(spans) == 0 {
			err = fmt.Errorf("the labels are the model's own")
		}
		return spans, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	r := c.reach(box).Intersect(stdimage.Rect(0, 0, h.w, h.h))
	if int64(r.Dx())*int64(r.Dy()) > maxWindow {
		return nil, fmt.Errorf("%s would cover %d x %d pixels: do it in smaller steps", c.Tool, r.Dx(), r.Dy())
	}
	window, err := h.region(r)
	if err != nil {
		return nil, err
	}
	return plan(window, r.Min, next, c)
}

// errBehind says that a journal is longer than what was read of it.
var errBehind = &apiError{http.StatusConflict, "this image was opened anew in the meantime: check it and try again"}

// write puts an edit on disk, and then does it.
func (h *history) write(tool string, spans []span) error {
	l := line{Tool: tool}
	if tool != "undo" && tool != "redo" {
		for _, s := range spans {
			l.Spans = append(l.Spans, [4]int64{int64(s.Y), int64(s.X0), int64(s.X1), int64(s.ID)})
		}
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if h.file == nil {
		if h.file, err = os.OpenFile(h.name, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
			return err
		}
	}
	at, err := h.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	st, err := h.file.Stat()
	if err == nil && st.Size() != at {
		err = errBehind
	}
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
	return h.take(tool, edit{spans, tool == "reset"})
}

// close closes labels and journal.
func (h *history) close() error {
	err := h.labels.close()
	if h.file != nil {
		err = h.file.Close()
	}
	return err
}
