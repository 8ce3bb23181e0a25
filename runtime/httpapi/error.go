package httpapi

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Error is an answer that the caller is meant to see. Every other error is our
// accident: logged whole, told as "internal".
type Error struct {
	// Status is the HTTP status, 400 or more.
	Status int
	// Code is what a program branches on, for example "rate_limited".
	Code string
	// Message is a sentence for a person; it says what to do.
	Message string
	// Details name the fields that are wrong.
	Details []Detail
	// RetryAfter is sent as Retry-After in seconds, rounded up, if positive.
	RetryAfter time.Duration
	// Allow is sent with 405.
	Allow string
	// Cause is logged, never sent.
	Cause error
}

// Detail is one thing that is wrong with a request.
type Detail struct {
	// Path of the field, for example "message" or "filter.tags[0]".
	Path    string `json:"path"`
	Message string `json:"message"`
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Code + ": " + e.Message + ": " + e.Cause.Error()
	}
	return e.Code + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Cause }

// Invalid is 400 invalid_request about one field.
func Invalid(path, message string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "the request has invalid fields", Details: []Detail{{path, message}}}
}

// statusClientGone is logged and counted; nobody is there to see it.
const statusClientGone = 499

// answerTo is the one table from error to status. gone tells that the client left.
func answerTo(err error, gone bool, translate func(error) *Error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	if gone && errors.Is(err, context.Canceled) {
		return &Error{Status: statusClientGone, Code: "client_gone", Message: "the client closed the connection", Cause: err}
	}
	if translate != nil {
		if known = translate(err); known != nil {
			return known
		}
	}
	switch {
	case errors.Is(err, tenancy.ErrTenantRequired):
		return &Error{Status: http.StatusBadRequest, Code: "tenant_required", Message: tenancy.ErrTenantRequired.Error()}
	case errors.Is(err, tenancy.ErrTenantUnknown):
		return &Error{Status: http.StatusNotFound, Code: "tenant_unknown", Message: tenancy.ErrTenantUnknown.Error()}
	case errors.Is(err, tenancy.ErrTenantMismatch):
		return &Error{Status: http.StatusBadRequest, Code: "tenant_mismatch", Message: tenancy.ErrTenantMismatch.Error()}
	case errors.Is(err, tenancy.ErrUnauthorized):
		return &Error{Status: http.StatusUnauthorized, Code: "unauthorized", Message: tenancy.ErrUnauthorized.Error()}
	case errors.Is(err, tenancy.ErrUserInvalid):
		return Invalid("x-user-id", tenancy.ErrUserInvalid.Error())
	case errors.Is(err, storage.ErrBadCursor):
		return Invalid("cursor", "is not a cursor of this list: start without one")
	case errors.Is(err, storage.ErrUnavailable):
		// Spread, so that those who were refused together don't come back together.
		after := time.Duration(1+rand.IntN(5)) * time.Second
		return &Error{Status: http.StatusServiceUnavailable, Code: "unavailable", Message: "the service can't reach its store: try again shortly", RetryAfter: after, Cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Status: http.StatusGatewayTimeout, Code: "timeout", Message: "the answer took too long: try again, or ask for less", Cause: err}
	}
	return &Error{Status: http.StatusInternalServerError, Code: "internal", Message: "something went wrong on our side: try again, and report the trace id if it stays", Cause: err}
}
