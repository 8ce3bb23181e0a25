package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Model is the one model there is.
const Model = "builtin/extractive"

// What an answer begins with, or is.
const (
	lead    = "No language model is connected. These sentences of this conversation come closest to the question:"
	nothing = "No language model is connected, and no sentence of this conversation answers that. This is " + Model +
		": it only quotes what was said here. To connect a model, set spec.upstream of the Tenant to an OpenAI-compatible server (type: openai) or to Cloudflare (type: workersai)."
)

// Driver is the ai.Chatter. It is safe for concurrent use.
type Driver struct{ tokens ai.Estimator }

var _ ai.Chatter = (*Driver)(nil)

// New makes a driver.
func New() *Driver { return &Driver{} }

// Complete gives the whole answer.
func (d *Driver) Complete(ctx context.Context, t tenancy.ID, req ai.ChatRequest) (ai.Answer, error) {
	s, err := d.open(ctx, t, req)
	if err != nil {
		return ai.Answer{}, err
	}
	a := ai.Answer{Model: Model}
	for {
		chunk, err := s.Next()
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return ai.Answer{}, err
		}
		a.Text += chunk.Text
		if chunk.Usage != nil {
			a.Finish, a.Usage = chunk.Finish, *chunk.Usage
		}
	}
}

// Stream gives the answer sentence by sentence.
func (d *Driver) Stream(ctx context.Context, t tenancy.ID, req ai.ChatRequest) (ai.Stream, error) {
	s, err := d.open(ctx, t, req)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (d *Driver) open(ctx context.Context, t tenancy.ID, req ai.ChatRequest) (*stream, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	switch {
	case t.IsZero():
		return nil, refused("a model is called for a tenant, and none was named")
	case req.Model != Model:
		return nil, &ai.Error{Kind: ai.KindModelNotFound, Err: errors.New("no model but " + Model + " is built in; connect an upstream for others")}
	case len(req.Tools) > 0:
		return nil, &ai.Error{Kind: ai.KindNoTools, Err: errors.New(Model + " quotes, and calls no tools; connect an upstream for that")}
	case req.MaxTokens < 1:
		return nil, refused(fmt.Sprintf("max tokens is %d; it must be 1 or more", req.MaxTokens))
	case len(req.Messages) == 0 || req.Messages[len(req.Messages)-1].Role != ai.RoleUser:
		return nil, refused("the conversation must end with the user's message")
	}
	parts := compose(req)
	s := &stream{ctx: ctx, finish: "stop"}
	left := req.MaxTokens
	for _, part := range parts {
		n := d.tokens.Text(Model, part)
		if n > left {
			s.finish = "length"
			part = d.shorten(part, left)
			n = d.tokens.Text(Model, part)
		}
		if part != "" {
			s.parts = append(s.parts, part)
			s.usage.Out += n
			left -= n
		}
		if s.finish == "length" {
			break
		}
	}
	s.usage.In = d.tokens.Messages(Model, req.Messages)
	s.usage.Estimated = true
	return s, nil
}

// compose writes the answer's parts, one for each step of a stream.
func compose(req ai.ChatRequest) []string {
	if req.Grounds != nil {
		return quotePassages(req.Grounds)
	}
	quotes := choose(req.Messages)
	if len(quotes) == 0 {
		return []string{nothing}
	}
	parts := []string{lead}
	for _, q := range quotes {
		parts = append(parts, "\n\u201c"+q.text+"\u201d ["+q.whose()+"]")
	}
	return parts
}

// shorten cuts at the last word that fits into n tokens.
func (d *Driver) shorten(s string, n int) string {
	for s != "" && d.tokens.Text(Model, s) > n {
		cut := strings.LastIndexAny(s, " \n")
		if cut < 0 {
			return ""
		}
		s = s[:cut]
	}
	return s
}

func refused(why string) *ai.Error {
	return &ai.Error{Kind: ai.KindBadRequest, Err: errors.New(why)}
}

// ended is nil while the call may go on.
func ended(ctx context.Context) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return &ai.Error{Kind: ai.KindTimeout, Err: err}
	default:
		return &ai.Error{Kind: ai.KindCanceled, Err: err}
	}
}
