package turn_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

type asking = func(b *bed, p turn.Params, sink *heard) (turn.Outcome, error)

func TestToolsStandBetweenQuestionAndAnswer(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ask asking) {
		b := newBed(t, nil,
			aifake.Says("Let me look.").AndCalls(aifake.Call{ID: "a", Name: "weather", Arguments: `{"city":"Graz"}`}, aifake.Call{ID: "b", Name: "time", Arguments: `{}`}).CallsInPieces(4),
			aifake.Calls(aifake.Call{ID: "c", Name: "weather", Arguments: `{"city":"Wien"}`}),
			aifake.Says("Rain", " at noon."))
		sink := &heard{}
		out, err := ask(b, b.params(b.tool("time", gives("noon"), pure), b.tool("weather", gives("rain"))), sink)
		if err != nil || out.Text != "Let me look.\n\nRain at noon." || out.Steps != 3 || out.Finish != "stop" || out.Model != "big" {
			t.Fatalf("%+v, %v", out, err)
		}
		if calls := b.box.called(); len(calls) != 3 || !slices.Contains(calls[:2], `weather{"city":"Graz"}`) || calls[2] != `weather{"city":"Wien"}` {
			t.Errorf("called %q", calls)
		}
		for _, want := range []string{"<call_1 weather>", "</call_1 weather >", "<call_2 time>", "</call_3 weather >"} {
			if !strings.Contains(sink.String(), want) {
				t.Errorf("no %s in %s", want, sink)
			}
		}
		last := b.asked(2)
		if len(last) != 7 || !strings.Contains(last[0], guard.Rules) || last[2] != `assistant: Let me look. a=weather{"city":"Graz"} b=time{}` ||
			!strings.Contains(last[3], "<data kind=\"tool\" label=\"weather\"") || !strings.Contains(last[3], "\nrain\n") || !strings.Contains(last[4], "noon") || last[5] != `assistant:  c=weather{"city":"Wien"}` {
			t.Errorf("asked %q", last)
		}
		outcomes, in, generated := b.billed()
		var wantIn, wantOut int64
		for _, e := range b.up.Ledger() {
			wantIn, wantOut = wantIn+int64(e.In), wantOut+int64(e.Out)
		}
		if outcomes != "ok:3" || in != wantIn || generated != wantOut || int64(out.Usage.In) != wantIn || int64(out.Usage.Out) != wantOut || out.Usage.Estimated || b.reserved() != 0 {
			t.Errorf("%s, %d and %d tokens, %+v; the upstream counted %d and %d; %d stay reserved", outcomes, in, generated, out.Usage, wantIn, wantOut, b.reserved())
		}
	})
}

// loops calls a tool for ever, each time with other arguments.
func loops(r *aifake.Request) aifake.Answer {
	if string(r.Chat.ToolChoice) == `"none"` {
		return aifake.Says("enough")
	}
	return aifake.Calls(aifake.Call{Name: "time", Arguments: fmt.Sprintf(`{"n":%d}`, len(r.Chat.Messages))})
}

func TestALoopEnds(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ask asking) {
		for steps, want := range map[int]int{0: 9, 1: 2, 3: 4} {
			b := newBed(t, func(c *tenantconfig.Config) { c.Tools.MaxSteps = steps })
			b.up.Script(loops)
			out, err := ask(b, b.params(b.tool("time", gives("noon"))), &heard{})
			if err != nil || out.Text != "enough" || len(b.up.Requests()) != want || out.Steps != want {
				t.Errorf("%d steps: %q, %v, %d calls", steps, out.Text, err, len(b.up.Requests()))
			}
		}
		// A model that doesn't heed "none" gets an error, or what it said.
		b := newBed(t, func(c *tenantconfig.Config) { c.Tools.MaxSteps = 1 }, aifake.Calls(aifake.Call{Name: "time", Arguments: `{}`}))
		_, err := ask(b, b.params(b.tool("time", gives("noon"))), &heard{})
		if e, ok := errors.AsType[*ai.Error](err); !ok || e.Kind != ai.KindMalformed {
			t.Error(err)
		}
	})
}

func TestWhatIsWrongIsToldToTheModel(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ask asking) {
		same := aifake.Call{Name: "time", Arguments: `{"b":1,"a":2}`}
		var many []aifake.Call
		for i := range 31 {
			many = append(many, aifake.Call{Name: "time", Arguments: fmt.Sprintf(`{"i":%d}`, i)})
		}
		b := newBed(t, nil,
			aifake.Calls(aifake.Call{Name: "c4nary-tool", Arguments: `{}`}, aifake.Call{Name: "time", Arguments: `[1]`}, aifake.Call{Name: "time", Arguments: `{"x":`}, aifake.Call{Name: "breaks", Arguments: ``}, aifake.Call{Name: "fails", Arguments: `{}`}),
			aifake.Calls(same, aifake.Call{Name: "time", Arguments: `{"a": 2, "b": 1}`}, same),
			aifake.Calls(many...), aifake.Says("done"))
		sink := &heard{}
		out, err := ask(b, b.params(
			b.tool("time", gives("noon")),
			b.tool("breaks", func(context.Context, json.RawMessage) turn.Result { panic("c4nary") }),
			b.tool("fails", func(context.Context, json.RawMessage) turn.Result {
				return turn.Result{Code: "EXECUTION_TIMEOUT", Message: "took too long"}
			}),
		), sink)
		if err != nil || out.Text != "done" {
			t.Fatalf("%q, %v", out.Text, err)
		}
		asked := b.asked(3)
		for i, want := range map[int]string{3: "TOOL_NOT_FOUND", 4: "VALIDATION_FAILED", 5: "VALIDATION_FAILED", 6: "EXECUTION_ERROR", 7: "took too long", 9: "noon", 10: "noon", 11: "same arguments", 13: "noon", 36: "noon", 37: "32 tools already", 43: "32 tools already"} {
			if !strings.Contains(asked[i], want) {
				t.Errorf("message %d is %q, want %s", i, asked[i], want)
			}
		}
		if n := len(b.box.called()); n != 2+2+24 { // breaks and fails, the same twice, what was left of 32
			t.Errorf("%d tools ran", n)
		}
		if strings.Contains(sink.String(), "c4nary") || strings.Contains(b.logs.String(), "c4nary") || !strings.Contains(b.logs.String(), "a tool panicked") {
			t.Error("a tool's panic or a made-up name is told, or isn't logged")
		}
	})
}

func TestEightToolsRunAtOnce(t *testing.T) {
	t.Parallel()
	var calls []aifake.Call
	for i := range 12 {
		calls = append(calls, aifake.Call{Name: "meets", Arguments: fmt.Sprintf(`{"i":%d}`, i)})
	}
	b := newBed(t, nil, aifake.Calls(calls...), aifake.Says("ok"))
	var mu sync.Mutex
	running, most := 0, 0
	all := make(chan struct{})
	out, err := b.runner.Whole(t.Context(), b.params(b.tool("meets", func(ctx context.Context, _ json.RawMessage) turn.Result {
		mu.Lock()
		running++
		if most = max(most, running); running == 8 && most == 8 {
			select {
			case <-all:
			default:
				close(all)
			}
		}
		mu.Unlock()
		select {
		case <-all: // eight have met
		case <-ctx.Done():
		}
		mu.Lock()
		running--
		mu.Unlock()
		return turn.Result{Content: "ok"}
	})), nil)
	if err != nil || out.Text != "ok" || most != 8 || len(b.box.called()) != 12 {
		t.Errorf("%+v, %v, %d at once", out, err, most)
	}
}

func TestResultsAreCutToTheirBounds(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("ä", 200_000)
	for name, c := range map[string]struct {
		context, least, most int // bytes of each of two results
	}{
		"a wide context": {200_000, 32<<10 - 4, 32<<10 + 200},
		"the default":    {0, 5_000, 12_500},
		"a narrow one":   {1024, 1_000, 1_900},
	} {
		b := newBed(t, func(cfg *tenantconfig.Config) { cfg.Prompt.ContextTokens = c.context },
			aifake.Calls(aifake.Call{Name: "big", Arguments: `{"a":1}`}, aifake.Call{Name: "big", Arguments: `{"a":2}`}), aifake.Says("ok"))
		if _, err := b.runner.Whole(t.Context(), b.params(b.tool("big", gives(huge))), nil); err != nil {
			t.Fatal(err)
		}
		for _, m := range b.asked(1)[3:] {
			if len(m) < c.least || len(m) > c.most || !strings.Contains(m, "[cut here") || strings.Contains(m, "\uFFFD") {
				t.Errorf("%s: a result of %d bytes", name, len(m))
			}
		}
	}
}

func TestTheClientsToolsAreGivenBack(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ask asking) {
		b := newBed(t, nil, aifake.Says("wait").AndCalls(aifake.Call{ID: "x1", Name: "theirs", Arguments: `{"a":1}`}, aifake.Call{Name: "ours", Arguments: `{}`}))
		p := b.params(b.tool("ours", gives("no")))
		p.ClientTools = []ai.Tool{{Name: "theirs"}}
		out, err := ask(b, p, &heard{})
		if diff := cmp.Diff([]ai.ToolCall{{ID: "x1", Name: "theirs", Arguments: `{"a":1}`}}, out.Calls); err != nil || diff != "" || out.Finish != "tool_calls" || out.Text != "wait" {
			t.Errorf("%+v, %v, %s", out, err, diff)
		}
		if len(b.box.called()) != 0 || len(b.up.Requests()) != 1 {
			t.Error("the turn went on")
		}
	})
}

func TestTheBudgetIsAskedBeforeEachStep(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ask asking) {
		b := newBed(t, func(c *tenantconfig.Config) { c.Limits.Tokens.Daily = 200 },
			aifake.Says("Looking. ").AndCalls(aifake.Call{Name: "time", Arguments: `{}`}).Uses(60, 60), aifake.Says("never"))
		out, err := ask(b, b.params(b.tool("time", gives("noon"))), &heard{})
		e, ok := errors.AsType[*httpapi.Error](err)
		if !ok || e.Code != "budget_exceeded" || out.Text != "Looking. " || len(b.up.Requests()) != 1 {
			t.Errorf("%+v, %v", out, err)
		}
		if outcomes, in, generated := b.billed(); outcomes != "ok:1" || in+generated != 120 || b.reserved() != 0 || out.Usage.In != 60 {
			t.Errorf("%s %d %d, %d reserved", outcomes, in, generated, b.reserved())
		}
	})
}

func TestTheNextModelGoesOn(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ask asking) {
		b := newBed(t, nil)
		b.up.Script(func(r *aifake.Request) aifake.Answer {
			switch {
			case r.Chat.Model == "big":
				return aifake.Refuses(500, "")
			case len(r.Chat.Messages) == 2:
				return aifake.Calls(aifake.Call{Name: "time", Arguments: `{}`})
			}
			return aifake.Says("noon")
		})
		p := b.params(b.tool("time", gives("12")))
		p.Models = []string{"big", "small"}
		out, err := ask(b, p, &heard{})
		if err != nil || out.Text != "noon" || out.Model != "small" {
			t.Errorf("%+v, %v", out, err)
		}
		var models []string
		for _, r := range b.up.Requests() {
			models = append(models, r.Chat.Model)
		}
		// A 500 isn't repeated by the driver, and the turn doesn't go back to the first model.
		if diff := cmp.Diff([]string{"big", "small", "small"}, models); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAModelWithoutTools(t *testing.T) {
	t.Parallel()
	plain := func(r *aifake.Request) aifake.Answer {
		if len(r.Chat.Tools) > 0 && r.Chat.Model == "plain" {
			return aifake.Refuses(400, `{"error":{"message":"plain does not support tools"}}`)
		}
		if len(r.Chat.Tools) > 0 && len(r.Chat.Messages) == 2 {
			return aifake.Calls(aifake.Call{Name: "time", Arguments: `{}`})
		}
		return aifake.Says("hi from ", r.Chat.Model)
	}
	both(t, func(t *testing.T, ask asking) {
		b := newBed(t, nil)
		b.up.Script(plain)
		p := b.params(b.tool("time", gives("12")))
		p.Models = []string{"plain"}
		for i, calls := range []int{2, 3} { // it is remembered
			if out, err := ask(b, p, &heard{}); err != nil || out.Text != "hi from plain" || len(b.up.Requests()) != calls {
				t.Errorf("question %d: %+v, %v, %d calls", i, out, err, len(b.up.Requests()))
			}
		}
		p.MustHaveTools = true
		_, err := ask(b, p, &heard{})
		if e, ok := errors.AsType[*ai.Error](err); !ok || e.Kind != ai.KindNoTools {
			t.Error(err)
		}
		p.Models = []string{"plain", "big"}
		if out, err := ask(b, p, &heard{}); err != nil || out.Model != "big" || len(b.box.called()) != 1 {
			t.Errorf("%+v, %v", out, err)
		}
		// The one that goes on has no tools: what they gave is told as text.
		b.up.Script(func(r *aifake.Request) aifake.Answer {
			if r.Chat.Model == "big" && len(r.Chat.Messages) > 2 {
				return aifake.Refuses(500, "")
			}
			return plain(r)
		})
		p.MustHaveTools, p.Models = false, []string{"big", "plain"}
		if out, err := ask(b, p, &heard{}); err != nil || out.Text != "hi from plain" {
			t.Errorf("%+v, %v", out, err)
		}
		requests := b.up.Requests()
		if last := b.asked(len(requests) - 1); len(last) != 3 || !strings.HasPrefix(last[2], "user: <data kind=\"tool\"") {
			t.Errorf("asked %q", last)
		}
	})
}
