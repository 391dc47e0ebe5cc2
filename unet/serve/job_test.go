package serve

import (
	"context"
	"encoding/csv"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"unet/unet/segment"
)

// edit sends an edit of an image and wants a status.
func (w *site) edit(m listed, body string, want int) {
	w.t.Helper()
	if status, text := w.do("POST", "/api/v1/images/"+m.ID+"/edits", body); status != want {
		w.t.Errorf("%s: %d, want %d: %s", body, status, want, text)
	}
}

// TestEditBeforeWork: a segmentation that has been accepted but waits for other work
// refuses edits already. It would drop them. Results are not handed out half new.
func TestEditBeforeWork(t *testing.T) {
	w := newSite(t)
	w.segment()
	list := w.images()
	w.s.compute.Lock()
	if status, body := w.do("POST", "/api/v1/segment", `{"again":true,"images":["`+list[0].ID+`"]}`); status != http.StatusAccepted {
		t.Fatal(status, body)
	}
	w.edit(list[0], `{"tool":"delete","ids":[1]}`, http.StatusConflict)
	w.edit(list[1], `{"tool":"delete","ids":[1]}`, http.StatusOK)
	if status, body := w.do("GET", "/api/v1/export", ""); status != http.StatusServiceUnavailable {
		t.Errorf("a zip while images are segmented: %d, %d bytes", status, len(body))
	}
	w.s.compute.Unlock()
	w.s.work.Wait()
	if st := w.s.state(); st.Error != "" {
		t.Error(st.Error)
	}
	w.edit(list[0], `{"tool":"delete","ids":[1]}`, http.StatusOK)
}

// TestClear: edits that came after images were listed for new results stay, and those
// that were taken back are forgotten before there are new results, not after.
func TestClear(t *testing.T) {
	w := newSite(t)
	w.segment()
	list := w.s.images()
	for i, m := range w.images() {
		w.edit(m, `{"tool":"delete","ids":[1]}`, http.StatusOK)
		if i == 1 {
			w.edit(m, `{"tool":"undo","revision":1}`, http.StatusOK)
		}
	}
	w.s.follower.files.Lock()
	ready, err := w.s.clear(t.Context(), list)
	w.s.follower.files.Unlock()
	if err != nil || len(ready) != 1 || ready[0].Name != "1.png" {
		t.Errorf("ready: %v, %v", ready, err)
	}
	for i, want := range []bool{true, false} {
		if got := exists(w.s.correction(&list[i], "", ".journal")); got != want {
			t.Errorf("%s: a journal %v", list[i].Name, got)
		}
	}
	if got := w.images(); !got[0].Corrected || got[1].Corrected {
		t.Errorf("corrected: %+v", got)
	}
}

// TestKilledAgain: where a run that segmented images again was killed, those whose
// files it has replaced are new; the results of the others stand.
func TestKilledAgain(t *testing.T) {
	w := newSite(t)
	w.segment()
	list := w.s.images()
	if _, err := w.s.keepRecords(list, list); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(w.dir, ResultsFolder)
	if err := os.Remove(filepath.Join(out, segment.ManifestFile)); err != nil { // as the run begins
		t.Fatal(err)
	}
	if got := w.images(); got[0].Status != segment.Done {
		t.Errorf("while the run goes on: %+v", got)
	}
	if err := os.Chtimes(filepath.Join(out, "0.labels.tif"), time.Time{}, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	w.again()
	if got := w.images(); got[0].Status != "new" || got[1].Status != segment.Done {
		t.Errorf("after it was killed: %+v", got)
	}
	w.edit(w.images()[1], `{"tool":"delete","ids":[1]}`, http.StatusOK)
	w.again()
	if got := w.images(); !got[1].Corrected {
		t.Errorf("corrected afterwards: %+v", got)
	}
}

// TestTeachRefused: a teaching that was not begun does not take the place of one that
// can go on.
func TestTeachRefused(t *testing.T) {
	w := newSite(t)
	w.segment()
	for _, m := range w.images() {
		w.edit(m, `{"tool":"delete","ids":[1]}`, http.StatusOK)
	}
	first, err := w.s.teachFolder()
	if err == nil {
		err = (&teaching{Copied: true, Base: w.s.model().SHA256}).save(first)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.s.compute.Lock()
	if err := w.s.start("segment", nil, func(context.Context) error { w.s.compute.Lock(); defer w.s.compute.Unlock(); return nil }); err != nil {
		t.Fatal(err)
	}
	if status, body := w.do("POST", "/api/v1/teach", `{}`); status != http.StatusConflict {
		t.Error(status, body)
	}
	w.s.compute.Unlock()
	w.s.work.Wait()
	if dir, _ := w.s.lastTeaching(); dir != first {
		t.Errorf("refused: the last one is %q", dir)
	}
	if _, err := w.s.teachFolder(); err != nil { // killed before its images were there
		t.Fatal(err)
	}
	if dir, _ := w.s.lastTeaching(); dir != first {
		t.Errorf("killed: the last one is %q", dir)
	}
}

// TestBehindTables: a table that does not tell of all corrections is not handed out
// as if it did; a page says so.
func TestBehindTables(t *testing.T) {
	w := newSite(t)
	w.segment()
	defer func(d time.Duration) { settleTime = d }(settleTime)
	settleTime = 50 * time.Millisecond
	w.s.follower.files.Lock()
	w.edit(w.images()[0], `{"tool":"delete","ids":[1]}`, http.StatusOK)
	for name, want := range map[string]int{"nuclei.csv": 503, "manifest.json": 503, "index.html": 200} {
		status, body := w.do("GET", "/results/"+name, "")
		if status != want || want == 200 && !strings.Contains(body, "some corrections are not included yet") {
			t.Errorf("%s: %d", name, status)
		}
	}
	w.s.follower.files.Unlock()
}

// TestTablesOfAll: when an image has been segmented in another way and then again as
// the others, the tables tell of all of them.
func TestTablesOfAll(t *testing.T) {
	w := newSite(t)
	w.segment()
	list := w.images()
	w.edit(list[1], `{"tool":"delete","ids":[1]}`, http.StatusOK)
	want := func(when string, names ...string) {
		t.Helper()
		for _, file := range []string{segment.SummaryFile, segment.NucleiFile} {
			_, body := w.do("GET", "/results/"+file, "")
			rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
			var got []string
			for _, row := range rows[min(1, len(rows)):] {
				if !slices.Contains(got, row[0]) {
					got = append(got, row[0])
				}
			}
			if slices.Sort(got); err != nil || !slices.Equal(got, names) {
				t.Errorf("%s: %s tells of %q, %v", when, file, got, err)
			}
		}
	}
	for _, c := range []struct {
		settings string
		names    []string
	}{{`{"diameter":"20"}`, []string{"0.png"}}, {`{}`, []string{"0.png", "1.png"}}} {
		if status, body := w.do("POST", "/api/v1/segment", `{"again":true,"images":["`+list[0].ID+`"],"settings":`+c.settings+`}`); status != http.StatusAccepted {
			t.Fatal(status, body)
		}
		w.s.work.Wait()
		want(c.settings, c.names...)
	}
	if _, body := w.do("GET", "/results/"+segment.SummaryFile, ""); !strings.Contains(body, "corrected") {
		t.Errorf("it does not tell of corrections:\n%s", body)
	}
}

// TestAnotherProgram: corrections come back where another program has segmented the
// images into the folder while it is served.
func TestAnotherProgram(t *testing.T) {
	w := newSite(t)
	w.segment()
	w.edit(w.images()[0], `{"tool":"delete","ids":[1]}`, http.StatusOK)
	table := func() string {
		status, body := w.do("GET", "/results/"+segment.NucleiFile, "")
		if status != http.StatusOK {
			t.Fatal(status, body)
		}
		return body
	}
	want := table()
	seg, err := segment.New(w.s.o.Engine, w.s.o.Model, segment.Options{Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	out := filepath.Join(w.dir, ResultsFolder)
	b := segment.Batch{Inputs: segment.Inputs([]string{w.dir}, out), Out: out, Formats: ResultFormats, Version: "test"}
	if _, err := seg.Run(t.Context(), b, watcherOfNothing{}); err != nil {
		t.Fatal(err)
	}
	if got := table(); got != want {
		t.Errorf("the table of all nuclei:\n%s\nwant\n%s", got, want)
	}
}

// TestWarningsOfRevise: what there is to say of results that follow a correction is
// said of no job, neither where none has been nor of one that is done.
func TestWarningsOfRevise(t *testing.T) {
	w := newSite(t)
	if err := os.WriteFile(filepath.Join(w.dir, "tissue.png"), tissue(t), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, body := w.do("POST", "/api/v1/segment", `{"settings":{"positive":"red>100"}}`); status != http.StatusAccepted {
		t.Fatal(status, body)
	}
	w.s.work.Wait()
	want := w.s.state().Notes
	if len(want) == 0 {
		t.Fatal("nothing is said of gray images, which have no red")
	}
	follows := func(edit string) {
		t.Helper()
		w.edit(w.images()[0], edit, http.StatusOK)
		if err := w.s.settle(t.Context()); err != nil {
			t.Error(err)
		}
	}
	follows(`{"tool":"delete","ids":[1]}`)
	if got := w.s.state().Notes; !slices.Equal(got, want) {
		t.Errorf("a job that is done says %q, before %q", got, want)
	}
	w.again()
	follows(`{"tool":"undo","revision":1}`)
}
