package rag

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/index"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// afterTime bounds the writes that may outlive their request.
const afterTime = 10 * time.Second

// Feature is the endpoints of documents and search, and the worker behind them.
type Feature struct {
	Needs
	mu      sync.Mutex
	indexes map[tenancy.ID]*index.Index
	alike   map[tenancy.ID]*ring
	// turns is held by who publishes a document of a tenant.
	turns map[tenancy.ID]chan struct{}
	// large is held by who reads a large document, fetches by who gets one.
	large, fetches chan struct{}
	// wake tells the worker of this process that there is a job.
	wake   chan struct{}
	pauses pauses
	counts counts
}

// New makes the feature. Run must run beside it.
func New(n Needs) *Feature {
	return &Feature{
		Needs: n.withDefaults(), indexes: map[tenancy.ID]*index.Index{}, alike: map[tenancy.ID]*ring{},
		turns: map[tenancy.ID]chan struct{}{}, large: make(chan struct{}, 1), fetches: make(chan struct{}, fetchesAtOnce),
		wake:   make(chan struct{}, 1),
		pauses: pauses{poll: pollJobs, try: firstPause, visible: visiblePause},
	}
}

// pauses of the worker: between two looks for jobs, before the second try of one, and
// before the second look whether vectors are visible.
type pauses struct{ poll, try, visible time.Duration }

func newWorkerName() string { return rand.Text() }

// Mount adds the feature's routes.
func (f *Feature) Mount(d *httpapi.Door) {
	httpapi.HandleUpload(d, http.MethodPost, "/ingest", httpapi.Route{MaxBody: maxBody}, f.ingest)
	httpapi.Handle(d, http.MethodGet, "/ingest/jobs/{id}", httpapi.Route{}, f.job)
	httpapi.Handle(d, http.MethodDelete, "/ingest/jobs/{id}", httpapi.Route{}, f.cancel)
	httpapi.Handle(d, http.MethodGet, "/documents", httpapi.Route{}, f.list)
	httpapi.Handle(d, http.MethodGet, "/documents/{docId}", httpapi.Route{}, f.show)
	httpapi.Handle(d, http.MethodGet, "/documents/{docId}/chunks", httpapi.Route{}, f.chunks)
	httpapi.Handle(d, http.MethodDelete, "/documents/{docId}", httpapi.Route{}, f.remove)
	httpapi.Handle(d, http.MethodPost, "/search", httpapi.Route{}, f.search)
}

// enabled refuses what needs documents of a tenant without.
func enabled(t *tenancy.Tenant) error {
	if t.Config.Documents.Store != "" {
		return nil
	}
	return &httpapi.Error{
		Status: http.StatusForbidden, Code: "documents_not_enabled",
		Message: "documents aren't enabled for this tenant; set spec.documents of the Tenant, or ask who operates this API",
	}
}

// mayWrite refuses keys that may read alone.
func mayWrite(c httpapi.Call) error {
	if err := enabled(c.Tenant); err != nil {
		return err
	}
	if c.Caller.May(tenancy.ScopeDocumentsRead) {
		return &httpapi.Error{
			Status: http.StatusForbidden, Code: "forbidden",
			Message: "this key may read and search documents, not change them; use one without the scope " + tenancy.ScopeDocumentsRead,
		}
	}
	return nil
}

// remote tells that the tenant's vectors aren't kept with its documents.
func remote(cfg *tenantconfig.Config) bool {
	return cfg.Documents.Store == tenantconfig.DocumentsVectorize
}

// embeddingModel is the model of the upstream that makes the tenant's vectors; empty where
// they are learnt, or there are none.
func embeddingModel(cfg *tenantconfig.Config) string {
	if m := cfg.EmbeddingModel(); m != tenantconfig.EmbeddingLSA {
		return m
	}
	return ""
}

// dimensions that every vector must have, 0 if any will do.
func (f *Feature) dimensions(t *tenancy.Tenant) int {
	if remote(t.Config) {
		if v := f.Vectors(t.ID); v != nil {
			return v.Dimensions()
		}
	}
	return t.Config.Documents.Embedding.Dimensions
}

// index is the tenant's, made at its first use: what shapes it needs a restart to change.
func (f *Feature) index(t *tenancy.Tenant) (*index.Index, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.indexes[t.ID]; x != nil {
		return x, nil
	}
	o := index.Options{Logger: f.Logger}
	switch model := t.Config.EmbeddingModel(); {
	case remote(t.Config), model == "":
	case model == tenantconfig.EmbeddingLSA:
		o.Vectors = index.LearntVectors
	default:
		o.Vectors, o.Model, o.Dimensions = index.StoredVectors, model, t.Config.Documents.Embedding.Dimensions
	}
	x, err := index.New(f.Documents, t.ID, o)
	if err != nil {
		return nil, fmt.Errorf("making the index of documents: %w", err)
	}
	f.indexes[t.ID] = x
	return x, nil
}

// publishing is the tenant's turn to publish.
func (f *Feature) publishing(t tenancy.ID) chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.turns[t] == nil {
		f.turns[t] = make(chan struct{}, 1)
	}
	return f.turns[t]
}

// Run keeps the indexes fresh and does the jobs until ctx ends. A job that it is at goes
// on elsewhere, or after the next start.
func (f *Feature) Run(ctx context.Context) {
	var behind sync.WaitGroup
	defer behind.Wait()
	following := map[tenancy.ID]bool{}
	for ctx.Err() == nil {
		busy := false
		for _, t := range f.Tenants() {
			if t.Config.Documents.Store == "" {
				continue
			}
			if !following[t.ID] {
				following[t.ID] = true
				if x, err := f.index(t); err != nil {
					f.Logger.Error("documents can't be searched", "tenant", t.ID.String(), "error", err)
				} else {
					behind.Go(func() { x.Follow(ctx) })
				}
				if err := f.queueReembed(ctx, t); err != nil && ctx.Err() == nil {
					f.Logger.Warn("outdated vectors aren't made anew before the next start", "tenant", t.ID.String(), "error", err)
				}
			}
			busy = f.work(ctx, t) || busy
		}
		if busy {
			continue
		}
		idle := time.NewTimer(f.pauses.poll)
		select {
		case <-f.wake:
		case <-idle.C:
		case <-ctx.Done():
		}
		idle.Stop()
	}
}

// afterwards is the context of what is done though the client went away.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), afterTime)
}

// Status is what /status tells.
func (f *Feature) Status(ctx context.Context, t *tenancy.Tenant) tenantconfig.IndexStatus {
	if t.Config.Documents.Store == "" {
		return tenantconfig.IndexStatus{}
	}
	st := tenantconfig.IndexStatus{Model: t.Config.EmbeddingModel()}
	if x, err := f.index(t); err == nil {
		p := x.Progress()
		st.Ready, st.Documents, st.Passages = p.Ready, int64(p.Documents), int64(p.Passages)
	}
	if n, err := f.Jobs.Open(ctx, t.ID); err == nil {
		st.OpenJobs = n
	}
	return st
}
