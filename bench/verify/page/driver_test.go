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
	for range 1800 {
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
	ctx, cancel = context.WithTimeout(ctx, 10*time.Minute)
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
