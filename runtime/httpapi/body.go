package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"
)

// bodies keeps read buffers; a rare large one is left to the garbage collector.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

const keptBuffer = 64 << 10

// bodyReader fills one type of request.
type bodyReader struct {
	shape *shape
	// none means that the type has no fields: the body isn't looked at.
	none   bool
	object bool
}

func newBodyReader(t reflect.Type) bodyReader {
	isStruct := t.Kind() == reflect.Struct && !decodesItself(t)
	return bodyReader{
		shape:  shapeOf(t, map[reflect.Type]*shape{}),
		none:   isStruct && t.NumField() == 0,
		object: isStruct || t.Kind() == reflect.Map,
	}
}

// into reads at most limit bytes and decodes them into req, which is a pointer.
func (b bodyReader) into(x *exchange, limit int64, req any) error {
	if b.none {
		return nil
	}
	buf := bodies.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= keptBuffer {
			bodies.Put(buf)
		}
	}()
	if err := readBody(x, limit, buf); err != nil {
		return err
	}
	return b.decode(*buf, req)
}

func readBody(x *exchange, limit int64, buf *[]byte) error {
	if err := x.fits(limit); err != nil {
		return err
	}
	body := http.MaxBytesReader(x.ResponseWriter, x.r.Body, limit)
	*buf = (*buf)[:0]
	for {
		if len(*buf) == cap(*buf) {
			*buf = append(*buf, 0)[:len(*buf)]
		}
		n, err := body.Read((*buf)[len(*buf):cap(*buf)])
		*buf = (*buf)[:len(*buf)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return bodyError(err, limit)
		}
	}
	x.bodyEnded()
	return nil
}

// fits looks at what the headers say of the body.
func (x *exchange) fits(limit int64) error {
	if e := x.r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return &Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Message: "compressed bodies are not accepted: send the body without content-encoding"}
	}
	if x.r.ContentLength > limit {
		return tooLarge(limit)
	}
	return nil
}

// bodyEnded is called when the body has been read to its end. From then on only the
// client's leaving is read; a deadline would look like that.
func (x *exchange) bodyEnded() { _ = x.rc.SetReadDeadline(time.Time{}) }

func bodyError(err error, limit int64) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return tooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Error{Status: http.StatusRequestTimeout, Code: "request_timeout", Message: "the body came too slowly: send it again", Cause: err}
	}
	return &Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "the body could not be read to its end", Cause: err}
}

func tooLarge(limit int64) *Error {
	return &Error{Status: http.StatusRequestEntityTooLarge, Code: "payload_too_large", Message: fmt.Sprintf("the body is larger than this tenant's limit of %d bytes", limit)}
}

func (b bodyReader) decode(body []byte, req any) error {
	if f := checkJSON(body, b.shape); f != nil {
		return f.answer()
	}
	if b.object && firstByte(body) != '{' {
		return Invalid("", "the body must be a JSON object")
	}
	err := json.Unmarshal(body, req)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return Invalid(wrong.Field, "must be "+kindName(wrong.Type))
	case err != nil:
		return &Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "the body doesn't fit this endpoint", Cause: err}
	}
	if v, ok := req.(interface{ Validate() []Detail }); ok {
		if details := v.Validate(); len(details) > 0 {
			return &Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "the request has invalid fields", Details: details}
		}
	}
	return nil
}

func firstByte(body []byte) byte {
	for _, c := range body {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
	return 0
}

// kindName says in JSON's terms what a Go type is read from.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number in range"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number of 0 or more, in range"
	case reflect.Float32, reflect.Float64:
		return "a number in range"
	case reflect.Slice, reflect.Array:
		return "an array"
	default:
		return "an object"
	}
}
