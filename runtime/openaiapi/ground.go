package openaiapi

import (
	"context"
	"fmt"
	"slices"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
)

// passagesTokens is what passages may add to a prompt. It is set aside before they are
// found.
const passagesTokens = 2048

// ground finds passages for a question that wants them, and puts them before the model.
// What the documents have nothing about isn't asked: a model would guess.
func (x *exchange) ground(ctx context.Context) error {
	if x.q.extras == nil || !x.q.extras.UseRAG {
		return nil
	}
	q, at := x.lookFor()
	found, err := x.f.Retriever.Retrieve(ctx, x.c, q)
	if err != nil {
		return fmt.Errorf("finding passages: %w", err)
	}
	if len(found) == 0 {
		x.nothing = true
		return nil
	}
	x.sources = x.fitting(found)
	p := &x.params
	p.Untrusted = true
	p.Answer = guard.Policy{Sources: x.sources, Citations: true}
	p.Grounds = &ai.Grounds{Question: q.Message}
	for _, s := range x.sources {
		p.Grounds.Passages = append(p.Grounds.Passages, ai.Passage{ID: s.ID, Text: s.Text})
	}
	messages := slices.Clone(x.q.messages)
	messages[at].Content = guard.Passages(x.sources) + q.Message
	p.Messages = systemFirst(joined(x.c.Tenant.SystemPrompt(), guard.GroundRules), messages)
	return nil
}

// lookFor is the user's last word, where it stands, and what came before it.
func (x *exchange) lookFor() (q Question, at int) {
	q.Filter = x.q.extras.Filter
	if x.q.extras.TopK != nil {
		q.TopK = *x.q.extras.TopK
	}
	// extend has seen to it that there is one.
	at = lastOf(x.q.messages, ai.RoleUser)
	q.Message, q.History = x.q.messages[at].Content, x.q.messages[:at]
	return q, at
}

func lastOf(messages []ai.Message, role string) int {
	for i, m := range slices.Backward(messages) {
		if m.Role == role {
			return i
		}
	}
	return -1
}

// fitting are the best passages that fit into what was set aside for them; the best one
// stays.
func (x *exchange) fitting(found []guard.Source) []guard.Source {
	const fence = 40 // tokens
	room := passagesTokens
	for i, s := range found {
		if room -= x.f.Estimator.Text(x.params.Models[0], s.Text) + fence; room < 0 && i > 0 {
			return found[:i]
		}
	}
	return found
}
