package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"
)

// maxUploading is how many bytes of uploads a door holds at once: a pod's memory must
// not be what many clients at once decide.
const maxUploading = 128 << 20

// Upload is the body of a route that takes files. It is in memory as a whole and is the
// handler's own until that returns.
type Upload struct {
	// Fields are the text fields of a form, nil for other bodies.
	Fields map[string]string
	// File is the one file of a form, or a body that is neither a form nor JSON. It is
	// nil if there is none.
	File *File

	json []byte
}

// File is what a client sent as one.
type File struct {
	// Field of the form, empty for a raw body.
	Field string
	// Name as the client gave it, its last path element; empty for a raw body.
	Name string
	// ContentType as the client gave it, without parameters, in lower case.
	ContentType string
	Data        []byte
}

// IsJSON tells that the body is for Decode.
func (u *Upload) IsJSON() bool { return u.Fields == nil && u.File == nil }

// Decode reads a JSON body into req, a pointer, as strictly as Handle does.
func (u *Upload) Decode(req any) error {
	if !u.IsJSON() {
		return &Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Message: "this takes JSON: send it with content-type: application/json"}
	}
	return newBodyReader(reflect.TypeOf(req).Elem()).decode(u.json, req)
}

// HandleUpload adds a route that takes JSON (application/json, and what says nothing
// better), a form (multipart/form-data), or a file as it is (every other type). Nothing
// is written to disk.
func HandleUpload(d *Door, method, pattern string, r Route, h func(ctx context.Context, c Call, u *Upload) (Answer, error)) {
	d.add(method, pattern, &route{Route: r, run: func(ctx context.Context, x *exchange, c Call) (Answer, error) {
		u, err := x.upload(x.bodyLimit())
		if err != nil {
			return Answer{}, err
		}
		return h(ctx, c, u)
	}})
}

func (x *exchange) upload(limit int64) (*Upload, error) {
	if err := x.fits(limit); err != nil {
		return nil, err
	}
	kind, params, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if x.r.Header.Get("Content-Type") == "" {
		kind, err = "", nil
	}
	if err != nil {
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Message: "the content-type is malformed", Cause: err}
	}
	body := &uploadBody{x: x, limit: limit, r: http.MaxBytesReader(x.ResponseWriter, x.r.Body, limit)}
	u := &Upload{}
	switch {
	case kind == "multipart/form-data":
		err = u.form(body, params["boundary"])
	case strings.HasPrefix(kind, "multipart/"):
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Message: "of multipart bodies only multipart/form-data is taken"}
	case kind == "", kind == "application/json", strings.HasSuffix(kind, "+json"), kind == "application/x-www-form-urlencoded":
		// The last is what curl -d says of everything.
		u.json, err = io.ReadAll(body)
	default:
		u.File = &File{ContentType: kind}
		u.File.Data, err = io.ReadAll(body)
	}
	if err != nil {
		return nil, body.explain(err)
	}
	x.bodyEnded()
	return u, nil
}

// uploadBody counts what a request holds in memory.
type uploadBody struct {
	x     *exchange
	r     io.Reader
	limit int64
	// headers is what may still be read while bounded: before and in the headers of a part.
	headers int64
	bounded bool
	// failed is why no more can be read.
	failed error
}

var errLongHeaders = errors.New("the headers of a part are too long")

func (b *uploadBody) Read(p []byte) (int, error) {
	if b.failed != nil {
		return 0, b.failed
	}
	if b.bounded && b.headers <= 0 {
		b.failed = errLongHeaders
		return 0, b.failed
	}
	n, err := b.r.Read(p)
	b.headers -= int64(n)
	b.x.held += int64(n)
	if b.x.door.uploading.Add(int64(n)) > b.x.door.uploadRoom {
		err = &Error{Status: http.StatusServiceUnavailable, Code: "unavailable", Message: "too many uploads at once: try again shortly", RetryAfter: 2 * time.Second}
	}
	if err != nil {
		b.failed = err
	}
	return n, err
}

// explain tells what is wrong with the body. What went wrong with reading it comes
// first: to a parser that looks like an early end.
func (b *uploadBody) explain(err error) error {
	var known *Error
	switch {
	case b.failed != nil && errors.As(b.failed, &known), errors.As(err, &known):
		return known
	case errors.Is(b.failed, errLongHeaders):
		return badForm(fmt.Sprintf("the headers of a part are longer than %d bytes", maxPartHeaders))
	case b.failed != nil && !errors.Is(b.failed, io.EOF):
		return bodyError(b.failed, b.limit)
	}
	return &Error{Status: http.StatusBadRequest, Code: "invalid_form", Message: "the form is malformed, or ends too early", Cause: err}
}
