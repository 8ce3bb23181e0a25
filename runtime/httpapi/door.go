package httpapi

import (
	"log/slog"
	"net/http"
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
	// Observe is called once per request, after its last byte.
	Observe func(Observation)
	// Ping is the silence after which a stream gets a comment. Default 15 s.
	Ping time.Duration
	// WriteTimeout is how long a write may stand still. Default 30 s.
	WriteTimeout time.Duration
	// BodyTimeout is how long a client may take to send its body. Default 30 s.
	BodyTimeout time.Duration
}

// Observation tells how one request went.
type Observation struct {
	// Route is the pattern, for example "POST /chat", or "unmatched".
	Route  string
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
	// NeedsScope is the scope that the caller's key must carry, if any.
	NeedsScope string
	// MaxBody is the largest body in bytes. Default the tenant's bodyBytes.
	MaxBody func(*tenantconfig.Config) int64
	// Open routes need no key.
	Open bool
}

// Door is the http.Handler of a tenant's API.
type Door struct{}

// NewDoor makes a door without routes.
func NewDoor(dir *tenancy.Directory, opts Options) *Door { return &Door{} }

// Handle adds a route. pattern is a path of net/http's mux, with wildcards
// ("/chat/{sessionId}/history"). Req with a method Validate() []Detail is asked after
// decoding. It panics on a pattern that is taken.
func Handle[Req any](d *Door, method, pattern string, r Route, h Handler[Req]) {}

func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {}
