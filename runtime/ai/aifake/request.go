package aifake

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Request is one call as it came in.
type Request struct {
	Method, Path string
	Header       http.Header
	Body         []byte
	// Chat is the body, if it was valid.
	Chat Chat
	// Refused says which rule the call broke; it is empty for a good one.
	Refused string

	out        atomic.Int64
	told       atomic.Bool
	canceledAt time.Time
	canceled   chan struct{}
	done       chan struct{}
}

// Canceled is closed when the client goes away before the answer is over.
func (r *Request) Canceled() <-chan struct{} { return r.canceled }

// CanceledAt is when that was noticed. Read it once Canceled is closed.
func (r *Request) CanceledAt() time.Time { return r.canceledAt }

// Done is closed when the server is through with the call.
func (r *Request) Done() <-chan struct{} { return r.done }

// Entry is what one call used.
type Entry struct {
	Model string
	// In and Out are the tokens of the prompt, and those that were written.
	In, Out int
	// Told: the usage was written to the client.
	Told bool
}

func (r *Request) entry() Entry {
	return Entry{Model: r.Chat.Model, In: r.Chat.promptTokens(), Out: int(r.out.Load()), Told: r.told.Load()}
}
