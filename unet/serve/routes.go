package serve

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	stdimage "image"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"unet/unet/imageio"
	"unet/unet/segment"
)

//go:embed page
var page embed.FS

// apiError is an error with its HTTP status.
type apiError struct {
	status int
	text   string
}

// Error implements error.
func (e *apiError) Error() string { return e.text }

// fail answers with an error.
func fail(w http.ResponseWriter, err error) {
	status, text := http.StatusInternalServerError, err.Error()
	var a *apiError
	var tooLarge *http.MaxBytesError
	var limit *imageio.LimitError
	switch {
	case errors.As(err, &a):
		status, text = a.status, a.text
	case errors.As(err, &tooLarge):
		status, text = http.StatusRequestEntityTooLarge, fmt.Sprintf("larger than the %d bytes that are allowed", tooLarge.Limit)
	case errors.As(err, &limit):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		status, text = http.StatusRequestTimeout, "the request took too long to arrive"
	}
	w.Header().Del("Content-Disposition") // a browser would save the error as the file
	answer(w, status, map[string]string{"error": text})
}

func answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer holds numbers that are not finite"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

// route is an address of the interface: handler and description in one.
type route struct {
	method, path, summary string
	query                 []string // names of parameters; others are refused
	body                  any      // example of the JSON body; nil: none
	file                  bool     // the body is a file
	produces              string
	handle                func(s *Server, w http.ResponseWriter, r *http.Request) error
}

const jsonType = "application/json"

// routes are all addresses below /api/v1.
var routes []route

func init() { // apart, as openapi is among them and lists them
	routes = []route{
		{method: "GET", path: "/openapi.json", summary: "this description",
			produces: jsonType, handle: (*Server).openapi},
		{method: "GET", path: "/images", summary: "the images of the folder, with what was found",
			produces: jsonType, handle: (*Server).getImages},
		{method: "POST", path: "/images", summary: "add an image, which is the body, to the folder",
			query: []string{"name"}, file: true, produces: jsonType, handle: (*Server).addImage},
		{method: "GET", path: "/images/{id}/thumbnail", summary: "a small picture with the nuclei outlined",
			query: []string{"version"}, produces: "image/jpeg", handle: (*Server).thumbnail},
		{method: "GET", path: "/images/{id}/view", summary: "planes and channels of an image, and how to show them",
			query: []string{"plane"}, produces: jsonType, handle: (*Server).viewImage},
		{method: "GET", path: "/images/{id}/tiles/{level}/{x}/{y}", summary: "a part of the picture, at half its size level times",
			query: []string{"plane", "channels", "version"}, produces: "image/jpeg", handle: (*Server).tile},
		{method: "GET", path: "/images/{id}/outlines/{level}/{x}/{y}", summary: "the outlines of nuclei to lay over a part of the picture",
			query: []string{"plane", "revision", "colour"}, produces: "image/png", handle: (*Server).outlines},
		{method: "GET", path: "/images/{id}/nuclei", summary: "the nuclei with measurements and outlines, and the revision of the labels; of a large image those in a window, or of too many the range of their colours",
			query: []string{"plane", "window", "colour"}, produces: jsonType, handle: (*Server).nuclei},
		{method: "POST", path: "/images/{id}/edits", summary: "edit the labels of a revision; 409 if they have changed since",
			query: []string{"plane"}, body: Command{Tool: "delete", IDs: []uint32{1}}, produces: jsonType, handle: (*Server).editImage},
		{method: "GET", path: "/images/{id}/export/{format}", summary: "the nuclei as a file: " + strings.Join(exported, ", "),
			query: []string{"plane"}, produces: "application/octet-stream", handle: (*Server).exportImage},
		{method: "GET", path: "/export", summary: "the results of all images, as a zip",
			produces: "application/zip", handle: (*Server).exportAll},
		{method: "POST", path: "/segment", summary: "segment images in the background",
			body: segmentRequest{}, produces: jsonType, handle: (*Server).postSegment},
		{method: "GET", path: "/settings", summary: "the settings of segmentation, as options of unet predict",
			produces: jsonType, handle: (*Server).getSettings},
		{method: "GET", path: "/job", summary: "the job in the background",
			produces: jsonType, handle: (*Server).getJob},
		{method: "DELETE", path: "/job", summary: "cancel it",
			produces: jsonType, handle: (*Server).cancelJob},
		{method: "POST", path: "/teach", summary: "fine-tune the model on corrected images in the background",
			body: teachRequest{}, produces: jsonType, handle: (*Server).postTeach},
		{method: "GET", path: "/teach", summary: "the last teaching: its course, and the images held back before and after",
			produces: jsonType, handle: (*Server).getTeach},
		{method: "POST", path: "/teach/resume", summary: "continue a teaching that was stopped or killed",
			produces: jsonType, handle: (*Server).postResume},
		{method: "GET", path: "/models", summary: "the models to segment with: the one given, and those kept",
			produces: jsonType, handle: (*Server).getModels},
		{method: "POST", path: "/models", summary: "segment with one of them from now on",
			body: useRequest{File: "models/name.safetensors"}, produces: jsonType, handle: (*Server).postModels},
		{method: "POST", path: "/teach/model", summary: "use, keep (with a name) or drop the new model",
			body: modelRequest{Action: "use"}, produces: jsonType, handle: (*Server).postModel},
		{method: "GET", path: "/teach/compare/{n}/{which}", summary: "an image held back: corrected (0), before (1), after (2)",
			query: []string{"version"}, produces: "image/png", handle: (*Server).comparePicture},
		{method: "POST", path: "/analyse/json", summary: "segment the image in the body without keeping it; JSON.md describes the answer",
			query: analysis, file: true, produces: jsonType, handle: (*Server).analyseJSON},
		{method: "POST", path: "/analyse/{format}", summary: "the same, with the nuclei as a file: " + strings.Join(analysed, ", "),
			query: analysis, file: true, produces: "application/octet-stream", handle: (*Server).analyse},
		{method: "GET", path: "/events", summary: "what happens, as server-sent events: job, images, edit, results, picture, models",
			produces: "text/event-stream", handle: (*Server).listen},
	}
}

// analysed are the formats of an image that is not kept, analysis the parameters.
var (
	analysed = []string{segment.CSV, segment.GeoJSON, segment.ROI}
	analysis = []string{"diameter", "threshold", "plane"}
)

// Handler answers all requests.
func (s *Server) Handler() http.Handler {
	mux, api := http.NewServeMux(), http.NewServeMux()
	for _, rt := range routes {
		h := rt.handler(s)
		if rt.path != "/events" {
			h = s.limit(h)
		}
		api.Handle(rt.method+" /api/v1"+rt.path, h)
	}
	static, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	mux.Handle("GET /", http.FileServerFS(static))
	mux.Handle("GET /results/", s.limit(http.HandlerFunc(s.results)))
	return s.counted(s.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch _, pattern := api.Handler(r); {
		case !strings.HasPrefix(r.URL.Path, "/api/"):
			mux.ServeHTTP(w, r)
		case pattern == "":
			noRoute(api, w, r)
		default:
			api.ServeHTTP(w, r)
		}
	})))
}

// handler answers the requests of a route.
func (rt *route) handler(s *Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !rt.file {
			r.Body = http.MaxBytesReader(w, r.Body, maxCommand)
		}
		out := &begun{ResponseWriter: w}
		err := rt.known(r)
		if err == nil {
			err = rt.handle(s, out, r)
		}
		switch {
		case err == nil:
		case out.yes:
			panic(http.ErrAbortHandler) // a file that is cut off, and seen to be
		default:
			fail(w, err)
		}
	})
}

// begun knows whether a part of the answer has been written.
type begun struct {
	http.ResponseWriter
	yes bool
}

func (b *begun) Write(p []byte) (int, error) {
	b.yes = true
	return b.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (b *begun) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// noRoute says what is wrong with a request that no route takes.
func noRoute(api *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPost} {
		other := *r
		other.Method = method
		if _, pattern := api.Handler(&other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		fail(w, &apiError{http.StatusNotFound, "there is no such address: /api/v1/openapi.json describes those that there are"})
		return
	}
	list := strings.Join(allowed, ", ")
	w.Header().Set("Allow", list)
	fail(w, &apiError{http.StatusMethodNotAllowed, "this address takes " + list})
}

// known refuses a request with parameters that the route does not have, which would
// be ignored.
func (rt *route) known(r *http.Request) error {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &apiError{http.StatusBadRequest, "the parameters of the address cannot be read: " + err.Error()}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if slices.Contains(rt.query, name) {
			continue
		}
		text := "there is no parameter " + strconv.Quote(clip(name))
		if len(rt.query) > 0 {
			text += ": " + strings.Join(rt.query, ", ")
		}
		return &apiError{http.StatusBadRequest, text}
	}
	return nil
}

// counted ends requests when the server is closed, and lets Close wait for them.
func (s *Server) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		closed := s.base.Err() != nil
		if !closed {
			s.requests.Add(1)
		}
		s.mu.Unlock()
		if closed {
			fail(w, errEnding)
			return
		}
		defer s.requests.Done()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.base, cancel)()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// results hands out the page of the batch and what it shows.
func (s *Server) results(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/results/")
	if name == "/results" || name == "" {
		name = segment.PageFile
	}
	switch path.Ext(name) {
	case ".html", ".jpg", ".png", ".csv", ".json":
	default:
		fail(w, &apiError{http.StatusNotFound, "there is no such result"})
		return
	}
	behind := s.settle(r.Context())
	if ext := path.Ext(name); behind != nil && (ext == ".csv" || ext == ".json") { // a page says so
		fail(w, behind)
		return
	}
	f, err := s.root.Open(path.Join(ResultsFolder, name))
	if err != nil {
		fail(w, &apiError{http.StatusNotFound, "there is no such result: segment images first"})
		return
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		fail(w, &apiError{http.StatusNotFound, "there is no such result"})
		return
	}
	w.Header().Set("Content-Security-Policy", pagesPolicy)
	var content io.ReadSeeker = f
	if path.Ext(name) == ".html" {
		if content, err = withNote(f, behind); err != nil {
			fail(w, err)
			return
		}
	}
	http.ServeContent(w, r, name, time.Time{}, content) // results may change at any time
}

// withNote is a page of results that stays up to date while it is open, with a line
// that leads back to the images, and says why it does not tell of all corrections, if
// it does not. The policy of the file, which allows no scripts, makes place for that of
// the answer.
func withNote(f io.Reader, behind error) (io.ReadSeeker, error) {
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	text = filePolicy.ReplaceAll(text, nil)
	note := `<script type="module" src="/live.js"></script><p style="margin:0;max-width:none;padding:8px 20px;border-bottom:1px solid currentColor"><a href="/" style="color:inherit">Images</a>`
	if behind != nil {
		note += `: some corrections are not included yet: ` + html.EscapeString(behind.Error())
	}
	if i := bytes.Index(text, []byte("<body")); i >= 0 {
		i += bytes.IndexByte(text[i:], '>') + 1
		text = slices.Insert(text, i, []byte(note+"</p>")...)
	}
	return bytes.NewReader(text), nil
}

var filePolicy = regexp.MustCompile(`<meta http-equiv="Content-Security-Policy"[^>]*>\n?`)

// readJSON reads the body of a request.
func readJSON(r *http.Request, v any) error {
	if t := r.Header.Get("Content-Type"); !strings.HasPrefix(t, jsonType) {
		return &apiError{http.StatusUnsupportedMediaType, "send " + jsonType}
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		return &apiError{http.StatusBadRequest, "the body is not what is expected: " + err.Error()}
	}
	return nil
}

// slowReader gives up on a body whose next piece does not come in time.
type slowReader struct {
	io.ReadCloser
	c *http.ResponseController
}

func (s slowReader) Read(p []byte) (int, error) {
	s.c.SetReadDeadline(time.Now().Add(bodyTime))
	n, err := s.ReadCloser.Read(p)
	if err == io.EOF {
		// From now on the connection is read to see whether the client is there still:
		// a deadline would end the request.
		s.c.SetReadDeadline(time.Time{})
	}
	return n, err
}

// slowWriter gives up on a client that does not take the next piece of an answer in
// time. How long the request took before, or the answer takes to make, does not count.
type slowWriter struct {
	http.ResponseWriter
	c *http.ResponseController
}

func (s slowWriter) Write(p []byte) (int, error) {
	s.c.SetWriteDeadline(time.Now().Add(answerTime))
	return s.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (s slowWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *Server) body(w http.ResponseWriter, r *http.Request) io.Reader {
	return http.MaxBytesReader(w, r.Body, s.o.MaxUpload)
}

func (s *Server) getImages(w http.ResponseWriter, _ *http.Request) error {
	answer(w, http.StatusOK, s.images())
	return nil
}

func (s *Server) addImage(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength > s.o.MaxUpload {
		return &http.MaxBytesError{Limit: s.o.MaxUpload}
	}
	name, err := s.add(r.URL.Query().Get("name"), func(f *os.File) error {
		_, err := io.Copy(f, s.body(w, r))
		return err
	})
	if err != nil {
		return err
	}
	s.events.send("images", nil)
	answer(w, http.StatusCreated, map[string]string{"id": imageID(name), "name": name})
	return nil
}

// document opens the plane of the image that an address names.
func (s *Server) document(r *http.Request) (*document, error) {
	im, err := s.find(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	plane, err := natural(r, "plane", 0)
	if err != nil {
		return nil, err
	}
	return s.open(im, plane)
}

// natural is a parameter that is a whole number, not below 0.
func natural(r *http.Request, name string, missing int) (int, error) {
	text := r.URL.Query().Get(name)
	if v := r.PathValue(name); v != "" {
		text = v
	}
	if text == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1<<30 {
		return 0, &apiError{http.StatusBadRequest, name + " is a whole number, not " + strconv.Quote(clip(text))}
	}
	return n, nil
}

func (s *Server) thumbnail(w http.ResponseWriter, r *http.Request) error {
	im, err := s.find(r.PathValue("id"))
	if err != nil {
		return err
	}
	b, err := s.thumbnailOf(r.Context(), im)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "image/jpeg")
	w.Write(b)
	return nil
}

func (s *Server) nuclei(w http.ResponseWriter, r *http.Request) error {
	d, err := s.document(r)
	if err != nil {
		return err
	}
	window := stdimage.Rect(0, 0, d.w, d.h)
	if text := r.URL.Query().Get("window"); text != "" {
		var x, y, width, height int
		if n, err := fmt.Sscanf(text, "%d,%d,%d,%d", &x, &y, &width, &height); n != 4 || err != nil {
			return &apiError{http.StatusBadRequest, "window is x,y,width,height in pixels"}
		}
		window = window.Intersect(stdimage.Rect(x, y, x+width, y+height))
	}
	list, err := d.show(window, r.URL.Query().Get("colour"))
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, list)
	return nil
}

func (s *Server) editImage(w http.ResponseWriter, r *http.Request) error {
	var c Command
	if err := readJSON(r, &c); err != nil {
		return err
	}
	d, err := s.document(r)
	if err != nil {
		return err
	}
	if s.segmenting(d.picture.id) {
		return &apiError{http.StatusConflict, "this image is being segmented: wait for its results"}
	}
	revision, err := d.edit(c)
	if err != nil {
		return err
	}
	s.events.send("edit", map[string]any{"id": d.picture.id, "plane": d.plane, "revision": revision})
	answer(w, http.StatusOK, map[string]int{"revision": revision})
	return nil
}

func (s *Server) exportImage(w http.ResponseWriter, r *http.Request) error {
	format := r.PathValue("format")
	if !slices.Contains(exported, format) {
		return &apiError{http.StatusNotFound, "there is no such format: " + strings.Join(exported, ", ")}
	}
	d, err := s.document(r)
	if err != nil {
		return err
	}
	im, err := s.find(r.PathValue("id"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+path.Base(plain.ReplaceAllString(im.in.Base+d.suffix, "_"))+im.extension(d.suffix, format)+`"`)
	return s.write(r.Context(), w, im, d.suffix, format)
}

// plain are characters that stand for themselves in a header.
var plain = regexp.MustCompile(`[^A-Za-z0-9._/-]`)

func (s *Server) postSegment(w http.ResponseWriter, r *http.Request) error {
	var q segmentRequest
	if err := readJSON(r, &q); err != nil {
		return err
	}
	if err := s.segmentAll(q); err != nil {
		return err
	}
	answer(w, http.StatusAccepted, s.state())
	return nil
}

func (s *Server) getJob(w http.ResponseWriter, _ *http.Request) error {
	answer(w, http.StatusOK, s.state())
	return nil
}

func (s *Server) cancelJob(w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	if s.job != nil {
		s.job.cancel()
	}
	s.mu.Unlock()
	answer(w, http.StatusOK, s.state())
	return nil
}

func (s *Server) postTeach(w http.ResponseWriter, r *http.Request) error {
	var q teachRequest
	if err := readJSON(r, &q); err != nil {
		return err
	}
	if err := s.teach(q); err != nil {
		return err
	}
	answer(w, http.StatusAccepted, s.state())
	return nil
}

func (s *Server) getTeach(w http.ResponseWriter, _ *http.Request) error {
	answer(w, http.StatusOK, s.lastTaught())
	return nil
}

func (s *Server) postResume(w http.ResponseWriter, _ *http.Request) error {
	if err := s.resume(); err != nil {
		return err
	}
	answer(w, http.StatusAccepted, s.state())
	return nil
}

type modelRequest struct {
	Action string `json:"action"`
	Name   string `json:"name,omitempty"`
}

func (s *Server) postModel(w http.ResponseWriter, r *http.Request) error {
	var q modelRequest
	if err := readJSON(r, &q); err != nil {
		return err
	}
	if err := s.taught(q.Action, q.Name); err != nil {
		return err
	}
	s.events.send("models", nil)
	answer(w, http.StatusOK, s.lastTaught())
	return nil
}

func (s *Server) comparePicture(w http.ResponseWriter, r *http.Request) error {
	n, err1 := strconv.Atoi(r.PathValue("n"))
	which, err2 := strconv.Atoi(r.PathValue("which"))
	st := s.lastTaught()
	if err1 != nil || err2 != nil || n < 0 || n >= len(st.Compare) || which < 0 || which > 2 || st.Model == "" {
		return &apiError{http.StatusNotFound, "there is no such picture"}
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(st.Model)), fmt.Sprintf("compare-%d-%d.png", n, which)))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "image/png")
	w.Write(b)
	return nil
}

// openapi describes the routes.
func (s *Server) openapi(w http.ResponseWriter, _ *http.Request) error {
	answer(w, http.StatusOK, description(s.o.Version))
	return nil
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

// description is the OpenAPI document of the routes.
func description(version string) map[string]any {
	paths := map[string]map[string]any{}
	for _, rt := range routes {
		parameters := []map[string]any{}
		for _, m := range pathParameter.FindAllStringSubmatch(rt.path, -1) {
			parameters = append(parameters, map[string]any{"name": m[1], "in": "path", "required": true, "schema": map[string]string{"type": "string"}})
		}
		for _, name := range rt.query {
			parameters = append(parameters, map[string]any{"name": name, "in": "query", "schema": map[string]string{"type": "string"}})
		}
		failure := map[string]any{"description": "an error, in words", "content": map[string]any{jsonType: map[string]any{"schema": map[string]any{
			"type": "object", "properties": map[string]any{"error": map[string]string{"type": "string"}}}}}}
		op := map[string]any{"summary": rt.summary, "parameters": parameters, "responses": map[string]any{
			"2XX": map[string]any{"description": rt.summary, "content": map[string]any{rt.produces: map[string]any{}}}, "4XX": failure,
			"429": map[string]any{"description": "too much at once: wait the seconds of Retry-After"}}}
		if rt.body != nil {
			op["requestBody"] = map[string]any{"required": true, "content": map[string]any{jsonType: map[string]any{"example": rt.body}}}
		}
		if rt.file {
			op["requestBody"] = map[string]any{"required": true, "content": map[string]any{"application/octet-stream": map[string]any{}}}
		}
		at := "/api/v1" + rt.path
		if paths[at] == nil {
			paths[at] = map[string]any{}
		}
		paths[at][strings.ToLower(rt.method)] = op
	}
	return map[string]any{"openapi": "3.1.0", "info": map[string]string{"title": "unet serve", "version": version},
		"components": map[string]any{"securitySchemes": map[string]any{"token": map[string]string{"type": "http", "scheme": "bearer"}}},
		"security":   []map[string][]string{{"token": {}}}, "paths": paths}
}
