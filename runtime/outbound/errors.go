package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

var (
	// ErrBadURL: an address that isn't of http or https, or has a login or no host.
	ErrBadURL = errors.New("an address that can't be called")
	// ErrHostNotAllowed: the policy doesn't name the host, or not this port of it.
	ErrHostNotAllowed = errors.New("a host that isn't allowed")
	// ErrAddressBlocked: the host's name leads to addresses that may not be reached.
	ErrAddressBlocked = errors.New("a host whose address may not be reached from here")
	// ErrTooLarge: the answer has more bytes, decompressed, than the policy allows.
	ErrTooLarge = errors.New("an answer that is too large")
	// ErrTimeout: the call took longer than the policy allows, or nothing came for too
	// long.
	ErrTimeout = errors.New("an answer that took too long")
	// ErrRedirects: too many redirects, or one that isn't followed.
	ErrRedirects = errors.New("a redirect that isn't followed")
	// ErrEncoding: an answer compressed in a way that wasn't asked for.
	ErrEncoding = errors.New("an answer in an encoding that wasn't asked for")
)

// Cause takes off what net/http puts round the errors of a client, which tells the whole
// address with its query. Errors of HTTP are to be passed through it before they are
// logged or told; those of Do are so already.
func Cause(err error) error {
	for {
		u, ok := errors.AsType[*url.Error](err)
		if !ok {
			return err
		}
		err = u.Err
	}
}

// failed tells what became of a call to host, in one of this package's errors if it is
// one. ctx is the call's own, whose cause is ErrTimeout if its time was up.
func failed(ctx context.Context, host string, err error) error {
	err = Cause(err)
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, ErrTimeout) {
		return fmt.Errorf("calling %q: %w", host, cause)
	}
	return fmt.Errorf("calling %q: %w", host, err)
}
