package cloudflare

import (
	"context"
	"time"
)

// Account is one Cloudflare account, reached with one API token. Methods are safe for
// concurrent use. Every error is an *Error. A call waits for the token's budget, as long
// as its context lets it.
type Account interface {
	// Get reads one thing by its id, or is ErrNotFound. A Vectorize index comes with its
	// metadata indexes, which take a second call.
	Get(ctx context.Context, kind Kind, id string) (Thing, error)
	// Find reads the things that have exactly this name: one at most, but of API tokens,
	// whose names aren't unique.
	Find(ctx context.Context, kind Kind, name string) ([]Thing, error)
	// List reads every thing of a kind, all pages. LIST may lag behind, and it doesn't show
	// all settings of every kind: see Kind.Listed.
	List(ctx context.Context, kind Kind) ([]Thing, error)
	// Do has one effect. What it makes is returned as it was answered.
	Do(ctx context.Context, s Step) (Thing, error)
	// Token tells who the token is and what it may do.
	Token(ctx context.Context) (Token, error)
}

// Lane says who goes first when the budget is short: what a person changed before what
// is only looked at.
type Lane int

// Lanes, the most urgent first.
const (
	// Edit is for changes and deletions.
	Edit Lane = iota
	// Poll is for looking whether anything has changed.
	Poll
)

// Token is what is known of an API token.
type Token struct {
	ID     string
	Active bool
	// ExpiresAt is zero if it doesn't.
	ExpiresAt time.Time
	// Permissions by Cloudflare's name; nil if the token may not read its own policies,
	// which is usual: what it lacks shows in ErrForbidden.
	Permissions []string
}

// Budget is the room that a token has left.
type Budget struct {
	// Left of Limit requests in the window that runs.
	Left, Limit int
	// BlockedUntil is when Cloudflare accepts calls again; zero if it does now.
	BlockedUntil time.Time
}
