package serve

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	stdimage "image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"unet/core"
	"unet/unet/segment"
	"unet/unet/weights"
)

// discs is a PNG of bright discs on black.
func discs(t testing.TB, shift int) []byte {
	t.Helper()
	m := stdimage.NewGray(stdimage.Rect(0, 0, 96, 96))
	for _, c := range [][3]int{{25, 25, 10}, {60 + shift, 30, 11}, {40, 70, 12}} {
		for y := range 96 {
			for x := range 96 {
				if dx, dy := x-c[0], y-c[1]; dx*dx+dy*dy < c[2]*c[2] {
					m.SetGray(x, y, color.Gray{200})
				}
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// site is a server on a folder of two images.
type site struct {
	t    testing.TB
	s    *Server
	http *httptest.Server
	dir  string
}

func newSite(t testing.TB) *site {
	t.Helper()
	dir := t.TempDir()
	for i := range 2 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.png", i)), discs(t, i*3), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e, err := core.NewEngine("", 0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := weights.Default()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Dir: dir, Engine: e, Model: m, Version: "test", Token: "secret", Hosts: []string{"127.0.0.1"}, MaxUpload: 1 << 20, Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	w := &site{t, s, httptest.NewUnstartedServer(nil), dir}
	w.http.Config = s.HTTPServer()
	w.http.Start()
	t.Cleanup(func() {
		s.Close()
		w.http.Close()
		m.Params.Free()
		e.Close()
	})
	return w
}

// do sends a request with the token and returns status and body.
func (w *site) do(method, path, body string, headers ...string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequest(method, w.http.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer secret")
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// get is do of a GET, with the header of the answer.
func (w *site) get(path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "http://127.0.0.1"+path, nil)
	r.Header.Set("Authorization", "Bearer secret")
	answer := httptest.NewRecorder()
	w.s.Handler().ServeHTTP(answer, r)
	return answer
}

func (w *site) images() (list []listed) {
	w.t.Helper()
	status, body := w.do("GET", "/api/v1/images", "")
	if err := json.Unmarshal([]byte(body), &list); status != 200 || err != nil {
		w.t.Fatalf("images: %d %s", status, body)
	}
	return list
}

type listed struct {
	ID, Name, Status string
	Count            int
	Corrected        bool
}

// segment segments all images and waits.
func (w *site) segment() {
	w.t.Helper()
	if status, body := w.do("POST", "/api/v1/segment", `{}`); status != http.StatusAccepted {
		w.t.Fatalf("segment: %d %s", status, body)
	}
	w.s.work.Wait()
	for _, m := range w.images() {
		if m.Status != segment.Done {
			w.t.Fatalf("%+v", m)
		}
	}
}

func TestGuard(t *testing.T) {
	w := newSite(t)
	_, port, err := net.SplitHostPort(w.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, method, path string
		headers            []string
		want               int
	}{
		{"as it should be", "GET", "/api/v1/images", nil, 200},
		{"no token", "GET", "/api/v1/images", []string{"Authorization", ""}, 401},
		{"a wrong token", "GET", "/api/v1/images", []string{"Authorization", "Bearer secreT"}, 401},
		{"a wrong token in the address", "GET", "/?token=x", []string{"Authorization", ""}, 401},
		{"the page without a token", "GET", "/app.js", []string{"Authorization", ""}, 401},
		{"the token as a cookie", "GET", "/api/v1/images", []string{"Authorization", "", "Cookie", "unet-1=other; unet-" + port + "=secret; unet=other"}, 200},
		{"the token as that of another port", "GET", "/api/v1/images", []string{"Authorization", "", "Cookie", "unet-1=secret"}, 401},
		{"a name that points here", "GET", "/api/v1/images", []string{"Host", "evil.example"}, 421},
		{"a name that begins like ours", "GET", "/api/v1/images", []string{"Host", "127.0.0.1.evil.example"}, 421},
		{"another site", "POST", "/api/v1/segment", []string{"Origin", "http://evil.example"}, 403},
		{"a page of no site", "POST", "/api/v1/segment", []string{"Origin", "null"}, 403},
		{"another site as browsers tell it", "GET", "/api/v1/images", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a form", "POST", "/api/v1/segment", []string{"Content-Type", "text/plain"}, 415},
		{"out of the results", "GET", "/results/../0.png", nil, 307}, // to the next, which is no file of the page
		{"beside the page", "GET", "/0.png", nil, 404},
		{"out of the results, encoded", "GET", "/results/%2e%2e/0.png", nil, 404},
		{"out of the folder", "GET", "/results/..%2f..%2f..%2fetc%2fpasswd.html", nil, 404},
		{"a file of the server", "GET", "/api/v1/images/..%2f..%2fetc/thumbnail", nil, 404},
		{"what is not there", "GET", "/api/v1/nothing", nil, 404},
	} {
		if got, body := w.do(c.method, c.path, "{}", c.headers...); got != c.want {
			t.Errorf("%s: %d, want %d: %.100s", c.name, got, c.want, body)
		}
	}
	r, _ := http.NewRequest("GET", w.http.URL+"/?token=secret", nil)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	cookie := resp.Header.Get("Set-Cookie")
	if resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(cookie, "unet-"+port+"=secret") || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") {
		t.Errorf("token in the address: %d, cookie %q", resp.StatusCode, cookie)
	}
	if p := resp.Header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") {
		t.Errorf("policy %q", p)
	}
}

// TestLinks: what leads out of the folder is neither listed nor read.
func TestLinks(t *testing.T) {
	w := newSite(t)
	outside := filepath.Join(t.TempDir(), "secret.png")
	os.WriteFile(outside, discs(t, 0), 0o644)
	if err := os.Symlink(outside, filepath.Join(w.dir, "link.png")); err != nil {
		t.Skip(err)
	}
	os.Symlink(outside, filepath.Join(w.dir, "unet", "out.png"))
	if list := w.images(); len(list) != 2 {
		t.Errorf("listed: %v", list)
	}
	if status, _ := w.do("GET", "/results/out.png", ""); status != 404 {
		t.Errorf("a link out of the folder is followed: %d", status)
	}
}

func TestUpload(t *testing.T) {
	w := newSite(t)
	good := string(discs(t, 1))
	for _, c := range []struct {
		name, body string
		want       int
	}{
		{"new.png", good, 201},
		{"0.png", good, 201}, // under another name
		{"../../up.png", good, 201},
		{".hidden.png", good, 415},
		{"page.html", good, 415},
		{"", good, 415},
		{"broken.png", good[:40], 422},
		{"text.tif", "II*\x00nonsense", 422},
		{"large.png", good + strings.Repeat("x", 2<<20), 413},
	} {
		if got, body := w.do("POST", "/api/v1/images?name="+c.name, c.body); got != c.want {
			t.Errorf("%q: %d, want %d: %s", c.name, got, c.want, body)
		}
	}
	var names []string
	list, _ := os.ReadDir(w.dir)
	for _, e := range list {
		names = append(names, e.Name())
	}
	if got, want := strings.Join(names, " "), "0 (2).png 0.png 1.png new.png unet up.png"; got != want {
		t.Errorf("the folder holds %s, want %s", got, want)
	}
	if b, _ := os.ReadFile(filepath.Join(w.dir, "0.png")); !bytes.Equal(b, discs(t, 0)) {
		t.Error("an image was replaced")
	}
}

// TestUploadWithoutLinks: files are added where a file system knows no links, and
// what a killed server left of them goes.
func TestUploadWithoutLinks(t *testing.T) {
	w := newSite(t)
	defer func(f func(*os.Root, string, string) error) { link = f }(link)
	link = func(*os.Root, string, string) error {
		return &os.LinkError{Op: "link", Err: errors.ErrUnsupported}
	}
	for _, want := range []string{"new.png", "new (2).png"} {
		if status, body := w.do("POST", "/api/v1/images?name=new.png", string(discs(t, 1))); status != 201 || !strings.Contains(body, want) {
			t.Errorf("%d, want %s: %s", status, want, body)
		}
		if b, err := os.ReadFile(filepath.Join(w.dir, want)); err != nil || !bytes.Equal(b, discs(t, 1)) {
			t.Errorf("%s: %d bytes, %v", want, len(b), err)
		}
	}
	for _, name := range []string{".upload-ABCDEFGHIJKLMNOPQRSTUVWXY2.png", ".upload-mine.png"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), discs(t, 1)[:40], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.again()
	left, _ := filepath.Glob(filepath.Join(w.dir, ".upload-*"))
	if len(left) != 1 || filepath.Base(left[0]) != ".upload-mine.png" {
		t.Errorf("left: %q", left)
	}
}

// TestSameNuclei: the interface finds what the run finds and exports its bytes.
func TestSameNuclei(t *testing.T) {
	w := newSite(t)
	w.segment()
	m := w.images()[0]
	for _, format := range exported {
		if !slices.Contains(ResultFormats, format) {
			if status, got := w.do("GET", "/api/v1/images/"+m.ID+"/export/"+format, ""); status != 200 || len(got) == 0 {
				t.Errorf("%s: %d %s", format, status, got)
			}
			continue // not among the files of the run
		}
		want, err := os.ReadFile(filepath.Join(w.dir, "unet", "0"+segment.Extension(format, false)))
		if err != nil {
			t.Fatal(err)
		}
		if status, got := w.do("GET", "/api/v1/images/"+m.ID+"/export/"+format, ""); status != 200 || got != string(want) {
			t.Errorf("%s: %d, other bytes than the file", format, status)
		}
	}
	status, body := w.do("POST", "/api/v1/analyse/csv", string(discs(t, 0)))
	want, _ := os.ReadFile(filepath.Join(w.dir, "unet", "0.nuclei.csv"))
	if got := strings.ReplaceAll(body, "image,", "0.png,"); status != 200 || strings.Replace(got, "0.png,nucleus", "image,nucleus", 1) != string(want) {
		t.Errorf("analyse: %d\n%s\nwant\n%s", status, body, want)
	}
}

// TestAnalysePlanes: of an image with several planes the one that is named is
// segmented; none is taken for the whole image.
func TestAnalysePlanes(t *testing.T) {
	w := newSite(t)
	var frames gif.GIF
	for _, shift := range []int{0, 5} {
		m, err := png.Decode(bytes.NewReader(discs(t, shift)))
		if err != nil {
			t.Fatal(err)
		}
		p := stdimage.NewPaletted(m.Bounds(), []color.Color{color.Gray{0}, color.Gray{200}})
		draw.Draw(p, p.Bounds(), m, stdimage.Point{}, draw.Src)
		frames.Image, frames.Delay = append(frames.Image, p), append(frames.Delay, 0)
	}
	var two bytes.Buffer
	if err := gif.EncodeAll(&two, &frames); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"", "?plane=2", "?plane=x"} {
		if status, body := w.do("POST", "/api/v1/analyse/json"+query, two.String()); status/100 != 4 || !strings.Contains(body, "plane") {
			t.Errorf("%q: %d %s", query, status, body)
		}
	}
	for plane, shift := range []int{0, 5} {
		_, want := w.do("POST", "/api/v1/analyse/json", string(discs(t, shift)))
		if status, got := w.do("POST", fmt.Sprintf("/api/v1/analyse/json?plane=%d", plane), two.String()); status != 200 || got != want {
			t.Errorf("plane %d: %d\n%s\nwant\n%s", plane, status, got, want)
		}
	}
}

// TestCutOff: an answer that fails halfway ends as one that is cut off, rather than
// with an error in the middle of a file.
func TestCutOff(t *testing.T) {
	for _, half := range []string{"", "half"} {
		rt := route{handle: func(_ *Server, w http.ResponseWriter, _ *http.Request) error {
			if half != "" {
				io.WriteString(w, half)
				http.NewResponseController(w).Flush()
			}
			return errors.New("the disk is gone")
		}}
		w := httptest.NewServer(rt.handler(nil))
		resp, err := http.Get(w.URL)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		w.Close()
		if half != "" && (err == nil || string(text) != half) {
			t.Errorf("halfway: %q, %v", text, err)
		}
		if half == "" && (err != nil || resp.StatusCode != 500 || !strings.Contains(string(text), `{"error":"the disk is gone"}`)) {
			t.Errorf("at once: %d %q, %v", resp.StatusCode, text, err)
		}
	}
}

// TestNoRoute: what no route takes is answered in JSON, as any error is.
func TestNoRoute(t *testing.T) {
	w := newSite(t)
	for _, q := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"GET", "/api/v1/nothing", 404, "openapi.json"},
		{"POST", "/api/v2/images", 404, "openapi.json"},
		{"DELETE", "/api/v1/images", 405, "GET, HEAD, POST"},
		{"GET", "/api/v1/segment", 405, "POST"},
	} {
		status, body := w.do(q.method, q.path, "")
		var e struct{ Error string }
		if err := json.Unmarshal([]byte(body), &e); err != nil || status != q.status || !strings.Contains(e.Error, q.text) {
			t.Errorf("%s %s: %d %s", q.method, q.path, status, body)
		}
	}
}

// TestParameters: a parameter that a route does not have is refused, one that it has is
// checked.
func TestParameters(t *testing.T) {
	w := newSite(t)
	id := w.images()[0].ID
	for _, bad := range []string{"threshold=7", "threshold=NaN", "threshold=x", "foo=1", "diameter=x", "plane=%zz"} {
		for _, format := range []string{"json", "csv"} {
			if status, body := w.do("POST", "/api/v1/analyse/"+format+"?"+bad, string(discs(t, 0))); status != 400 || !strings.Contains(body, `"error"`) {
				t.Errorf("analyse/%s?%s: %d %.100s", format, bad, status, body)
			}
		}
	}
	if status, body := w.do("GET", "/api/v1/images/"+id+"/view?plan=0", ""); status != 400 || !strings.Contains(body, "plane") {
		t.Errorf("view: %d %s", status, body)
	}
	if status, body := w.do("GET", "/api/v1/images/"+id+"/thumbnail?version=1", ""); status != 200 {
		t.Errorf("thumbnail: %d %s", status, body)
	}
	var a Analysis
	status, body := w.do("POST", "/api/v1/analyse/json?threshold=0.5&diameter=20", string(discs(t, 0)))
	if err := json.Unmarshal([]byte(body), &a); status != 200 || err != nil || a.Scale == 0 || a.Width != 96 || len(a.Nuclei) != 3 {
		t.Errorf("analyse: %d %v %.200s", status, err, body)
	}
}

// TestMovedFolder: results and corrections stay where a folder is moved to.
func TestMovedFolder(t *testing.T) {
	w := newSite(t)
	w.segment()
	if status, body := w.do("POST", "/api/v1/images/"+w.images()[0].ID+"/edits", `{"tool":"delete","ids":[1]}`); status != 200 {
		t.Fatal(status, body)
	}
	want := w.images()
	dir := filepath.Join(t.TempDir(), "moved")
	if err := os.CopyFS(dir, os.DirFS(w.dir)); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Dir: dir, Engine: w.s.o.Engine, Model: w.s.o.Model})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, m := range s.images() {
		if m.Status != segment.Done || m.Corrected != want[i].Corrected {
			t.Errorf("%s is %s, corrected %v", m.Name, m.Status, m.Corrected)
		}
	}
}

// TestEdit: two people on one image: who has not seen the last edit is told so,
// and nothing is lost.
func TestEdit(t *testing.T) {
	w := newSite(t)
	m := w.images()[0]
	if status, body := w.do("POST", "/api/v1/images/"+m.ID+"/edits", `{"tool":"delete","ids":[1]}`); status != 409 {
		t.Errorf("an edit before there are labels: %d %s", status, body)
	}
	if r := w.get("/api/v1/images/" + m.ID + "/export/csv"); r.Code != 409 || r.Header().Get("Content-Disposition") != "" {
		t.Errorf("a table before there are labels: %d, to be saved as %q", r.Code, r.Header().Get("Content-Disposition"))
	}
	w.segment()
	m = w.images()[0]
	edit := func(body string, want int) {
		t.Helper()
		if status, text := w.do("POST", "/api/v1/images/"+m.ID+"/edits", body); status != want {
			t.Errorf("%s: %d, want %d: %s", body, status, want, text)
		}
	}
	edit(`{"tool":"delete","ids":[1],"revision":0}`, 200)
	edit(`{"tool":"delete","ids":[2],"revision":0}`, 409)
	edit(`{"tool":"delete","ids":[99],"revision":1}`, 422)
	edit(`{"tool":"delete","idz":[2],"revision":1}`, 400)
	if got := w.images()[0]; !got.Corrected || got.Count != m.Count-1 {
		t.Errorf("after a deletion: %+v, before %+v", got, m)
	}
	own, err := os.ReadFile(filepath.Join(w.dir, "unet", "0.labels.tif"))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(filepath.Join(w.dir, "unet", "corrections", "0.png.labels.tif"))
	if err != nil || !bytes.Equal(own, kept) {
		t.Error("the model's own labels are not kept")
	}
	edit(`{"tool":"undo","revision":1}`, 200)
	if got := w.images()[0]; got.Corrected || got.Count != m.Count {
		t.Errorf("after undo: %+v", got)
	}
	edit(`{"tool":"undo","revision":2}`, 422)
	edit(`{"tool":"redo","revision":2}`, 200)
	var shown struct {
		Nuclei []struct{ Confidence float64 }
	}
	_, body := w.do("GET", "/api/v1/images/"+m.ID+"/nuclei", "")
	if err := json.Unmarshal([]byte(body), &shown); err != nil || len(shown.Nuclei) == 0 || shown.Nuclei[0].Confidence <= 0 {
		t.Errorf("untouched nuclei lose their confidence: %v %+v", err, shown)
	}
	if status, csv := w.do("GET", "/api/v1/images/"+m.ID+"/export/csv", ""); status != 200 || strings.Count(csv, "\n") != m.Count {
		t.Errorf("the table of a corrected image: %d\n%s", status, csv)
	}
}

// TestDescription: the OpenAPI document names every route, and no other, and the
// server answers each of them.
func TestDescription(t *testing.T) {
	w := newSite(t)
	status, body := w.do("GET", "/api/v1/openapi.json", "")
	var d struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
		}
	}
	if err := json.Unmarshal([]byte(body), &d); status != 200 || err != nil {
		t.Fatalf("%d %v", status, err)
	}
	n := 0
	for path, methods := range d.Paths {
		for method, op := range methods {
			n++
			inPath := 0
			for _, p := range op.Parameters {
				if p.In == "path" {
					inPath++
				}
			}
			if inPath != strings.Count(path, "{") {
				t.Errorf("%s %s: %d parameters", method, path, inPath)
			}
			if strings.HasSuffix(path, "/events") {
				continue // never ends
			}
			address := strings.NewReplacer("{id}", "none", "{format}", "none", "{level}", "0", "{x}", "0", "{y}", "0", "{n}", "0", "{which}", "0").Replace(path)
			got, text := w.do(strings.ToUpper(method), address, "x")
			if got == 405 || got >= 500 || got == 404 && !strings.Contains(text, `"error"`) {
				t.Errorf("%s %s is not answered: %d %s", method, path, got, text)
			}
		}
	}
	if n != len(routes) {
		t.Errorf("%d routes described, %d there", n, len(routes))
	}
}

// TestManyClients: fifty at once are all answered, or told to come again.
func TestManyClients(t *testing.T) {
	w := newSite(t)
	w.segment()
	m := w.images()[0]
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[int]int{}
	for i := range 50 {
		wg.Go(func() {
			for k := range 4 {
				path := []string{"/api/v1/images", "/api/v1/images/" + m.ID + "/nuclei", "/api/v1/images/" + m.ID + "/tiles/0/0/0", "/api/v1/images/" + m.ID + "/thumbnail"}[(i+k)%4]
				r, _ := http.NewRequest("GET", w.http.URL+path, nil)
				r.Header.Set("Authorization", "Bearer secret")
				resp, err := http.DefaultClient.Do(r)
				mu.Lock()
				if err != nil {
					answers[0]++
				} else {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					answers[resp.StatusCode]++
					if resp.StatusCode == 429 && resp.Header.Get("Retry-After") == "" {
						answers[-1]++
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if answers[200]+answers[429] != 200 || answers[-1] > 0 {
		t.Errorf("answers by status: %v", answers)
	}
}

// TestBusy: with all places taken, the next is told when to come again.
func TestBusy(t *testing.T) {
	w := newSite(t)
	for range cap(w.s.queue) {
		w.s.queue <- struct{}{}
	}
	if status, _ := w.do("GET", "/api/v1/images", ""); status != 429 {
		t.Errorf("status %d", status)
	}
}

// beginUpload begins to send an image, and returns the connection when the server is at it.
func (w *site) beginUpload() net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.http.Listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	fmt.Fprintf(c, "POST /api/v1/images?name=a.png HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer secret\r\nContent-Length: 1000\r\n\r\nabc")
	for len(w.s.slots) == 0 {
		time.Sleep(time.Millisecond)
	}
	return c
}

// TestSlowClient: a body that stops coming holds no place for ever.
func TestSlowClient(t *testing.T) {
	w := newSite(t)
	c := w.beginUpload()
	c.Close()
	for len(w.s.slots) > 0 {
		time.Sleep(time.Millisecond)
	}
	if list, _ := filepath.Glob(filepath.Join(w.dir, ".upload-*")); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
}

// TestClose: a server that is closed waits for requests under way, which may compute or
// write, and answers no others.
func TestClose(t *testing.T) {
	w := newSite(t)
	c := w.beginUpload()
	closed := make(chan error)
	go func() { closed <- w.s.Close() }()
	<-w.s.base.Done()
	select {
	case <-closed:
		t.Fatal("closed while an image is being added")
	case <-time.After(10 * time.Millisecond):
	}
	if status, _ := w.do("GET", "/api/v1/images", ""); status != http.StatusServiceUnavailable {
		t.Errorf("a request to a server that is being closed: %d", status)
	}
	c.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// TestEvents: a page that listens hears of edits.
func TestEvents(t *testing.T) {
	w := newSite(t)
	w.segment()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", w.http.URL+"/api/v1/events", nil)
	r.Header.Set("Authorization", "Bearer secret")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := make([]byte, 4096)
	resp.Body.Read(b)
	w.do("POST", "/api/v1/images/"+w.images()[0].ID+"/edits", `{"tool":"delete","ids":[1]}`)
	n, _ := resp.Body.Read(b)
	if !strings.Contains(string(b[:n]), "event: edit") {
		t.Errorf("heard %q", b[:n])
	}
}

// TestPatience: a client that sends nothing more is given up, and so is one that
// never sends its headers.
func TestPatience(t *testing.T) {
	before := bodyTime
	bodyTime = 100 * time.Millisecond
	t.Cleanup(func() { bodyTime = before }) // once the servers are closed
	w := newSite(t)
	hasty := httptest.NewUnstartedServer(nil)
	hasty.Config = w.s.HTTPServer()
	hasty.Config.ReadHeaderTimeout = 100 * time.Millisecond
	hasty.Start()
	defer hasty.Close()
	for what, text := range map[string]string{
		"half a body":   "POST /api/v1/images?name=a.png HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer secret\r\nContent-Length: 1000\r\n\r\nabc",
		"half a header": "GET /api/v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\n",
	} {
		c, err := net.Dial("tcp", hasty.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, text)
		answer, _ := io.ReadAll(c) // ends because the server closes the connection
		c.Close()
		if what == "half a body" && !strings.Contains(string(answer), "408") {
			t.Errorf("%s: %.200s", what, answer)
		}
	}
	if list, _ := filepath.Glob(filepath.Join(w.dir, ".upload-*")); len(list) > 0 || len(w.s.slots) > 0 {
		t.Errorf("left behind: %v, %d places", list, len(w.s.slots))
	}
}

// TestLongUpload: a file that takes longer to arrive than an answer may take to leave is
// answered.
func TestLongUpload(t *testing.T) {
	before := answerTime
	answerTime = 50 * time.Millisecond
	t.Cleanup(func() { answerTime = before }) // once the servers are closed
	w := newSite(t)
	c, err := net.Dial("tcp", w.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := discs(t, 0)
	fmt.Fprintf(c, "POST /api/v1/images?name=a.png HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer secret\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(b), b[:9])
	time.Sleep(2 * answerTime)
	c.Write(b[9:])
	if answer, _ := io.ReadAll(c); !strings.Contains(string(answer), " 201 ") {
		t.Errorf("the answer is %q", answer)
	}
}

// TestLongWork: a request that takes longer to answer than a piece of a body may take is
// not given up.
func TestLongWork(t *testing.T) {
	before := bodyTime
	bodyTime = 50 * time.Millisecond
	t.Cleanup(func() { bodyTime = before }) // once the servers are closed
	w := newSite(t)
	w.segment()
	w.s.follower.files.Lock()
	w.edit(w.images()[0], `{"tool":"delete","ids":[1]}`, 200)
	answered := make(chan int)
	for _, body := range []string{"", "unread"} {
		go func() {
			status, _ := w.do("GET", "/api/v1/export", body)
			answered <- status
		}()
	}
	time.Sleep(2 * bodyTime)
	w.s.follower.files.Unlock()
	for range 2 {
		if status := <-answered; status != 200 {
			t.Errorf("the zip, once the results have followed: %d", status)
		}
	}
}

// TestBombs: files that are small and claim to be huge cost an error, not memory,
// wherever they come in.
func TestBombs(t *testing.T) {
	w := newSite(t)
	b := discs(t, 0)
	copy(b[16:], []byte{0, 1, 0, 0, 0, 1, 0, 0}) // 65536 x 65536
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, path := range []string{"/api/v1/images?name=bomb.png", "/api/v1/analyse/json"} {
		if status, body := w.do("POST", path, string(b)); status/100 != 4 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	os.WriteFile(filepath.Join(w.dir, "bomb.png"), b, 0o644) // it lay there before
	for _, m := range w.images() {
		if m.Name != "bomb.png" {
			continue
		}
		for _, path := range []string{"/view", "/nuclei", "/thumbnail", "/tiles/0/0/0"} {
			if status, body := w.do("GET", "/api/v1/images/"+m.ID+path, ""); status/100 != 4 {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 256<<20 {
		t.Errorf("%d MiB were taken", grown>>20)
	}
}

// TestMemoryOfMany: what fifty clients look at at once is not all held.
func TestMemoryOfMany(t *testing.T) {
	w := newSite(t)
	w.s.o.Memory = 64 << 20
	w.s.tiles.most = 1 << 20
	for i := range 80 {
		noise(t, filepath.Join(w.dir, fmt.Sprintf("n%02d.tif", i)), 600, 600, 1)
	}
	list := w.images()
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[int]int{}
	for i := range 50 {
		wg.Go(func() {
			for k := range 4 {
				status, _ := w.do("GET", fmt.Sprintf("/api/v1/images/%s/tiles/0/%d/0", list[(i*4+k*7)%len(list)].ID, k%2), "")
				mu.Lock()
				answers[status]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if len(w.s.pictures) > 1+int(w.s.o.Memory/4/cacheBytes) || len(w.s.documents) > mostOpen || w.s.tiles.bytes > w.s.tiles.most {
		t.Errorf("%d pictures and %d documents are open, %d bytes of tiles", len(w.s.pictures), len(w.s.documents), w.s.tiles.bytes)
	}
	if answers[200] == 0 || answers[200]+answers[404]+answers[429]+answers[503] != 200 {
		t.Errorf("answers by status: %v", answers)
	}
}
