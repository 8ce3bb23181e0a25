package openai

import (
	"context"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// batch is how many texts one call embeds: servers take from 100 (most gateways) to 2048
// (OpenAI), and larger calls gain nothing.
const batch = 100

// Embed implements ai.Embedder.
func (d Driver) Embed(ctx context.Context, t tenancy.ID, req ai.EmbedRequest) (ai.Embeddings, error) {
	return d.Client.Embed(ctx, t, d.base+"/embeddings", batch, req)
}
