package chat

import (
	"context"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
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

// Models gives a tenant's upstream as its document in force says.
type Models interface {
	Chatter(t *tenancy.Tenant) ai.Chatter
}

// Recorder keeps what calls used; *telemetry.Recorder does.
type Recorder interface {
	Record(ctx context.Context, t tenancy.ID, c telemetry.Call)
	StreamOpened() (closed func())
}
