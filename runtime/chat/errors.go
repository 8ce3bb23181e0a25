package chat

import (
	"errors"
	"net/http"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

// ErrStopping is the cause with which the server ends the contexts of requests that
// are still open when its time to drain is up.
var ErrStopping = errors.New("the server is stopping")

// refusalPause is how long a client is asked to wait when an upstream refused for
// now without saying for how long.
const refusalPause = 5 * time.Second

// Translate turns an upstream's failure, and the server's stopping, into the answer that a client gets, nil for
// other errors. Messages are fixed: none holds what an upstream said.
func Translate(err error) *httpapi.Error {
	if errors.Is(err, ErrStopping) {
		return Stopping()
	}
	e, ok := errors.AsType[*ai.Error](err)
	if !ok {
		return nil
	}
	out := &httpapi.Error{Status: http.StatusBadGateway, Code: "ai_error", RetryAfter: e.RetryAfter, Cause: err}
	switch e.Kind {
	case ai.KindUnavailable:
		out.Message = "the model can't be reached or failed; try again later"
		if e.RetryAfter > 0 {
			out.Status = http.StatusServiceUnavailable
		}
	case ai.KindRateLimited:
		out.Status, out.Code = http.StatusTooManyRequests, "ai_rate_limited"
		out.Message = "the model's provider takes no more requests at the moment; wait and try again"
		if out.RetryAfter <= 0 {
			out.RetryAfter = refusalPause
		}
	case ai.KindQuota:
		out.Status, out.Code = http.StatusServiceUnavailable, "ai_quota_exceeded"
		out.Message = "the provider's allowance for this tenant is used up; tell who operates this API"
	case ai.KindUnauthorized:
		out.Message = "the model's provider refused this service's credential; tell who operates this API"
	case ai.KindBadRequest:
		out.Message = "the model refused the request as it was asked; try other parameters or another model"
	case ai.KindModelNotFound:
		out.Message = "the provider has no such model; tell who operates this API"
	case ai.KindTooLong:
		out.Status, out.Code = http.StatusBadRequest, "context_too_long"
		out.Message = "the conversation is too long for this model; shorten the message or start a new session"
	case ai.KindNoTools:
		out.Status, out.Code = http.StatusBadRequest, "tools_not_supported"
		out.Message = "this model can't call tools; name the tool with tool_name, choose another model, or ask without tools"
	case ai.KindBlocked:
		out.Status, out.Code = http.StatusBadRequest, "content_blocked"
		out.Message = "a guardrail of the model's provider blocked the message or the answer; put it differently"
	case ai.KindTimeout:
		out.Status, out.Code = http.StatusGatewayTimeout, "ai_timeout"
		out.Message = "the model took too long; try again"
	case ai.KindTruncated:
		out.Code = "ai_truncated"
		out.Message = "the answer was cut off before its end; try again"
	case ai.KindCanceled:
		// Counted and logged; nobody is there to be told.
		out.Status, out.Code, out.Message = 499, "client_gone", "the client closed the connection"
	default:
		out.Message = "the model's answer made no sense; try again"
	}
	return out
}

// Stopping is what a request is told that the server can't wait for any more, or that
// comes too late.
func Stopping() *httpapi.Error {
	return &httpapi.Error{
		Status: http.StatusServiceUnavailable, Code: "unavailable",
		Message: "the server is stopping; send the request again", RetryAfter: time.Second, Cause: ErrStopping,
	}
}
