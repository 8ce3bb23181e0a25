package chatwire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

var (
	errSilent = errors.New("the upstream was silent too long")
	errClosed = errors.New("the call was closed")
)

// exchange is one HTTP call under a clock: the wait for the first byte, then the
// pauses between bytes. Only this clock and the caller's context end it.
type exchange struct {
	caller context.Context
	ctx    context.Context
	cancel context.CancelCauseFunc
	clock  *time.Timer

	resp        *http.Response // nil until the upstream answers
	status      int
	contentType string
	silence     time.Duration
}

func newExchange(caller context.Context, firstByte time.Duration) *exchange {
	k := &exchange{caller: caller}
	k.ctx, k.cancel = context.WithCancelCause(caller)
	cancel := k.cancel
	k.clock = time.AfterFunc(firstByte, func() { cancel(errSilent) })
	return k
}

// send waits for the answer's headers.
func (k *exchange) send(client *http.Client, r *http.Request, silence time.Duration) (err error) {
	if k.resp, err = client.Do(r); err != nil { //nolint:bodyclose // end closes it, which the linter can't follow
		return err
	}
	k.status, k.contentType = k.resp.StatusCode, k.resp.Header.Get("Content-Type")
	k.allow(silence)
	return nil
}

// allow sets the pause that is bearable from now on.
func (k *exchange) allow(silence time.Duration) {
	k.silence = silence
	k.clock.Reset(silence)
}

// Read reads the answer's body.
func (k *exchange) Read(p []byte) (int, error) {
	n, err := k.resp.Body.Read(p)
	if err == nil {
		k.clock.Reset(k.silence)
	}
	return n, err
}

// end frees the connection and everything else. It may be called at any time, more
// than once.
func (k *exchange) end() {
	k.clock.Stop()
	k.cancel(errClosed)
	if k.resp != nil {
		_ = k.resp.Body.Close() // the call is over, whatever closing it says
	}
}

// drainFor is how long an upstream may take to end the HTTP answer after the model's
// answer is complete. A connection that isn't read to its end can't be used again.
const drainFor = 50 * time.Millisecond

// drain reads what comes after a complete answer.
func (k *exchange) drain() {
	k.allow(drainFor)
	_, _ = io.CopyN(io.Discard, k.resp.Body, 32<<10) // only the connection's reuse is at stake
}

// failure says what a transport's error means; otherwise is the kind if neither the
// caller nor the clock ended the call.
func (k *exchange) failure(err error, otherwise ai.Kind) *ai.Error {
	if k.caller.Err() != nil {
		return contextError(k.caller)
	}
	switch why := context.Cause(k.ctx); {
	case errors.Is(why, errSilent):
		return &ai.Error{Kind: ai.KindTimeout, Status: k.status, Err: errSilent}
	case errors.Is(why, errClosed):
		return &ai.Error{Kind: ai.KindCanceled, Status: k.status, Err: errClosed}
	}
	var timeout net.Error
	if otherwise == ai.KindUnavailable && errors.As(err, &timeout) && timeout.Timeout() {
		otherwise = ai.KindTimeout
	}
	return &ai.Error{Kind: otherwise, Status: k.status, Err: cause(err)}
}

func contextError(ctx context.Context) *ai.Error {
	kind := ai.KindCanceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		kind = ai.KindTimeout
	}
	return &ai.Error{Kind: kind, Err: ctx.Err()}
}

// cause keeps only errors whose text is made on this side: net/http quotes the
// upstream's bytes in some of its own, and the URL in all.
func cause(err error) error {
	var (
		op        *net.OpError
		dns       *net.DNSError
		unknown   x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		handshake tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &unknown):
		return errors.New("the upstream's certificate is signed by an unknown authority")
	case errors.As(err, &host):
		return errors.New("the upstream's certificate is for another host name")
	case errors.As(err, &invalid):
		return errors.New("the upstream's certificate is expired or not valid for this use")
	case errors.As(err, &handshake), errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("the upstream doesn't speak TLS at this address")
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &op):
		return op
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	default:
		return errors.New("the connection broke")
	}
}

// refusedOrReset tells that the upstream dropped the connection without a word.
func refusedOrReset(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrUnexpectedEOF)
}
