package rag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// reembedPage is how many documents are looked at at once.
const reembedPage = 100

// errMakesWay puts a job behind all others.
var errMakesWay = errors.New("the job makes way for others")

// inIndex parts the model from the indexes in what is kept as a document's EmbeddingModel.
const inIndex = " in "

// vectorsFrom is what is kept of where a document's vectors are from: the model and, where
// they aren't kept with the document, the indexes that have them.
func vectorsFrom(cfg *tenantconfig.Config) string {
	model, v := embeddingModel(cfg), cfg.Documents.Vectorize
	switch {
	case model == "" || !remote(cfg):
		return model
	case v.Next != "" && v.NextDimensions == v.Dimensions:
		return model + inIndex + v.Index + "," + v.Next
	}
	return model + inIndex + v.Index
}

// modelOf is the model that made a document's vectors.
func modelOf(d storage.Document) string {
	model, _, _ := strings.Cut(d.EmbeddingModel, inIndex)
	return model
}

// outdated tells that a document's vectors are of another model than the tenant's, or in
// another index: until they are made anew it is found by words alone.
func outdated(t *tenancy.Tenant, d storage.Document) bool {
	model := embeddingModel(t.Config)
	if model == "" || !remote(t.Config) {
		return d.EmbeddingModel != model && model != ""
	}
	_, indexes, _ := strings.Cut(d.EmbeddingModel, inIndex)
	return modelOf(d) != model || !slices.Contains(strings.Split(indexes, ","), t.Config.Documents.Vectorize.Index)
}

// queueReembed queues the making of new vectors, if some are outdated.
func (f *Feature) queueReembed(ctx context.Context, t *tenancy.Tenant) error {
	if embeddingModel(t.Config) == "" {
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
		id := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%s %d %s", kindReembed, n, vectorsFrom(t.Config))).String()
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
// did is seen in the documents, so it goes on where it was. It makes way for whatever else
// waits: somebody waits for that.
func (r *running) reembed(ctx context.Context) error {
	if err := r.tidy(ctx); err != nil {
		return err
	}
	for cursor := r.note.Cursor; ; {
		found, next, err := r.f.Documents.List(ctx, r.tenant.ID, reembedPage, cursor)
		if err != nil {
			return fmt.Errorf("looking for outdated vectors: %w", err)
		}
		for _, d := range found {
			if !outdated(r.tenant, d) {
				continue
			}
			if err := r.reembedOne(ctx, d); err != nil {
				return err
			}
			open, err := r.f.Jobs.Open(ctx, r.tenant.ID)
			if err != nil {
				return fmt.Errorf("asking for other jobs: %w", err)
			}
			if open > 1 {
				return cmp.Or(r.keep(ctx, func(n *note) { n.Cursor = cursor }), errMakesWay)
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
	next, err := r.f.Documents.NextVersion(ctx, r.tenant.ID)
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
	err = r.keep(ctx, func(n *note) {
		*n = note{DocID: d.ID, Version: next, Total: d.Passages, Phase: phaseEmbedding, Old: &version{d.Version, d.Passages}, Cursor: n.Cursor, Returned: n.Returned}
	})
	if err != nil {
		return err
	}
	in := &intake{
		f: r.f, tenant: r.tenant, version: next, instead: d.Version, trace: r.job.ID, batch: embedBatch,
		m:        &material{DocID: d.ID, URL: d.URL, Source: d.Source, Metadata: d.Metadata},
		prepared: &prepared{title: d.Title, contentType: d.ContentType, bytes: d.Bytes},
	}
	in.note = func(ctx context.Context) error {
		return r.keep(ctx, func(n *note) {
			n.Staged = in.staged
			if in.mutation != "" {
				n.Mutations = []storage.Mutation{in.mutation}
			}
		})
	}
	if err := unlessOld(r.replace(ctx, in, d)); err != nil {
		return err
	}
	return r.tidy(ctx)
}

// replace publishes d's passages as in's version, with in's vectors.
func (r *running) replace(ctx context.Context, in *intake, d storage.Document) error {
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
			return err
		}
	}
	if remote(r.tenant.Config) {
		if err := r.awaitVisible(ctx); err != nil {
			return err
		}
	}
	return in.publish(ctx)
}

// tidy forgets vectors that nobody is given any more: those of the version that was
// replaced, or of one that wasn't published after all.
func (r *running) tidy(ctx context.Context) error {
	if !remote(r.tenant.Config) || r.note.Version == 0 || r.note.Old == nil {
		return nil
	}
	left := *r.note.Old
	landed, err := r.f.landed(ctx, r.tenant.ID, r.note.DocID, r.note.Version)
	if err != nil {
		return err
	}
	if !landed {
		left = version{r.note.Version, r.note.Total}
	}
	return r.f.forget(ctx, r.tenant.ID, r.note.DocID, left)
}

// unlessOld takes a newer version, or a removal, for what it is here: nothing is left to do.
func unlessOld(err error) error {
	if errors.Is(err, storage.ErrOldVersion) {
		return nil
	}
	return err
}
