package chatwire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type requestBody struct {
	Model         string         `json:"model"`
	Messages      []message      `json:"messages"`
	MaxTokens     int            `json:"max_tokens"`
	Temperature   *float64       `json:"temperature,omitempty"`
	Stream        bool           `json:"stream"`
	StreamOptions *streamOptions `json:"stream_options,omitempty"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// encode makes the body. The same request always gives the same bytes, which a
// gateway's cache key is made from.
func encode(t tenancy.ID, req ai.ChatRequest, stream bool) ([]byte, error) {
	switch {
	case t.IsZero():
		return nil, errors.New("a model is called for a tenant, and none was named")
	case req.Model == "":
		return nil, errors.New("no model was named")
	case len(req.Messages) == 0:
		return nil, errors.New("the conversation is empty")
	case req.MaxTokens < 1:
		return nil, fmt.Errorf("max tokens is %d; it must be 1 or more", req.MaxTokens)
	}
	b := requestBody{Model: req.Model, MaxTokens: req.MaxTokens, Temperature: req.Temperature, Stream: stream}
	b.Messages = make([]message, len(req.Messages))
	for i, m := range req.Messages {
		b.Messages[i] = message{Role: m.Role, Content: m.Content}
	}
	if stream {
		b.StreamOptions = &streamOptions{IncludeUsage: true}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(b); err != nil {
		// The encoder's own text may quote the value that it stumbled over.
		return nil, errors.New("the temperature is no number")
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
