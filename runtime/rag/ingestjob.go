package rag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// visibleWithin is how long vectors may take to become visible, visiblePause the
	// pause between two looks, which doubles up to mostVisiblePause.
	visibleWithin    = 10 * time.Minute
	visiblePause     = time.Second
	mostVisiblePause = 15 * time.Second
	// sweepBatch is how many vectors are forgotten in one call.
	sweepBatch = 1000
)

var errNotVisible = errors.New("vectors aren't visible yet")

// ingest takes a document in, from where the note says that it is.
func (r *running) ingest(ctx context.Context) error {
	if r.note.Published {
		return r.clean(ctx)
	}
	payload, err := r.f.Jobs.Payload(ctx, r.tenant.ID, r.job.ID)
	if err != nil {
		return fmt.Errorf("reading a job: %w", err)
	}
	m, err := materialOf(payload)
	if err != nil {
		return err
	}
	if err := r.keep(ctx, func(n *note) { n.Phase = phaseReading }); err != nil {
		return err
	}
	p, err := r.prepare(ctx, m)
	if err != nil {
		return err
	}
	if err := r.f.room(ctx, r.tenant, m.DocID, len(p.passages)); err != nil {
		return err
	}
	if err := r.begin(ctx, p); err != nil {
		return err
	}
	in := r.intake(m, p)
	if err := in.keepOriginal(ctx); err != nil {
		return err
	}
	if err := r.bring(ctx, in); err != nil {
		return err
	}
	return r.clean(ctx)
}

func (r *running) prepare(ctx context.Context, m *material) (*prepared, error) {
	done, err := r.f.beginLarge(ctx, m)
	if err != nil {
		return nil, err
	}
	defer done()
	return r.f.prepare(ctx, m)
}

// begin compares what was staged with what there is now: another build may cut otherwise,
// and another model makes other vectors.
func (r *running) begin(ctx context.Context, p *prepared) error {
	model := cmp.Or(vectorsFrom(r.tenant.Config), r.tenant.Config.EmbeddingModel())
	fresh := r.note.Digest != p.digest || r.note.Model != model
	version := r.note.Version
	if r.note.Model != "" && r.note.Model != model {
		// Passages of one version have vectors of one model. The new version is no later
		// request: what has outdone the first one outdoes it too.
		var err error
		if version, err = r.f.Documents.NextVersion(ctx, r.tenant.ID); err != nil {
			return fmt.Errorf("beginning a document: %w", err)
		}
		err = r.f.Documents.Stage(ctx, r.tenant.ID, r.note.DocID, r.note.Version, p.passages[:1])
		if err != nil && !errors.Is(err, storage.ErrBadDocument) { // which a passage without a vector may be
			return fmt.Errorf("asking whether a document was outdone: %w", err)
		}
	}
	return r.keep(ctx, func(n *note) {
		n.Version, n.Digest, n.Model, n.Total, n.Phase = version, p.digest, model, len(p.passages), phaseEmbedding
		if fresh {
			n.Staged = 0
		}
	})
}

func (r *running) intake(m *material, p *prepared) *intake {
	in := &intake{f: r.f, tenant: r.tenant, m: m, prepared: p, version: r.note.Version, trace: r.job.ID, batch: stageBatch, staged: r.note.Staged}
	if r.note.Model != "" && embeddingModel(r.tenant.Config) != "" {
		in.batch = embedBatch
	}
	before := len(r.note.Mutations)
	in.note = func(ctx context.Context) error {
		return r.keep(ctx, func(n *note) {
			n.Staged = in.staged
			if in.mutation != "" {
				n.Mutations = append(n.Mutations[:min(before, len(n.Mutations))], in.mutation)
			}
		})
	}
	return in
}

// bring stages and publishes.
func (r *running) bring(ctx context.Context, in *intake) error {
	if err := in.stage(ctx); err != nil {
		return err
	}
	if remote(r.tenant.Config) {
		if err := r.awaitVisible(ctx); err != nil {
			return err
		}
	}
	if err := r.noteOld(ctx, in.m.DocID); err != nil {
		return err
	}
	err := in.publish(ctx)
	if errors.Is(err, storage.ErrIncomplete) {
		// What was staged long ago may have been dropped.
		return errors.Join(err, r.keep(ctx, func(n *note) { n.Staged = 0 }))
	}
	if err != nil {
		return err
	}
	in.dropOriginals(ctx)
	return r.keep(ctx, func(n *note) { n.Published, n.Phase = true, phaseCleaning })
}

// noteOld writes down what the version will replace, while that can still be known.
func (r *running) noteOld(ctx context.Context, doc string) error {
	if !remote(r.tenant.Config) {
		return nil
	}
	old, there, err := r.f.Documents.Document(ctx, r.tenant.ID, doc)
	if err != nil {
		return fmt.Errorf("reading a document: %w", err)
	}
	if !there || old.Version >= r.note.Version {
		return nil
	}
	return r.keep(ctx, func(n *note) { n.Old, n.Phase = &version{old.Version, old.Passages}, phaseIndexing })
}

// awaitVisible returns once queries find all vectors of the version.
func (r *running) awaitVisible(ctx context.Context) error {
	if err := r.keep(ctx, func(n *note) { n.Phase = phaseIndexing }); err != nil {
		return err
	}
	vectors := r.f.Vectors(r.tenant.ID)
	until, pause := r.f.Now().Add(visibleWithin), r.f.pauses.visible
	for _, m := range r.note.Mutations {
		for {
			seen, err := vectors.Visible(ctx, r.tenant.ID, m)
			if errors.Is(err, storage.ErrBadMutation) {
				// Written by a build that spoke otherwise: the vectors are written again.
				return errors.Join(err, r.keep(ctx, func(n *note) { n.Staged, n.Mutations = 0, nil }))
			}
			if err != nil {
				return fmt.Errorf("asking whether vectors are visible: %w", err)
			}
			if seen {
				break
			}
			if r.f.Now().After(until) {
				return errNotVisible
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			pause = min(2*pause, mostVisiblePause)
		}
	}
	return nil
}

// clean forgets the vectors of the version before.
func (r *running) clean(ctx context.Context) error {
	if r.note.Old == nil {
		return nil
	}
	return r.f.forget(ctx, r.tenant.ID, r.note.DocID, *r.note.Old)
}

// abandon takes back, as well as it can, what was kept elsewhere of a version that won't be
// published: no reader is ever given any of it.
func (r *running) abandon(ctx context.Context) {
	if r.job.Kind == kindReembed {
		if err := r.tidy(ctx); err != nil {
			r.f.Logger.Warn("vectors that nobody is given stay in the index", "tenant", r.tenant.ID.String(), "error", err)
		}
		return
	}
	if r.job.Kind != kindIngest || r.note.Version == 0 {
		return
	}
	r.f.dropOriginal(ctx, r.tenant.ID, r.note.DocID, r.note.Version)
	if err := r.f.forget(ctx, r.tenant.ID, r.note.DocID, version{r.note.Version, r.note.Total}); err != nil {
		r.f.Logger.Warn("vectors of a failed ingest stay in the index; nobody is given them", "tenant", r.tenant.ID.String(), "error", err)
	}
}

// forget removes the vectors of one version.
func (f *Feature) forget(ctx context.Context, t tenancy.ID, doc string, v version) error {
	vectors := f.Vectors(t)
	if vectors == nil {
		return nil
	}
	for from := 0; from < v.Passages; from += sweepBatch {
		var keys []storage.ChunkKey
		for n := from; n < min(from+sweepBatch, v.Passages); n++ {
			keys = append(keys, storage.ChunkKey{Doc: doc, Version: v.Version, N: n})
		}
		if _, err := vectors.Delete(ctx, t, keys); err != nil {
			return fmt.Errorf("forgetting vectors: %w", err)
		}
	}
	return nil
}

// published tells whether readers find what an ingest was for, noted or not.
func (r *running) published(ctx context.Context) (bool, error) {
	if r.job.Kind != kindIngest || r.note.Published || r.note.Version == 0 {
		return r.note.Published, nil
	}
	return r.f.landed(ctx, r.tenant.ID, r.note.DocID, r.note.Version)
}

var errStillFound = errors.New("the version is still found")

// sweep forgets the vectors of a document that was removed. It was queued before the
// removal, so that no crash leaves them.
func (r *running) sweep(ctx context.Context) error {
	if r.note.Old == nil {
		return nil
	}
	d, there, err := r.f.Documents.Document(ctx, r.tenant.ID, r.note.DocID)
	if err != nil {
		return fmt.Errorf("reading a document: %w", err)
	}
	if there && d.Version == r.note.Old.Version {
		return errStillFound
	}
	return r.f.forget(ctx, r.tenant.ID, r.note.DocID, *r.note.Old)
}
