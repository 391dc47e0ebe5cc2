package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"unet/core"
	"unet/unet/imageio"
	"unet/unet/imageio/owned"
	"unet/unet/report"

	"github.com/urfave/cli/v2"
	xterm "golang.org/x/term"
)

// terminal is where a command's output goes: results to out; progress,
// notes and errors to err.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	width    func() int // of a terminal err that can redraw a line, each time anew; nil: it is none
	quiet    bool
	json     bool
	failed   error       // of writing a result
	listens  atomic.Bool // the running command saves what it has when it is interrupted

	mu   sync.Mutex
	line string // the progress line now shown
}

func newTerminal(in io.Reader, out, err io.Writer) *terminal {
	t := &terminal{in: in, out: out, err: err}
	if f, ok := err.(*os.File); ok && xterm.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" && redraws(f) {
		t.width = func() int { return widthOf(f) }
	}
	return t
}

// widthOf is the number of columns of a terminal.
func widthOf(f *os.File) int {
	if w, _, err := xterm.GetSize(int(f.Fd())); err == nil && w > 20 {
		return w
	}
	return 100
}

func (t *terminal) configure(c *cli.Context) error {
	t.quiet, t.json = c.Bool("quiet"), c.Bool("json")
	if n := c.Int("threads"); n < 0 || n > maxThreads() {
		return usagef("--threads %d: 0 to %d", n, maxThreads())
	}
	return nil
}

// maxThreads bounds --threads: each has memory of its own, and more than cores
// gain nothing.
func maxThreads() int { return max(64, 2*runtime.NumCPU()) }

// finish reports the error a command ended with, if any, and returns the exit
// code.
func (t *terminal) finish(err error) int {
	t.clear()
	if err == nil {
		err = t.failed
	}
	if err == nil {
		return exitOK
	}
	code, hint := explain(err)
	if errors.Is(err, core.ErrElsewhere) {
		return code
	}
	fmt.Fprintf(t.err, "unet: %s\n", clipped(oneLine(errorText(err))))
	if hint != "" {
		fmt.Fprintf(t.err, "hint: %s\n", hint)
	}
	return code
}

// clipped bounds a message: what files say may be of any length.
func clipped(s string) string {
	const most = 1000
	if r := []rune(s); len(r) > most {
		return string(r[:most/2]) + " ... " + string(r[len(r)-most/2:])
	}
	return s
}

func oneLine(s string) string { return printable(strings.Join(strings.Fields(s), " ")) }

// printable replaces control characters: names and texts come from files, and
// could rewrite what a terminal shows.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// oneRow is printable and without line breaks, which names of files may hold.
func oneRow(s string) string {
	return strings.ReplaceAll(printable(s), "\n", string(unicode.ReplacementChar))
}

// printf writes a result.
func (t *terminal) printf(format string, args ...any) {
	t.clear()
	if _, err := fmt.Fprintf(t.out, format, args...); err != nil && t.failed == nil {
		t.failed = err
	}
}

// columns is the width of the terminal that results go to, 0 when they go
// elsewhere.
func (t *terminal) columns() int {
	if f, ok := t.out.(*os.File); ok && xterm.IsTerminal(int(f.Fd())) {
		if w, _, err := xterm.GetSize(int(f.Fd())); err == nil {
			return w
		}
	}
	return 0
}

// table writes a result as a table, fitted to the terminal if it goes to one.
func (t *terminal) table(tab *report.Table) error {
	t.clear()
	return tab.WriteText(t.out, t.columns())
}

// writeJSON writes a result as JSON.
func (t *terminal) writeJSON(v any) error {
	t.clear()
	return encodeJSON(t.out, v)
}

func encodeJSON(w io.Writer, v any) error { return owned.EncodeJSON(w, v, "  ") }

// notef tells the user something on the way, unless quiet.
func (t *terminal) notef(format string, args ...any) {
	if !t.quiet {
		t.clear()
		fmt.Fprintln(t.err, printable(fmt.Sprintf(format, args...)))
	}
}

// warnf tells the user something that should not be overlooked.
func (t *terminal) warnf(format string, args ...any) {
	t.clear()
	fmt.Fprintln(t.err, "warning: "+oneRow(fmt.Sprintf(format, args...)))
}

func (t *terminal) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.line != "" {
		fmt.Fprint(t.err, "\r\x1b[K")
		t.line = ""
	}
}

func (t *terminal) show(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	line = oneRow(line)
	if r, w := []rune(line), t.width(); len(r) >= w {
		line = string(r[:w-1])
	}
	if line != t.line {
		fmt.Fprint(t.err, "\r\x1b[K"+line)
		t.line = line
	}
}

// progress shows how far a piece of work of known length has come: a line that
// is redrawn on a terminal, a plain line now and then elsewhere.
type progress struct {
	t       *terminal
	what    string
	unit    string
	total   int
	skipped int // done before this run, left out of the rate
	start   time.Time
	last    time.Time
}

// plainInterval is the time between progress lines that are not redrawn.
const plainInterval = 15 * time.Second

func (t *terminal) progress(what, unit string, total, skipped int) *progress {
	now := time.Now()
	return &progress{t: t, what: what, unit: unit, total: total, skipped: skipped, start: now, last: now}
}

// update tells how many units are done; note says something about them.
func (p *progress) update(done int, note string) {
	if p.t.quiet {
		return
	}
	now := time.Now()
	interval := plainInterval
	if p.t.width != nil {
		interval = 100 * time.Millisecond
	}
	if now.Sub(p.last) < interval {
		return
	}
	p.last = now
	line := fmt.Sprintf("%s %d/%d %s", p.what, done, p.total, p.unit)
	if n := done - p.skipped; n > 0 {
		rate := float64(n) / now.Sub(p.start).Seconds()
		left := time.Duration(float64(p.total-done) / rate * float64(time.Second))
		line += fmt.Sprintf("  %.3g/s  %s left", rate, shortDuration(left))
	}
	if note != "" {
		line += "  " + note
	}
	line += "  " + imageio.BytesText(memoryInUse())
	if p.t.width != nil {
		p.t.show(line)
	} else {
		fmt.Fprintln(p.t.err, oneRow(line))
	}
}

// memoryInUse returns the bytes the process holds, or what Go does where the
// system does not tell.
func memoryInUse() int64 {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		var size, resident uint64
		if n, _ := fmt.Sscan(string(b), &size, &resident); n == 2 {
			return int64(resident) * int64(os.Getpagesize())
		}
	}
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

func shortDuration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()+0.5))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
