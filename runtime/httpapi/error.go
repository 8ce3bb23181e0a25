package httpapi

import (
	"net/http"
	"time"
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
