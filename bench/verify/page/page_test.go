// Package page drives the page of `unet serve` in a Chromium: every tool, by
// mouse and by keyboard alone, on screens of several widths, light and dark.
package page

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var (
	program = flag.String("unet", "", "the program to test")
	images  = flag.String("images", "", "folder with ten images; they are copied")
	shots   = flag.String("shots", "", "folder for screenshots")
	axe     = flag.String("axe", "", "axe.min.js of axe-core; without it nothing is checked by it")
)

// server is `unet serve` on a folder of its own.
type server struct {
	t          *testing.T
	url, token string
	dir        string
	cmd        *exec.Cmd
}

func start(t *testing.T, dir string) *server {
	t.Helper()
	s := &server{t: t, dir: dir, cmd: exec.Command(*program, "serve", dir)}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	s.url = strings.TrimSpace(line)
	_, s.token, _ = strings.Cut(s.url, "token=")
	return s
}

func (s *server) stop() {
	s.cmd.Process.Kill() // whatever it was doing: nothing may be lost
	s.cmd.Wait()
}

// get reads an address of the interface.
func (s *server) get(path string, v any) []byte {
	s.t.Helper()
	base, _, _ := strings.Cut(s.url, "/?")
	r, _ := http.NewRequest("GET", base+"/api/v1"+path, nil)
	r.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 {
		s.t.Fatalf("%s: %s %s", path, resp.Status, b)
	}
	if v != nil {
		if err := json.Unmarshal(b, v); err != nil {
			s.t.Fatal(err)
		}
	}
	return b
}

type listed struct {
	ID, Name, Status string
	Count            int
	Corrected        bool
}

type nucleus struct {
	ID             uint32
	X, Y           float64
	X0, Y0, X1, Y1 int
	Area           int
}

func (s *server) images() (list []listed) { s.get("/images", &list); return list }

func (s *server) nuclei(id string) (list []nucleus) {
	var d struct{ Nuclei []nucleus }
	s.get("/images/"+id+"/nuclei", &d)
	return d.Nuclei
}

// wait tries until ok holds.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 600 {
		if ok() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s does not happen", what)
}

func browser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func run(t *testing.T, ctx context.Context, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// screen sets the width, and light or dark.
func screen(width, height int64, dark bool) chromedp.Action {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	return chromedp.Tasks{emulation.SetDeviceMetricsOverride(width, height, 1, false),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}})}
}

// shoot takes screenshots of what is shown, and lets axe look at it.
func shoot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	for _, w := range []int64{400, 800, 1400} {
		for _, dark := range []bool{false, true} {
			var png []byte
			var overflow bool
			run(t, ctx, screen(w, 900, dark), chromedp.Sleep(300*time.Millisecond),
				chromedp.Evaluate(`document.documentElement.scrollWidth > innerWidth + 1`, &overflow), chromedp.CaptureScreenshot(&png))
			if overflow {
				t.Errorf("%s is wider than a screen of %d pixels", name, w)
			}
			if *shots != "" {
				os.WriteFile(filepath.Join(*shots, fmt.Sprintf("%s-%d-%v.png", name, w, map[bool]string{false: "light", true: "dark"}[dark])), png, 0o644)
			}
		}
	}
	run(t, ctx, screen(1400, 900, false), chromedp.Sleep(300*time.Millisecond))
	check(t, ctx, name)
}

// check reports the serious faults that axe finds.
func check(t *testing.T, ctx context.Context, name string) {
	if *axe == "" {
		return
	}
	b, err := os.ReadFile(*axe)
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	run(t, ctx, chromedp.Evaluate(string(b), nil), chromedp.Evaluate(`axe.run().then(r => r.violations.filter(v => v.impact === "serious" || v.impact === "critical")
		.map(v => v.id + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join("; ")))`, &faults, func(p *runtime.EvaluateParams) *runtime.EvaluateParams {
		return p.WithAwaitPromise(true).WithReturnByValue(true)
	}))
	for _, f := range faults {
		t.Errorf("%s: axe: %s", name, f)
	}
}

// point is where a point of the image is on the screen: the image is fitted into
// the canvas.
func point(t *testing.T, ctx context.Context, s *server, id string, x, y float64) (float64, float64) {
	t.Helper()
	var d struct{ Width, Height float64 }
	s.get("/images/"+id+"/view", &d)
	var r struct{ X, Y, Width, Height float64 }
	run(t, ctx, chromedp.Evaluate(`(() => { const r = document.querySelector("canvas").getBoundingClientRect(); return {X: r.x, Y: r.y, Width: r.width, Height: r.height}; })()`, &r))
	scale := min(r.Width/d.Width, r.Height/d.Height)
	return r.X + (r.Width-d.Width*scale)/2 + x*scale, r.Y + (r.Height-d.Height*scale)/2 + y*scale
}

func drag(points ...[2]float64) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		for i, p := range points {
			kind := input.MouseMoved
			if i == 0 {
				kind = input.MousePressed
			}
			if err := input.DispatchMouseEvent(kind, p[0], p[1]).WithButton(input.Left).WithButtons(1).WithClickCount(1).Do(ctx); err != nil {
				return err
			}
		}
		last := points[len(points)-1]
		return input.DispatchMouseEvent(input.MouseReleased, last[0], last[1]).WithButton(input.Left).WithClickCount(1).Do(ctx)
	})
}

// folder copies the images.
func folder(t *testing.T) string {
	t.Helper()
	if *program == "" || *images == "" {
		t.Skip("-unet and -images say what to test")
	}
	dir := t.TempDir()
	list, err := filepath.Glob(filepath.Join(*images, "*.png"))
	if err != nil || len(list) < 3 {
		t.Fatalf("%d images in %s (%v)", len(list), *images, err)
	}
	for _, name := range list[:min(len(list), 10)] {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o644)
	}
	return dir
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
	shoot(t, ctx, "new")
	run(t, ctx, chromedp.Click("#segment"))
	wait(t, "segmenting", func() bool {
		for _, m := range s.images() {
			if m.Status != "done" {
				return false
			}
		}
		return true
	})
	run(t, ctx, chromedp.WaitNotVisible("#job"))
	shoot(t, ctx, "folder")

	list := s.images()
	im := list[0]
	for _, m := range list {
		if m.Count > im.Count && m.Count < 60 {
			im = m
		}
	}
	run(t, ctx, chromedp.Click(fmt.Sprintf(`a[href="#/image/%s"]`, im.ID)), chromedp.WaitVisible(`.side tbody tr`), chromedp.Sleep(500*time.Millisecond))
	before := s.nuclei(im.ID)
	at := func(x, y float64) [2]float64 { a, b := point(t, ctx, s, im.ID, x, y); return [2]float64{a, b} }
	big := before[0]
	for _, n := range before {
		if n.Area > big.Area {
			big = n
		}
	}
	changed := func(what string, n int) {
		t.Helper()
		wait(t, what, func() bool { return len(s.nuclei(im.ID)) == n })
		time.Sleep(300 * time.Millisecond)
	}
	// Split, join again, delete, undo, redo, draw, brush, eraser.
	run(t, ctx, drag(at(big.X, big.Y), at(big.X, big.Y)), chromedp.WaitVisible(`tr[aria-selected=true]`))
	shoot(t, ctx, "image")
	run(t, ctx, chromedp.Click(`[data-tool=split]`), drag(at(big.X, float64(big.Y0)-2), at(big.X, float64(big.Y1)+2)))
	changed("split", len(before)+1)
	run(t, ctx, chromedp.Click(`[data-tool=select]`), drag(at(big.X-4, big.Y), at(big.X-4, big.Y)),
		chromedp.ActionFunc(func(ctx context.Context) error {
			p := at(big.X+4, big.Y)
			for _, k := range []input.MouseType{input.MousePressed, input.MouseReleased} {
				if err := input.DispatchMouseEvent(k, p[0], p[1]).WithButton(input.Left).WithClickCount(1).WithModifiers(input.ModifierShift).Do(ctx); err != nil {
					return err
				}
			}
			return nil
		}), chromedp.Click(`[data-action=join]`))
	changed("join", len(before))
	run(t, ctx, chromedp.Click("#undo"))
	changed("undo", len(before)+1)
	run(t, ctx, chromedp.Click("#redo"))
	changed("redo", len(before))
	run(t, ctx, chromedp.KeyEvent("\x1b"), drag(at(big.X, big.Y), at(big.X, big.Y)), chromedp.WaitEnabled(`[data-action=delete]`), chromedp.Click(`[data-action=delete]`))
	changed("delete", len(before)-1)
	run(t, ctx, chromedp.Click(`[data-tool=draw]`), drag(at(big.X-6, big.Y-6), at(big.X+6, big.Y-6), at(big.X+6, big.Y+6), at(big.X-6, big.Y+6)))
	changed("draw", len(before))
	run(t, ctx, chromedp.KeyEvent("\x1b"), chromedp.Click(`[data-tool=erase]`), drag(at(big.X, big.Y), at(big.X+1, big.Y), at(big.X+9, big.Y+9)))
	run(t, ctx, chromedp.Sleep(500*time.Millisecond))
	after := s.nuclei(im.ID)

	// Killed and started again, everything is as it was.
	s.stop()
	s = start(t, dir)
	if again := s.nuclei(im.ID); fmt.Sprint(again) != fmt.Sprint(after) {
		t.Error("a kill has lost edits")
	}
	// By keyboard alone: the next nucleus, grow, delete, undo.
	run(t, ctx, chromedp.Navigate(s.url), chromedp.WaitVisible(`.grid li`), chromedp.Navigate(strings.Split(s.url, "?")[0]+"#/image/"+list[1].ID), chromedp.WaitVisible(`.side tbody tr`), chromedp.Sleep(300*time.Millisecond))
	n := len(s.nuclei(list[1].ID))
	run(t, ctx, chromedp.KeyEvent("n"), chromedp.KeyEvent("+"))
	wait(t, "grow", func() bool { return corrected(s, list[1].ID) })
	run(t, ctx, chromedp.Sleep(500*time.Millisecond), chromedp.KeyEvent("n"), chromedp.KeyEvent("\u007f"))
	wait(t, "delete by key", func() bool { return len(s.nuclei(list[1].ID)) == n-1 })

	// Teach a few steps, compare, use.
	run(t, ctx, chromedp.Evaluate(`location.hash = "#/teach"`, nil), chromedp.WaitVisible("#teach"), chromedp.WaitVisible(".grid li"),
		chromedp.Evaluate(`document.getElementById("epochs").value = 2; document.getElementById("steps").value = 2`, nil), chromedp.Click("#teach"), chromedp.WaitVisible("#use"))
	shoot(t, ctx, "teach")
	run(t, ctx, chromedp.Click("#use"))
	wait(t, "use", func() bool {
		var j struct {
			InUse bool `json:"in_use"`
		}
		s.get("/job", &j)
		return j.InUse
	})

	// What is exported is what the run wrote.
	for _, m := range s.images() {
		if m.Corrected {
			continue
		}
		for _, k := range []struct{ format, ext string }{{"labels", ".labels.tif"}, {"csv", ".nuclei.csv"}, {"geojson", ".geojson"}} {
			want, err := os.ReadFile(filepath.Join(dir, "unet", strings.TrimSuffix(m.Name, ".png")+k.ext))
			if got := s.get("/images/"+m.ID+"/export/"+k.format, nil); err != nil || string(got) != string(want) {
				t.Errorf("%s of %s differs from the file (%v)", k.format, m.Name, err)
			}
		}
		break
	}
	run(t, ctx, chromedp.Navigate(strings.Split(s.url, "?")[0]+"results/index.html"))
	var shown int
	run(t, ctx, chromedp.Evaluate(`document.querySelectorAll(".gallery img").length`, &shown))
	if shown != len(list) {
		t.Errorf("the page of results shows %d images of %d", shown, len(list))
	}
	shoot(t, ctx, "results")
}

func corrected(s *server, id string) bool {
	for _, m := range s.images() {
		if m.ID == id {
			return m.Corrected
		}
	}
	return false
}
