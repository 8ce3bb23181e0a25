package chat

import (
	"context"
	"encoding/json"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// History keeps conversations; storage.Sessions does.
type History interface {
	Append(ctx context.Context, t tenancy.ID, o storage.Owner, session string, msgs []storage.Message, keep storage.Keep) error
	History(ctx context.Context, t tenancy.ID, o storage.Owner, session string, page storage.Page) ([]storage.Message, error)
}

// Gate decides whether a request may cost something; *limits.Gate does.
type Gate interface {
	Admit(ctx context.Context, c httpapi.Call, ask limits.Ask) (*limits.Admission, error)
}

// Turns asks models; *turn.Runner does.
type Turns interface {
	Open(ctx context.Context, p turn.Params) (*turn.Turn, error)
	Whole(ctx context.Context, p turn.Params, sink turn.Sink) (turn.Outcome, error)
}

// Recorder counts open streams; *telemetry.Recorder does.
type Recorder interface {
	StreamOpened() (closed func())
}

// Cache keeps summaries; storage.Cache does.
type Cache interface {
	Get(ctx context.Context, t tenancy.ID, key string) ([]byte, bool, error)
	Put(ctx context.Context, t tenancy.ID, key string, value []byte, ttl time.Duration) error
}

// Retriever finds passages of the tenant's documents.
type Retriever interface {
	// Retrieve gives the best first, numbered from 1. What it costs upstream it reserves
	// and settles itself. Errors are *httpapi.Error, *ai.Error, or accidents.
	Retrieve(ctx context.Context, c httpapi.Call, q Question) (Found, error)
}

// Question is what passages are looked for.
type Question struct {
	// Message is the user's; History is what came before it, oldest first.
	Message string
	History []ai.Message
	// TopK is 1 to 50, 0 for the search's own.
	TopK int
	// Filter is as POST /search takes it, or empty.
	Filter json.RawMessage
}

// Found is what there is.
type Found struct{ Sources []guard.Source }
