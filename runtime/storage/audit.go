package storage

import (
	"context"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// AuditKept is how long audit records can be read back. Drivers may drop older ones.
const AuditKept = 7 * 24 * time.Hour

// AuditRecord says who ran which tool. It holds no parameters and no results.
type AuditRecord struct {
	// At has millisecond resolution.
	At time.Time
	// Caller is tenancy.Caller.ID().
	Caller string
	// Tool that was run.
	Tool string
	// ParamsHash is a digest of the parameters.
	ParamsHash string
	// Outcome is "ok" or the error's code.
	Outcome  string
	Duration time.Duration
}

// Audit keeps who ran which tool.
type Audit interface {
	// Record keeps one record, even if ctx has ended. Durable no later than any write
	// begun after it, and within a second.
	Record(ctx context.Context, t tenancy.ID, r AuditRecord) error
	// Records returns up to limit records of [from, to), newest first, and the cursor of
	// the next page ("" = the end). A limit below 1 is ErrBadLimit, a cursor that wasn't
	// made for this tenant ErrBadCursor.
	Records(ctx context.Context, t tenancy.ID, from, to time.Time, limit int, cursor string) ([]AuditRecord, string, error)
}
