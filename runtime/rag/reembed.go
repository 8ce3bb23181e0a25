package rag

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// reembedPage is how many documents are looked at at once.
const reembedPage = 100

// outdated tells that a document's vectors are of another model than the tenant's: until
// they are made anew it is found by words alone.
func outdated(t *tenancy.Tenant, d storage.Document) bool {
	model := embeddingModel(t.Config)
	return model != "" && !remote(t.Config) && d.EmbeddingModel != model
}

// queueReembed queues the making of new vectors, if some are outdated. Of a Vectorize
// index the operator makes a new one instead, which ingests fill.
func (f *Feature) queueReembed(ctx context.Context, t *tenancy.Tenant) error {
	if embeddingModel(t.Config) == "" || remote(t.Config) {
		return nil
	}
	for cursor := ""; ; {
		found, next, err := f.Documents.List(ctx, t.ID, reembedPage, cursor)
		if err != nil {
			return fmt.Errorf("looking for outdated vectors: %w", err)
		}
		for _, d := range found {
			if outdated(t, d) {
				return f.addReembed(ctx, t, d.ID)
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// addReembed queues the job unless it is open already: replicas that start together, or one
// that starts again and again, pay for the vectors once.
func (f *Feature) addReembed(ctx context.Context, t *tenancy.Tenant, first string) error {
	for n := 0; ; n++ {
		id := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%s %d %s", kindReembed, n, embeddingModel(t.Config))).String()
		j, there, err := f.Jobs.Job(ctx, t.ID, id)
		switch {
		case err != nil:
			return fmt.Errorf("looking for a job: %w", err)
		case there && j.Ended():
			continue
		case there:
			return nil
		}
		err = f.addAs(ctx, httpapi.Call{Tenant: t, Caller: tenancy.Caller{}}, id, kindReembed, note{DocID: first}, nil)
		if errors.Is(err, storage.ErrBadJob) {
			return nil // another replica was faster
		}
		return err
	}
}

// reembed makes the vectors of all outdated documents anew, one after the other. What it
// did is seen in the documents, so it goes on where it was.
func (r *running) reembed(ctx context.Context) error {
	for cursor := ""; ; {
		found, next, err := r.f.Documents.List(ctx, r.tenant.ID, reembedPage, cursor)
		if err != nil {
			return fmt.Errorf("looking for outdated vectors: %w", err)
		}
		for _, d := range found {
			if !outdated(r.tenant, d) {
				continue
			}
			if err := r.keep(ctx, func(n *note) { n.DocID, n.Phase, n.Staged, n.Total = d.ID, phaseEmbedding, 0, d.Passages }); err != nil {
				return err
			}
			if err := r.reembedOne(ctx, d); err != nil {
				return err
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// reembedOne publishes the same passages with new vectors. What somebody ingests meanwhile
// is newer, and stays.
func (r *running) reembedOne(ctx context.Context, d storage.Document) error {
	version, err := r.f.Documents.NextVersion(ctx, r.tenant.ID)
	if err != nil {
		return fmt.Errorf("beginning a document: %w", err)
	}
	// Looked at again: a replacement whose version is older must not be undone.
	now, there, err := r.f.Documents.Document(ctx, r.tenant.ID, d.ID)
	if err != nil {
		return fmt.Errorf("reading a document: %w", err)
	}
	if !there || !outdated(r.tenant, now) {
		return nil
	}
	d = now
	in := &intake{
		f: r.f, tenant: r.tenant, version: version, trace: r.job.ID, batch: embedBatch,
		m:        &material{DocID: d.ID, URL: d.URL, Source: d.Source, Metadata: d.Metadata},
		prepared: &prepared{title: d.Title, contentType: d.ContentType, bytes: d.Bytes},
		note: func(ctx context.Context) error {
			return r.keep(ctx, func(n *note) { n.Staged = min(n.Staged+embedBatch, n.Total) })
		},
	}
	for len(in.passages) < d.Passages {
		some, err := r.f.Documents.Passages(ctx, r.tenant.ID, d.ID, d.Version, len(in.passages), embedBatch, false)
		if err != nil {
			return fmt.Errorf("reading passages: %w", err)
		}
		if len(some) == 0 {
			return nil // replaced meanwhile, with vectors of the model in force
		}
		in.passages = append(in.passages, some...)
		if err := in.stage(ctx); err != nil {
			return unlessOld(err)
		}
	}
	return unlessOld(in.publish(ctx))
}

// unlessOld takes a newer version, or a removal, for what it is here: nothing is left to do.
func unlessOld(err error) error {
	if errors.Is(err, storage.ErrOldVersion) {
		return nil
	}
	return err
}
