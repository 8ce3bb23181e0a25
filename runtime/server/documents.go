package server

import (
	"context"
	"path/filepath"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/chat"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/openaiapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/extract"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// openDocuments makes the feature of documents. The account is opened after it, and asked
// when it is needed.
func (s *Server) openDocuments(turns rag.Turns, recorder *telemetry.Recorder, estimator *ai.Estimator) *rag.Feature {
	limits := extract.Limits{Command: s.opts.Extract, Memory: s.opts.ExtractMemory, CacheDir: s.opts.CacheDir}
	if dir := s.opts.Tenant.Config.State.Path; dir != "" {
		// The root file system may be read only, and what is kept here outlives the pod.
		limits.CacheDir = filepath.Join(dir, "extract-cache")
	}
	f := rag.New(rag.Needs{
		Documents: s.store.Documents(),
		Jobs:      s.store.Jobs(),
		Cache:     s.store.Cache(),
		Vectors: func(tenancy.ID) storage.Vectors {
			if s.cloud == nil || s.cloud.vectors == nil {
				return nil // a nil *Vectors must not become a Vectors
			}
			return s.cloud.vectors
		},
		Originals: func(tenancy.ID) storage.Objects {
			if s.cloud == nil || s.cloud.originals == nil {
				return nil
			}
			return s.cloud.originals
		},
		Extractor: extract.New(limits),
		Outbound:  outbound.Options{AllowLoopback: s.opts.AllowLoopback},
		Gate:      s.gate,
		Models:    s.upstreams,
		Turns:     turns,
		Recorder:  recorder,
		Estimator: estimator,
		Logger:    s.logger,
		Tenants:   s.directory.Tenants,
	})
	if s.opts.Tenant.Config.Documents.Store != "" {
		f.Gauges(s.metrics)
	}
	return f
}

// chatDocuments and openaiDocuments give features passages in their own words.
type (
	chatDocuments   struct{ f *rag.Feature }
	openaiDocuments struct{ f *rag.Feature }
)

func (d chatDocuments) Retrieve(ctx context.Context, c httpapi.Call, q chat.Question) (chat.Found, error) {
	found, err := d.f.Retrieve(ctx, c, rag.Question(q))
	return chat.Found{Sources: found}, err
}

func (d openaiDocuments) Retrieve(ctx context.Context, c httpapi.Call, q openaiapi.Question) ([]guard.Source, error) {
	return d.f.Retrieve(ctx, c, rag.Question(q))
}
