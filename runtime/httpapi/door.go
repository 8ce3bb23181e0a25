package httpapi

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Options of a Door; zero values mean the defaults.
type Options struct {
	// Logger gets what clients are not told. Default discards.
	Logger *slog.Logger
	// Translate turns errors of other rooms into answers; nil means that it has none.
	Translate func(error) *Error
	// Observe is called once per request, after its handler wrote its last byte.
	Observe func(Observation)
	// Ping is the silence after which a stream gets a comment. Default 15 s.
	Ping time.Duration
	// WriteTimeout is how long a write may stand still. Default 30 s.
	WriteTimeout time.Duration
	// BodyTimeout is how long a client may take to send its body. Default 30 s.
	BodyTimeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(Observation) {}
	}
	for _, d := range []struct {
		value *time.Duration
		unset time.Duration
	}{{&o.Ping, 15 * time.Second}, {&o.WriteTimeout, 30 * time.Second}, {&o.BodyTimeout, 30 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.unset
		}
	}
	return o
}

// Observation tells how one request went.
type Observation struct {
	// Route is the pattern, for example "POST /chat", or "unmatched": a client can't
	// make up new ones.
	Route string
	// Status that was sent; 499 if the client left before.
	Status int
	// Tenant is zero if the request was refused before it was known.
	Tenant   tenancy.ID
	TraceID  string
	Duration time.Duration
	// Bytes of the body that were written.
	Bytes int64
	// Stream tells that the answer was an event stream.
	Stream bool
	// Code of the error in the envelope, empty if there was none.
	Code string
}

// Route says what a route asks before its handler runs.
type Route struct {
	// NeedsScope is the scope that the caller's key must carry, if any. Without it the
	// answer is 403 forbidden.
	NeedsScope string
	// MaxBody is the largest body in bytes. Default the tenant's limits.bodyBytes.
	MaxBody func(*tenantconfig.Config) int64
	// Open routes need no key, and no name of the tenant where there is only one.
	// Their Call has a zero Caller.
	Open bool
	// Style of the errors; all routes of one pattern have one.
	Style ErrorStyle
}

// Door is the http.Handler of a tenant's API. Routes are added before it serves.
type Door struct {
	tenants *tenancy.Directory
	opts    Options
	mux     *http.ServeMux
	paths   map[string]*path
	// styles are by the beginning of a path, for what no route answers.
	styles map[string]ErrorStyle
	beat   *heartbeat
	// uploading is how many bytes of uploads are in memory, uploadRoom how many may be.
	uploading  atomic.Int64
	uploadRoom int64
}

// path is one pattern with a route for each of its methods.
type path struct {
	pattern string
	routes  map[string]*route
	allow   string
	style   ErrorStyle
}

type route struct {
	Route
	// name is method and pattern.
	name string
	run  func(ctx context.Context, x *exchange, c Call) (Answer, error)
}

// NewDoor makes a door without routes: every path is 404 not_found.
func NewDoor(dir *tenancy.Directory, opts Options) *Door {
	opts = opts.withDefaults()
	d := &Door{tenants: dir, opts: opts, mux: http.NewServeMux(), paths: map[string]*path{}, styles: map[string]ErrorStyle{}, beat: newHeartbeat(opts.Ping), uploadRoom: maxUploading}
	d.mux.Handle("/", &path{})
	return d
}

// Handle adds a route. pattern is a path of net/http's mux, with wildcards
// ("/chat/{sessionId}/history"), without method, host and trailing slash. A Req with a
// method Validate() []Detail is asked after decoding. GET answers HEAD too. Handle
// panics on a pattern that is malformed or taken: that is a mistake in the program.
func Handle[Req any](d *Door, method, pattern string, r Route, h Handler[Req]) {
	reader := newBodyReader(reflect.TypeFor[Req]())
	d.add(method, pattern, &route{Route: r, run: func(ctx context.Context, x *exchange, c Call) (Answer, error) {
		var req Req
		if err := reader.into(x, x.bodyLimit(), &req); err != nil {
			return Answer{}, err
		}
		return h(ctx, c, req)
	}})
}

func (d *Door) add(method, pattern string, r *route) {
	if !strings.HasPrefix(pattern, "/") || pattern != "/" && strings.HasSuffix(pattern, "/") {
		panic("httpapi: pattern " + pattern + " must begin and not end with a slash")
	}
	p := d.paths[pattern]
	if p == nil {
		p = &path{pattern: pattern, routes: map[string]*route{}}
		d.paths[pattern] = p
		at := pattern
		if at == "/" {
			at = "/{$}"
		}
		d.mux.Handle(at, p)
	}
	if p.routes[method] != nil {
		panic("httpapi: route " + method + " " + pattern + " is added twice")
	}
	r.name = method + " " + pattern
	p.routes[method] = r
	p.style = r.Style
	methods := []string{http.MethodOptions}
	for m := range p.routes {
		methods = append(methods, m)
		if m == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	p.allow = strings.Join(methods, ", ")
}

// ErrorsUnder gives what no route answers below a path such as "/v1", and what the door
// refuses there, a style.
func (d *Door) ErrorsUnder(base string, style ErrorStyle) { d.styles[base] = style }

func (d *Door) styleOf(path string) ErrorStyle {
	for base, style := range d.styles {
		if below, ok := strings.CutPrefix(path, base); ok && (below == "" || below[0] == '/') {
			return style
		}
	}
	return EnvelopeErrors
}

// ServeHTTP answers one request, whatever happens inside.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(d, w, r)
	defer x.finish()
	x.admit()
	if !cleanPath(r) {
		x.fail(notFound())
		return
	}
	// The mux finds the path and its wildcards; path.ServeHTTP gets x back.
	d.mux.ServeHTTP(x, x.r)
}

// RouteInfo is one route of a door.
type RouteInfo struct {
	Method, Pattern string
	Route           Route
}

// Routes lists what the door answers, by pattern and method.
func (d *Door) Routes() []RouteInfo {
	var all []RouteInfo
	for pattern, p := range d.paths {
		for method, r := range p.routes {
			all = append(all, RouteInfo{method, pattern, r.Route})
		}
	}
	slices.SortFunc(all, func(a, b RouteInfo) int {
		return cmp.Or(strings.Compare(a.Pattern, b.Pattern), strings.Compare(a.Method, b.Method))
	})
	return all
}

// Refuse answers a request that no route may see any more, as every other is answered.
func (d *Door) Refuse(w http.ResponseWriter, r *http.Request, e *Error) {
	x := newExchange(d, w, r)
	defer x.finish()
	x.admit()
	x.sendError(e)
}

// ServeHTTP is the second half of Door.ServeHTTP.
func (p *path) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if x, ok := w.(*exchange); ok {
		x.dispatch(p, r)
	}
}

func notFound() *Error {
	return &Error{Status: http.StatusNotFound, Code: "not_found", Message: "there is no such endpoint: check the path, which is case-sensitive"}
}

// cleanPath refuses paths that another server might read as a different path: empty
// segments, and dot segments, also encoded or behind an encoded slash or a backslash. An
// encoded slash alone is a part of its segment, like the one in a document's id. A
// request is never redirected, so what was looked at is what is answered.
func cleanPath(r *http.Request) bool {
	p := r.URL.EscapedPath()
	if !strings.HasPrefix(p, "/") {
		return false
	}
	if p == "/" {
		return true
	}
	for segment := range strings.SplitSeq(strings.TrimSuffix(p[1:], "/"), "/") {
		if segment == "" {
			return false
		}
	}
	// Every dot segment of the decoded path, whatever made it one.
	for segment := range strings.FieldsFuncSeq(r.URL.Path, isSlash) {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

// withoutSlash gives the request of the same path without its trailing slash.
func withoutSlash(r *http.Request) *http.Request {
	if len(r.URL.Path) < 2 || !strings.HasSuffix(r.URL.EscapedPath(), "/") {
		return r
	}
	u := *r.URL
	u.Path = strings.TrimSuffix(u.Path, "/")
	u.RawPath = strings.TrimSuffix(u.RawPath, "/")
	out := *r
	out.URL = &u
	return &out
}
