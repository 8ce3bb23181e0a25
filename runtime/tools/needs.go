package tools

import (
	"context"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Gate decides whether something may be spent; *limits.Gate does.
type Gate interface {
	// Admit takes a request from the caller's windows too, Reserve from the budgets alone.
	Admit(ctx context.Context, c httpapi.Call, ask limits.Ask) (*limits.Admission, error)
	Reserve(ctx context.Context, t *tenancy.Tenant, ask limits.Ask) (*limits.Admission, error)
}

// Models gives a tenant's upstream as its document in force says.
type Models interface {
	Chatter(t *tenancy.Tenant) ai.Chatter
}

// Recorder keeps what model calls used; *telemetry.Recorder does.
type Recorder interface {
	Record(ctx context.Context, t tenancy.ID, c telemetry.Call)
}

// Meter counts runs of tools for Prometheus; *telemetry.Metrics does. Tools are those of
// the tenant: none comes from a client.
type Meter interface {
	ToolRan(tool, outcome string, d time.Duration)
}

// Documents are what the tenant's tools search and add to.
type Documents interface {
	Search(ctx context.Context, c httpapi.Call, query string, topK int) ([]guard.Source, error)
	// Ingest takes a text in. chunks is 0 and job is set where that goes on behind the
	// answer. chunkSize is in characters, 0 for the tenant's own.
	Ingest(ctx context.Context, c httpapi.Call, docID, title, source, text string, chunkSize int, metadata map[string]any) (chunks int, job string, err error)
}

// Chunker cuts a text into pieces of at most maxChars code points.
type Chunker func(text string, maxChars int) ([]Piece, error)

// Piece is a part of a text. Start and End count its code points.
type Piece struct {
	Text       string
	Start, End int
}
