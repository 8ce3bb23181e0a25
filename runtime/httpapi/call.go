package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Call is one request whose tenant and caller are known.
type Call struct {
	Tenant  *tenancy.Tenant
	Caller  tenancy.Caller
	TraceID string
	// Path gives the route's wildcards.
	Path func(name string) string
	// Query of the request.
	Query url.Values
	// In are the request's headers.
	In http.Header
	// Out are headers for the answer, whatever it turns out to be.
	Out http.Header
}

// Answer is what a handler gives back.
type Answer struct {
	// Status is 200 if zero. Streams are always 200.
	Status int
	// Data goes into the envelope.
	Data any
	// Raw is written as JSON without the envelope, instead of Data.
	Raw any
	// Stream, if set, is run after status 200 and the headers of an event stream
	// have gone out. It ends the stream with its own events.
	Stream func(ctx context.Context, w *EventWriter)
	// Body, if set, is written as it is, instead of JSON.
	Body *Body
	// handler writes the answer itself, see HandleHTTP.
	handler http.Handler
}

// Body is an answer of bytes, like a page or speech. Caching headers are the
// handler's, in Call.Out; the default is no-store.
type Body struct {
	// ContentType of the bytes, application/octet-stream if empty.
	ContentType string
	// Length in bytes, -1 if it isn't known: what is read is sent at once then. Of a
	// longer Reader the rest is left out.
	Length int64
	// Reader gives the bytes. It is closed in every case, also when it isn't read
	// (HEAD, or an error beside it). An error before its first byte is an answer, a
	// later one and a Reader shorter than Length cut the connection, so that half a
	// body never looks like a whole one. A Read should end with the request's context.
	Reader io.ReadCloser
}

// Handler answers one route. Req is filled from the JSON body; use struct{} for
// routes without one.
type Handler[Req any] func(ctx context.Context, c Call, req Req) (Answer, error)
