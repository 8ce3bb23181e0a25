package httpapi

import (
	"bytes"
	"net/http"
	"strings"
)

// ErrorStyle is the shape of a route's errors.
type ErrorStyle int

const (
	// EnvelopeErrors are {"ok":false,"error":…,"traceId":…}.
	EnvelopeErrors ErrorStyle = iota
	// OpenAIErrors are {"error":{"message","type","param","code"}} with the codes that
	// OpenAI's SDKs know. Statuses are those of the table in OpenAI().
	OpenAIErrors
)

// OpenAIError is an error's body in OpenAI's shape.
type OpenAIError struct {
	Error OpenAIErrorBody `json:"error"`
}

// OpenAIErrorBody is what is inside.
type OpenAIErrorBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    string  `json:"code"`
}

// openAICodes are our codes that have a name there. A status of 0 keeps ours.
var openAICodes = map[string]struct {
	status int
	code   string
	kind   string
}{
	"unauthorized":      {0, "invalid_api_key", "invalid_request_error"},
	"rate_limited":      {0, "rate_limit_exceeded", "requests"},
	"ai_rate_limited":   {0, "rate_limit_exceeded", "requests"},
	"budget_exceeded":   {0, "insufficient_quota", "insufficient_quota"},
	"ai_quota_exceeded": {http.StatusTooManyRequests, "insufficient_quota", "insufficient_quota"},
	"model_not_allowed": {http.StatusNotFound, "model_not_found", "invalid_request_error"},
	"context_too_long":  {0, "context_length_exceeded", "invalid_request_error"},
	"content_blocked":   {0, "content_filter", "invalid_request_error"},
	"internal":          {0, "internal_error", "server_error"},
}

// OpenAI is the error's body in OpenAI's shape: the first detail is its param.
func (e *Error) OpenAI() OpenAIError {
	b := OpenAIErrorBody{Message: e.Message, Code: e.Code, Type: "invalid_request_error"}
	if e.Status >= http.StatusInternalServerError {
		b.Type = "server_error"
	}
	if known, ok := openAICodes[e.Code]; ok {
		b.Code, b.Type = known.code, known.kind
	}
	if len(e.Details) > 0 {
		lines := make([]string, len(e.Details))
		for i, d := range e.Details {
			lines[i] = d.Message
			if d.Path != "" {
				lines[i] = d.Path + " " + d.Message
			}
		}
		b.Message += ": " + strings.Join(lines, "; ")
		if path := e.Details[0].Path; path != "" {
			b.Param = &path
		}
	}
	return OpenAIError{Error: b}
}

func (x *exchange) sendOpenAI(e *Error) {
	body, status := e.OpenAI(), e.Status
	if known := openAICodes[e.Code]; known.status != 0 {
		status = known.status
	}
	if body.Error.Code == "insufficient_quota" {
		// The SDKs try a 429 again by themselves; this one won't pass soon.
		x.Header()["X-Should-Retry"] = []string{"false"}
	}
	withBuffer(func(buf *bytes.Buffer) {
		_ = appendJSON(buf, body) // strings always are JSON
		x.send(status, buf.Bytes())
	})
}
