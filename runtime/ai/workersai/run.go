package workersai

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/chatwire"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// run calls a model by its own path, with its own input.
func (d Driver) run(ctx context.Context, t tenancy.ID, model, trace, accept string, input any) (*chatwire.Reply, error) {
	var path []string
	for _, part := range strings.Split(model, "/") {
		// The name is a path on Cloudflare's side: it must not lead out of it.
		if part == "" || part == "." || part == ".." {
			return nil, &ai.Error{Kind: ai.KindBadRequest, Err: errors.New("the model's name is none of Workers AI, which look like @cf/baai/bge-m3")}
		}
		path = append(path, url.PathEscape(part))
	}
	return d.Post(ctx, t, chatwire.Post{URL: d.native + strings.Join(path, "/"), Model: model, TraceID: trace, Accept: accept, Body: input})
}

// result reads a native answer into v: in Cloudflare's envelope, or bare as some models
// give it through a gateway.
func result(reply *chatwire.Reply, v any) error {
	var raw json.RawMessage
	if err := reply.JSON(&raw); err != nil {
		return err
	}
	var envelope struct {
		Result json.RawMessage `json:"result"`
	}
	if json.Unmarshal(raw, &envelope) == nil && len(envelope.Result) > 0 && string(envelope.Result) != "null" {
		raw = envelope.Result
	}
	if json.Unmarshal(raw, v) != nil {
		return &ai.Error{Kind: ai.KindMalformed, Err: errors.New("the answer isn't what this kind of model gives")}
	}
	return nil
}
