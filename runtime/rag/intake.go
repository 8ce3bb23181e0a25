package rag

import (
	"context"
	"fmt"
	"net/http"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// embedBatch is how many passages are embedded between two notes of a job, stageBatch
	// how many are staged where nothing is embedded.
	embedBatch = 64
	stageBatch = 500
)

// intake is one version of a document on its way from its passages to its publication.
type intake struct {
	*prepared
	f       *Feature
	tenant  *tenancy.Tenant
	m       *material
	version int64
	// instead is the only version that it may replace; 0 if that is any older one.
	instead int64
	trace   string
	// admission for all of it; nil reserves batch by batch.
	admission *limits.Admission
	batch     int
	// staged is how many passages are staged already.
	staged int
	// note, if there is one, keeps how far it is before each next step.
	note func(ctx context.Context) error
	// mutation of the vectors that were kept last elsewhere.
	mutation storage.Mutation
}

// run does it all for documents whose vectors are kept with them.
func (in *intake) run(ctx context.Context) error {
	if err := in.keepOriginal(ctx); err != nil {
		return err
	}
	err := in.stage(ctx)
	if err == nil {
		err = in.publish(ctx)
	}
	if err != nil {
		if landed, unknown := in.f.landed(ctx, in.tenant.ID, in.m.DocID, in.version); !landed && unknown == nil {
			in.f.dropOriginal(ctx, in.tenant.ID, in.m.DocID, in.version)
		}
		return err
	}
	in.dropOriginals(ctx)
	return nil
}

// landed tells whether a version is what is found of its document: a publication may be
// done though it failed to whoever asked for it.
func (f *Feature) landed(ctx context.Context, t tenancy.ID, doc string, version int64) (bool, error) {
	after, done := afterwards(ctx)
	defer done()
	d, there, err := f.Documents.Document(after, t, doc)
	if err != nil {
		return false, fmt.Errorf("reading a document: %w", err)
	}
	return there && d.Version == version, nil
}

// stage makes vectors and stages passages, from where it was.
func (in *intake) stage(ctx context.Context) error {
	for in.staged < len(in.passages) {
		some := in.passages[in.staged:min(in.staged+in.batch, len(in.passages))]
		vectors, err := in.embed(ctx, some)
		if err != nil {
			return err
		}
		if err := in.keep(ctx, some, vectors); err != nil {
			return err
		}
		in.staged += len(some)
		if in.note == nil {
			continue
		}
		if err := in.note(ctx); err != nil {
			return err
		}
	}
	return nil
}

// keep stages passages, and their vectors with them or elsewhere.
func (in *intake) keep(ctx context.Context, some []storage.Passage, vectors [][]float32) error {
	passages := make([]storage.Passage, len(some))
	copy(passages, some)
	if remote(in.tenant.Config) {
		chunks := make([]storage.Chunk, len(some))
		for i, p := range some {
			chunks[i] = storage.Chunk{ChunkKey: in.key(p.N), Vector: vectors[i], Metadata: in.m.Metadata}
		}
		var err error
		if in.mutation, err = in.f.Vectors(in.tenant.ID).Upsert(ctx, in.tenant.ID, chunks); err != nil {
			return fmt.Errorf("keeping vectors: %w", err)
		}
	} else if vectors != nil {
		for i := range passages {
			passages[i].Vector = vectors[i]
		}
	}
	if err := in.f.Documents.Stage(ctx, in.tenant.ID, in.m.DocID, in.version, passages); err != nil {
		return fmt.Errorf("staging passages: %w", err)
	}
	return nil
}

func (in *intake) key(n int) storage.ChunkKey {
	return storage.ChunkKey{Doc: in.m.DocID, Version: in.version, N: n}
}

// embed gives the vectors of passages, nil where the tenant's model is learnt.
func (in *intake) embed(ctx context.Context, some []storage.Passage) ([][]float32, error) {
	model := embeddingModel(in.tenant.Config)
	if model == "" {
		if remote(in.tenant.Config) {
			return nil, noEmbedder()
		}
		return nil, nil
	}
	texts, tokens := make([]string, len(some)), 0
	for i, p := range some {
		texts[i] = embedded(in.title, p)
		tokens += in.f.Estimator.Text(model, texts[i])
	}
	admission := in.admission
	if admission == nil {
		var err error
		if admission, err = in.f.Gate.Reserve(ctx, in.tenant, limits.Ask{Models: models(model), Prompt: func(context.Context) (int, error) { return tokens, nil }}); err != nil {
			return nil, err
		}
	}
	made, err := in.f.embedTexts(ctx, in.tenant, "ingest", in.trace, texts, tokens, admission)
	if err != nil {
		return nil, fmt.Errorf("embedding passages: %w", embeddingFailed(err))
	}
	return made, nil
}

func noEmbedder() error {
	return &httpapi.Error{
		Status: http.StatusConflict, Code: "no_embedding_model",
		Message: "the tenant's upstream has no embedding model; name one in spec.documents.embedding of the Tenant",
	}
}

// embedTexts asks the tenant's model for vectors, settles the admission and records it.
func (f *Feature) embedTexts(ctx context.Context, t *tenancy.Tenant, feature, trace string, texts []string, tokens int, a *limits.Admission) ([][]float32, error) {
	model, embedder := embeddingModel(t.Config), f.Models.Embedder(t)
	if embedder == nil {
		f.release(ctx, a, model)
		return nil, noEmbedder()
	}
	begun := f.Now()
	made, err := embedder.Embed(ctx, t.ID, ai.EmbedRequest{Model: model, Texts: texts, Dimensions: f.dimensions(t), TraceID: trace})
	after, done := afterwards(ctx)
	defer done()
	call := telemetry.Call{Model: model, Feature: feature, Outcome: telemetry.OutcomeOK, Latency: f.Now().Sub(begun)}
	used := made.Usage
	switch {
	case err != nil && ctx.Err() != nil:
		call.Outcome = telemetry.OutcomeCanceled
		used = ai.Usage{In: tokens, Estimated: true}
	case err != nil:
		call.Outcome = telemetry.OutcomeError
	case used.In == 0:
		used = ai.Usage{In: tokens, Estimated: true}
	}
	call.In, call.Out = used.In, used.Out
	call.MicroUSD = a.Settle(after, model, used)
	f.Recorder.Record(after, t.ID, call)
	if err != nil {
		return nil, err
	}
	return made.Vectors, nil
}

// publish makes the version the one that is found. Once that has begun nobody stops it: it
// is known whether it was done. Of a tenant's publications this process makes one at a
// time, so that those at once don't take the same room.
func (in *intake) publish(ctx context.Context) error {
	ended, err := begin(ctx, in.f.publishing(in.tenant.ID))
	if err != nil {
		return err
	}
	defer ended()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, done := afterwards(ctx)
	defer done()
	if in.instead != 0 {
		d, there, err := in.f.Documents.Document(ctx, in.tenant.ID, in.m.DocID)
		if err != nil {
			return fmt.Errorf("reading a document: %w", err)
		}
		if !there || d.Version != in.instead && d.Version != in.version {
			return storage.ErrOldVersion
		}
	}
	if err := in.f.room(ctx, in.tenant, in.m.DocID, len(in.passages)); err != nil {
		return err
	}
	_, err = in.f.Documents.Publish(ctx, in.tenant.ID, storage.Document{
		ID: in.m.DocID, Version: in.version, Title: in.title, URL: in.m.URL, Source: in.m.Source, Metadata: in.m.Metadata,
		Passages: len(in.passages), Bytes: in.bytes, ContentType: in.contentType,
		EmbeddingModel: vectorsFrom(in.tenant.Config), Updated: in.f.Now(),
	})
	if err != nil {
		return fmt.Errorf("publishing a document: %w", err)
	}
	in.f.counts.passages(len(in.passages))
	return nil
}
