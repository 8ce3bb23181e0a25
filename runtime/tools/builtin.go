package tools

import (
	"context"
	"encoding/json"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// builtIns are the tools of every tenant; those of documents only where documents are.
func (f *Feature) builtIns(cfg *tenantconfig.Config) []*tool {
	list := []*tool{
		{
			name:        "summarize",
			description: "Sums up a text. Returns the summary.",
			parameters: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["text"],"properties":{
				"text":{"type":"string","minLength":1,"maxLength":100000,"description":"The text to sum up."},
				"max_length":{"type":"integer","minimum":50,"maximum":5000,"default":500,"description":"The most characters of the summary."},
				"format":{"enum":["paragraph","bullet_points"],"default":"paragraph"}}}`),
			timeout: ordinaryTime, pure: true, first: firstSummary, run: summarize,
		},
		{
			name:        "extract_entities",
			description: "Finds names of persons, organizations, places, dates and the like in a text, with their places in it.",
			parameters: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["text"],"properties":{
				"text":{"type":"string","minLength":1,"maxLength":50000,"description":"The text to look through."},
				"entity_types":{"type":"array","maxItems":32,"uniqueItems":true,"items":{"type":"string","minLength":1,"maxLength":64},"description":"Kinds to look for; all kinds if left out."}}}`),
			timeout: ordinaryTime, pure: true, first: firstEntities, run: extractEntities,
		},
		{
			name:        "classify_intent",
			description: "Tells which one of the given categories a text belongs to.",
			parameters: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["text","categories"],"properties":{
				"text":{"type":"string","minLength":1,"maxLength":10000,"description":"The text to classify."},
				"categories":{"type":"array","minItems":1,"maxItems":100,"uniqueItems":true,"items":{"type":"string","minLength":1,"maxLength":200},"description":"The categories to choose from."}}}`),
			timeout: ordinaryTime, pure: true, first: firstIntent, run: classifyIntent,
		},
		{
			name:        "tag_chunk_docs",
			description: "Cuts a text into passages and tags each with its characteristic words.",
			parameters: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["content"],"properties":{
				"content":{"type":"string","minLength":1,"maxLength":500000,"description":"The text to cut."},
				"chunk_size":{"type":"integer","minimum":100,"maximum":10000,"default":1000,"description":"The most characters of a passage."},
				"metadata":{"type":"object","maxProperties":64,"description":"Goes along with every passage."}}}`),
			timeout: ordinaryTime, pure: true, run: tagChunks,
		},
	}
	if f.n.Documents == nil || cfg.Documents.Store == "" {
		return list
	}
	return append(list,
		&tool{
			name:        "search_docs",
			description: "Searches the documents of this service. Returns the passages that fit the query best.",
			parameters: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["query"],"properties":{
				"query":{"type":"string","minLength":1,"maxLength":2000,"description":"What to look for, in words."},
				"topK":{"type":"integer","minimum":1,"maximum":50,"default":5,"description":"The most passages."}}}`),
			timeout: ordinaryTime, run: searchDocs,
		},
		&tool{
			name:        "ingest_docs",
			description: "Adds a text to the documents of this service, or replaces the one of the same id.",
			parameters: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["content","doc_id"],"properties":{
				"content":{"type":"string","minLength":1,"description":"The whole text."},
				"doc_id":{"type":"string","minLength":1,"maxLength":256,"description":"The document's id."},
				"source":{"type":"string","maxLength":2048},
				"title":{"type":"string","maxLength":2048},
				"chunk_size":{"type":"integer","minimum":100,"maximum":10000,"description":"The most characters of a passage."},
				"metadata":{"type":"object","maxProperties":64}}}`),
			writes: true, changesDocuments: true, timeout: ingestTime, run: ingestDocs,
		})
}

// searchDocs is search_docs.
func searchDocs(ctx context.Context, j *job, params map[string]any) (any, error) {
	sources, err := j.feature.n.Documents.Search(ctx, j.c, textOf(params, "query"), wholeOf(params, "topK", 5))
	if err != nil {
		return nil, err
	}
	return map[string]any{"sources": orEmpty(sources)}, nil
}

// ingestDocs is ingest_docs.
func ingestDocs(ctx context.Context, j *job, params map[string]any) (any, error) {
	id := textOf(params, "doc_id")
	metadata, _ := params["metadata"].(map[string]any)
	chunks, waiting, err := j.feature.n.Documents.Ingest(ctx, j.c, id, textOf(params, "title"), textOf(params, "source"),
		textOf(params, "content"), wholeOf(params, "chunk_size", 0), plainNumbers(metadata))
	if err != nil {
		return nil, err
	}
	if waiting != "" {
		return map[string]any{"status": "queued", "docId": id, "jobId": waiting}, nil
	}
	return map[string]any{"status": "ingested", "docId": id, "chunks": chunks}, nil
}

// textOf and wholeOf read parameters that the schema has checked.
func textOf(params map[string]any, name string) string {
	s, _ := params[name].(string)
	return s
}

func wholeOf(params map[string]any, name string, unset int) int {
	n, ok := params[name].(json.Number)
	if !ok {
		return unset
	}
	// 5.0 and 5e0 are whole numbers to JSON Schema.
	v, err := n.Float64()
	if err != nil {
		return unset
	}
	return int(v)
}

// plainNumbers gives metadata as encoding/json reads it by itself.
func plainNumbers(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	var out map[string]any
	if err := json.Unmarshal(canonical(m), &out); err != nil {
		return nil
	}
	return out
}

// orEmpty writes no null for a list.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
