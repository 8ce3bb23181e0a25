package cloudflare

import (
	"errors"
	"fmt"
	"time"
)

// Meanings of errors. errors.Is finds them in every error of an Account.
var (
	// ErrNotFound: the thing isn't there (any more).
	ErrNotFound = errors.New("not found")
	// ErrNameTaken: a thing of that name is there already.
	ErrNameTaken = errors.New("name taken")
	// ErrUnauthorized: the token is unknown, disabled or expired.
	ErrUnauthorized = errors.New("token refused")
	// ErrForbidden: the token lacks a permission, see Error.Missing.
	ErrForbidden = errors.New("permission missing")
	// ErrWrongAccount: there is no such account, or the token has nothing to do with it.
	ErrWrongAccount = errors.New("no such account for this token")
	// ErrQuota: the account has as many things of the kind as it may.
	ErrQuota = errors.New("quota exceeded")
	// ErrRateLimited: too many calls, see Error.After. Nothing was done.
	ErrRateLimited = errors.New("rate limited")
	// ErrInvalid: Cloudflare refuses what was asked; no retry mends it.
	ErrInvalid = errors.New("refused as invalid")
	// ErrNotEmpty: a bucket with objects isn't deleted.
	ErrNotEmpty = errors.New("not empty")
	// ErrUnavailable: Cloudflare failed or wasn't reached, and nothing was done.
	ErrUnavailable = errors.New("cloudflare unavailable")
	// ErrUncertain: the call was sent and its outcome isn't known: it may have had its
	// effect. Look before doing it again.
	ErrUncertain = errors.New("outcome unknown")
)

// Error is a call that failed. Its text is fit for a condition: it names the operation,
// Cloudflare's code and request id, and neither a token nor an answer's text.
type Error struct {
	// Meaning is one of the errors above.
	Meaning error
	// Op says what was done, such as "create Vectorize index".
	Op string
	// Status is the HTTP status, 0 without an answer; Code is Cloudflare's, 0 if none.
	Status, Code int
	// RequestID of the answer (cf-ray), for Cloudflare's support.
	RequestID string
	// After is how long to wait, with ErrRateLimited and ErrUnavailable; 0 if not told.
	After time.Duration
	// Missing are the permissions, any of which would do, with ErrForbidden.
	Missing []string
	// Cause is an error of the connection; it isn't part of the text.
	Cause error
}

func (e *Error) Error() string {
	s := e.Op + ": " + e.Meaning.Error()
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d", e.Status)
		if e.Code != 0 {
			s += fmt.Sprintf(", code %d", e.Code)
		}
		if e.RequestID != "" {
			s += ", request " + e.RequestID
		}
		s += ")"
	}
	return s
}

// Unwrap gives the meaning and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Meaning}
	}
	return []error{e.Meaning, e.Cause}
}
