package serve

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	stdimage "image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/segment"
)

func (w *site) taught() (st JobState) {
	w.t.Helper()
	status, body := w.do("GET", "/api/v1/teach", "")
	if err := json.Unmarshal([]byte(body), &st); status != 200 || err != nil {
		w.t.Fatalf("%d %s %v", status, body, err)
	}
	return st
}

// again closes the server, as it ends, and opens the folder anew.
func (w *site) again() {
	w.t.Helper()
	w.s.Close()
	s, err := New(w.s.o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.s = s
	w.http.Config.Handler = s.Handler()
	w.t.Cleanup(func() { s.Close() })
}

// TestTeach: a teaching that is stopped goes on where it was, also in another
// process; what came of it is used, kept and remembered.
func TestTeach(t *testing.T) {
	w := newSite(t)
	given := w.s.o.Model
	w.segment()
	for _, m := range w.images() {
		if status, body := w.do("POST", "/api/v1/images/"+m.ID+"/edits", `{"tool":"grow","ids":[1]}`); status != 200 {
			t.Fatal(status, body)
		}
	}
	if status, body := w.do("POST", "/api/v1/teach/resume", ""); status != 409 {
		t.Errorf("nothing to go on with: %d %s", status, body)
	}
	if status, body := w.do("POST", "/api/v1/teach", `{"epochs":3,"steps":2}`); status != 202 {
		t.Fatal(status, body)
	}
	for w.s.state().Running && len(w.s.state().History) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	w.do("DELETE", "/api/v1/job", "")
	w.s.work.Wait()
	stopped := w.taught()
	if !stopped.Resumable || len(stopped.History) == 0 || len(stopped.History) == 3 {
		t.Fatalf("stopped: %+v", stopped)
	}
	w.s.o.Model = given
	w.again()
	if st := w.taught(); !st.Resumable || len(st.History) != len(stopped.History) {
		t.Fatalf("after a start: %+v", st)
	}
	if status, body := w.do("POST", "/api/v1/teach/resume", ""); status != 202 {
		t.Fatal(status, body)
	}
	w.s.work.Wait()
	done := w.taught()
	if done.Error != "" || len(done.History) != 3 || len(done.Compare) == 0 || done.Model == "" || !reflect.DeepEqual(done.History[:len(stopped.History)], stopped.History) {
		t.Fatalf("gone on: %+v", done)
	}
	for k := range 3 {
		if status, _ := w.do("GET", fmt.Sprintf("/api/v1/teach/compare/0/%d", k), ""); status != 200 {
			t.Errorf("picture %d: %d", k, status)
		}
	}
	w.s.o.Model = given
	w.again()
	if st := w.taught(); st.Model == "" || len(st.Compare) != len(done.Compare) || st.InUse {
		t.Fatalf("done, after a start: %+v", st)
	}
	act := func(body string, want int) {
		t.Helper()
		if status, text := w.do("POST", "/api/v1/teach/model", body); status != want {
			t.Errorf("%s: %d, want %d: %s", body, status, want, text)
		}
	}
	act(`{"action":"keep","name":"../x"}`, 400)
	act(`{"action":"keep","name":"mine"}`, 200)
	act(`{"action":"keep","name":"mine"}`, 409)
	act(`{"action":"use"}`, 200)
	act(`{"action":"drop"}`, 409)
	taught := w.s.model().SHA256
	w.s.o.Model = given
	w.again()
	if got := w.s.model().SHA256; got != taught || got == given.SHA256 || !w.taught().InUse {
		t.Errorf("the model in use is forgotten: %s, taught %s", got, taught)
	}
	for _, c := range []struct {
		file string
		want int
	}{{"models/mine.safetensors", 200}, {"../x.safetensors", 400}, {"models/none.safetensors", 400}, {"", 200}} {
		if status, text := w.do("POST", "/api/v1/models", `{"file":"`+c.file+`"}`); status != c.want {
			t.Errorf("model %q: %d, want %d: %s", c.file, status, c.want, text)
		}
	}
	if w.s.model() != given {
		t.Error("the model given is not in use again")
	}
	act(`{"action":"drop"}`, 200)
	w.again()
	if st := w.taught(); st.Model != "" || st.Resumable {
		t.Errorf("dropped, after a start: %+v", st)
	}
}

// TestSamplesOfFolders: images whose names differ in what separates folders alone are
// both learnt from, and people read their names.
func TestSamplesOfFolders(t *testing.T) {
	w := newSite(t)
	names := []string{"a/0.png", "a_0.png"}
	for _, name := range names {
		w.beside(name)
	}
	w.segment()
	dir := t.TempDir()
	for _, name := range names {
		m := w.named(name)
		w.edit(m, `{"tool":"grow","ids":[1]}`, 200)
		if err := w.s.writeSamples(dir, w.find(m.ID)); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(filepath.Join(dir, "images"))
	var got []string
	for _, f := range files {
		got = append(got, sampleName(strings.TrimSuffix(f.Name(), ".png"), w.s.images()))
	}
	if slices.Sort(got); err != nil || !slices.Equal(got, names) {
		t.Errorf("samples of %q, %v, want %q", got, err, names)
	}
}

// TestExport: the zip holds the bytes that a run of the pipeline writes into a
// folder, all of them, until something is corrected.
func TestExport(t *testing.T) {
	w := newSite(t)
	w.segment()
	out := t.TempDir()
	seg, err := segment.New(w.s.o.Engine, w.s.o.Model, segment.Options{Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	b := segment.Batch{Inputs: segment.Inputs([]string{w.dir}, filepath.Join(w.dir, "unet")), Out: out, Formats: ResultFormats, Version: "test"}
	if _, err := seg.Run(t.Context(), b, watcherOfNothing{}); err != nil {
		t.Fatal(err)
	}
	entries := func() map[string]string {
		_, body := w.do("GET", "/api/v1/export", "")
		z, err := zip.NewReader(strings.NewReader(body), int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		list := map[string]string{}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(r)
			list[f.Name] = string(text)
		}
		return list
	}
	got := entries()
	compared := 0
	for _, ext := range []string{"*.tif", "*.csv", "*.geojson", "*.zip", "*.png"} {
		files, _ := filepath.Glob(filepath.Join(out, ext))
		for _, name := range files {
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal([]byte(got[filepath.Base(name)]), want) {
				t.Errorf("%s in the zip is not what a run writes", filepath.Base(name))
			}
			compared++
		}
	}
	for _, name := range []string{"index.html", "thumbnails/0.thumb.jpg", "pages/count-1.html"} {
		if want, err := os.ReadFile(filepath.Join(out, filepath.FromSlash(name))); err != nil || got[name] != string(want) {
			t.Errorf("%s in the zip is not what a run writes (%v)", name, err)
		}
	}
	pages, _ := filepath.Glob(filepath.Join(out, "pages", "*"))
	if compared < 2*len(ResultFormats)+2 || len(got) != compared+len(pages)+4 { // two thumbnails, the first page, and the manifest, which tells the time
		t.Errorf("%d files compared, %d in the zip", compared, len(got))
	}

	// Labels that come out as they were give the bytes of the run, and say that a
	// person has been here.
	m := w.images()[0]
	edit := func(body string) {
		t.Helper()
		if status, text := w.do("POST", "/api/v1/images/"+m.ID+"/edits", body); status != 200 {
			t.Fatal(status, text)
		}
	}
	edit(`{"tool":"split","ids":[2],"points":[[60,0],[60,96]],"revision":0}`)
	split := entries()
	if split["0.nuclei.csv"] == got["0.nuclei.csv"] || split["0.overlay.png"] == got["0.overlay.png"] || split["thumbnails/0.thumb.jpg"] == got["thumbnails/0.thumb.jpg"] {
		t.Error("the results of a corrected image are as before")
	}
	edit(`{"tool":"join","ids":[2,` + fmt.Sprint(m.Count+1) + `],"revision":1}`)
	joined := entries()
	for name, text := range got {
		switch {
		case name == "0.labels.tif":
			a, erra := imageio.DecodeLabels(name, []byte(text))
			b, errb := imageio.DecodeLabels(name, []byte(joined[name]))
			if erra != nil || errb != nil || !slices.Equal(a.ID, b.ID) || !strings.Contains(joined[name], `"corrected":true`) {
				t.Errorf("labels: %v, %v, or other pixels, or nothing of a correction", erra, errb)
			}
		case strings.Contains(name, "0.") || strings.Contains(name, "1."):
			if joined[name] != text && !strings.HasSuffix(name, ".html") {
				t.Errorf("%s: other bytes of the same nuclei", name)
			}
		default: // all images
			if joined[name] == text || !strings.Contains(joined[name], "orrected") {
				t.Errorf("%s does not say that an image is corrected", name)
			}
		}
	}
	if status, body := w.do("GET", "/results/index.html", ""); status != 200 || !strings.Contains(body, `<span class="tag">corrected</span>`) {
		t.Errorf("the page of results says nothing of a correction: %d", status)
	} else if file, err := os.ReadFile(filepath.Join(w.s.out, segment.PageFile)); err != nil || strings.Contains(string(file), "<script") || !strings.Contains(body, `src="/live.js"`) || strings.Contains(body, "http-equiv") {
		t.Errorf("scripts are for the page that is served, not for its file: %v", err)
	}
	if rows, text := strings.Count(split["nuclei.csv"], "\n"), "\n0.png,"; rows != strings.Count(got["nuclei.csv"], "\n")+1 || !strings.Contains(split["summary.csv"], fmt.Sprintf("%s96,96,,,%d,", text, m.Count+1)) {
		t.Errorf("the tables do not tell of a split: %d lines\n%s", rows, split["summary.csv"])
	}
	edit(`{"tool":"undo","revision":2}`)
	edit(`{"tool":"undo","revision":3}`)
	for name, text := range entries() {
		if text != got[name] && name != segment.ManifestFile {
			t.Errorf("%s: not the model's own again", name)
		}
	}

	// Killed before the results have followed: the next server sees to it.
	edit(`{"tool":"delete","ids":[1],"revision":4}`)
	entries()
	left := w.s.correction(w.find(m.ID), "", ".followed")
	if err := os.WriteFile(left, []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "unet", "0.nuclei.csv"), []byte(got["0.nuclei.csv"]), 0o644); err != nil {
		t.Fatal(err)
	}
	w.s.overdue(w.find(m.ID))
	if now := entries()["0.nuclei.csv"]; strings.Count(now, "\n") != m.Count {
		t.Errorf("after a kill the table is\n%s", now)
	}
}

// TestSettleKnows: results are not said to be up to date before it is known what a
// killed process has left.
func TestSettleKnows(t *testing.T) {
	s := &Server{follower: newFollower()}
	s.follower.comparing.Lock() // as the search that follow begins with
	settled := make(chan error)
	go func() { settled <- s.settle(t.Context()) }()
	select {
	case <-settled:
		t.Fatal("settled, and nobody has looked")
	case <-time.After(10 * time.Millisecond):
	}
	s.follower.comparing.Unlock()
	if err := <-settled; err != nil {
		t.Error(err)
	}
}

// find is an image as the server knows it.
func (w *site) find(id string) *image {
	w.t.Helper()
	im, err := w.s.find(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return im
}

type watcherOfNothing struct{}

func (watcherOfNothing) Progress(segment.Progress) {}
func (watcherOfNothing) Note(string)               {}
func (watcherOfNothing) Warn(string)               {}

// TestSettings: every setting that the page offers is understood, and nonsense is
// refused before anything is done.
func TestSettings(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	table, outside := []byte("image,condition\na.png,drug\n"), filepath.Join(t.TempDir(), "plan.txt")
	for _, name := range []string{filepath.Join(dir, "plan.csv"), filepath.Join(dir, "plan.TXT"), outside} {
		os.WriteFile(name, table, 0o644)
	}
	os.WriteFile(filepath.Join(dir, "all.geojson"), nil, 0o644)
	values := map[string]string{"diameter": `"20"`, "pixel-size": `"0.5"`, "threshold": "0.5", "min-area": "3", "remove-edge": "true", "tta": "true", "level": "0", "condition": `"folder"`,
		"keep": `"area>=3,circularity>0.5"`, "region": `"all.geojson"`, "ring": `"2um"`, "stains": `"he"`, "positive": `"Ki67,CD3>20"`, "colour-by": `"area:2-50"`, "precision": `"bfloat16"`, "format": `"mask,zarr"`}
	fields := reflect.TypeFor[settings]().NumField()
	if fields != len(SettingNames) {
		t.Errorf("%d settings, %d offered", fields, len(SettingNames))
	}
	read := func(s settings) (segment.Batch, segment.Options, error) {
		var b segment.Batch
		o, err := s.read(&b, root, &unet.Model{})
		return b, o, err
	}
	plainBatch, plainOptions, err := read(settings{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range SettingNames {
		value := values[name]
		if value == "" {
			value = `"0"`
		}
		var s settings
		if err := json.Unmarshal([]byte(`{"`+name+`":`+value+`}`), &s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		b, o, err := read(s)
		if err != nil {
			t.Errorf("%s %s: %v", name, value, err)
		}
		if reflect.DeepEqual(b, plainBatch) && reflect.DeepEqual(o, plainOptions) {
			t.Errorf("%s %s changes nothing", name, value)
		}
	}
	if b, _, err := read(settings{Format: " density , coco"}); err != nil || strings.Join(b.Formats, ",") != "coco,csv,density,labels,overlay" {
		t.Errorf("formats %v, %v", b.Formats, err)
	}
	for name, ok := range map[string]bool{"plan.csv": true, "plan.TXT": true, outside: false, "none.tsv": false, "none.csv": false, "../plan.csv": false, filepath.Join(dir, "plan.csv"): false} {
		if _, _, err := read(settings{Condition: name}); (err == nil) != ok {
			t.Errorf("condition %s: %v", name, err)
		}
	}
	below := -1
	for _, bad := range []settings{{Diameter: "x"}, {PixelSize: "x"}, {Threshold: 2}, {Condition: "a.csv"}, {Condition: "("}, {Z: "x"}, {Level: &below},
		{Keep: "area"}, {Ring: "wide"}, {Stains: "x"}, {Positive: "a>b"}, {ColourBy: "area:5-1"}, {Format: "gif"}, {Precision: "half"}, {Precision: "int8"}, {Region: "../a.geojson"}, {Region: "none"}, {Region: "/etc/passwd"}} {
		if _, _, err := read(bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// TestMeasuring: rings, positive nuclei, rules, regions and colours are those of the
// command, and corrections keep to them.
func TestMeasuring(t *testing.T) {
	w := newSite(t)
	region := `{"type":"FeatureCollection","features":[{"type":"Feature","properties":{},"geometry":{"type":"Polygon","coordinates":[[[0,0],[96,0],[96,50],[0,50],[0,0]]]}}]}`
	if err := os.WriteFile(filepath.Join(w.dir, "upper.geojson"), []byte(region), 0o644); err != nil {
		t.Fatal(err)
	}
	asked := `{"ring":"3","positive":"area>340","region":"upper.geojson","colour-by":"area","format":"csv,density,mask,zarr,coco,rle-csv","keep":"area>20"}`
	if status, body := w.do("POST", "/api/v1/segment", `{"settings":`+asked+`}`); status != 202 {
		t.Fatal(status, body)
	}
	w.s.work.Wait()
	m := w.images()[0]
	nuclei := func() (list shownNuclei) {
		t.Helper()
		_, body := w.do("GET", "/api/v1/images/"+m.ID+"/nuclei", "")
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatal(err, body)
		}
		return list
	}
	list := nuclei()
	if !list.Rings || len(list.Markers) != 1 || list.Markers[0].Threshold != 340 || len(list.Nuclei) != 2 {
		t.Fatalf("%+v, %+v, %+v", list, w.s.state(), w.find(m.ID))
	}
	for _, n := range list.Nuclei {
		if n.Ring == nil || n.Ring.Area == 0 || n.Positive[0] == nil || *n.Positive[0] != (n.Area > 340) {
			t.Errorf("nucleus %d: %+v, positive %v", n.ID, n.Ring, n.Positive)
		}
	}
	out := filepath.Join(w.dir, "unet")
	before := map[string]string{}
	for _, name := range []string{"0.nuclei.csv", "0.density.png", "0.mask.png", "0.overlay.png", "coco.json", "submission.csv", "0.labels.zarr/0/0/0"} {
		b, err := os.ReadFile(filepath.Join(out, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		before[name] = string(b)
	}
	for i, edit := range []string{`{"tool":"split","ids":[2],"points":[[60,0],[60,96]],"revision":0}`, `{"tool":"join","ids":[2,3],"revision":1}`} {
		if status, body := w.do("POST", "/api/v1/images/"+m.ID+"/edits", edit); status != 200 {
			t.Fatal(status, body)
		}
		if err := w.s.settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, was := range before {
			b, err := os.ReadFile(filepath.Join(out, filepath.FromSlash(name)))
			if same := string(b) == was; err != nil || same != (i == 1) && name != "0.mask.png" {
				t.Errorf("%s after edit %d: %v, as before: %v", name, i+1, err, same)
			}
		}
	}
	var again segment.Summary
	b, _ := os.ReadFile(filepath.Join(out, segment.ManifestFile))
	if err := json.Unmarshal(b, &again); err != nil || len(again.Markers) != 1 || again.Markers[0].Nuclei != 4 || again.Images[0].Planes[0].Region != 96*50 {
		t.Errorf("%v %+v", err, again.Markers)
	}
}

// tissue is a PNG of purple discs, the second paler, on pink.
func tissue(t *testing.T) []byte {
	t.Helper()
	m := stdimage.NewRGBA(stdimage.Rect(0, 0, 128, 128))
	for y := range 128 {
		for x := range 128 {
			m.Set(x, y, color.RGBA{235, 190, 215, 255})
			if (x-35)*(x-35)+(y-40)*(y-40) < 13*13 {
				m.Set(x, y, color.RGBA{70, 40, 120, 255})
			} else if (x-90)*(x-90)+(y-85)*(y-85) < 14*14 {
				m.Set(x, y, color.RGBA{120, 85, 160, 255})
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestStains: the page shows the densities of stains of a colour image as the table
// has them, also of nuclei that were corrected.
func TestStains(t *testing.T) {
	w := newSite(t)
	if status, body := w.do("POST", "/api/v1/images?name=tissue.png", string(tissue(t))); status != 201 {
		t.Fatal(status, body)
	}
	list := w.images()
	id := list[slices.IndexFunc(list, func(m listed) bool { return m.Name == "tissue.png" })].ID
	if status, body := w.do("POST", "/api/v1/segment", `{"images":["`+id+`"],"settings":{"stains":"he","diameter":"26"}}`); status != 202 {
		t.Fatal(status, body)
	}
	w.s.work.Wait()
	for revision, edit := range []string{`{"tool":"grow","ids":[1],"revision":0}`, ""} {
		_, body := w.do("GET", "/api/v1/images/"+id+"/nuclei", "")
		var d shownNuclei
		if err := json.Unmarshal([]byte(body), &d); err != nil || len(d.Nuclei) != 2 || strings.Join(d.Channels, " ") != "red green blue hematoxylin eosin" {
			t.Fatalf("%v: %d nuclei with channels %v, %+v", err, len(d.Nuclei), d.Channels, w.s.state())
		}
		if err := w.s.settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(filepath.Join(w.dir, "unet", "tissue.nuclei.csv"))
		if err != nil {
			t.Fatal(err)
		}
		table, err := csv.NewReader(file).ReadAll()
		file.Close()
		if err != nil || len(table) != 3 {
			t.Fatalf("%d lines, %v", len(table), err)
		}
		for k, name := range d.Channels {
			at := slices.Index(table[0], "mean_"+name)
			for i, n := range d.Nuclei {
				if want, err := strconv.ParseFloat(table[i+1][at], 64); err != nil || math.Abs(n.Channels[k].Mean-want) > 1e-3*want {
					t.Errorf("revision %d: nucleus %d has a mean of %s of %v, in the table %v", revision, n.ID, name, n.Channels[k].Mean, table[i+1][at])
				}
			}
		}
		if dark, pale := d.Nuclei[0].Channels[3].Mean, d.Nuclei[1].Channels[3].Mean; !(dark > pale && pale > 0) {
			t.Errorf("hematoxylin of %v in the dark nucleus, %v in the pale one", dark, pale)
		}
		if edit == "" {
			continue
		}
		if status, body := w.do("POST", "/api/v1/images/"+id+"/edits", edit); status != 200 {
			t.Fatal(status, body)
		}
	}
}
