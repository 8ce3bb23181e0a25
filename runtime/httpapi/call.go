package httpapi

import (
	"context"
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
}

// Handler answers one route. Req is filled from the JSON body; use struct{} for
// routes without one.
type Handler[Req any] func(ctx context.Context, c Call, req Req) (Answer, error)
