package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// EventWriter writes server-sent events to one client, each in one write that is
// flushed at once. Nothing is queued: a client that doesn't read holds up the caller,
// and after some 30 s without progress (Options.WriteTimeout) the stream fails. After the
// first failure its methods do nothing; Err tells why.
//
// One goroutine writes; the door adds a comment after a silence, never inside an event.
type EventWriter struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	x       *exchange
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timeout time.Duration
	// last is when the last write began, on the heartbeat's clock.
	last atomic.Int64
	// bounded is when the deadline for writing was set last.
	bounded time.Time

	writing sync.Mutex
	buf     []byte
	err     error
	closed  bool
	bytes   int64
}

// Why a stream can't go on, for errors.Is.
var (
	// ErrClientGone: the client closed the connection.
	ErrClientGone = errors.New("the client is gone")
	// ErrClientStuck: the client has not read for Options.WriteTimeout.
	ErrClientStuck = errors.New("the client doesn't read")
)

var eventHeaders = map[string][]string{
	"Content-Type":  {"text/event-stream"},
	"Cache-Control": {"no-cache, no-transform"},
	// nginx buffers a stream unless it is told not to.
	"X-Accel-Buffering": {"no"},
}

// startStream sends the headers and puts the stream under the heartbeat.
func startStream(ctx context.Context, cancel context.CancelCauseFunc, x *exchange) *EventWriter {
	w := &EventWriter{
		w: x.ResponseWriter, rc: x.rc, x: x, ctx: ctx, cancel: cancel,
		timeout: x.door.opts.WriteTimeout, buf: make([]byte, 0, 512),
	}
	h := x.Header()
	for name, value := range eventHeaders {
		h[name] = value
	}
	w.writing.Lock()
	now := time.Now()
	w.last.Store(int64(x.door.beat.at(now)))
	w.bound(now)
	x.ResponseWriter.WriteHeader(http.StatusOK)
	w.fail(w.rc.Flush())
	w.writing.Unlock()
	x.door.beat.add(w)
	return w
}

// Event writes one event whose data is v as JSON; without a name if that is empty.
func (w *EventWriter) Event(name string, v any) {
	withBuffer(func(buf *bytes.Buffer) {
		if err := appendJSON(buf, v); err != nil {
			w.writing.Lock()
			w.fail(err)
			w.writing.Unlock()
			return
		}
		w.Named(name, buf.Bytes())
	})
}

// Data writes one unnamed event whose data is raw as it is: the fast path for tokens.
// raw may be reused after the call.
func (w *EventWriter) Data(raw []byte) { w.Named("", raw) }

// Named is Data with an event name.
func (w *EventWriter) Named(name string, raw []byte) {
	w.writing.Lock()
	defer w.writing.Unlock()
	if w.err != nil || w.closed {
		return
	}
	b := w.buf[:0]
	if name != "" {
		b = append(b, "event: "...)
		b = append(b, oneLine(name)...)
		b = append(b, '\n')
	}
	b = append(b, "data: "...)
	if bytes.IndexByte(raw, '\n') < 0 && bytes.IndexByte(raw, '\r') < 0 {
		b = append(b, raw...)
	} else {
		b = appendLines(b, raw)
	}
	w.write(append(b, "\n\n"...))
}

// Comment writes one comment line.
func (w *EventWriter) Comment(text string) {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.comment(text)
}

func (w *EventWriter) comment(text string) {
	if w.err != nil || w.closed {
		return
	}
	b := append(w.buf[:0], ": "...)
	b = append(b, oneLine(text)...)
	w.write(append(b, "\n\n"...))
}

// appendLines keeps a line break inside data from ending the event.
func appendLines(b, raw []byte) []byte {
	for i, c := range raw {
		switch {
		case c == '\n' && i > 0 && raw[i-1] == '\r':
		case c == '\n' || c == '\r':
			b = append(b, "\ndata: "...)
		default:
			b = append(b, c)
		}
	}
	return b
}

// oneLine cuts text at its first line break: what follows would be a field of its own.
func oneLine(text string) string {
	if i := strings.IndexAny(text, "\r\n"); i >= 0 {
		return text[:i]
	}
	return text
}

// bound gives writes from now on their time. Deadlines are absolute, so a stream needs
// new ones; a token costs less if it doesn't set one, and loses a thirty-second of its
// time at most.
func (w *EventWriter) bound(now time.Time) {
	if now.Sub(w.bounded) >= w.timeout/32 {
		w.bounded = now
		_ = w.rc.SetWriteDeadline(now.Add(w.timeout))
	}
}

// write needs the lock.
func (w *EventWriter) write(event []byte) {
	if cap(event) <= keptBuffer {
		w.buf = event
	}
	now := time.Now()
	w.bound(now)
	n, err := w.w.Write(event)
	w.bytes += int64(n)
	if err == nil {
		err = w.rc.Flush()
	}
	if err != nil {
		w.fail(err)
		return
	}
	w.last.Store(int64(w.x.door.beat.at(now)))
}

// fail needs the lock. The first failure ends the stream.
func (w *EventWriter) fail(err error) {
	if err == nil || w.err != nil {
		return
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		w.err = ErrClientStuck
	case errors.Is(err, io.ErrShortWrite), errors.As(err, &timeout):
		w.err = ErrClientGone
	default:
		w.err = err
	}
	w.cancel(w.err)
}

// Err is why the stream can't go on, nil while it can: ErrClientGone, ErrClientStuck,
// or an event that is no JSON.
func (w *EventWriter) Err() error {
	w.writing.Lock()
	defer w.writing.Unlock()
	if w.err == nil && w.ctx.Err() != nil {
		return ErrClientGone
	}
	return w.err
}

// Done is closed when the client is gone or a write failed.
func (w *EventWriter) Done() <-chan struct{} { return w.ctx.Done() }

// Explain is what the client may be told of err, by the same table that turns errors
// into statuses. What it may not be told is logged.
func (w *EventWriter) Explain(err error) *Error {
	e := w.x.explain(err, w.ctx.Err() != nil)
	w.x.seen.Code = e.Code
	return e
}

// ping is the heartbeat's: it writes a comment unless an event is being written.
func (w *EventWriter) ping(silence time.Duration) {
	if !w.writing.TryLock() {
		return
	}
	defer w.writing.Unlock()
	if w.x.door.beat.at(time.Now())-time.Duration(w.last.Load()) >= silence {
		w.comment("ping")
	}
}

// end tells the client that the stream broke, after a panic of its handler.
func (w *EventWriter) end(e *Error) {
	if w.x.style == OpenAIErrors {
		w.Event("", e.OpenAI())
		return
	}
	w.Event("error", struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		TraceID string `json:"traceId"`
	}{e.Code, e.Message, w.x.trace})
	w.Event("done", struct {
		Done  bool   `json:"done"`
		Error string `json:"error"`
	}{true, e.Code})
}

// close ends the stream: when it returns, nothing writes any more. The server writes
// the end of the body after it, under the deadline that is set here.
func (w *EventWriter) close() int64 {
	w.x.door.beat.remove(w)
	w.writing.Lock()
	defer w.writing.Unlock()
	w.closed = true
	if w.err == nil {
		_ = w.rc.SetWriteDeadline(time.Now().Add(w.timeout))
	}
	return w.bytes
}
