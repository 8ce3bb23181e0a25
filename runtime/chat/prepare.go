package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// namedTool is the id of the tool that the caller names, in events.
const namedTool = "call_0"

func (x *exchange) wantsMaterial() bool { return x.req.ToolName != "" || x.wantsDocuments() }

func (x *exchange) wantsDocuments() bool { return x.req.UseRAG }

// prepare does what comes between budget and model: the tool that the caller named, then
// documents, then the prompt. tell is told of the tool. unanswerable tells that the documents have
// nothing: then the answer is ai.Ungrounded, without a model that could guess.
func (x *exchange) prepare(ctx context.Context, tell func(toolEvent)) (unanswerable bool, err error) {
	if err := x.runNamed(ctx, tell); err != nil {
		return false, err
	}
	if x.wantsDocuments() {
		q := Question{Message: x.req.Message, Filter: x.req.Filter, History: x.recent()}
		if x.req.TopK != nil {
			q.TopK = *x.req.TopK
		}
		found, err := x.feature.Retriever.Retrieve(ctx, x.call, q)
		if err != nil {
			return false, fmt.Errorf("finding passages: %w", err)
		}
		if len(found.Sources) == 0 && x.prompt.tool == "" {
			return true, nil
		}
		x.prompt.sources = found.Sources
	}
	x.summarize(ctx)
	return false, nil
}

// runNamed runs the tool that the caller names. That it was the caller who asked for it is
// its leave to write.
func (x *exchange) runNamed(ctx context.Context, tell func(toolEvent)) error {
	name := x.req.ToolName
	if name == "" {
		return nil
	}
	params := x.req.ToolParams
	if !given(params) {
		params = json.RawMessage("{}")
	}
	tell(toolStarted(namedTool, name))
	begun := x.feature.Now()
	r := x.feature.Toolbox.Run(ctx, x.call, name, params)
	tell(toolEnded(namedTool, name, r.Code, x.feature.Now().Sub(begun)))
	if err := ctx.Err(); err != nil {
		return &ai.Error{Kind: ai.KindCanceled, Err: err}
	}
	if r.Code != "" {
		return &httpapi.Error{Status: toolStatus(r.Code), Code: r.Code, Message: r.Message}
	}
	x.prompt.toolText = cut(r.Content, x.room()/2*bytesPerToken)
	x.prompt.tool = guard.Fence("tool", name, x.prompt.toolText)
	return nil
}

// bytesPerToken is fewer than most texts have.
const bytesPerToken = 3

func cut(text string, most int) string {
	const least, note = 256, "\n[cut here: the result is longer]"
	text = strings.ToValidUTF8(text, "\uFFFD")
	if most = max(most, least); len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + note
}

func toolStatus(code string) int {
	switch code {
	case "TOOL_NOT_FOUND":
		return http.StatusNotFound
	case "VALIDATION_FAILED":
		return http.StatusBadRequest
	case "PERMISSION_DENIED":
		return http.StatusForbidden
	case "EXECUTION_TIMEOUT":
		return http.StatusGatewayTimeout
	default:
		return http.StatusBadGateway
	}
}

// recent is the conversation so far, oldest first, as far as it was read.
func (x *exchange) recent() (out []ai.Message) {
	for i := len(x.prompt.past) - 1; i >= 0; i-- {
		out = append(out, ai.Message{Role: x.prompt.past[i].Role, Content: x.prompt.past[i].Content})
	}
	return out
}

// params are the turn. Its admission is settled there.
func (x *exchange) params() turn.Params {
	p := turn.Params{
		Call: x.call, Feature: feature, Models: x.models, Messages: x.messages(), MaxTokens: x.maxTokens,
		Temperature: x.temperature, Sampling: x.sampling, Tools: x.tools, Admission: x.admission,
		MustHaveTools: x.req.UseTools != nil && *x.req.UseTools,
		Untrusted:     len(x.prompt.sources) > 0 || x.prompt.tool != "",
		Hearsay:       x.prompt.hearsay(),
		Answer:        guard.Policy{Sources: x.prompt.sources, Citations: len(x.prompt.sources) > 0},
	}
	if p.Untrusted {
		p.Grounds = &ai.Grounds{Question: x.req.Message}
		for _, s := range x.prompt.sources {
			p.Grounds.Passages = append(p.Grounds.Passages, ai.Passage{ID: s.ID, Text: s.Text})
		}
		if x.prompt.toolText != "" {
			p.Grounds.Passages = append(p.Grounds.Passages, ai.Passage{Text: x.prompt.toolText})
		}
	}
	x.admission = nil
	return p
}
