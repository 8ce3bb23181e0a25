package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// exchange is one request and its answer on their way through the door.
type exchange struct {
	http.ResponseWriter
	door    *Door
	r       *http.Request
	rc      *http.ResponseController
	trace   string
	started time.Time
	tenant  *tenancy.Tenant
	route   *route
	style   ErrorStyle
	// held is how much of the door's room for uploads this request takes.
	held int64
	seen Observation
	// answered tells that the status has gone out.
	answered bool
	stream   *EventWriter
}

// Header values that never change; setting them costs nothing then.
var (
	nosniff  = []string{"nosniff"}
	vary     = []string{"Origin"}
	jsonType = []string{"application/json"}
	noStore  = []string{"no-store"}
	bearer   = []string{"Bearer"}
)

func newExchange(d *Door, w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{ResponseWriter: w, door: d, r: withoutSlash(r), rc: http.NewResponseController(w), started: time.Now()}
	x.style = d.styleOf(x.r.URL.Path)
	x.trace = traceID(r.Header)
	x.seen = Observation{Route: "unmatched", TraceID: x.trace}
	return x
}

// admit sets what every answer carries and bounds what the client may still send.
func (x *exchange) admit() {
	h := x.Header()
	h["X-Trace-Id"] = []string{x.trace}
	h["X-Content-Type-Options"] = nosniff
	h["Vary"] = vary
	if x.r.ContentLength != 0 {
		// Also bounds what the server drains if nobody reads the body. The server sets
		// its own deadline before the next request.
		_ = x.rc.SetReadDeadline(x.started.Add(x.door.opts.BodyTimeout))
	}
	if x.r.Header["Expect"] != nil {
		// Reading the body writes "100 Continue", under the last request's deadline.
		_ = x.rc.SetWriteDeadline(x.started.Add(x.door.opts.WriteTimeout))
	}
	if origin := x.r.Header.Get("Origin"); origin != "" {
		if t, err := x.door.tenants.Locate(x.r); err == nil {
			allowOrigin(h, t, origin)
		}
	}
}

// dispatch takes the request from its path to its answer.
func (x *exchange) dispatch(p *path, r *http.Request) {
	x.r = r
	if p.pattern == "" {
		x.fail(notFound())
		return
	}
	x.style = p.style
	if r.Method == http.MethodOptions {
		x.options(p)
		return
	}
	method := r.Method
	if method == http.MethodHead && p.routes[method] == nil {
		method = http.MethodGet
	}
	if x.route = p.routes[method]; x.route == nil {
		x.fail(&Error{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Message: "this endpoint answers " + p.allow, Allow: p.allow})
		return
	}
	x.seen.Route = x.route.name
	caller, err := x.identify()
	if err != nil {
		x.fail(err)
		return
	}
	x.serve(caller)
}

func (x *exchange) options(p *path) {
	x.seen.Route = "OPTIONS " + p.pattern
	h := x.Header()
	if x.r.Header.Get("Origin") != "" && x.r.Header.Get("Access-Control-Request-Method") != "" {
		preflight(h, p)
	} else {
		h["Allow"] = []string{p.allow}
	}
	x.send(http.StatusNoContent, nil)
}

// identify names the tenant and the caller, and refuses what they may not do.
func (x *exchange) identify() (tenancy.Caller, error) {
	var (
		caller tenancy.Caller
		t      *tenancy.Tenant
		err    error
	)
	if x.route.Open {
		t, err = x.door.tenants.Locate(x.r)
	} else {
		t, caller, err = x.door.tenants.Identify(x.r)
	}
	if err != nil {
		return caller, err
	}
	x.tenant, x.seen.Tenant = t, t.ID
	if origin := x.r.Header.Get("Origin"); origin != "" {
		allowOrigin(x.Header(), t, origin)
	}
	if crossOrigin(x.r, t) {
		return caller, &Error{Status: http.StatusForbidden, Code: "origin_not_allowed", Message: "this origin may not call: add it to the tenant's cors.origins"}
	}
	if scope := x.route.NeedsScope; scope != "" && !caller.May(scope) {
		return caller, &Error{Status: http.StatusForbidden, Code: "forbidden", Message: "this needs an API key with the scope " + scope}
	}
	return caller, nil
}

func (x *exchange) bodyLimit() int64 {
	if x.route.MaxBody != nil {
		return x.route.MaxBody(x.tenant.Config)
	}
	return x.tenant.Config.Limits.BodyBytes
}

// serve runs the route's handler and writes what it answers.
func (x *exchange) serve(caller tenancy.Caller) {
	query, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		// What url.Query leaves out would be answered as if it had not been asked.
		x.fail(&Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "the query string is malformed: separate parameters by & and percent-encode their values", Cause: err})
		return
	}
	c := Call{
		Tenant: x.tenant, Caller: caller, TraceID: x.trace, Path: x.r.PathValue,
		Query: query, In: x.r.Header, Out: x.Header(),
	}
	answer, err := x.route.run(x.r.Context(), x, c)
	if answer.Body != nil {
		defer func() { _ = answer.Body.Reader.Close() }()
	}
	switch {
	case err != nil:
		x.fail(err)
	case answer.handler != nil:
		x.serveHandler(answer.handler)
	case answer.Body != nil:
		x.sendBody(answer.Status, answer.Body)
	case answer.Stream != nil:
		x.serveStream(answer.Stream)
	case answer.Raw != nil:
		x.sendRaw(answer.Status, answer.Raw)
	default:
		x.sendData(answer.Status, answer.Data)
	}
}

func (x *exchange) serveStream(run func(context.Context, *EventWriter)) {
	ctx, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	x.seen.Stream, x.seen.Status, x.answered = true, http.StatusOK, true
	x.stream = startStream(ctx, cancel, x)
	run(ctx, x.stream)
}

// explain is what the client may be told of err. What it may not is logged.
func (x *exchange) explain(err error, gone bool) *Error {
	e := answerTo(err, gone, x.door.opts.Translate)
	if e.Status >= http.StatusInternalServerError {
		x.log(slog.LevelError, "request failed", slog.String("code", e.Code), slog.Any("error", err))
	}
	return e
}

func (x *exchange) log(level slog.Level, message string, attrs ...slog.Attr) {
	attrs = append(attrs, slog.String("trace_id", x.trace), slog.String("route", x.seen.Route))
	if x.tenant != nil {
		attrs = append(attrs, slog.String("tenant", x.tenant.ID.String()))
	}
	x.door.opts.Logger.LogAttrs(x.r.Context(), level, message, attrs...)
}

// finish ends the request: a panic becomes an answer, and the request is counted.
func (x *exchange) finish() {
	p := recover()
	abort := false
	if p != nil {
		abort = x.panicked(p)
	}
	if x.stream != nil {
		x.seen.Bytes = x.stream.close()
	}
	x.door.uploading.Add(-x.held)
	if x.seen.Status < http.StatusInternalServerError && x.r.Context().Err() != nil {
		x.seen.Status = statusClientGone
	}
	x.seen.Duration = time.Since(x.started)
	x.door.opts.Observe(x.seen)
	if abort {
		panic(http.ErrAbortHandler)
	}
}

// panicked tells whether the connection must be cut, because the handler wants it or
// half an answer is out. The panic's own text isn't logged unless the Go runtime wrote
// it: it could hold what the client sent.
func (x *exchange) panicked(p any) (abort bool) {
	err, isError := p.(error)
	if isError && errors.Is(err, errCut) && x.seen.Status == statusClientGone {
		return true
	}
	if isError && errors.Is(err, http.ErrAbortHandler) {
		x.seen.Status, x.seen.Code = http.StatusInternalServerError, "aborted"
		return true
	}
	what := fmt.Sprintf("%T", p)
	var trap runtime.Error
	if isError && errors.As(err, &trap) {
		what = trap.Error()
	}
	x.log(slog.LevelError, "handler panicked", slog.String("panic", what), slog.String("stack", string(debug.Stack())))
	e := answerTo(errPanic, false, nil)
	switch {
	case x.stream != nil:
		x.seen.Status, x.seen.Code = e.Status, e.Code
		x.stream.end(e)
	case x.answered:
		x.seen.Status = e.Status
		return true
	default:
		x.sendError(e)
	}
	return false
}

var errPanic = errors.New("handler panicked")
