package openaiapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
)

func TestAWholeResponse(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("Hello").Uses(21, 3)))
	r := b.ok("/v1/responses", `{"model":"big","input":"x","instructions":"Be brief.","max_output_tokens":9,"temperature":1,"metadata":{"a":"b"},
		"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}},
		"tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true}],"tool_choice":{"type":"function","name":"f"},"store":false}`)
	want := `{"id":"resp_","object":"response","created_at":"now","status":"completed","error":null,"incomplete_details":null,
		"instructions":"Be brief.","max_output_tokens":9,"model":"big","output":[{"type":"message","id":"msg_","status":"completed","role":"assistant",
		"content":[{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]}]}],"parallel_tool_calls":true,"previous_response_id":null,"store":false,
		"temperature":1,"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}},"tool_choice":{"type":"function","name":"f"},
		"tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":false}],"top_p":null,"truncation":"disabled",
		"usage":{"input_tokens":21,"input_tokens_details":{"cached_tokens":0},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":24},
		"metadata":{"a":"b"}}`
	if diff := cmp.Diff(steady(want), steady(r.body)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	a := b.asked(0)
	if len(a.Messages) != 2 || a.Messages[0].Text() != "You help Acme.\n\nBe brief." || *a.MaxTokens != 9 || a.ResponseFormat.Type != "json_schema" || len(a.Tools) != 1 {
		t.Errorf("asked %+v", a)
	}
}

// The items of earlier answers come back as they went out.
func TestAConversationAsItems(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("ok").Finish("length")))
	r := b.ok("/v1/responses", `{"input":[{"role":"developer","content":"d"},{"type":"message","role":"user","content":[{"type":"input_text","text":"q"}]},
		{"type":"reasoning","id":"rs_1","summary":[]},{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"let me see","annotations":[]}]},
		{"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"a\":1}","status":"completed"},{"type":"function_call","id":"fc_2","call_id":"c2","name":"f","arguments":"{}"},
		{"type":"function_call_output","call_id":"c1","output":"one"},{"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"two"}]}],
		"tools":[{"type":"function","name":"f"}]}`)
	if !strings.Contains(r.body, `"status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"}`) {
		t.Errorf("%s", r.body)
	}
	var said []string
	for _, m := range b.asked(0).Messages {
		said = append(said, fmt.Sprintf("%s %q %d %s", m.Role, m.Text(), len(m.ToolCalls), m.ToolCallID))
	}
	want := []string{`system "You help Acme.\n\nd" 0 `, `user "q" 0 `, `assistant "let me see" 2 `, `tool "one" 0 c1`, `tool "two" 0 c2`}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestEventsOfAResponse(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("Hel", "lo").Uses(21, 3),
		aifake.Says("Let me see.").AndCalls(aifake.Call{ID: "c1", Name: "f", Arguments: `{"a":1}`}), aifake.Says("cut").Finish("length")))
	frames := framesOf(t, b.ok("/v1/responses", `{"stream":true,"input":"x"}`).body)
	names := func(frames []frame) (all []string) {
		for i, f := range frames {
			if f.data["type"] != f.name || f.data["sequence_number"] != float64(i) {
				t.Errorf("event %d: %s %s", i, f.name, f.raw)
			}
			all = append(all, strings.TrimPrefix(f.name, "response."))
		}
		return all
	}
	want := []string{
		"created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
		"output_text.done", "content_part.done", "output_item.done", "completed",
	}
	if diff := cmp.Diff(want, names(frames)); diff != "" {
		t.Fatalf("events (-want +got):\n%s", diff)
	}
	for i, want := range map[int]string{
		2: `"output_index":0,"item":{"type":"message"`, 3: `"part":{"type":"output_text","text":""`, 4: `"delta":"Hel"`, 6: `"text":"Hello"`,
		8: `"status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello"`, 9: `"total_tokens":24`,
	} {
		if !strings.Contains(frames[i].raw, want) {
			t.Errorf("event %d is %s, want %s", i, frames[i].raw, want)
		}
	}
	frames = framesOf(t, b.ok("/v1/responses", `{"stream":true,"input":"x","tools":[{"type":"function","name":"f"}]}`).body)
	want = []string{
		"created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done", "output_item.done",
		"output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done", "completed",
	}
	if diff := cmp.Diff(want, names(frames)); diff != "" {
		t.Fatalf("events of a call (-want +got):\n%s", diff)
	}
	for i, want := range map[int]string{
		8: `"output_index":1,"item":{"type":"function_call"`, 10: `"arguments":"{\"a\":1}"`, 11: `"call_id":"c1","name":"f","arguments":"{\"a\":1}"`,
	} {
		if !strings.Contains(frames[i].raw, want) {
			t.Errorf("event %d is %s, want %s", i, frames[i].raw, want)
		}
	}
	frames = framesOf(t, b.ok("/v1/responses", `{"stream":true,"input":"x"}`).body)
	if last := frames[len(frames)-1]; last.name != "response.incomplete" || !strings.Contains(last.raw, `{"reason":"max_output_tokens"}`) {
		t.Errorf("the last event is %s %s", last.name, last.raw)
	}
}
