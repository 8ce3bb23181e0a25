package openaiapi

import (
	"context"
	"encoding/json"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// Turns asks models; *turn.Runner does.
type Turns interface {
	Open(ctx context.Context, p turn.Params) (*turn.Turn, error)
	Whole(ctx context.Context, p turn.Params, sink turn.Sink) (turn.Outcome, error)
}

// Gate decides whether a request may cost something; *limits.Gate does.
type Gate interface {
	Admit(ctx context.Context, c httpapi.Call, ask limits.Ask) (*limits.Admission, error)
}

// History keeps conversations; storage.Sessions does.
type History interface {
	Append(ctx context.Context, t tenancy.ID, o storage.Owner, session string, msgs []storage.Message, keep storage.Keep) error
}

// Recorder keeps what calls used; *telemetry.Recorder does.
type Recorder interface {
	Record(ctx context.Context, t tenancy.ID, c telemetry.Call)
	StreamOpened() (closed func())
}

// Embedders gives a tenant's embedder as its document in force says, nil if its upstream
// has none.
type Embedders interface {
	Embedder(t *tenancy.Tenant) ai.Embedder
}

// Retriever finds passages of the tenant's documents.
type Retriever interface {
	// Retrieve gives the best first. Errors are *httpapi.Error, *ai.Error, or accidents.
	Retrieve(ctx context.Context, c httpapi.Call, q Question) ([]guard.Source, error)
}

// Question is what passages are looked for.
type Question struct {
	// Message is the user's last one; History is what came before it.
	Message string
	History []ai.Message
	// TopK is 1 to 50, 0 for the search's own.
	TopK int
	// Filter is as POST /search takes it, or empty.
	Filter json.RawMessage
}

// Speaker reads a text out, within the caller's limits and the tenant's budget, which it
// settles. Errors are *httpapi.Error, *ai.Error, or accidents.
type Speaker interface {
	// Speak gives the audio when the provider has accepted the text; the caller closes it.
	Speak(ctx context.Context, c httpapi.Call, r SpeechRequest) (ai.Audio, error)
}

// SpeechRequest is one text to read out.
type SpeechRequest struct {
	// Model is empty for the tenant's own.
	Model string
	// Text of at most 4096 characters, not empty.
	Text string
	// Voice as the model names it.
	Voice string
	// Format is ai.FormatMP3, ai.FormatWAV or ai.FormatOpus; empty for mp3 where the
	// voice has it, else its own.
	Format string
	// Speed from 0.25 to 4.
	Speed float64
}
