package tools

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Codes of a failed run.
const (
	CodeNotFound   = "TOOL_NOT_FOUND"
	CodeInvalid    = "VALIDATION_FAILED"
	CodeDenied     = "PERMISSION_DENIED"
	CodeTimeout    = "EXECUTION_TIMEOUT"
	CodeFailed     = "EXECUTION_ERROR"
	outcomeOK      = "ok"
	outcomeStopped = "canceled"
)

// Time limits of built-in tools.
const (
	ordinaryTime = 30 * time.Second
	ingestTime   = 60 * time.Second
)

// tool is one tool of a tenant.
type tool struct {
	// name in the API and the document; function is what models call it.
	name, function string
	description    string
	parameters     json.RawMessage
	schema         *schema
	// writes, leaves, pure and afterUntrusted as turn.Tool has them; changesDocuments is
	// what ingests.
	writes, leaves, pure, changesDocuments, afterUntrusted bool
	// origin is the server whose own words the description is, empty for others.
	origin  string
	timeout time.Duration
	// first tells what a tool that calls a model asks it first, for the estimate of what
	// the run may cost; nil for others.
	first func(*tenancy.Tenant, map[string]any) (messages []ai.Message, maxOut int)
	run   func(ctx context.Context, j *job, params map[string]any) (any, error)
	// close lets go of what the tool holds; it may be nil. Runs under way go on.
	close func()
}

// failure is why a tool failed, as callers and models are told. Its message holds nothing
// that an upstream said.
type failure struct {
	code, message string
	details       []httpapi.Detail
	// content is what an upstream said, for models, which take it for data.
	content string
	// cause is for the log.
	cause error
}

func (f *failure) Error() string {
	if f.cause != nil {
		return f.code + ": " + f.message + ": " + f.cause.Error()
	}
	return f.code + ": " + f.message
}

func (f *failure) Unwrap() error { return f.cause }

func failed(cause error, message string) *failure {
	return &failure{code: CodeFailed, message: message, cause: cause}
}

// statuses of the codes in the API.
var statuses = map[string]int{
	CodeNotFound: http.StatusNotFound, CodeInvalid: http.StatusBadRequest, CodeDenied: http.StatusForbidden,
	CodeTimeout: http.StatusGatewayTimeout, CodeFailed: http.StatusBadGateway,
}

// answer is the failure for a client.
func (f *failure) answer() error {
	// What limits and stores refuse keeps its own status and Retry-After.
	if e, ok := errors.AsType[*httpapi.Error](f.cause); ok && (e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable) {
		return e
	}
	return &httpapi.Error{Status: statuses[f.code], Code: f.code, Message: f.message, Details: f.details, Cause: f.cause}
}

// failureOf is any error of a tool as a failure.
func failureOf(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if e, ok := errors.AsType[*httpapi.Error](err); ok {
		f := &failure{code: CodeFailed, message: e.Message, details: e.Details, cause: err}
		switch e.Status {
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			f.code = CodeInvalid
		case http.StatusForbidden:
			f.code = CodeDenied
		}
		return f
	}
	if e, ok := errors.AsType[*ai.Error](err); ok {
		return failed(err, "the model that this tool asks failed ("+string(e.Kind)+"): try again later, or tell who operates this API")
	}
	return failed(err, "the tool failed: try again, and report the trace id if it stays")
}
