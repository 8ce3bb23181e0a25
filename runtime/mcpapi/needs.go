package mcpapi

import (
	"context"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Gate takes a call from the caller's rate windows; *limits.Gate does.
type Gate interface {
	Admit(ctx context.Context, c httpapi.Call, ask limits.Ask) (*limits.Admission, error)
}

// Documents are the tenant's; storage.Documents are.
type Documents interface {
	List(ctx context.Context, t tenancy.ID, limit int, cursor string) ([]storage.Document, string, error)
	Document(ctx context.Context, t tenancy.ID, doc string) (storage.Document, bool, error)
	Passages(ctx context.Context, t tenancy.ID, doc string, version int64, from, limit int, vectors bool) ([]storage.Passage, error)
}
