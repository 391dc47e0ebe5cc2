//go:build unix

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// site is `unet serve` on a folder.
type site struct {
	cmd         *exec.Cmd
	base, token string
}

func (s *soak) site(dir string) (*site, error) {
	w := &site{cmd: s.command("serve", dir, "--model", s.path("straight/model.safetensors"), "--quiet", "--threads", "1")}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var errs bytes.Buffer
	w.cmd.Stderr = &errs
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		w.cmd.Wait()
		return nil, fmt.Errorf("unet serve: %w\n%s", err, errs.String())
	}
	w.base, w.token, _ = strings.Cut(strings.TrimSpace(line), "/?token=")
	return w, nil
}

func (w *site) kill() {
	w.cmd.Process.Kill()
	w.cmd.Wait()
}

// do sends a request and returns the body of an answer that is no error.
func (w *site) do(method, path, body string) ([]byte, error) {
	r, err := http.NewRequest(method, w.base+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s %s", method, path, resp.Status, b)
	}
	return b, err
}

func (w *site) get(path string, v any) error {
	b, err := w.do("GET", path, "")
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// idle waits until nothing is done in the background.
func (w *site) idle() error {
	for {
		var job struct {
			Running bool
			Error   string
		}
		if err := w.get("/job", &job); err != nil {
			return err
		}
		if job.Error != "" {
			return errors.New(job.Error)
		}
		if !job.Running {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// labels is the sum of the labels of an image and their revision.
func (w *site) labels(id string) (sum [32]byte, revision int, ids []uint32, err error) {
	var list struct {
		Revision int
		Nuclei   []struct{ ID uint32 }
	}
	if err = w.get("/images/"+id+"/nuclei", &list); err != nil {
		return
	}
	for _, n := range list.Nuclei {
		ids = append(ids, n.ID)
	}
	b, err := w.do("GET", "/images/"+id+"/export/labels", "")
	return sha256.Sum256(b), list.Revision, ids, err
}

// serve kills the page's server while it takes edits, and while it teaches.
func (s *soak) serve(kills int) error {
	dir := s.path("page")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	list, err := filepath.Glob(filepath.Join(s.path("set"), "images", "*.png"))
	if err != nil || len(list) < 10 {
		return fmt.Errorf("%d images: %w", len(list), err)
	}
	for _, i := range []int{0, 3, 6, 9} { // of four fields
		name := list[i]
		b, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	w, err := s.site(dir)
	if err != nil {
		return err
	}
	if _, err = w.do("POST", "/segment", "{}"); err == nil {
		err = w.idle()
	}
	w.kill()
	if err != nil {
		return err
	}
	killed, edited, err := s.killEdits(dir, kills*2/3)
	if err != nil {
		return err
	}
	taught, err := s.killTeaching(dir, kills-kills*2/3)
	if err != nil {
		return err
	}
	s.pageKills = killed + taught
	fmt.Printf("page: killed at %d moments among %d edits, all of them there again, and at %d of a teaching, which ended with the model of one that nobody stopped\n", killed, edited, taught)
	return nil
}

// edits is what is known of the labels of an image.
type edits struct {
	revision int // of the last edit that was answered
	sum      [32]byte
	seen     bool // sum is that of the revision
}

// killEdits edits without pause and kills the server at random moments: every edit
// that was answered must be there again, and no half of another.
func (s *soak) killEdits(dir string, kills int) (killed, edited int, err error) {
	known := map[string]edits{}
	for {
		w, err := s.site(dir)
		if err != nil {
			return killed, edited, err
		}
		id, ids, err := s.lookAgain(w, known)
		if err != nil || killed == kills || s.late() {
			w.kill()
			return killed, edited, err
		}
		moment := time.AfterFunc(time.Duration(s.rng.Int64N(int64(500*time.Millisecond))), func() { w.cmd.Process.Kill() })
		for {
			b, err := w.do("POST", "/images/"+id+"/edits", s.edit(known[id].revision, ids))
			if err != nil && strings.Contains(err.Error(), "422 Unprocessable") {
				continue // it would change nothing
			}
			var done struct{ Revision int }
			if err != nil || json.Unmarshal(b, &done) != nil {
				break // killed
			}
			edited++
			known[id] = edits{revision: done.Revision}
			sum, revision, now, err := w.labels(id)
			if err != nil {
				break
			}
			known[id], ids = edits{revision, sum, true}, now
		}
		moment.Stop()
		w.kill()
		killed++
	}
}

// lookAgain holds the labels of all images against what is known of them. The
// edit that was under way when the server was killed may be there, or not. It
// returns one of the images and its nuclei.
func (s *soak) lookAgain(w *site, known map[string]edits) (id string, ids []uint32, err error) {
	var images []struct{ ID string }
	if err := w.get("/images", &images); err != nil {
		return "", nil, err
	}
	chosen := s.rng.IntN(len(images))
	for i, m := range images {
		sum, revision, list, err := w.labels(m.ID)
		if err != nil {
			return "", nil, err
		}
		k := known[m.ID]
		if revision < k.revision || revision > k.revision+1 || revision == k.revision && k.seen && sum != k.sum {
			s.fault("after a kill image %s is at edit %d, and %d was answered", m.ID, revision, k.revision)
		}
		known[m.ID] = edits{revision, sum, true}
		if i == chosen {
			id, ids = m.ID, list
		}
	}
	return id, ids, nil
}

// edit is a command of any tool.
func (s *soak) edit(revision int, ids []uint32) string {
	x, y := s.rng.IntN(60), s.rng.IntN(60)
	id := uint32(1)
	if len(ids) > 0 {
		id = ids[s.rng.IntN(len(ids))]
	}
	return []string{
		fmt.Sprintf(`{"tool":"draw","points":[[%d,%d],[%d,%d],[%d,%d]],"revision":%d}`, x, y, x+9, y, x+5, y+9, revision),
		fmt.Sprintf(`{"tool":"grow","ids":[%d],"revision":%d}`, id, revision),
		fmt.Sprintf(`{"tool":"shrink","ids":[%d],"revision":%d}`, id, revision),
		fmt.Sprintf(`{"tool":"paint","points":[[%d,%d]],"radius":4,"revision":%d}`, x, y, revision),
		fmt.Sprintf(`{"tool":"erase","points":[[%d,%d],[%d,%d]],"radius":2,"revision":%d}`, x, y, y, x, revision),
		fmt.Sprintf(`{"tool":"undo","revision":%d}`, revision),
		fmt.Sprintf(`{"tool":"redo","revision":%d}`, revision),
	}[s.rng.IntN(7)]
}

// correctAll makes sure that every image is corrected.
func (s *soak) correctAll(dir string) error {
	w, err := s.site(dir)
	if err != nil {
		return err
	}
	defer w.kill()
	var images []struct{ ID string }
	if err := w.get("/images", &images); err != nil {
		return err
	}
	for _, m := range images {
		_, revision, _, err := w.labels(m.ID)
		for x := 5; err == nil && x < 60; x += 3 {
			_, err = w.do("POST", "/images/"+m.ID+"/edits", fmt.Sprintf(`{"tool":"paint","points":[[%d,%d]],"radius":2,"revision":%d}`, x, x, revision))
			if err == nil {
				break
			}
			if strings.Contains(err.Error(), "422 Unprocessable") {
				err = nil // there is a nucleus
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// killTeaching teaches with the corrected images and kills the server again and
// again; the model must be that of a teaching that nobody stopped.
func (s *soak) killTeaching(dir string, kills int) (killed int, err error) {
	if err := s.correctAll(dir); err != nil {
		return 0, err
	}
	twin := s.path("twin")
	if err := os.CopyFS(twin, os.DirFS(dir)); err != nil {
		return 0, err
	}
	const request = `{"epochs":4,"steps":2}`
	begin := time.Now()
	w, err := s.site(twin)
	if err != nil {
		return 0, err
	}
	if _, err = w.do("POST", "/teach", request); err == nil {
		err = w.idle()
	}
	w.kill()
	if err != nil {
		return 0, err
	}
	took := time.Since(begin)
	want := filepath.Join(twin, "unet", "teach", "1", "run", "model.safetensors")
	for n := 1; killed < kills && !s.late(); n++ {
		begun := false
		for done := false; !done; {
			w, err := s.site(dir)
			if err != nil {
				return killed, err
			}
			var last struct{ Resumable bool }
			if err = w.get("/teach", &last); err == nil && begun && last.Resumable {
				_, err = w.do("POST", "/teach/resume", "")
			} else if err == nil {
				if begun { // killed before the images were copied
					n++
				}
				begun = true
				_, err = w.do("POST", "/teach", request)
			}
			if err != nil {
				w.kill()
				return killed, err
			}
			ended := make(chan error, 1)
			go func() { ended <- w.idle() }()
			if killed < kills && !s.late() {
				select {
				case <-time.After(time.Duration(s.rng.Int64N(int64(took)))):
					killed++
				case err := <-ended:
					ended <- err
				}
			} else {
				err := <-ended
				ended <- err
			}
			if len(ended) > 0 {
				if err := <-ended; err != nil {
					s.fault("a teaching that goes on: %v", err)
				}
				done = true
			}
			w.kill()
		}
		got := filepath.Join(dir, "unet", "teach", fmt.Sprint(n), "run", "model.safetensors")
		if ok, err := same(want, got); err != nil || !ok {
			s.fault("a teaching that was killed gives another model (%v)", err)
		}
		s.compared++
	}
	return killed, nil
}
