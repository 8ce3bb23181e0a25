package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
)

// HandleHTTP adds a route whose answers another http.Handler writes, for a protocol that
// has its own way with HTTP. It answers GET, POST and DELETE. The handler gets the
// request after the tenant and the caller are known, a body within the route's limit, and
// a ResponseWriter each of whose writes has a time limit of its own; it may stream. The
// request's context ends when the client can't be written to.
func HandleHTTP(d *Door, pattern string, r Route, h func(c Call) http.Handler) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		d.add(method, pattern, &route{Route: r, run: func(_ context.Context, x *exchange, c Call) (Answer, error) {
			if err := x.fits(x.bodyLimit()); err != nil {
				return Answer{}, err
			}
			return Answer{handler: h(c)}, nil
		}})
	}
}

func (x *exchange) serveHandler(h http.Handler) {
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	r := x.r.WithContext(ctx)
	r.Body = &boundedBody{x: x, ReadCloser: http.MaxBytesReader(x.ResponseWriter, x.r.Body, x.bodyLimit())}
	h.ServeHTTP(&boundedWriter{x: x, cancel: cancel}, r)
	if !x.answered {
		x.open(http.StatusOK)
	}
	x.bound()
}

// boundedBody notes when the body has been read.
type boundedBody struct {
	x *exchange
	io.ReadCloser
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.x.bodyEnded()
	}
	return n, err
}

// boundedWriter gives every write its time.
type boundedWriter struct {
	x      *exchange
	cancel context.CancelFunc
}

func (w *boundedWriter) Header() http.Header { return w.x.Header() }

func (w *boundedWriter) WriteHeader(status int) {
	if w.x.answered || status < http.StatusOK {
		return
	}
	w.x.seen.Stream = strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream")
	w.x.open(status)
}

func (w *boundedWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.x.bound()
	n, err := w.x.Write(p)
	w.x.seen.Bytes += int64(n)
	if err != nil {
		w.cancel()
	}
	return n, err
}

func (w *boundedWriter) Flush() { _ = w.FlushError() }

// FlushError is what http.ResponseController looks for.
func (w *boundedWriter) FlushError() error {
	w.WriteHeader(http.StatusOK)
	w.x.bound()
	err := w.x.rc.Flush()
	if err != nil {
		w.cancel()
	}
	return err
}
