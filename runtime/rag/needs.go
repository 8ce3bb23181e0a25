package rag

import (
	"context"
	"log/slog"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/extract"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// Gate decides whether a request may cost something; *limits.Gate does.
type Gate interface {
	Admit(ctx context.Context, c httpapi.Call, ask limits.Ask) (*limits.Admission, error)
	Reserve(ctx context.Context, t *tenancy.Tenant, ask limits.Ask) (*limits.Admission, error)
}

// Models gives what a tenant's upstream has as its document in force says, nil if it
// hasn't got it.
type Models interface {
	Embedder(t *tenancy.Tenant) ai.Embedder
	Reranker(t *tenancy.Tenant) ai.Reranker
}

// Turns asks models; *turn.Runner does.
type Turns interface {
	Open(ctx context.Context, p turn.Params) (*turn.Turn, error)
	Whole(ctx context.Context, p turn.Params, sink turn.Sink) (turn.Outcome, error)
}

// Recorder keeps what calls used; *telemetry.Recorder does.
type Recorder interface {
	Record(ctx context.Context, t tenancy.ID, c telemetry.Call)
	StreamOpened() (closed func())
}

// Needs are what documents ask of other rooms. All but Vectors, Originals, Outbound,
// FetchPorts, Worker and Now are required.
type Needs struct {
	Documents storage.Documents
	Jobs      storage.Jobs
	Cache     storage.Cache
	// Vectors is where a tenant's vectors are if not with its documents, else nil.
	Vectors func(t tenancy.ID) storage.Vectors
	// Originals is where a tenant's uploads are kept as they came, else nil.
	Originals func(t tenancy.ID) storage.Objects
	Extractor *extract.Extractor
	// Outbound says how addresses are fetched, and FetchPorts from which ports beside 80
	// and 443.
	Outbound   outbound.Options
	FetchPorts []int
	Gate       Gate
	Models     Models
	Turns      Turns
	Recorder   Recorder
	Estimator  *ai.Estimator
	Logger     *slog.Logger
	// Tenants are those that are served now.
	Tenants func() []*tenancy.Tenant
	// Worker is this process's name among those that share a store; a random one if empty.
	Worker string
	// Now is the clock, time.Now if nil.
	Now func() time.Time
}

func (n Needs) withDefaults() Needs {
	if n.Vectors == nil {
		n.Vectors = func(tenancy.ID) storage.Vectors { return nil }
	}
	if n.Originals == nil {
		n.Originals = func(tenancy.ID) storage.Objects { return nil }
	}
	if n.Worker == "" {
		n.Worker = newWorkerName()
	}
	if n.Now == nil {
		n.Now = time.Now
	}
	return n
}
