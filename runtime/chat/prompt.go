package chat

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

const (
	// defaultContext is a prompt's bound in tokens, answer included, where the tenant sets
	// none.
	defaultContext = 8192
	// tokensPerMessage bounds how many messages are read: as many as would fill the context
	// if each had that many tokens.
	tokensPerMessage = 200
	maxHistory       = 500
)

// prompt is what a question is put before the model with.
type prompt struct {
	system string
	past   []storage.Message // newest first
	// summary is of what came before past.
	summary summary
	// tool is the result of the tool that the caller named, fenced; toolText without.
	tool, toolText string
	sources        []guard.Source
	message        string
}

// hearsay tells that an earlier answer was made after untrusted text.
func (p *prompt) hearsay() bool {
	return p.summary.Untrusted || slices.ContainsFunc(p.past, func(m storage.Message) bool { return m.Untrusted })
}

// room is how many tokens of the model's context are left for history, passages and the
// result of a named tool.
func (x *exchange) room() int {
	fixed := []ai.Message{{Role: ai.RoleSystem, Content: x.prompt.system}, {Role: ai.RoleUser, Content: x.prompt.message}}
	return max(0, x.context()-x.maxTokens-x.feature.Estimator.Messages(x.models[0], fixed, x.offered()...))
}

func (x *exchange) context() int {
	if n := x.call.Tenant.Config.Prompt.ContextTokens; n > 0 {
		return n
	}
	return defaultContext
}

// historyLimit is how many messages are read; it is even, since they come in pairs.
func (x *exchange) historyLimit() int {
	return max(2, min(maxHistory, x.context()/tokensPerMessage)&^1)
}

func (x *exchange) offered() (tools []ai.Tool) {
	for i := range x.tools {
		tools = append(tools, x.tools[i].Tool)
	}
	return tools
}

// estimate reads the history and gives the most tokens that the prompt may have: what
// documents and tools will add isn't known before the budget is reserved.
func (x *exchange) estimate(ctx context.Context) (int, error) {
	past, err := x.feature.History.History(ctx, x.call.Tenant.ID, x.owner, x.session, storage.Page{Limit: x.historyLimit()})
	if err != nil {
		return 0, fmt.Errorf("reading the history: %w", err)
	}
	x.prompt.past = past
	room := x.room()
	n := 0
	for i := range past {
		n += x.feature.Estimator.Text(x.models[0], past[i].Content)
	}
	if x.wantsMaterial() {
		n += room / 2
	}
	return min(n, room) + x.context() - x.maxTokens - room, nil
}

// messages are the prompt, within the model's context. What doesn't fit of the history is
// left out, the oldest first.
func (x *exchange) messages() []ai.Message {
	p := &x.prompt
	room := x.room()
	if x.wantsMaterial() {
		x.fitSources(room / 2)
	}
	question := x.question()
	room -= x.feature.Estimator.Text(x.models[0], question) - x.feature.Estimator.Text(x.models[0], p.message)
	room -= x.feature.Estimator.Text(x.models[0], p.summary.Text)
	past := x.fitting(p.past, room)
	msgs := make([]ai.Message, 0, len(past)+2)
	if system := x.systemText(); system != "" {
		msgs = append(msgs, ai.Message{Role: ai.RoleSystem, Content: system})
	}
	for _, m := range slices.Backward(past) {
		msgs = append(msgs, ai.Message{Role: m.Role, Content: m.Content})
	}
	return append(msgs, ai.Message{Role: ai.RoleUser, Content: question})
}

func (x *exchange) systemText() string {
	parts := []string{x.prompt.system}
	if len(x.prompt.sources) > 0 {
		parts = append(parts, guard.GroundRules)
	}
	if x.prompt.summary.Text != "" {
		parts = append(parts, "What was said before, summed up:\n"+guard.Fence("summary", "earlier conversation", x.prompt.summary.Text), guard.Rules)
	}
	return strings.TrimSpace(strings.Join(parts, "\n\n"))
}

// question is the message behind what is quoted for it. All is one message, since some
// models take no two of the user's in a row.
func (x *exchange) question() string {
	return guard.Passages(x.prompt.sources) + x.prompt.tool + x.prompt.message
}

// fitSources leaves out the passages that score least, until the rest fits; the best one
// stays.
func (x *exchange) fitSources(room int) {
	const fence = 40 // tokens
	for i, s := range x.prompt.sources {
		if room -= x.feature.Estimator.Text(x.models[0], s.Text) + fence; room < 0 && i > 0 {
			x.prompt.sources = x.prompt.sources[:i]
			return
		}
	}
}

// fitting is the newest part of past, which is newest first, that fits. It starts
// with a question: an answer without one confuses models, and some refuse it.
func (x *exchange) fitting(past []storage.Message, room int) []storage.Message {
	const wrapping = 4 // tokens that a template puts around a message
	n := 0
	for ; n < len(past); n++ {
		if room -= x.feature.Estimator.Text(x.models[0], past[n].Content) + wrapping; room < 0 {
			break
		}
	}
	for n > 0 && past[n-1].Role != storage.RoleUser {
		n--
	}
	return past[:n]
}
