package endtoend

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// page is a run of unet serve.
type page struct {
	t           *testing.T
	base, token string
	kill        func()
}

func serve(t *testing.T, dir string) *page {
	t.Helper()
	cmd := call{args: []string{"serve", dir}}.command()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &page{t: t, kill: func() { cmd.Process.Kill(); cmd.Wait() }}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	address, token, ok := strings.Cut(strings.TrimSpace(line), "/?token=")
	if err != nil || !ok {
		t.Fatalf("unet serve prints %q (%v)", line, err)
	}
	p.base, p.token = address, token
	return p
}

// ask sends a request and reads the answer into v, unless that is nil.
func (p *page) ask(method, path, body string, v any) (status int, answer string) {
	p.t.Helper()
	r, err := http.NewRequest(method, p.base+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && v != nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		p.t.Fatalf("%s %s: %v: %.300s", method, path, err, b)
	}
	return resp.StatusCode, string(b)
}

// TestServe: the page's server starts, segments, takes an edit that survives a kill,
// and writes results that follow it.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	draw(t, filepath.Join(dir, "a.png"))
	p := serve(t, dir)
	if status, answer := p.ask("GET", "/", "", nil); status != 200 || !strings.Contains(answer, "<title>unet</title>") {
		t.Fatalf("the page: %d %.200s", status, answer)
	}
	if status, answer := p.ask("POST", "/api/v1/segment", "{}", nil); status != 202 {
		t.Fatalf("segment: %d %s", status, answer)
	}
	var images []struct {
		ID, Status, Error string
		Count             int
		Corrected         bool
	}
	for range 600 {
		if p.ask("GET", "/api/v1/images", "", &images); images[0].Status != "new" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if m := images[0]; m.Status != "done" || m.Count != nuclei {
		t.Fatalf("%+v", images)
	}
	var job struct{ Running bool }
	for range 600 {
		if p.ask("GET", "/api/v1/job", "", &job); !job.Running {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	path := "/api/v1/images/" + images[0].ID
	if status, answer := p.ask("POST", path+"/edits", `{"tool":"delete","ids":[1],"revision":0}`, nil); status != 200 {
		t.Fatalf("edit: %d %s", status, answer)
	}
	p.kill()
	p = serve(t, dir) // the lock of the folder is free again
	if p.ask("GET", "/api/v1/images", "", &images); images[0].Count != nuclei-1 || !images[0].Corrected {
		t.Errorf("after a kill: %+v", images)
	}
	for _, file := range []string{"nuclei.csv", "a.nuclei.csv"} {
		if status, table := p.ask("GET", "/results/"+file, "", nil); status != 200 || strings.Count(table, "\n") != nuclei {
			t.Errorf("%s: %d\n%s", file, status, table)
		}
	}
	if status, answer := p.ask("POST", path+"/edits", `{"tool":"undo","revision":1}`, nil); status != 200 {
		t.Errorf("undo: %d %s", status, answer)
	}
	if status, table := p.ask("GET", "/results/nuclei.csv", "", nil); status != 200 || strings.Count(table, "\n") != nuclei+1 {
		t.Errorf("after undo: %d\n%s", status, table)
	}
}
