package storage

import (
	"context"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// UsageOfTool begins the feature of a record that counts the run of a tool, not a call of
// a model: it has no model and no tokens, and its outcome may be the code of an error.
const UsageOfTool = "tool:"

// UsageRecord is what one call used. It names no user and holds no text.
type UsageRecord struct {
	// At is when the call ended.
	At time.Time
	// Model that really answered.
	Model string
	// Feature that called, for example "chat".
	Feature string
	// Outcome is "ok", "error", "canceled" or "truncated".
	Outcome   string
	TokensIn  int64
	TokensOut int64
	MicroUSD  int64
	Latency   time.Duration
}

// UsageBucket is the sum of the records of one minute, model, feature and outcome.
type UsageBucket struct {
	Minute    time.Time
	Model     string
	Feature   string
	Outcome   string
	Calls     int64
	TokensIn  int64
	TokensOut int64
	MicroUSD  int64
	Latency   time.Duration
}

// UsageKept is how long usage can be read back. Drivers may drop older buckets.
const UsageKept = 8 * 24 * time.Hour

// Usage counts what was used, aggregated as it is written so that reading never
// scans calls.
type Usage interface {
	// Add counts one record, even if ctx has ended: what was used is counted though
	// the client has gone. Durable no later than any write begun after it, and
	// within a second. Buckets are kept for UsageKept.
	Add(ctx context.Context, t tenancy.ID, r UsageRecord) error
	// Sum returns the buckets of [from, to), oldest first.
	Sum(ctx context.Context, t tenancy.ID, from, to time.Time) ([]UsageBucket, error)
}

// Health is what a driver tells about itself.
type Health struct {
	OK bool
	// Reason is one word for a script, for example "disk_full"; empty when OK.
	Reason string
}

// Store is a driver: everything that is kept, behind one open and close.
type Store interface {
	Sessions() Sessions
	Windows() Windows
	Budgets() Budgets
	Usage() Usage
	Cache() Cache
	Audit() Audit
	Documents() Documents
	Jobs() Jobs
	Portable() Portable
	// Health tells whether the last write worked; it does no I/O.
	Health() Health
	// Close makes everything durable that was given to it, then lets go.
	Close(ctx context.Context) error
}
