package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// strangersAsked bounds the other set's questions.
	strangersAsked = 500
	// senders ingest at the same time.
	senders = 32
	// learnWait bounds the wait until vectors are learnt.
	learnWait = 10 * time.Minute
	// agreement is how far the API's nDCG@10 may be from the library's. The API leaves out
	// passages that fit badly, and gives one of those with the same text.
	agreement = 0.005
)

// product is a whole runtime with one tenant whose documents are kept on disk and answered
// by their own sentences.
type product struct {
	api
	stop  context.CancelFunc
	ended chan error
}

// serve starts it on what dir holds; dir keeps its documents.
func serve(ctx context.Context, dir string) (*product, error) {
	secret := "ce_" + rand.Text()
	digest := sha256.Sum256([]byte(secret))
	doc, err := tenantconfig.Marshal(&tenantconfig.Config{
		Version:   tenantconfig.Version,
		Tenant:    tenantconfig.Tenant{ID: "eval", Identity: "eval/default/development/eval", Environment: "development"},
		Server:    tenantconfig.Server{APIPort: tenantconfig.APIPort, MetricsPort: tenantconfig.MetricsPort, DrainSeconds: 5},
		State:     tenantconfig.State{Driver: tenantconfig.StateEmbedded, Path: filepath.Join(dir, "state")},
		Auth:      tenantconfig.Auth{Mode: tenantconfig.AuthAPIKey, Keys: []tenantconfig.Key{{Name: "eval", Digests: []tenantconfig.Digest{{SHA256: hex.EncodeToString(digest[:])}}}}},
		Upstream:  tenantconfig.Upstream{Type: tenantconfig.UpstreamEmbedded},
		Models:    tenantconfig.Models{Chat: "builtin/extractive"},
		Prompt:    tenantconfig.Prompt{MaxTokens: 1024, ContextTokens: 16_384},
		Limits:    tenantconfig.Limits{BodyBytes: 1 << 20, MessageChars: 10_000},
		Sessions:  tenantconfig.Sessions{RetentionDays: 1, MaxMessages: 100},
		Documents: tenantconfig.Documents{Store: tenantconfig.DocumentsState, CacheSeconds: -1},
	})
	if err != nil {
		return nil, fmt.Errorf("writing the tenant's document: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "state"), 0o700); err != nil {
		return nil, fmt.Errorf("making a directory for documents: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, tenantconfig.DocumentFile), doc, 0o600); err != nil {
		return nil, fmt.Errorf("writing the tenant's document: %w", err)
	}
	tenant, err := tenancy.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("loading the tenant: %w", err)
	}
	s, err := server.New(ctx, server.Options{
		Tenant: tenant, APIAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0", LameDuck: -1, Build: "eval",
		Logger: telemetry.NewLogger(os.Stderr, slog.LevelError),
	})
	if err != nil {
		return nil, fmt.Errorf("starting the runtime: %w", err)
	}
	running, stop := context.WithCancel(ctx)
	client := &http.Client{Timeout: liveWait, Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	p := &product{api: api{"http://" + s.APIAddr().String(), secret, client}, stop: stop, ended: make(chan error, 1)}
	go func() { p.ended <- s.Run(running) }()
	return p, nil
}

func (p *product) close() error {
	p.stop()
	p.client.CloseIdleConnections()
	if err := <-p.ended; err != nil {
		return fmt.Errorf("ending the runtime: %w", err)
	}
	return nil
}

// ingest takes all passages in, each as a document of its own that isn't cut, as the
// library has them. An empty one is none.
func (p *product) ingest(ctx context.Context, c *collection) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			for i := range next {
				err := p.post(ctx, "/ingest", map[string]any{
					"docId": docID(i), "text": c.passages[i], "contentType": "text/plain",
					"chunking": map[string]any{"maxChunkSize": 10_000, "overlap": 0},
				}, nil)
				if err != nil {
					cancel(fmt.Errorf("ingesting document %d: %w", i, err))
					return
				}
			}
		})
	}
	defer sending.Wait()
	defer close(next)
	for i, text := range c.passages {
		if strings.TrimSpace(text) == "" {
			continue
		}
		select {
		case next <- i:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func docID(passage int) string { return fmt.Sprintf("d%05d", passage) }

// learnt waits until there are vectors to search by.
func (p *product) learnt(ctx context.Context, question string) error {
	for until := time.Now().Add(learnWait); ; {
		_, err := p.search(ctx, map[string]any{"query": question, "mode": "vector", "answer": false})
		var refused *refusal
		if !errors.As(err, &refused) || time.Now().After(until) {
			return err
		}
		select {
		case <-time.After(time.Second / 4):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drive measures a set through the API of a whole runtime, and adds to r what only that
// can tell. It fails if the API finds otherwise than the library.
func drive(ctx context.Context, c *collection, strangers []query, r *result, say func(string, ...any)) error {
	dir, err := os.MkdirTemp("", "enigma-eval-")
	if err != nil {
		return fmt.Errorf("making a directory for documents: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p, err := serve(ctx, dir)
	if err != nil {
		return err
	}
	begun := time.Now()
	err = p.ingest(ctx, c)
	took := time.Since(begun)
	if err = errors.Join(err, p.close()); err != nil {
		return err
	}
	say("%d documents ingested through the API, %.0f a second", len(c.passages), float64(len(c.passages))/took.Seconds())
	// After a restart vectors are learnt from all passages at once.
	if p, err = serve(ctx, dir); err != nil {
		return err
	}
	defer func() { _ = p.close() }()
	if err := p.learnt(ctx, c.queries[0].text); err != nil {
		return fmt.Errorf("waiting for vectors: %w", err)
	}
	asked := make([]judged, len(c.queries))
	for i, q := range c.queries {
		asked[i] = judged{text: flat(q.text), gains: map[string]float64{}}
		for passage, gain := range q.gains {
			asked[i].gains[docID(int(passage))] = gain
		}
	}
	through, err := p.measure(ctx, asked, say)
	if err != nil {
		return err
	}
	r.through, r.citations = through, through.citations
	if r.unanswered, err = p.unanswered(ctx, strangers); err != nil {
		return err
	}
	say("through the API: nDCG@10 %.4f by text, %.4f by vector, %.4f hybrid; %.1f %% of answers have a citation; of another set's questions %.1f %% have no answer",
		through.text.NDCG10, through.vector.NDCG10, through.hybrid.NDCG10, 100*through.cited, 100*r.unanswered)
	for _, m := range []struct {
		mode          string
		library, over quality
	}{{"text", r.text, through.text}, {"vector", r.vector, through.vector}, {"hybrid", r.hybrid, through.hybrid}} {
		if math.Abs(m.library.NDCG10-m.over.NDCG10) > agreement {
			err = errors.Join(err, fmt.Errorf("by %s the API's nDCG@10 is %.4f, and the library's %.4f", m.mode, m.over.NDCG10, m.library.NDCG10))
		}
	}
	return err
}

// flat is a question on one line, as it is typed.
func flat(question string) string { return strings.Join(strings.Fields(question), " ") }

// unanswered is the share of another set's questions that the API doesn't answer with a
// citation.
func (p *product) unanswered(ctx context.Context, strangers []query) (float64, error) {
	strangers = strangers[:min(len(strangers), strangersAsked)]
	answered := 0
	for i, q := range strangers {
		f, err := p.search(ctx, map[string]any{"query": flat(q.text)})
		if err != nil {
			return 0, fmt.Errorf("another set's question %d: %w", i, err)
		}
		if _, cited := citations(f, nil); cited > 0 {
			answered++
		}
	}
	return 1 - float64(answered)/float64(max(len(strangers), 1)), nil
}
