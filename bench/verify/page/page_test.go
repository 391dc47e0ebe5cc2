// Package page drives the page of `unet serve` in a Chromium: every tool, by
// mouse and by keyboard alone, on screens of several widths, light and dark.
package page

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// view is the page of an image in a browser.
type view struct {
	t   *testing.T
	ctx context.Context
	s   *server
	id  string
}

// at is a point of the image on the screen.
func (v *view) at(x, y float64) [2]float64 {
	a, b := point(v.t, v.ctx, v.s, v.id, x, y)
	return [2]float64{a, b}
}

func (v *view) run(actions ...chromedp.Action) { v.t.Helper(); run(v.t, v.ctx, actions...) }

// use takes a tool by its button.
func (v *view) use(tool string) { v.t.Helper(); v.run(chromedp.Click(`[data-tool=` + tool + `]`)) }

// choose clicks a nucleus, with others if more is true.
func (v *view) choose(x, y float64, more bool) {
	v.t.Helper()
	v.use("select")
	p, m := v.at(x, y), input.ModifierNone
	if more {
		m = input.ModifierShift
	}
	for _, k := range []input.MouseType{input.MousePressed, input.MouseReleased} {
		v.run(input.DispatchMouseEvent(k, p[0], p[1]).WithButton(input.Left).WithClickCount(1).WithModifiers(m))
	}
}

// act presses the button of an action once it can be pressed.
func (v *view) act(selector string) {
	v.t.Helper()
	v.run(chromedp.WaitEnabled(selector), chromedp.Click(selector))
}

// press types a key.
func (v *view) press(keys ...string) {
	v.t.Helper()
	for _, k := range keys {
		v.run(chromedp.KeyEvent(k), chromedp.Sleep(30*time.Millisecond))
	}
}

// becomes waits until the nuclei are as they should be, on the server and on the
// page.
func (v *view) becomes(what string, ok func(list []nucleus) bool) {
	v.t.Helper()
	wait(v.t, what, func() bool { return ok(v.s.nuclei(v.id)) })
	n := len(v.s.nuclei(v.id))
	wait(v.t, what+" on the page", func() bool {
		var rows int
		v.run(chromedp.Evaluate(`document.querySelectorAll(".side tbody tr").length`, &rows))
		return rows == n
	})
}

func many(n int) func([]nucleus) bool { return func(l []nucleus) bool { return len(l) == n } }

// areaAt is the area of the nucleus whose box holds a point, 0 if none does.
func areaAt(list []nucleus, x, y float64) int {
	for _, n := range list {
		if float64(n.X0) <= x && x < float64(n.X1) && float64(n.Y0) <= y && y < float64(n.Y1) {
			return n.Area
		}
	}
	return 0
}

// open opens the page of an image, at its plane.
func open(t *testing.T, ctx context.Context, s *server, id string) *view {
	t.Helper()
	base, _, _ := strings.Cut(s.url, "?")
	run(t, ctx, chromedp.Navigate(s.url), chromedp.WaitVisible(`.grid li`), chromedp.Navigate(base+"#/image/"+id), chromedp.WaitVisible(`.side tbody tr`), chromedp.Sleep(300*time.Millisecond))
	return &view{t, ctx, s, id}
}

// TestPage goes the way of a user: open, segment, correct with every tool,
// reload, teach, compare, export.
func TestPage(t *testing.T) {
	dir := folder(t)
	s := start(t, dir)
	defer func() { s.stop() }()
	ctx := browser(t)
	run(t, ctx, screen(1400, 900, false), chromedp.Navigate(s.url), chromedp.WaitVisible(`.grid li`))
	var address string
	run(t, ctx, chromedp.Location(&address))
	if strings.Contains(address, "token") {
		t.Errorf("the token stays in the address %s", address)
	}
	run(t, ctx, chromedp.Click("details summary"))
	shoot(t, ctx, "new")
	run(t, ctx, chromedp.Click("#segment"))
	s.segmented()
	run(t, ctx, chromedp.WaitNotVisible("#job"))
	shoot(t, ctx, "folder")
	exported(t, s, dir)

	im := s.crowded()
	v := open(t, ctx, s, im.ID)
	before := s.nuclei(im.ID)
	big := before[0]
	for _, n := range before {
		if n.Area > big.Area {
			big = n
		}
	}
	v.choose(big.X, big.Y, false)
	v.run(chromedp.WaitVisible(`tr[aria-selected=true]`))
	shoot(t, ctx, "image")
	v.press("?")
	v.run(chromedp.WaitVisible("dialog"))
	shoot(t, ctx, "keys")
	v.run(chromedp.Click("dialog button"), chromedp.WaitNotVisible("dialog"))
	n := len(before)

	v.use("split")
	v.run(drag(v.at(big.X, float64(big.Y0)-2), v.at(big.X, float64(big.Y1)+2)))
	v.becomes("split", many(n+1))
	v.choose(big.X-4, big.Y, false)
	v.choose(big.X+4, big.Y, true)
	v.act(`[data-action=join]`)
	v.becomes("join", many(n))
	v.act("#undo")
	v.becomes("undo", many(n+1))
	v.act("#redo")
	v.becomes("redo", many(n))
	v.press("\x1b")
	v.choose(big.X, big.Y, false)
	v.act(`[data-action=grow]`)
	v.becomes("grow", func(l []nucleus) bool { return areaAt(l, big.X, big.Y) > big.Area })
	grown := areaAt(s.nuclei(im.ID), big.X, big.Y)
	v.act(`[data-action=shrink]`)
	v.becomes("shrink", func(l []nucleus) bool { return areaAt(l, big.X, big.Y) < grown })
	v.act(`[data-action=delete]`)
	v.becomes("delete", many(n-1))
	v.use("draw")
	v.run(drag(v.at(big.X-6, big.Y-6), v.at(big.X+6, big.Y-6), v.at(big.X+6, big.Y+6), v.at(big.X-6, big.Y+6)))
	v.becomes("draw", many(n))
	v.press("\x1b")
	drawn := areaAt(s.nuclei(im.ID), big.X, big.Y)
	v.use("erase")
	v.run(drag(v.at(big.X, big.Y), v.at(big.X+1, big.Y), v.at(big.X+9, big.Y+9)))
	v.becomes("erase", func(l []nucleus) bool { return areaAt(l, big.X-5, big.Y-5) < drawn })
	erased := areaAt(s.nuclei(im.ID), big.X-5, big.Y-5)
	v.choose(big.X-5, big.Y-5, false)
	v.use("paint")
	v.run(drag(v.at(big.X, big.Y), v.at(big.X+1, big.Y+1)))
	v.becomes("paint", func(l []nucleus) bool { return areaAt(l, big.X-5, big.Y-5) > erased })
	after := s.nuclei(im.ID)

	// The results follow: their page and tables say what is corrected.
	base, _, _ := strings.Cut(s.url, "?")
	run(t, ctx, chromedp.Navigate(base+"results/index.html"))
	var tags int
	run(t, ctx, chromedp.Evaluate(`document.querySelectorAll(".gallery .tag").length`, &tags))
	if tags != 1 {
		t.Errorf("the page of results says of %d images that they are corrected", tags)
	}
	shoot(t, ctx, "corrected")
	table, err := os.ReadFile(filepath.Join(dir, "unet", "summary.csv"))
	if text := string(table); err != nil || !strings.Contains(text, ",corrected,") || strings.Count(text, ",true,") != 1 {
		t.Errorf("the table of images does not say which is corrected: %v\n%s", err, text)
	}

	// Killed and started again, everything is as it was.
	s.stop()
	s = start(t, dir)
	if again := s.nuclei(im.ID); fmt.Sprint(again) != fmt.Sprint(after) {
		t.Error("a kill has lost edits")
	}
	v = open(t, ctx, s, im.ID)
	v.run(chromedp.WaitVisible("h2 .tag"))
	v.act("#reset")
	v.becomes("the model's own", func(l []nucleus) bool { return fmt.Sprint(l) == fmt.Sprint(before) })
	v.act("#undo")
	v.becomes("the corrections again", func(l []nucleus) bool { return fmt.Sprint(l) == fmt.Sprint(after) })
	for _, other := range s.images() {
		if other.ID != im.ID && other.Count > 1 {
			v = open(t, ctx, s, other.ID)
			v.press("n")
			v.act(`[data-action=grow]`)
			wait(t, "a second corrected image", func() bool { return corrected(s, other.ID) })
			break
		}
	}

	// Teach a few steps, stop, go on, compare, keep, use.
	run(t, ctx, chromedp.Evaluate(`location.hash = "#/teach"`, nil), chromedp.WaitVisible("#teach"), chromedp.WaitVisible(".grid li"),
		chromedp.Evaluate(`document.getElementById("epochs").value = 3; document.getElementById("steps").value = 3`, nil), chromedp.Click("#teach"),
		chromedp.WaitVisible(".curve"))
	s.stop() // killed while it learns
	s = start(t, dir)
	base, _, _ = strings.Cut(s.url, "?")
	run(t, ctx, chromedp.Navigate(s.url), chromedp.WaitVisible(`.grid li`), chromedp.Navigate(base+"#/teach"), chromedp.WaitVisible("#resume"), chromedp.Click("#resume"), chromedp.WaitVisible("#use"))
	wait(t, "pictures to compare", func() bool {
		var shown int
		run(t, ctx, chromedp.Evaluate(`[...document.querySelectorAll(".pairs img")].filter((m) => m.complete && m.naturalWidth).length`, &shown))
		return shown >= 3
	})
	shoot(t, ctx, "teach")
	wait(t, "the end of teaching", func() bool {
		var j struct{ Running bool }
		s.get("/job", &j)
		return !j.Running
	})
	named(t, ctx)
	settled := chromedp.Sleep(500 * time.Millisecond) // what each step tells the page
	run(t, ctx, chromedp.Click("#keep"), settled, chromedp.WaitEnabled("#use"), chromedp.Click("#use"))
	wait(t, "use", func() bool {
		var j struct {
			InUse bool `json:"in_use"`
		}
		s.get("/teach", &j)
		return j.InUse
	})
	if _, err := os.Stat(filepath.Join(dir, "unet", "models", "mine.safetensors")); err != nil {
		t.Error(err)
	}
	run(t, ctx, chromedp.Navigate(base+"results/index.html"))
	var shown int
	run(t, ctx, chromedp.Evaluate(`document.querySelectorAll(".gallery img").length`, &shown))
	if shown != len(s.images()) {
		t.Errorf("the page of results shows %d images of %d", shown, len(s.images()))
	}
	shoot(t, ctx, "results")
}

// named types a name of the model, of which news in the middle take nothing away.
func named(t *testing.T, ctx context.Context) {
	t.Helper()
	var typed string
	run(t, ctx, chromedp.Focus("#modelname"), chromedp.KeyEvent("mi"),
		chromedp.Evaluate(`document.getElementById("use").dataset.old = "yes"; fetch("/api/v1/models").then((r) => r.json()).then((list) =>
			fetch("/api/v1/models", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({file: list.find((m) => m.used).file})})); 0`, nil),
		chromedp.WaitReady("#use:not([data-old])"), chromedp.KeyEvent("ne"), chromedp.Value("#modelname", &typed))
	if typed != "mine" {
		t.Errorf("the name mine is %q after the page has drawn itself again", typed)
	}
}

// exported holds the zip against what the command writes of the same images.
func exported(t *testing.T, s *server, dir string) {
	t.Helper()
	out := t.TempDir()
	c := exec.Command(*program, "predict", "--out", out, "--format", "csv,geojson,labels,overlay,roi", "--quiet")
	images, _ := filepath.Glob(filepath.Join(dir, "*.png"))
	c.Args = append(c.Args, images...)
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	b := s.get("/export", nil)
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(r)
		r.Close()
		if f.Name == "manifest.json" {
			continue // tells the time
		}
		want, err := os.ReadFile(filepath.Join(out, f.Name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the command writes (%v)", f.Name, err)
		}
		same++
	}
	if same < 6*len(images)+3 { // with the thumbnails, the tables and the page
		t.Errorf("%d files compared of %d images", same, len(images))
	}
}

// TestKeyboard does all of it without a mouse, on a narrower screen.
func TestKeyboard(t *testing.T) {
	dir := folder(t)
	s := start(t, dir)
	defer func() { s.stop() }()
	ctx := browser(t)
	run(t, ctx, screen(800, 900, true), chromedp.Navigate(s.url), chromedp.WaitVisible(`.grid li`))
	v := &view{t: t, ctx: ctx, s: s}
	v.tabTo("details summary")
	v.press("\r")
	v.tabTo("#set-ring")
	run(t, ctx, chromedp.KeyEvent("3"))
	v.tabTo("#set-positive")
	run(t, ctx, chromedp.KeyEvent("area>100"))
	shoot(t, ctx, "settings")
	run(t, ctx, screen(800, 900, true))
	v.tabTo("#segment")
	v.press("\r")
	s.segmented()
	run(t, ctx, chromedp.WaitNotVisible("#job"), chromedp.Sleep(time.Second))
	im := s.crowded()
	v.id = im.ID
	v.tabTo(fmt.Sprintf(`a[href="#/image/%s"]`, im.ID))
	v.press("\r")
	run(t, ctx, chromedp.WaitVisible(`.side tbody tr`), chromedp.Sleep(300*time.Millisecond))
	before := s.nuclei(im.ID)
	n := len(before)
	var columns string
	run(t, ctx, chromedp.Evaluate(`document.querySelector(".side thead").textContent`, &columns))
	if !strings.Contains(columns, "ring") || !strings.Contains(columns, "area positive") {
		t.Errorf("the table has the columns %s", columns)
	}
	shoot(t, ctx, "measured")
	run(t, ctx, screen(800, 900, true), chromedp.Sleep(300*time.Millisecond))

	v.press("?")
	v.run(chromedp.WaitVisible("dialog"))
	v.press("\x1b")
	v.run(chromedp.WaitNotVisible("dialog"))
	v.press("n", "+")
	v.becomes("grow", func(l []nucleus) bool { return area(l, before[0].ID) > before[0].Area })
	v.press("-")
	v.becomes("shrink", func(l []nucleus) bool { return area(l, before[0].ID) <= before[0].Area })
	v.press("n", "\u007f")
	v.becomes("delete", many(n-1))
	v.press("u")
	v.becomes("undo", many(n))
	v.press("r")
	v.becomes("redo", many(n-1))
	v.press("u")
	v.becomes("undo again", many(n))
	v.press("\x1b", "n", "N", "j")
	v.becomes("join", many(n-1))
	v.press("u")
	v.becomes("undo of join", many(n))

	// Delete a nucleus and draw one in its place: four sides, with the arrows.
	v.press("\x1b", "f", "v", "n")
	gone := before[0]
	v.press("v", down) // the cursor comes to life
	v.goTo(gone.X, gone.Y)
	v.press("\r")
	v.run(chromedp.WaitVisible(`tr[aria-selected=true]`))
	v.press("\u007f")
	v.becomes("delete under the cursor", many(n-1))
	v.press("d", "\r")
	for _, side := range []string{right, down, left, up} {
		v.press(side, side, side)
	}
	v.press("\r")
	v.becomes("draw", many(n))
	drawn := total(s.nuclei(im.ID))
	v.press("\x1b", "b", "]", "[", "\r", right, right, right, "\r")
	v.becomes("paint", func(l []nucleus) bool { return total(l) > drawn })
	painted := total(s.nuclei(im.ID))
	v.press("e", "\r", left, left, "\r")
	v.becomes("erase", func(l []nucleus) bool { return total(l) < painted })
	m := len(s.nuclei(im.ID))
	tall := before[n-1]
	v.press("\x1b", "v")
	v.goTo(tall.X, float64(tall.Y0)-2)
	v.press("s", "\r")
	v.goTo(tall.X, float64(tall.Y1)+2)
	v.press("\r")
	v.becomes("split", many(m+1))
	v.press("z", "z", "x", "f", "o", "o")

	// Back to the list, and to teaching, by Tab.
	v.tabTo(`nav a[href="#/teach"]`)
	v.press("\r")
	run(t, ctx, chromedp.WaitVisible("#teach"))
	check(t, ctx, "teach before there is anything")
}

const up, down, left, right = "\u0304", "\u0301", "\u0302", "\u0303"

func area(list []nucleus, id uint32) int {
	for _, n := range list {
		if n.ID == id {
			return n.Area
		}
	}
	return 0
}

func total(list []nucleus) (sum int) {
	for _, n := range list {
		sum += n.Area
	}
	return sum
}

// tabTo presses Tab until what a selector names has the focus.
func (v *view) tabTo(selector string) {
	v.t.Helper()
	for range 200 {
		var there bool
		v.run(chromedp.Evaluate(fmt.Sprintf(`!!document.activeElement?.matches(%q)`, selector), &there))
		if there {
			return
		}
		v.run(chromedp.KeyEvent("\t"))
	}
	v.t.Fatalf("Tab does not lead to %s", selector)
}

// goTo moves the cursor of the keyboard to a point of the image with the arrows,
// as the page says where it is.
func (v *view) goTo(x, y float64) {
	v.t.Helper()
	for range 400 {
		var c []float64
		v.run(chromedp.Evaluate(`document.querySelector("canvas").dataset.cursor.split(",").map(Number)`, &c))
		dx, dy, step := x-c[0], y-c[1], c[2]
		switch {
		case dx > step/2:
			v.run(chromedp.KeyEvent(right))
		case dx < -step/2:
			v.run(chromedp.KeyEvent(left))
		case dy > step/2:
			v.run(chromedp.KeyEvent(down))
		case dy < -step/2:
			v.run(chromedp.KeyEvent(up))
		default:
			return
		}
	}
	v.t.Fatalf("the cursor does not get to %g, %g", x, y)
}

// TestTwoBrowsers: who has the same image open sees an edit at once, and edits of
// both are kept.
func TestTwoBrowsers(t *testing.T) {
	dir := folder(t)
	s := start(t, dir)
	defer func() { s.stop() }()
	one := browser(t)
	run(t, one, screen(1400, 900, false), chromedp.Navigate(s.url), chromedp.WaitVisible(`.grid li`), chromedp.Click("#segment"))
	s.segmented()
	id := s.crowded().ID
	n := len(s.nuclei(id))
	a := open(t, one, s, id)
	two := browser(t)
	run(t, two, screen(1400, 900, true))
	b := open(t, two, s, id)
	for k, v := range []*view{a, b, a, b} {
		v.press("\x1b", "n", "\u007f")
		for _, w := range []*view{a, b} {
			w.becomes(fmt.Sprintf("edit %d", k+1), many(n-1-k))
		}
	}
	followed(a, b, n-4)
	// A second server on the folder is refused.
	out, err := exec.Command(*program, "serve", dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "served already") {
		t.Errorf("a second server: %v, %s", err, out)
	}
}

// followed: who has the results open sees a correction of somebody else, and stays
// where the page was scrolled to.
func followed(reader, editor *view, n int) {
	t := reader.t
	t.Helper()
	base, _, _ := strings.Cut(reader.s.url, "?")
	says := func(n int) bool {
		var found bool
		err := chromedp.Run(reader.ctx, chromedp.Evaluate(fmt.Sprintf(`[...document.querySelectorAll(".gallery li")].some((m) => m.querySelector(".tag") && /\b%d nuclei/.test(m.textContent))`, n), &found))
		return err == nil && found // an error: it is being loaded again
	}
	reader.run(chromedp.Navigate(base + "results/index.html"))
	wait(t, "the results of the last edit", func() bool { return says(n) })
	reader.run(chromedp.Evaluate(`scrollTo(0, 120); sessionStorage.clear()`, nil), chromedp.Sleep(300*time.Millisecond))
	editor.press("\x1b", "n", "\u007f")
	wait(t, "results that follow while they are open", func() bool { return says(n - 1) })
	var at float64
	reader.run(chromedp.Sleep(300*time.Millisecond), chromedp.Evaluate(`scrollY`, &at))
	if at != 120 {
		t.Errorf("the page of results jumps from 120 to %g", at)
	}
}

func corrected(s *server, id string) bool {
	for _, m := range s.images() {
		if m.ID == id {
			return m.Corrected
		}
	}
	return false
}

// segmented waits until all images are.
func (s *server) segmented() {
	s.t.Helper()
	wait(s.t, "segmenting", func() bool {
		for _, m := range s.images() {
			if m.Status != "done" {
				return false
			}
		}
		return true
	})
}

// crowded is the image of the most nuclei, within reason.
func (s *server) crowded() listed {
	list := s.images()
	im := list[0]
	for _, m := range list {
		if m.Count > im.Count && m.Count < 60 {
			im = m
		}
	}
	return im
}
