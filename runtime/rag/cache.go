package rag

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// promptVersion changes whenever what a model is asked does: answers to an older prompt
// aren't given any more.
const promptVersion = 1

// maxSimilar is how many queries of a tenant can be similar to the next.
const maxSimilar = 512

// cacheTime is how long an answer is kept; 0 keeps none.
func cacheTime(cfg *tenantconfig.Config) time.Duration {
	switch s := cfg.Documents.CacheSeconds; {
	case s < 0:
		return 0
	case s == 0:
		return tenantconfig.DefaultCacheSeconds * time.Second
	default:
		return time.Duration(s) * time.Second
	}
}

// circumstances are all that an answer depends on beside the query's words.
type circumstances struct {
	// Head is the last change of the documents: after the next one no key is the same.
	Head   int64
	TopK   int
	Filter []storage.Condition
	Mode   string
	Rerank bool
	Answer bool
	// Digest of the tenant's document: its models, weights, hosts and limits.
	Digest string
	Prompt int
}

// lookUp finds what was answered to the same before, and settles the key of the answer.
func (s *searching) lookUp(ctx context.Context) (result, bool, error) {
	if cacheTime(s.c.Tenant.Config) == 0 {
		return result{}, false, nil
	}
	head, err := s.f.Documents.Head(ctx, s.c.Tenant.ID)
	if err != nil {
		return result{}, false, fmt.Errorf("asking for the documents' latest change: %w", err)
	}
	text, err := json.Marshal(circumstances{head, s.topK, s.filter, s.mode, s.rerank, s.answer, s.c.Tenant.Digest, promptVersion})
	if err != nil {
		return result{}, false, fmt.Errorf("writing a key: %w", err)
	}
	around := sha256.Sum256(text)
	s.around = hex.EncodeToString(around[:])
	sum := sha256.Sum256([]byte(normal(s.text)))
	s.key = "search/" + s.around + hex.EncodeToString(sum[:])
	r, hit, err := s.f.kept(ctx, s)
	if hit {
		s.f.counts.cache("hit")
	} else if err == nil {
		s.f.counts.cache("miss")
	}
	return r, hit, err
}

// normal is a query without what doesn't change its meaning: white space and case.
func normal(query string) string { return strings.ToLower(strings.Join(strings.Fields(query), " ")) }

func (f *Feature) kept(ctx context.Context, s *searching) (r result, hit bool, err error) {
	value, there, err := f.Cache.Get(ctx, s.c.Tenant.ID, s.key)
	if err != nil {
		return r, false, fmt.Errorf("reading the cache: %w", err)
	}
	if there && json.Unmarshal(value, &r) == nil {
		return r, true, nil
	}
	return result{}, false, nil
}

// remember keeps an answer, unless there was none: the next document may have it.
func (s *searching) remember(ctx context.Context, r result) {
	if s.key == "" || len(r.Sources) == 0 || s.answer && r.Confidence == 0 {
		return
	}
	value, err := json.Marshal(r)
	if err != nil || len(value) > storage.MaxCacheValue {
		return
	}
	after, done := afterwards(ctx)
	defer done()
	if err := s.f.Cache.Put(after, s.c.Tenant.ID, s.key, value, cacheTime(s.c.Tenant.Config)); err != nil {
		s.f.Logger.Warn("an answer isn't kept in the cache", "tenant", s.c.Tenant.ID.String(), "trace_id", s.c.TraceID, "error", err)
		return
	}
	if s.vector != nil && s.c.Tenant.Config.Documents.SemanticCacheMilli > 0 {
		s.f.ring(s).add(vectorKey{s.around, s.key, s.vector})
	}
}

// similar gives the answer to a query that is as near as the tenant says, of those that
// this process answered lately under the same circumstances.
func (s *searching) similar(ctx context.Context) (result, bool) {
	least := float64(s.c.Tenant.Config.Documents.SemanticCacheMilli) / 1000
	if least <= 0 || s.key == "" {
		return result{}, false
	}
	key := s.f.ring(s).nearest(s.around, s.vector, least)
	if key == "" {
		return result{}, false
	}
	own := s.key
	s.key = key
	r, hit, err := s.f.kept(ctx, s)
	s.key = own
	if err != nil || !hit {
		return result{}, false
	}
	s.f.counts.cache("similar")
	return r, true
}

// ring holds the vectors of the queries that were answered last.
type ring struct {
	mu   sync.Mutex
	keys []vectorKey
	next int
}

type vectorKey struct {
	around, key string
	vector      []float32
}

func (f *Feature) ring(s *searching) *ring {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.alike[s.c.Tenant.ID]
	if r == nil {
		r = &ring{}
		f.alike[s.c.Tenant.ID] = r
	}
	return r
}

func (r *ring) add(k vectorKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.keys) < maxSimilar {
		r.keys = append(r.keys, k)
		return
	}
	r.keys[r.next] = k
	r.next = (r.next + 1) % maxSimilar
}

func (r *ring) nearest(around string, v []float32, least float64) (key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.keys {
		if k.around != around || len(k.vector) != len(v) {
			continue
		}
		if c := cosine(k.vector, v); c >= least {
			key, least = k.key, c
		}
	}
	return key
}

func cosine(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return dot / math.Sqrt(aa*bb)
}
