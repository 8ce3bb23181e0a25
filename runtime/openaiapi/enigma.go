package openaiapi

import (
	"encoding/json"

	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

// extras are what a request may ask beyond OpenAI's fields, under "enigma". A request
// without the object gets none in its answer either.
type extras struct {
	// UseRAG answers from the tenant's documents; TopK and Filter are as for /search.
	UseRAG bool            `json:"useRag"`
	TopK   *int            `json:"topK"`
	Filter json.RawMessage `json:"filter"`
	// SessionID, a UUID, keeps the last question and its answer in that session. What is
	// sent to the model is the request's own messages alone.
	SessionID string `json:"sessionId"`
	// Tools offers the tenant's tools, which are run here.
	Tools bool `json:"tools"`
}

func (e *extras) validate(w *wrongs) {
	if e == nil {
		return
	}
	w.add(e.SessionID != "" && !httpapi.IsUUID(e.SessionID), "enigma.sessionId", "must be a UUID")
	w.add(e.TopK != nil && (*e.TopK < 1 || *e.TopK > 50), "enigma.topK", "must be from 1 to 50")
	w.add(!e.UseRAG && (e.TopK != nil || given(e.Filter)), "enigma.useRag", "must be true for topK and filter to mean something")
}

// told is what an answer says under "enigma". In a stream it stands on chunks of its own,
// and on the last one.
type told struct {
	SessionID string         `json:"sessionId,omitempty"`
	Sources   []guard.Source `json:"sources,omitempty"`
	// Tool tells how the run of a tool goes, in streams.
	Tool *toolProgress `json:"tool,omitempty"`
	// Estimated says that the provider didn't count the tokens.
	Estimated bool `json:"estimated,omitempty"`
}

// toolProgress is one step of one of the tenant's tools.
type toolProgress struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Status is started, ok or failed.
	Status string `json:"status"`
	// Code says why it failed.
	Code       string `json:"code,omitempty"`
	DurationMs *int64 `json:"durationMs,omitempty"`
}
