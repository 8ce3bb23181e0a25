package httpapi

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// payloads keeps the buffers that bodies are copied through.
var payloads = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// sendBody writes b; the caller closes its Reader.
func (x *exchange) sendBody(status int, b *Body) {
	if status == 0 {
		status = http.StatusOK
	}
	h := x.Header()
	h["Content-Type"] = []string{b.ContentType}
	if b.ContentType == "" {
		h["Content-Type"] = []string{"application/octet-stream"}
	}
	if b.Length >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(b.Length, 10)}
	}
	if x.r.Method == http.MethodHead {
		x.open(status)
		return
	}
	buf := payloads.Get().(*[]byte)
	defer payloads.Put(buf)
	if err := x.copyBody(status, b, *buf); err != nil {
		if !x.answered {
			delete(h, "Content-Length")
			delete(h, "Cache-Control")
			x.fail(err)
			return
		}
		x.cut(err)
	}
}

// copyBody sends the status with the first bytes, so that a source that fails at once
// can still be an error's.
func (x *exchange) copyBody(status int, b *Body, buf []byte) error {
	known, left := b.Length >= 0, b.Length
	for !known || left > 0 {
		part := buf
		if known {
			part = buf[:min(int64(len(buf)), left)]
		}
		n, err := b.Reader.Read(part)
		if n > 0 {
			if !x.answered {
				x.open(status)
			}
			if err := x.pass(part[:n], !known); err != nil {
				return err
			}
			left -= int64(n)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading what is to be sent: %w", err)
		}
	}
	if known && left > 0 {
		return fmt.Errorf("sending a body of %d bytes: %d are missing: %w", b.Length, left, io.ErrUnexpectedEOF)
	}
	if !x.answered {
		x.open(status)
	}
	// The server writes the end of the body after this.
	x.bound()
	return nil
}

// open sends the status and the headers.
func (x *exchange) open(status int) {
	if h := x.Header(); h["Cache-Control"] == nil {
		h["Cache-Control"] = noStore
	}
	x.answered, x.seen.Status = true, status
	x.bound()
	x.WriteHeader(status)
}

// pass writes p within its time.
func (x *exchange) pass(p []byte, flush bool) error {
	x.bound()
	n, err := x.Write(p)
	x.seen.Bytes += int64(n)
	if err == nil && flush {
		err = x.rc.Flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrClientGone, err)
	}
	return nil
}

// bound gives the next write its time. Deadlines are absolute.
func (x *exchange) bound() { _ = x.rc.SetWriteDeadline(time.Now().Add(x.door.opts.WriteTimeout)) }

// cut ends an answer that is out in part, so that it doesn't look whole.
func (x *exchange) cut(err error) {
	if errors.Is(err, ErrClientGone) || x.r.Context().Err() != nil {
		x.seen.Status, x.seen.Code = statusClientGone, "client_gone"
	} else {
		x.log(slog.LevelError, "an answer was cut off", slog.Any("error", err))
	}
	panic(errCut)
}

// errCut cuts the connection, after what happened has been noted.
var errCut = fmt.Errorf("an answer was cut off: %w", http.ErrAbortHandler)
