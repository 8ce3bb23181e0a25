package chatwire

import (
	"context"
	"errors"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// batchTries is how often a batch of embeddings is sent at most: it changes nothing
// upstream, and an ingest of thousands of texts mustn't fail by one lost call.
const batchTries = 3

// batchPatience is the longest Retry-After that a batch waits out itself. A longer one
// is the caller's to tell.
const batchPatience = 5 * time.Second

type embedBody struct {
	Model string   `json:"model"`
	Input []string `json:"input"`
	// The default of some servers is base64.
	EncodingFormat string `json:"encoding_format"`
}

type embedAnswer struct {
	Data []struct {
		Index     *int      `json:"index"`
		Embedding []float32 `json:"embedding"`
	} `json:"data"`
	Usage *struct {
		PromptTokens int `json:"prompt_tokens"`
	} `json:"usage"`
}

// Embed asks for vectors at url, in OpenAI's shape and in batches of at most limit
// texts.
func (c *Client) Embed(ctx context.Context, t tenancy.ID, url string, limit int, req ai.EmbedRequest) (ai.Embeddings, error) {
	switch {
	case req.Model == "":
		return ai.Embeddings{}, &ai.Error{Kind: ai.KindBadRequest, Err: errors.New("no model was named")}
	case len(req.Texts) == 0:
		return ai.Embeddings{}, &ai.Error{Kind: ai.KindBadRequest, Err: errors.New("there is no text to embed")}
	}
	for _, text := range req.Texts {
		if text == "" {
			return ai.Embeddings{}, &ai.Error{Kind: ai.KindBadRequest, Err: errors.New("a text to embed is empty")}
		}
	}
	var all ai.Embeddings
	for rest := req.Texts; len(rest) > 0; {
		batch := req
		batch.Texts = rest[:min(limit, len(rest))]
		rest = rest[len(batch.Texts):]
		if len(all.Vectors) > 0 {
			batch.Dimensions = len(all.Vectors[0])
		}
		some, err := c.embedBatch(ctx, t, url, batch)
		if err != nil {
			return ai.Embeddings{}, err
		}
		all.Vectors = append(all.Vectors, some.Vectors...)
		all.Usage.In += some.Usage.In
		all.Usage.Estimated = all.Usage.Estimated || some.Usage.Estimated
	}
	return all, nil
}

func (c *Client) embedBatch(ctx context.Context, t tenancy.ID, url string, req ai.EmbedRequest) (some ai.Embeddings, err error) {
	for try := 1; ; try++ {
		if some, err = c.embedOnce(ctx, t, url, req); err == nil || try == batchTries {
			return some, err
		}
		var e *ai.Error
		if !errors.As(err, &e) || !again(e) {
			return some, err
		}
		if waited := wait(ctx, e.RetryAfter); waited != nil {
			return some, waited
		}
	}
}

// again tells whether the same batch may do better in a moment.
func again(e *ai.Error) bool {
	switch e.Kind {
	case ai.KindUnavailable, ai.KindTruncated:
		return (e.Status < 300 || e.Status >= 429) && e.RetryAfter <= batchPatience
	case ai.KindRateLimited:
		return e.RetryAfter > 0 && e.RetryAfter <= batchPatience
	default:
		return false
	}
}

func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return pause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}

func (c *Client) embedOnce(ctx context.Context, t tenancy.ID, url string, req ai.EmbedRequest) (ai.Embeddings, error) {
	reply, err := c.Post(ctx, t, Post{URL: url, Model: req.Model, TraceID: req.TraceID, Body: embedBody{Model: req.Model, Input: req.Texts, EncodingFormat: "float"}})
	if err != nil {
		return ai.Embeddings{}, err
	}
	defer func() { _ = reply.Close() }() // it was read to its end, or failed with an error of its own
	var answer embedAnswer
	if err := reply.JSON(&answer); err != nil {
		return ai.Embeddings{}, err
	}
	vectors := make([][]float32, len(req.Texts))
	for n, d := range answer.Data {
		if d.Index != nil {
			n = *d.Index
		}
		if n < 0 || n >= len(vectors) || vectors[n] != nil {
			return ai.Embeddings{}, &ai.Error{Kind: ai.KindMalformed, Err: errors.New("the vectors can't be told apart")}
		}
		vectors[n] = d.Embedding
	}
	if err := ai.CheckVectors(req, vectors); err != nil {
		return ai.Embeddings{}, &ai.Error{Kind: ai.KindMalformed, Err: err}
	}
	if answer.Usage != nil {
		return ai.Embeddings{Vectors: vectors, Usage: ai.Usage{In: answer.Usage.PromptTokens}}, nil
	}
	usage := ai.Usage{Estimated: true}
	for _, text := range req.Texts {
		usage.In += c.tokens.Text(req.Model, text)
	}
	return ai.Embeddings{Vectors: vectors, Usage: usage}, nil
}
