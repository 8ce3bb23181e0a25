package turn_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

func wantKind(t *testing.T, what string, err error, want ai.Kind) {
	t.Helper()
	if e, ok := errors.AsType[*ai.Error](err); !ok || e.Kind != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

// A client that goes while a tool is at work ends the tool, whether or not it heeds that.
func TestTheTurnsEndIsTheToolsEnd(t *testing.T) {
	t.Parallel()
	for _, streamed := range []bool{false, true} {
		for _, heeds := range []bool{true, false} {
			b := newBed(t, nil, aifake.Says("Looking.").AndCalls(aifake.Call{Name: "hangs", Arguments: `{}`}))
			ctx, cancel := context.WithCancel(t.Context())
			ended, let := make(chan time.Time, 1), make(chan struct{})
			tool := b.tool("hangs", func(ctx context.Context, _ json.RawMessage) turn.Result {
				cancel()
				<-ctx.Done()
				ended <- time.Now()
				if !heeds {
					<-let
				}
				return turn.Result{Code: "EXECUTION_ERROR"}
			})
			var out turn.Outcome
			var err error
			if streamed {
				out, err = b.stream(ctx, b.params(tool), &heard{})
			} else {
				out, err = b.runner.Whole(ctx, b.params(tool), nil)
			}
			close(let)
			wantKind(t, "the turn", err, ai.KindCanceled)
			<-ended
			if outcomes, in, generated := b.billed(); out.Text != "Looking." || outcomes != "ok:1" || in == 0 || generated == 0 || b.reserved() != 0 || len(b.up.Requests()) != 1 {
				t.Errorf("%+v, %s, %d reserved", out, outcomes, b.reserved())
			}
		}
	}
}

func TestAClientThatGoesPaysForWhatItHeard(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, aifake.Calls(aifake.Call{Name: "time", Arguments: `{}`}), aifake.Says("one ", "two ", "three").PauseAt(2, make(chan struct{})))
	sink, n := &heard{}, 0
	sink.onText = func() error {
		if n++; n == 2 {
			return errors.New("gone")
		}
		return nil
	}
	out, err := b.stream(t.Context(), b.params(b.tool("time", gives("12"), pure)), sink)
	wantKind(t, "the turn", err, ai.KindCanceled)
	if r := b.up.Await(2); r == nil {
		t.Fatal("no second call")
	} else {
		<-r.Done()
	}
	if outcomes, _, _ := b.billed(); out.Text != "one two " || outcomes != "canceled:1 ok:1" || out.Usage.Out < 2 || b.reserved() != 0 {
		t.Errorf("%+v, %s, %d reserved", out, outcomes, b.reserved())
	}
}

func TestAStreamThatBreaksKeepsWhatWasSaid(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, aifake.Says("Looking.").AndCalls(aifake.Call{Name: "time", Arguments: `{}`}), aifake.Says("It is", " noon").WithoutDone().Finish("").WithoutUsage())
	out, err := b.stream(t.Context(), b.params(b.tool("time", gives("12"))), &heard{})
	wantKind(t, "the turn", err, ai.KindTruncated)
	if outcomes, _, _ := b.billed(); out.Text != "Looking.\n\nIt is noon" || !out.Usage.Estimated || outcomes != "ok:1 truncated:1" || b.reserved() != 0 {
		t.Errorf("%+v, %s", out, outcomes)
	}
	// Calls of a broken stream aren't run: nobody knows what else it would have said.
	b = newBed(t, nil, aifake.Calls(aifake.Call{Name: "time", Arguments: `{}`}).Finish("").WithoutDone().WithoutUsage())
	_, err = b.stream(t.Context(), b.params(b.tool("time", gives("12"))), &heard{})
	wantKind(t, "the turn", err, ai.KindTruncated)
	if len(b.box.called()) != 0 {
		t.Error("a tool was run")
	}
}

func TestARefusalIsSettled(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, aifake.Refuses(400, `{"error":{"message":"bad"}}`))
	_, err := b.runner.Open(t.Context(), b.params())
	wantKind(t, "open", err, ai.KindBadRequest)
	_, err = b.runner.Whole(t.Context(), b.params(), nil)
	wantKind(t, "whole", err, ai.KindBadRequest)
	if outcomes, in, _ := b.billed(); outcomes != "error:2" || in != 0 || b.reserved() != 0 {
		t.Errorf("%s, %d tokens, %d reserved", outcomes, in, b.reserved())
	}
}

func TestATurnThatIsClosedIsSettled(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, aifake.Says("never").PauseAt(0, make(chan struct{})))
	opened, err := b.runner.Open(t.Context(), b.params())
	if err != nil {
		t.Fatal(err)
	}
	opened.Close()
	opened.Close()
	<-b.up.Await(1).Canceled()
	if outcomes, in, _ := b.billed(); outcomes != "canceled:1" || in == 0 || b.reserved() != 0 {
		t.Errorf("%s, %d tokens, %d reserved", outcomes, in, b.reserved())
	}
}

func TestAnOpeningWaitsAndHoldsPanics(t *testing.T) {
	t.Parallel()
	let := make(chan struct{})
	o := turn.Start(t.Context(), func(context.Context) (*turn.Turn, error) { <-let; panic("c4nary") })
	if o.Within(time.Millisecond) {
		t.Error("it is known though it isn't")
	}
	close(let)
	if _, err := o.Turn(); err == nil || strings.Contains(err.Error(), "c4nary") || !o.Within(time.Minute) {
		t.Errorf("the panic's text is told, or nothing: %v", err == nil)
	}
}
