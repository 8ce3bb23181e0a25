package httpapi

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// answers keeps write buffers; a rare large one is left to the garbage collector.
var answers = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 4<<10)) }}

func withBuffer(use func(*bytes.Buffer)) {
	buf := answers.Get().(*bytes.Buffer)
	buf.Reset()
	use(buf)
	if buf.Cap() <= keptBuffer {
		answers.Put(buf)
	}
}

// sendData writes {"ok":true,"data":…,"traceId":…}.
func (x *exchange) sendData(status int, data any) {
	withBuffer(func(buf *bytes.Buffer) {
		buf.WriteString(`{"ok":true,"data":`)
		if err := appendJSON(buf, data); err != nil {
			x.fail(err)
			return
		}
		x.closeEnvelope(buf)
		x.send(status, buf.Bytes())
	})
}

// sendRaw writes v without the envelope.
func (x *exchange) sendRaw(status int, v any) {
	withBuffer(func(buf *bytes.Buffer) {
		if err := appendJSON(buf, v); err != nil {
			x.fail(err)
			return
		}
		x.send(status, buf.Bytes())
	})
}

// fail answers an error.
func (x *exchange) fail(err error) {
	x.sendError(x.explain(err, x.r.Context().Err() != nil))
}

// sendError writes {"ok":false,"error":…,"traceId":…}, or what the route's style has.
func (x *exchange) sendError(e *Error) {
	h := x.Header()
	if e.RetryAfter > 0 {
		h["Retry-After"] = []string{strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds())))}
	}
	if e.Allow != "" {
		h["Allow"] = []string{e.Allow}
	}
	if e.Status == http.StatusUnauthorized {
		h["Www-Authenticate"] = bearer
	}
	x.seen.Code = e.Code
	if x.style == OpenAIErrors {
		x.sendOpenAI(e)
		return
	}
	withBuffer(func(buf *bytes.Buffer) {
		buf.WriteString(`{"ok":false,"error":`)
		// Three strings and a list of strings always are JSON.
		_ = appendJSON(buf, struct {
			Code    string   `json:"code"`
			Message string   `json:"message"`
			Details []Detail `json:"details,omitempty"`
		}{e.Code, e.Message, e.Details})
		x.closeEnvelope(buf)
		x.send(e.Status, buf.Bytes())
	})
}

func (x *exchange) closeEnvelope(buf *bytes.Buffer) {
	buf.WriteString(`,"traceId":"`)
	for i := range len(x.trace) {
		if c := x.trace[i]; c == '"' || c == '\\' {
			buf.WriteByte('\\')
		}
		buf.WriteByte(x.trace[i]) // visible ASCII, so no other escapes
	}
	buf.WriteString(`"}`)
}

// send writes the whole answer. The deadline holds until the server has flushed it.
func (x *exchange) send(status int, body []byte) {
	if status == 0 {
		status = http.StatusOK
	}
	x.answered, x.seen.Status = true, status
	h := x.Header()
	if body != nil {
		h["Content-Type"] = jsonType
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	if h["Cache-Control"] == nil {
		h["Cache-Control"] = noStore
	}
	_ = x.rc.SetWriteDeadline(time.Now().Add(x.door.opts.WriteTimeout))
	x.WriteHeader(status)
	if body == nil {
		return
	}
	n, _ := x.Write(body) // a client that left is seen by its context
	x.seen.Bytes = int64(n)
}

// appendJSON writes v as JSON without a newline and without HTML escapes.
func appendJSON(buf *bytes.Buffer, v any) error {
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	buf.Truncate(buf.Len() - 1)
	return nil
}
