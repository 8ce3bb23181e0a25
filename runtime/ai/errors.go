package ai

import (
	"fmt"
	"time"
)

// Kind is what went wrong, in meanings that features and the operator understand.
type Kind string

const (
	// KindUnavailable: the upstream can't be reached or answered 5xx.
	KindUnavailable Kind = "unavailable"
	// KindRateLimited: the upstream refused for now; RetryAfter says how long.
	KindRateLimited Kind = "rate_limited"
	// KindQuota: the account's allowance is used up; waiting seconds won't help.
	KindQuota Kind = "quota_exceeded"
	// KindUnauthorized: the credential is missing, wrong or lacks a permission.
	KindUnauthorized Kind = "unauthorized"
	// KindBadRequest: the upstream refused what was asked.
	KindBadRequest Kind = "bad_request"
	// KindModelNotFound: the upstream has no such model.
	KindModelNotFound Kind = "model_not_found"
	// KindTooLong: the conversation exceeds the model's context.
	KindTooLong Kind = "context_too_long"
	// KindNoTools: the model can't call tools.
	KindNoTools Kind = "no_tools"
	// KindBlocked: a guardrail refused the prompt or the answer.
	KindBlocked Kind = "blocked"
	// KindTimeout: no answer in time.
	KindTimeout Kind = "timeout"
	// KindMalformed: the answer made no sense.
	KindMalformed Kind = "malformed"
	// KindTruncated: the stream ended without saying that it was complete.
	KindTruncated Kind = "truncated"
	// KindCanceled: the caller ended the call.
	KindCanceled Kind = "canceled"
)

// Error is an upstream failure. Its text is for logs: it carries no credential and
// no text of the conversation.
type Error struct {
	Kind Kind
	// Status is the upstream's HTTP status, 0 if there was none.
	Status int
	// RetryAfter is the upstream's word, 0 if it gave none.
	RetryAfter time.Duration
	// Err is the cause, for errors.Is and logs; it may be nil.
	Err error
}

func (e *Error) Error() string {
	s := "model upstream: " + string(e.Kind)
	if e.Status != 0 {
		s += fmt.Sprintf(" (status %d)", e.Status)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Fallback tells whether another model may be tried: what failed was the upstream, or
// this model's abilities, not the request.
func (e *Error) Fallback() bool {
	switch e.Kind {
	case KindUnavailable, KindRateLimited, KindQuota, KindModelNotFound, KindTimeout, KindMalformed, KindTruncated, KindUnauthorized, KindNoTools:
		return true
	default:
		return false
	}
}
