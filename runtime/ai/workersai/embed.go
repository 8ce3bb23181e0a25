package workersai

import (
	"context"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// How many texts one call embeds, from Cloudflare's model pages.
const (
	batch     = 100
	qwenBatch = 32
)

// Embed implements ai.Embedder.
func (d Driver) Embed(ctx context.Context, t tenancy.ID, req ai.EmbedRequest) (ai.Embeddings, error) {
	limit := batch
	if strings.HasPrefix(req.Model, "@cf/qwen/") {
		limit = qwenBatch
	}
	return d.Client.Embed(ctx, t, d.compatible+"/embeddings", limit, req)
}
