package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// events hands what happens to all pages that listen.
type events struct {
	mu        sync.Mutex
	listeners map[chan []byte]bool
}

// maxListeners is how many pages may listen at once.
const maxListeners = 200

func newEvents() *events { return &events{listeners: map[chan []byte]bool{}} }

// send tells of an event. A page that does not keep up misses some: every event
// only says what to look at.
func (e *events) send(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		return
	}
	text := fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, b)
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.listeners {
		select {
		case c <- text:
		default:
		}
	}
}

// listen is the stream of events. It takes no place among the requests in work.
func (s *Server) listen(w http.ResponseWriter, r *http.Request) error {
	e := s.events
	c := make(chan []byte, 64)
	e.mu.Lock()
	if len(e.listeners) >= maxListeners {
		e.mu.Unlock()
		w.Header().Set("Retry-After", "10")
		return &apiError{http.StatusTooManyRequests, "too many pages are open"}
	}
	e.listeners[c] = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.listeners, c)
		e.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	tick := time.NewTicker(20 * time.Second)
	defer tick.Stop()
	text := []byte(": hello\n\n")
	for {
		out.SetWriteDeadline(time.Now().Add(bodyTime))
		if _, err := w.Write(text); err != nil || out.Flush() != nil {
			return nil // the page is gone
		}
		select {
		case text = <-c:
		case <-tick.C:
			text = []byte(": still here\n\n")
		case <-r.Context().Done():
			return nil
		case <-s.base.Done():
			return nil
		}
	}
}
