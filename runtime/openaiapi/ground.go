package openaiapi

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// passagesTokens is what passages may add to a prompt, set aside before they are found.
	passagesTokens = 2048
	// nothingFound answers a question that the documents don't: a model would guess.
	nothingFound = "This isn't in the documents."
	// groundRules come before the passages.
	groundRules = "Answer from the passages below alone, and cite each one that you use by its number, as [1]. " +
		"If they don't answer the question, say that the documents don't."
)

// ground finds passages for a question that wants them, and puts them before the model.
func (x *exchange) ground(ctx context.Context) error {
	e, p := x.q.extras, &x.params
	if e != nil && e.UseRAG {
		q := x.lookFor()
		found, err := x.f.Retriever.Retrieve(ctx, x.c, q)
		if err != nil {
			return fmt.Errorf("finding passages: %w", err)
		}
		if len(found) == 0 {
			x.nothing = true
			return nil
		}
		x.sources = found
		p.Untrusted = true
		p.Grounds = &ai.Grounds{Question: q.Message}
		b := strings.Builder{}
		b.WriteString(groundRules)
		for _, s := range found {
			b.WriteString("\n\n")
			b.WriteString(guard.Fence("passage", fmt.Sprintf("[%d] %s", s.ID, s.Title), s.Text))
			p.Grounds.Passages = append(p.Grounds.Passages, ai.Passage{ID: s.ID, Text: s.Text})
		}
		// The tenant's word comes first, the client's last.
		p.Messages = systemFirst(joined(x.c.Tenant.SystemPrompt(), b.String()), x.q.messages)
	}
	if p.Untrusted || len(p.Tools) > 0 {
		p.Answer = guard.Policy{
			Sources: x.sources, LinkHosts: x.c.Tenant.Config.Documents.LinkHosts,
			Hidden: x.f.hidden.of(x.c.Tenant), Citations: len(x.sources) > 0,
		}
	}
	return nil
}

// lookFor is the user's last word, and what came before it.
func (x *exchange) lookFor() Question {
	q := Question{Filter: x.q.extras.Filter}
	if x.q.extras.TopK != nil {
		q.TopK = *x.q.extras.TopK
	}
	for i := len(x.q.messages) - 1; i >= 0; i-- {
		if x.q.messages[i].Role == ai.RoleUser {
			q.Message, q.History = x.q.messages[i].Content, x.q.messages[:i]
			break
		}
	}
	return q
}

// hidden keeps, by tenant, what an answer must not repeat: to prepare it takes longer
// than a request should.
type hidden struct{ byTenant sync.Map } // tenancy.ID → *hiddenPrompt

type hiddenPrompt struct {
	tenant *tenancy.Tenant
	hidden *guard.Hidden
}

func (h *hidden) of(t *tenancy.Tenant) *guard.Hidden {
	if v, ok := h.byTenant.Load(t.ID); ok {
		if p := v.(*hiddenPrompt); p.tenant == t {
			return p.hidden
		}
	}
	p := &hiddenPrompt{t, guard.NewHidden(t.SystemPrompt())}
	h.byTenant.Store(t.ID, p)
	return p.hidden
}
