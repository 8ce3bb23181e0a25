package chat

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// historyTokens bounds what is repeated of a conversation: enough for some twenty
	// ordinary turns, small enough for a model with a context of 8,192.
	historyTokens = 4096
	// historyMessages bounds what is read for it.
	historyMessages = 40
)

// prompts keeps each tenant's rendered system prompt, so that a request renders none.
type prompts struct{ byTenant sync.Map } // tenancy.ID → *systemPrompt

type systemPrompt struct {
	tenant *tenancy.Tenant
	text   string
}

func (p *prompts) system(t *tenancy.Tenant) string {
	if v, ok := p.byTenant.Load(t.ID); ok {
		if s := v.(*systemPrompt); s.tenant == t {
			return s.text
		}
	}
	s := &systemPrompt{tenant: t, text: render(t.Config.Prompt.System, t.Config.Prompt.Variables)}
	p.byTenant.Store(t.ID, s)
	return s.text
}

// render replaces {{name}}, in one pass: a value that looks like a variable is left
// as it is, and so is a name without a value.
func render(text string, values map[string]string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "{{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}}")
		value, known := values[strings.TrimSpace(name)]
		if !closed || !known {
			b.WriteString("{{")
			text = rest
			continue
		}
		b.WriteString(value)
		text = after
	}
}

// conversation is the system prompt, as much of the history as fits, and the
// message.
func (f *Feature) conversation(ctx context.Context, t *tenancy.Tenant, x *exchange) ([]ai.Message, error) {
	past, err := f.history.History(ctx, t.ID, x.owner, x.session, storage.Page{Limit: historyMessages})
	if err != nil {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	past = f.fitting(x.models[0], past)
	msgs := make([]ai.Message, 0, len(past)+2)
	if system := f.prompts.system(t); system != "" {
		msgs = append(msgs, ai.Message{Role: ai.RoleSystem, Content: system})
	}
	for i := len(past) - 1; i >= 0; i-- {
		msgs = append(msgs, ai.Message{Role: past[i].Role, Content: past[i].Content})
	}
	return append(msgs, ai.Message{Role: ai.RoleUser, Content: x.message}), nil
}

// fitting is the newest part of past, which is newest first, that fits. It starts
// with a question: an answer without one confuses models, and some refuse it.
func (f *Feature) fitting(model string, past []storage.Message) []storage.Message {
	room := historyTokens
	n := 0
	for ; n < len(past); n++ {
		if room -= f.estimator.Text(model, past[n].Content); room < 0 {
			break
		}
	}
	for n > 0 && past[n-1].Role != storage.RoleUser {
		n--
	}
	return past[:n]
}
