package tools

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

const (
	// tagsEach is how many words characterise a passage.
	tagsEach = 8
	// maxChunkMetadata bounds what goes along with each, in bytes of JSON.
	maxChunkMetadata = 4096
)

// taggedChunk is a passage as tag_chunk_docs returns it. Start and End count characters
// of the content.
type taggedChunk struct {
	Index    int            `json:"index"`
	Text     string         `json:"text"`
	Start    int            `json:"start"`
	End      int            `json:"end"`
	Tags     []string       `json:"tags"`
	Metadata map[string]any `json:"metadata,omitempty"`
}

// tagChunks is tag_chunk_docs. It asks no model: thousands of passages would be thousands
// of calls.
func tagChunks(ctx context.Context, j *job, params map[string]any) (any, error) {
	pieces, err := j.feature.n.Chunker(textOf(params, "content"), wholeOf(params, "chunk_size", 1000))
	if err != nil {
		return nil, err
	}
	metadata, _ := params["metadata"].(map[string]any)
	if len(canonical(metadata)) > maxChunkMetadata {
		// It is repeated with every passage, of which there may be thousands.
		return nil, &failure{code: CodeInvalid, message: "the tool's parameters are wrong: metadata must have at most 4096 bytes",
			details: []httpapi.Detail{{Path: "metadata", Message: "must have at most 4096 bytes"}}}
	}
	in := map[string]int{} // how many passages have a word
	terms := make([]map[string]int, len(pieces))
	for i, p := range pieces {
		terms[i] = map[string]int{}
		for _, w := range words(p.Text) {
			if terms[i][w]++; terms[i][w] == 1 {
				in[w]++
			}
		}
	}
	chunks := make([]taggedChunk, len(pieces))
	for i, p := range pieces {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		chunks[i] = taggedChunk{
			Index: i, Text: p.Text, Start: p.Start, End: p.End,
			Tags: characteristic(terms[i], in, len(pieces)), Metadata: metadata,
		}
	}
	return map[string]any{"chunks": chunks, "count": len(chunks)}, nil
}

// characteristic are the words that are frequent here and rare in the other passages.
func characteristic(terms, in map[string]int, passages int) []string {
	weight := func(w string) float64 {
		return (1 + math.Log(float64(terms[w]))) * math.Log(1+float64(passages)/float64(in[w]))
	}
	tags := make([]string, 0, len(terms))
	for w := range terms {
		tags = append(tags, w)
	}
	slices.SortFunc(tags, func(a, b string) int {
		return cmp.Or(cmp.Compare(weight(b), weight(a)), cmp.Compare(a, b))
	})
	return tags[:min(len(tags), tagsEach)]
}
