package speech

import (
	"context"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Speakers give a tenant's voice as its document in force says, nil if it has none.
type Speakers interface {
	Speaker(t *tenancy.Tenant) ai.Speaker
}

// Gate decides whether a request may cost something; *limits.Gate does.
type Gate interface {
	Admit(ctx context.Context, c httpapi.Call, ask limits.Ask) (*limits.Admission, error)
}

// Recorder keeps what calls used; *telemetry.Recorder does.
type Recorder interface {
	Record(ctx context.Context, t tenancy.ID, c telemetry.Call)
}
