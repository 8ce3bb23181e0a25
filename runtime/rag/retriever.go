package rag

import (
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/textindex"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

const (
	// rewriteWithin bounds the model call that makes a question stand alone, and
	// rewriteTokens its answer.
	rewriteWithin = 5 * time.Second
	rewriteTokens = 96
	// shortQuestion is how many words that tell something a question has at least to be
	// looked for as it is.
	shortQuestion = 4
	// rewriteHistory is how many messages, and how much of each, the model is given.
	rewriteHistory      = 4
	rewriteHistoryChars = 800
)

const rewriteRules = "Rewrite the user's last message as one search query that can be understood without the conversation. " +
	"Keep names and numbers. Write the query alone, in the language of the message."

// Question is what passages are looked for within a conversation.
type Question struct {
	// Message is the user's last one; History is what came before it.
	Message string
	History []ai.Message
	// TopK is 1 to 50, 0 for the search's own.
	TopK int
	// Filter is as POST /search takes it, or empty.
	Filter json.RawMessage
}

// Retrieve finds passages for a question of a conversation, within a request that was
// admitted. A follow-up question, which hardly says what it is about, is looked for as the
// model rewrites it with the conversation; where there is no model, or it fails, together
// with the question before it.
func (f *Feature) Retrieve(ctx context.Context, c httpapi.Call, q Question) ([]guard.Source, error) {
	filter, err := parseFilter(q.Filter)
	if err != nil {
		return nil, err
	}
	found, err := f.look(ctx, c, f.alone(ctx, c, q), q.TopK, filter)
	return found.sources, told(err)
}

// alone makes a question stand alone.
func (f *Feature) alone(ctx context.Context, c httpapi.Call, q Question) string {
	message := cut(q.Message, maxQueryChars)
	before := lastQuestion(q.History)
	if before == "" || !follows(message) {
		return message
	}
	if c.Tenant.Config.Upstream.Type != tenantconfig.UpstreamEmbedded {
		if text := f.rewrite(ctx, c, q); text != "" {
			return text
		}
	}
	return cut(cut(before, maxQueryChars/2)+" "+message, maxQueryChars)
}

// rewrite asks the model, and gives "" if that fails: the question is looked for anyhow.
func (f *Feature) rewrite(ctx context.Context, c httpapi.Call, q Question) string {
	ctx, cancel := context.WithTimeout(ctx, rewriteWithin)
	defer cancel()
	var b strings.Builder
	for _, m := range q.History[max(0, len(q.History)-rewriteHistory):] {
		if m.Role == ai.RoleUser || m.Role == ai.RoleAssistant {
			b.WriteString(m.Role + ": " + cut(m.Content, rewriteHistoryChars) + "\n")
		}
	}
	out, err := f.Turns.Whole(ctx, turn.Params{
		Call: c, Feature: "rewrite", Models: []string{c.Tenant.Config.Models.Chat}, MaxTokens: rewriteTokens, Untrusted: true,
		Messages: []ai.Message{
			{Role: ai.RoleSystem, Content: rewriteRules + "\n\n" + guard.Fence("conversation", "", b.String())},
			{Role: ai.RoleUser, Content: q.Message},
		},
	}, nil)
	if err != nil {
		f.Logger.Warn("a follow-up question isn't rewritten", "tenant", c.Tenant.ID.String(), "trace_id", c.TraceID, "error", err)
		return ""
	}
	text, _, _ := strings.Cut(strings.TrimSpace(out.Text), "\n")
	return cut(strings.Trim(text, " \"'`"), maxQueryChars)
}

// referring are words that point at what was said before.
var referring = map[string]bool{
	"it": true, "its": true, "he": true, "she": true, "they": true, "them": true, "their": true, "this": true, "that": true,
	"these": true, "those": true, "there": true, "then": true, "him": true, "her": true, "his": true, "one": true, "ones": true,
}

// follows tells whether a message says too little to be looked for alone.
func follows(message string) bool {
	for word := range strings.FieldsFuncSeq(strings.ToLower(message), func(r rune) bool { return !('a' <= r && r <= 'z') }) {
		if referring[word] {
			return true
		}
	}
	n := 0
	for range textindex.Terms(message) {
		n++
	}
	return n < shortQuestion
}

func lastQuestion(history []ai.Message) string {
	for i := len(history) - 1; i >= 0; i-- {
		if history[i].Role == ai.RoleUser {
			return history[i].Content
		}
	}
	return ""
}

func cut(text string, chars int) string {
	text = strings.TrimSpace(text)
	if len(text) <= chars || utf8.RuneCountInString(text) <= chars {
		return text
	}
	return string([]rune(text)[:chars])
}

// Ingest takes a text in for a tool, within a request that was admitted. chunks is 0 and
// job is set where it goes on behind the request.
func (f *Feature) Ingest(ctx context.Context, c httpapi.Call, docID, title, source, text string, chunkSize int, metadata map[string]any) (chunks int, job string, err error) {
	if err := mayWrite(c); err != nil {
		return 0, "", err
	}
	req := IngestRequest{DocID: docID, Text: &text, Title: title, Source: source, Metadata: metadata}
	if chunkSize > 0 {
		req.Chunking = &Chunking{MaxChunkSize: &chunkSize}
	}
	m, err := req.material(c.Tenant.Config, nil)
	if err != nil {
		return 0, "", err
	}
	done, err := f.take(ctx, c, m, func(ask limits.Ask) (*limits.Admission, error) { return f.Gate.Reserve(ctx, c.Tenant, ask) })
	return done.Chunks, done.JobID, told(err)
}

// Search finds passages for a tool: it is within a request that was admitted, and costs
// the budget what embedding the query costs.
func (f *Feature) Search(ctx context.Context, c httpapi.Call, text string, topK int) ([]guard.Source, error) {
	found, err := f.look(ctx, c, text, topK, nil)
	return found.sources, told(err)
}

// look retrieves within a request that was admitted.
func (f *Feature) look(ctx context.Context, c httpapi.Call, text string, topK int, filter []storage.Condition) (finding, error) {
	if err := enabled(c.Tenant); err != nil {
		return finding{}, err
	}
	q := query{text: strings.TrimSpace(text), topK: topK, filter: filter, mode: modeHybrid, rerank: c.Tenant.Config.Documents.RerankModel != ""}
	switch {
	case q.text == "" || utf8.RuneCountInString(q.text) > maxQueryChars:
		return finding{}, httpapi.Invalid("query", "must have 1 to 2000 characters")
	case topK == 0:
		q.topK = defaultTopK
	case topK < 1 || topK > maxTopK:
		return finding{}, httpapi.Invalid("topK", "must be from 1 to 50")
	}
	var vector []float32
	if q.embeds(c.Tenant.Config) {
		a, err := f.reserveQuery(ctx, c.Tenant, q.text)
		if err != nil {
			return finding{}, err
		}
		if vector, err = f.embedQuery(ctx, c, q.text, a); err != nil {
			return finding{}, err
		}
	}
	return f.retrieve(ctx, c, q, vector)
}

func (f *Feature) reserveQuery(ctx context.Context, t *tenancy.Tenant, text string) (*limits.Admission, error) {
	model := embeddingModel(t.Config)
	return f.Gate.Reserve(ctx, t, limits.Ask{Models: models(model), Prompt: func(context.Context) (int, error) {
		return f.Estimator.Text(model, text), nil
	}})
}
