package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

const (
	summaryFeature = "summary"
	// summaryTokens bounds a summary, summaryWait the time it may take.
	summaryTokens  = 300
	summaryWait    = 20 * time.Second
	summaryRequest = "Sum up the quoted conversation in at most 150 words, for yourself to go on with it: facts, names, numbers, decisions, and what is still open. Write the summary alone."
)

// summary is of all messages of a session up to a time. It is kept in the cache, where it
// may be lost: then what doesn't fit into the prompt is summed up anew, as far as it is
// read.
type summary struct {
	// Caller whose session it is: callers may have sessions of one id.
	Caller  string `json:"caller"`
	Through int64  `json:"through"` // Unix milliseconds, that message included
	Text    string `json:"text"`
	// Untrusted tells that an answer that it sums up was.
	Untrusted bool `json:"untrusted,omitempty"`
}

// summarize puts a summary in the place of messages that don't fit into the prompt, where
// the tenant wants that. Its failure costs the summary, never the answer.
func (x *exchange) summarize(ctx context.Context) {
	cfg := x.call.Tenant.Config
	if !cfg.Prompt.Summarize || x.feature.Cache == nil || len(x.prompt.past) == 0 || cfg.Upstream.Type == tenantconfig.UpstreamEmbedded {
		return
	}
	room := x.room() - summaryTokens
	if x.wantsMaterial() {
		room /= 2
	}
	had := x.cachedSummary(ctx)
	since := since(x.prompt.past, had.Through)
	if had.Text != "" {
		x.prompt.past, x.prompt.summary = since, had
	}
	unread := len(since) == x.historyLimit()
	if len(x.fitting(since, room)) == len(since) && !unread {
		return
	}
	// Half of the room is left free, so that not every question from now on sums up.
	rest := x.fitting(since, room/2)
	if unread {
		rest = x.fitting(since[:len(since)/2], room/2)
	}
	fallen := since[len(rest):]
	if len(fallen) == 0 {
		return
	}
	text, err := x.sumUp(ctx, had.Text, fallen, room)
	if err != nil {
		x.feature.Logger.Warn("conversation not summed up", "tenant", x.call.Tenant.ID.String(), "trace_id", x.call.TraceID, "error", err)
		return
	}
	was := prompt{past: fallen, summary: had}
	made := summary{Caller: x.owner.Caller, Through: fallen[0].At.UnixMilli(), Text: text, Untrusted: was.hearsay()}
	x.prompt.past, x.prompt.summary = rest, made
	x.keepSummary(ctx, made)
}

// since are the messages after a time; all are newest first.
func since(past []storage.Message, through int64) []storage.Message {
	for i := range past {
		if past[i].At.UnixMilli() <= through {
			return past[:i]
		}
	}
	return past
}

func (x *exchange) sumUp(ctx context.Context, before string, fallen []storage.Message, room int) (string, error) {
	ctx, done := context.WithTimeout(ctx, summaryWait)
	defer done()
	var b strings.Builder
	if before != "" {
		b.WriteString(guard.Fence("summary", "what was before", before))
	}
	fallen = x.fitting(fallen, room)
	var said strings.Builder
	for i := len(fallen) - 1; i >= 0; i-- {
		said.WriteString(fallen[i].Role + ": " + fallen[i].Content + "\n")
	}
	b.WriteString(guard.Fence("conversation", "", said.String()))
	out, err := x.feature.Turns.Whole(ctx, turn.Params{
		Call: x.call, Feature: summaryFeature, Models: x.models, MaxTokens: summaryTokens,
		Messages: []ai.Message{{Role: ai.RoleSystem, Content: summaryRequest}, {Role: ai.RoleUser, Content: b.String()}},
	}, nil)
	return cut(strings.TrimSpace(out.Text), 2*summaryTokens*bytesPerToken), err
}

func summaryKey(session string) string { return "chat-summary:" + session }

// Forget takes the summary of a session, whoever's it was, out of the cache. session is in
// lower case.
func Forget(ctx context.Context, c Cache, t tenancy.ID, session string) error {
	// A cache has no other way to let go of one entry.
	if err := c.Put(ctx, t, summaryKey(session), []byte("{}"), time.Second); err != nil {
		return fmt.Errorf("forgetting a summary: %w", err)
	}
	return nil
}

func (x *exchange) cachedSummary(ctx context.Context) (s summary) {
	raw, ok, err := x.feature.Cache.Get(ctx, x.call.Tenant.ID, summaryKey(x.session))
	if err != nil || !ok || json.Unmarshal(raw, &s) != nil || s.Caller != x.owner.Caller {
		return summary{}
	}
	// A session that was deleted and begun again has no message as old as its summary.
	if oldest := x.prompt.past[len(x.prompt.past)-1]; oldest.At.UnixMilli() > s.Through {
		return summary{}
	}
	return s
}

func (x *exchange) keepSummary(ctx context.Context, s summary) {
	raw, err := json.Marshal(s)
	if err == nil {
		ttl := time.Duration(max(1, x.call.Tenant.Config.Sessions.RetentionDays)) * 24 * time.Hour
		err = x.feature.Cache.Put(ctx, x.call.Tenant.ID, summaryKey(x.session), raw, ttl)
	}
	if err != nil {
		x.feature.Logger.Warn("summary not kept", "tenant", x.call.Tenant.ID.String(), "trace_id", x.call.TraceID, "error", err)
	}
}
