package turn

import (
	"context"
	"log/slog"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Gate sets budget aside for the steps after the first; *limits.Gate does.
type Gate interface {
	Reserve(ctx context.Context, t *tenancy.Tenant, ask limits.Ask) (*limits.Admission, error)
}

// Models gives a tenant's upstream as its document in force says.
type Models interface {
	Chatter(t *tenancy.Tenant) ai.Chatter
}

// Recorder keeps what calls used; *telemetry.Recorder does.
type Recorder interface {
	Record(ctx context.Context, t tenancy.ID, c telemetry.Call)
}

// Needs are what turns ask of other rooms. All but Toolbox and Now are required.
type Needs struct {
	Gate      Gate
	Models    Models
	Recorder  Recorder
	Estimator *ai.Estimator
	Logger    *slog.Logger
	// Toolbox runs the tools that Params.Tools offers; nil if there are never any.
	Toolbox Toolbox
	// Now is the clock, time.Now if nil.
	Now func() time.Time
}

// Runner runs turns. One serves all tenants and features of a process; it is safe for
// concurrent use.
type Runner struct {
	Needs
	plain  plainModels
	hidden hidden
}

// New makes a runner.
func New(n Needs) *Runner {
	if n.Now == nil {
		n.Now = time.Now
	}
	return &Runner{Needs: n}
}

// Params are one question.
type Params struct {
	Call httpapi.Call
	// Feature is what the usage is recorded under.
	Feature string
	// Models to ask, in the order they are tried; at least one.
	Models []string
	// Messages in order; the last is the user's or a tool's.
	Messages []ai.Message
	// MaxTokens bounds each step's answer; 1 or more.
	MaxTokens   int
	Temperature *float64
	Sampling    ai.Sampling
	// Grounds are given to drivers that read no prompt.
	Grounds *ai.Grounds
	// Tools are offered, and run by the Toolbox when the model calls them.
	Tools []Tool
	// ClientTools are offered as well. A call of one ends the turn and is given back in
	// Outcome.Calls; calls of Tools in the same answer are dropped then.
	ClientTools []ai.Tool
	// ToolChoice is as in ai.ChatRequest, for the first step; later ones are free.
	ToolChoice string
	OneTool    bool
	// MustHaveTools refuses a model without tools with ai.KindNoTools, or goes on to the
	// next one. Otherwise such a model is asked without them.
	MustHaveTools bool
	// Untrusted tells that Messages hold fenced text that nobody vouches for.
	Untrusted bool
	// Hearsay tells that Messages hold earlier answers that were made after such text. What
	// stands in them was filtered, and may still be an order.
	Hearsay bool
	// Answer is what an answer may hold that is made after untrusted text or hearsay. Hosts that may
	// be linked to and what must be hidden are the tenant's if left out.
	Answer guard.Policy
	// Admission of the first step. Open and Whole settle it in any case. Nil reserves.
	Admission *limits.Admission
}

// Outcome is what came of a turn. It holds what there is after an error too.
type Outcome struct {
	// Text is all that was said, over all steps, as it was told to the sink.
	Text string
	// Finish is the provider's finish reason of the last step.
	Finish string
	// Model that answered last; the first one of Params if none did.
	Model string
	// Usage is summed over all steps, Estimated if any of them is.
	Usage ai.Usage
	// Calls are the calls of ClientTools that the caller is to run.
	Calls []ai.ToolCall
	// Cited are the ids of the sources that the text cites, rising.
	Cited []int
	// Untrusted tells that Text was made after untrusted text or hearsay, and is hearsay to
	// those who read it.
	Untrusted bool
	// Steps is how many model calls there were.
	Steps int
	// FirstToken is how long the first text took, 0 without any.
	FirstToken time.Duration
}

// Sink is told what happens, by one goroutine.
type Sink interface {
	// Text is the next part of the answer. An error ends the turn.
	Text(text string) error
	// ToolStarted and ToolEnded enclose the run of a tool. The id is unique in the turn
	// and made here; nothing of them is a model's own words. code is empty if it went well.
	ToolStarted(id, name string)
	ToolEnded(id, name, code string, took time.Duration)
}

// Whole asks until there is an answer, and gives it. sink is told of tools alone and may
// be nil. Errors are *ai.Error, *httpapi.Error of the budget, or accidents.
func (r *Runner) Whole(ctx context.Context, p Params, sink Sink) (Outcome, error) {
	t := r.begin(ctx, p)
	defer t.cancel()
	if sink == nil {
		sink = deaf{}
	}
	t.sink, t.answer = mute{sink}, t.complete
	return t.run()
}

// Open asks a model for a stream and returns when it has accepted; an error is settled
// and recorded. The turn must be streamed or closed.
func (r *Runner) Open(ctx context.Context, p Params) (*Turn, error) {
	t := r.begin(ctx, p)
	if err := t.open(); err != nil {
		t.cancel()
		return nil, err
	}
	return t, nil
}

// Model that has accepted, or is speaking; another one may take over until the first text
// of a step. It is for the goroutine that uses the turn, within the sink too.
func (t *Turn) Model() string {
	switch {
	case t.upstream != nil:
		return t.upstream.Model()
	case t.speaking != nil:
		return t.speaking.Model()
	default:
		return t.out.Model
	}
}

// Stream tells sink what the model says as it says it. writing ends when the client can't
// be written to, which ends the turn. What is already known when it fails, is in the
// Outcome.
func (t *Turn) Stream(writing context.Context, sink Sink) (Outcome, error) {
	defer t.cancel()
	// A client that is stuck is found by a ping, while model or tool may be silent for long.
	defer context.AfterFunc(writing, t.cancel)()
	t.sink, t.answer = sink, t.stream
	return t.run()
}

// Close ends a turn that isn't streamed: it is settled as canceled. After Stream it does
// nothing.
func (t *Turn) Close() {
	t.cancel()
	if t.upstream != nil {
		t.sink = deaf{}
		t.settle(t.stream())
	}
}

// mute passes on what isn't text.
type mute struct{ Sink }

func (mute) Text(string) error { return nil }

type deaf struct{}

func (deaf) Text(string) error                               { return nil }
func (deaf) ToolStarted(string, string)                      {}
func (deaf) ToolEnded(string, string, string, time.Duration) {}
