package openaiapi

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// What usage is recorded under.
const (
	featureChat       = "openai"
	featureEmbeddings = "embeddings"
)

// Needs are what this API asks of other rooms.
type Needs struct {
	Turns     Turns
	Gate      Gate
	Recorder  Recorder
	Estimator *ai.Estimator
	Logger    *slog.Logger
	// History keeps conversations that name a session; nil keeps none.
	History History
	// Toolbox has the tenant's tools, Retriever its documents, Speaker its voice, and
	// Embedders its embedder; nil for a build without them.
	Toolbox   turn.Toolbox
	Retriever Retriever
	Speaker   Speaker
	Embedders Embedders
	// Now is the clock, time.Now if nil.
	Now func() time.Time
}

// Feature is everything under /v1.
type Feature struct{ Needs }

// New makes the feature.
func New(n Needs) *Feature {
	if n.Now == nil {
		n.Now = time.Now
	}
	return &Feature{n}
}

// Mount adds the feature's routes.
func (f *Feature) Mount(d *httpapi.Door) {
	d.ErrorsUnder("/v1", httpapi.OpenAIErrors)
	route := httpapi.Route{Style: httpapi.OpenAIErrors}
	httpapi.Handle(d, http.MethodPost, "/v1/chat/completions", route, f.chat)
	httpapi.Handle(d, http.MethodPost, "/v1/responses", route, f.responses)
	httpapi.Handle(d, http.MethodPost, "/v1/embeddings", route, f.embeddings)
	httpapi.Handle(d, http.MethodPost, "/v1/audio/speech", route, f.speech)
	httpapi.Handle(d, http.MethodGet, "/v1/models", route, f.models)
	// Names of models hold slashes, which some clients encode and some don't.
	httpapi.Handle(d, http.MethodGet, "/v1/models/{id...}", route, f.model)
}
