package rag

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// Modes of a search.
const (
	modeHybrid = "hybrid"
	modeVector = "vector"
	modeText   = "text"
)

const (
	defaultTopK   = 5
	maxTopK       = storage.MaxTopK
	maxQueryChars = 2000
)

// SearchRequest is the body of POST /search.
type SearchRequest struct {
	Query  string          `json:"query"`
	TopK   *int            `json:"topK"`
	Filter json.RawMessage `json:"filter"`
	Mode   string          `json:"mode"`
	// Answer is true if omitted.
	Answer *bool `json:"answer"`
	// Rerank is true if omitted and the tenant has a model for it.
	Rerank *bool `json:"rerank"`
	Stream bool  `json:"stream"`
}

// Validate checks what needs no tenant.
func (r *SearchRequest) Validate() []httpapi.Detail {
	var ds []httpapi.Detail
	wrong := func(path, message string) { ds = append(ds, httpapi.Detail{Path: path, Message: message}) }
	if strings.TrimSpace(r.Query) == "" {
		wrong("query", "must not be empty")
	} else if utf8.RuneCountInString(r.Query) > maxQueryChars {
		wrong("query", "must have at most 2000 characters")
	}
	if r.TopK != nil && (*r.TopK < 1 || *r.TopK > maxTopK) {
		wrong("topK", "must be from 1 to 50")
	}
	switch r.Mode {
	case "", modeHybrid, modeVector, modeText:
	default:
		wrong("mode", "must be hybrid, vector or text")
	}
	return ds
}

// query is what is looked for.
type query struct {
	text   string
	topK   int
	filter []storage.Condition
	mode   string
	rerank bool
	answer bool
}

func (r *SearchRequest) query(cfg *tenantconfig.Config) (query, error) {
	q := query{text: strings.TrimSpace(r.Query), topK: defaultTopK, mode: modeHybrid, answer: r.Answer == nil || *r.Answer, rerank: cfg.Documents.RerankModel != ""}
	if r.TopK != nil {
		q.topK = *r.TopK
	}
	if r.Mode != "" {
		q.mode = r.Mode
	}
	if r.Rerank != nil {
		if *r.Rerank && !q.rerank {
			return q, httpapi.Invalid("rerank", "the tenant has no model for it; leave it out, or set spec.documents.rerankModel of the Tenant")
		}
		q.rerank = *r.Rerank
	}
	var err error
	q.filter, err = parseFilter(r.Filter)
	return q, err
}

// embeds tells whether the query's vector is made by a model.
func (q query) embeds(cfg *tenantconfig.Config) bool {
	return q.mode != modeText && embeddingModel(cfg) != ""
}

// result is what a search gives, and what the cache keeps.
type result struct {
	Answer     string         `json:"answer"`
	Sources    []guard.Source `json:"sources"`
	Confidence float64        `json:"confidence"`
	FollowUps  []string       `json:"followUps"`
	// Model that answered.
	Model string `json:"model,omitempty"`
}

// reply is the data of an answer to POST /search.
type reply struct {
	Status     string         `json:"status"`
	TraceID    string         `json:"traceId"`
	Answer     string         `json:"answer"`
	Sources    []guard.Source `json:"sources"`
	Confidence float64        `json:"confidence"`
	FollowUps  []string       `json:"followUps"`
}

func (r result) reply(trace string) reply {
	return reply{"ok", trace, r.Answer, r.Sources, r.Confidence, r.FollowUps}
}

// searching is one search on its way to its answer.
type searching struct {
	query
	f *Feature
	c httpapi.Call
	// key of the cache, empty if nothing is kept; around is its part without the query.
	key, around string
	// embedding and chat are set aside for the calls of the models; nil after they were
	// made.
	embedding, chat *limits.Admission
	vector          []float32
	found           finding
}

// search answers POST /search.
func (f *Feature) search(ctx context.Context, c httpapi.Call, req SearchRequest) (httpapi.Answer, error) {
	a, err := f.searched(ctx, c, &req)
	return a, told(err)
}

func (f *Feature) searched(ctx context.Context, c httpapi.Call, req *SearchRequest) (httpapi.Answer, error) {
	if err := enabled(c.Tenant); err != nil {
		return httpapi.Answer{}, err
	}
	q, err := req.query(c.Tenant.Config)
	if err != nil {
		return httpapi.Answer{}, err
	}
	s := &searching{query: q, f: f, c: c}
	kept, hit, err := s.lookUp(ctx)
	if err != nil {
		return httpapi.Answer{}, err
	}
	if hit {
		// It costs no model, but is a request all the same.
		if err := f.admitFree(ctx, c); err != nil {
			return httpapi.Answer{}, err
		}
		return s.again(kept, req.Stream), nil
	}
	if err := s.admit(ctx); err != nil {
		return httpapi.Answer{}, err
	}
	defer s.release(ctx)
	if kept, hit, err = s.find(ctx); err != nil {
		return httpapi.Answer{}, err
	}
	if hit {
		return s.again(kept, req.Stream), nil
	}
	c.Out.Set("X-Cache", "miss")
	switch {
	case len(s.found.sources) == 0 || !q.answer:
		r := s.without()
		s.remember(ctx, r)
		return s.ready(r, req.Stream), nil
	case req.Stream:
		return s.stream(ctx)
	}
	r, err := s.whole(ctx)
	if err != nil {
		return httpapi.Answer{}, err
	}
	s.remember(ctx, r)
	return s.ready(r, false), nil
}

// admitFree takes a request that costs no model from the rate windows.
func (f *Feature) admitFree(ctx context.Context, c httpapi.Call) error {
	a, err := f.Gate.Admit(ctx, c, limits.Ask{Prompt: func(context.Context) (int, error) { return 0, nil }})
	if err != nil {
		return err
	}
	f.release(ctx, a, "")
	return nil
}

// admit takes the request from the rate windows and then sets aside what the models may
// cost: one that is refused for its rate costs the budgets' store nothing.
func (s *searching) admit(ctx context.Context) (err error) {
	cfg := s.c.Tenant.Config
	ask := limits.Ask{}
	if s.answer {
		ask = limits.Ask{Models: chatModels(cfg), MaxOut: maxTokens(cfg)}
	}
	ask.Prompt = func(ctx context.Context) (tokens int, err error) {
		if s.embeds(cfg) {
			s.embedding, err = s.f.reserveQuery(ctx, s.c.Tenant, s.text)
		}
		if s.answer {
			tokens = promptRoom(cfg)
		}
		return tokens, err
	}
	if s.chat, err = s.f.Gate.Admit(ctx, s.c, ask); err != nil {
		s.f.release(ctx, s.embedding, "")
	}
	return err
}

// release gives back what wasn't used.
func (s *searching) release(ctx context.Context) {
	s.f.release(ctx, s.embedding, "")
	s.f.release(ctx, s.chat, "")
}

// find embeds the query and retrieves. A query that is as good as one that was answered
// has that one's answer, where the tenant wants that.
func (s *searching) find(ctx context.Context) (kept result, hit bool, err error) {
	if s.embeds(s.c.Tenant.Config) {
		if s.vector, err = s.f.embedQuery(ctx, s.c, s.text, s.embedding); err != nil {
			return result{}, false, err
		}
		s.embedding = nil
		if kept, hit = s.similar(ctx); hit {
			return kept, true, nil
		}
	}
	s.found, err = s.f.retrieve(ctx, s.c, s.query, s.vector)
	return result{}, false, err
}

// embedQuery makes the vector of a query.
func (f *Feature) embedQuery(ctx context.Context, c httpapi.Call, text string, a *limits.Admission) ([]float32, error) {
	begun := f.Now()
	made, err := f.embedTexts(ctx, c.Tenant, "search", c.TraceID, []string{text}, f.Estimator.Text(embeddingModel(c.Tenant.Config), text), a)
	if err != nil {
		return nil, fmt.Errorf("embedding a query: %w", embeddingFailed(err))
	}
	f.counts.phase(phaseEmbed, f.Now().Sub(begun))
	return made[0], nil
}

// without is the result of a search that no model answers.
func (s *searching) without() result {
	r := result{Sources: s.found.sources, Confidence: s.found.confidence, FollowUps: []string{}}
	if len(r.Sources) == 0 && s.answer {
		r.Answer = NothingFound
	}
	return r
}

// again gives what the cache had.
func (s *searching) again(r result, stream bool) httpapi.Answer {
	s.c.Out.Set("X-Cache", "hit")
	return s.ready(r, stream)
}

// ready gives a result that is complete.
func (s *searching) ready(r result, stream bool) httpapi.Answer {
	if r.Model != "" {
		s.c.Out.Set("X-Model-Id", r.Model)
	}
	if !stream {
		return httpapi.Answer{Data: r.reply(s.c.TraceID)}
	}
	return httpapi.Answer{Stream: func(_ context.Context, w *httpapi.EventWriter) {
		defer s.f.Recorder.StreamOpened()()
		e := events{w: w, c: s.c}
		e.sources(r.Sources)
		e.text(r.Answer)
		e.done(r, turn.Outcome{Model: r.Model}, 0)
	}}
}

func chatModels(cfg *tenantconfig.Config) []string {
	return append([]string{cfg.Models.Chat}, cfg.Models.Fallbacks...)
}

const (
	// defaultMaxTokens bounds an answer where the tenant sets none, defaultContext a prompt.
	defaultMaxTokens = 1024
	defaultContext   = 8192
	// leastRoom is what passages have in a prompt in any case, in tokens.
	leastRoom = 512
)

func maxTokens(cfg *tenantconfig.Config) int {
	if cfg.Prompt.MaxTokens > 0 {
		return cfg.Prompt.MaxTokens
	}
	return defaultMaxTokens
}

// promptRoom is how many tokens a prompt may have.
func promptRoom(cfg *tenantconfig.Config) int {
	context := cfg.Prompt.ContextTokens
	if context <= 0 {
		context = defaultContext
	}
	return max(leastRoom, context-maxTokens(cfg))
}

func setUsageHeaders(h http.Header, u ai.Usage) {
	h.Set("X-Tokens-In", strconv.Itoa(u.In))
	h.Set("X-Tokens-Out", strconv.Itoa(u.Out))
	h.Set("X-Tokens-Total", strconv.Itoa(u.In+u.Out))
}
