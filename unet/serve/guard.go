package serve

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Limits of requests.
const (
	inWork      = 8                // at once
	waiting     = 64               // for one of these to end
	patience    = 20 * time.Second // a request waits
	maxCommand  = 1 << 20          // bytes of a JSON body
	policy      = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	pagesPolicy = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// bodyTime is in which the next piece of a body must come, answerTime in which one of an
// answer must be taken. Tests make them less.
var bodyTime, answerTime = 30 * time.Second, 5 * time.Minute

// NewToken makes a token nobody guesses.
func NewToken() string {
	b := make([]byte, 24)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// guard lets through who knows the token, asks the host that the server is, and
// comes from no other site.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !s.knownHost(r.Host) { // a name that an attacker made point here
			fail(w, &apiError{http.StatusMisdirectedRequest, "this server is not " + clip(r.Host)})
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			u, err := url.Parse(origin)
			if err != nil || u.Host != r.Host {
				fail(w, &apiError{http.StatusForbidden, "requests of other sites are refused"})
				return
			}
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" && (r.Method != http.MethodGet || r.URL.Path != "/") {
			fail(w, &apiError{http.StatusForbidden, "requests of other sites are refused"})
			return
		}
		if given := r.URL.Query().Get("token"); r.URL.Path == "/" && r.Method == http.MethodGet && s.isToken(given) {
			http.SetCookie(w, &http.Cookie{Name: cookieName(r), Value: given, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
			http.Redirect(w, r, "/", http.StatusSeeOther) // out of the address bar and the history
			return
		}
		cookie, _ := r.Cookie(cookieName(r))
		bearer, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !(cookie != nil && s.isToken(cookie.Value)) && !(isBearer && s.isToken(bearer)) {
			fail(w, &apiError{http.StatusUnauthorized, "open the address that unet serve has printed, or send its token: Authorization: Bearer TOKEN"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// cookieName holds the port, as the browser knows it: all ports of a host share its
// cookies, and another unet serve has another token.
func cookieName(r *http.Request) string {
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		return "unet-" + port
	}
	return "unet"
}

func (s *Server) isToken(t string) bool {
	return t != "" && subtle.ConstantTimeCompare([]byte(t), []byte(s.o.Token)) == 1
}

// knownHost reports whether a Host header names this server.
func (s *Server) knownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return slices.Contains(s.o.Hosts, strings.Trim(strings.ToLower(name), "[]"))
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60]
	}
	return s
}

// limit keeps the number of requests in work, and of those that wait. Who comes
// when both are full is told to come again.
func (s *Server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		busy := func() {
			w.Header().Set("Retry-After", "2")
			fail(w, &apiError{http.StatusTooManyRequests, "too many requests at once: try again in a moment"})
		}
		select {
		case s.queue <- struct{}{}:
			defer func() { <-s.queue }()
		default:
			busy()
			return
		}
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-timer.C:
			busy()
			return
		case <-r.Context().Done():
			return
		}
		c := http.NewResponseController(w)
		if r.ContentLength != 0 {
			c.SetReadDeadline(time.Now().Add(bodyTime)) // also where nobody reads it
			r.Body = slowReader{r.Body, c}
		}
		next.ServeHTTP(slowWriter{w, c}, r)
	})
}
