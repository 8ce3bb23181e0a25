package openaiapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

const completions = "/v1/chat/completions"

func TestAWholeCompletion(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("Hello", ", <b>").Uses(21, 3)))
	r := b.ok(completions, `{"model":"big","messages":[
		{"role":"developer","content":"Be brief."},{"role":"system","content":[{"type":"text","text":"Be kind."}]},
		{"role":"user","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}]},
		{"role":"assistant","content":"yes"},{"role":"system","content":"late"},{"role":"user","content":"three","name":"ann"}],
		"temperature":0.5,"top_p":0.9,"frequency_penalty":1,"presence_penalty":-1,"seed":7,"stop":"END","max_tokens":9,"n":1,
		"response_format":{"type":"json_object"},"unknown":{"a":1},"logit_bias":{},"user":"u"}`)
	want := `{"id":"chatcmpl-","object":"chat.completion","created":"now","model":"big","choices":[{"index":0,
		"message":{"role":"assistant","content":"Hello, <b>","refusal":null},"logprobs":null,"finish_reason":"stop"}],
		"usage":{"prompt_tokens":21,"completion_tokens":3,"total_tokens":24}}`
	if diff := cmp.Diff(steady(want), steady(r.body)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if r.header.Get("X-Model-Id") != "big" || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", r.header)
	}
	asked := b.asked(0)
	var said []string
	for _, m := range asked.Messages {
		said = append(said, m.Role+": "+m.Text())
	}
	if diff := cmp.Diff([]string{"system: You help Acme.\n\nBe brief.\n\nBe kind.", "user: one\ntwo", "assistant: yes", "system: late", "user: three"}, said); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	got := fmt.Sprint(*asked.Temperature, *asked.TopP, *asked.FrequencyPenalty, *asked.PresencePenalty, *asked.Seed, asked.Stop, *asked.MaxTokens, asked.ResponseFormat.Type)
	if got != "0.5 0.9 1 -1 7 [END] 9json_object" {
		t.Errorf("asked with %s", got)
	}
	if calls, in, out := b.used("openai"); calls != 1 || in != 21 || out != 3 {
		t.Errorf("recorded %d calls, %d, %d", calls, in, out)
	}
}

func TestTheTenantsDefaultsAndBounds(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("ok")), with(func(c *tenantconfig.Config) {
		milli := 300
		c.Prompt.TemperatureMilli, c.Prompt.Stop = &milli, []string{"THE END"}
	}))
	b.ok(completions, `{"messages":[{"role":"user","content":"x"}],"max_tokens":100000,"model":""}`)
	b.ok(completions, `{"messages":[{"role":"user","content":"x"}],"max_completion_tokens":5,"max_tokens":7,"temperature":0}`)
	if a := b.asked(0); a.Model != "big" || *a.MaxTokens != 500 || *a.Temperature != 0.3 || a.Stop[0] != "THE END" {
		t.Errorf("asked %+v", a)
	}
	if a := b.asked(1); *a.MaxTokens != 5 || *a.Temperature != 0 {
		t.Errorf("asked %+v", a)
	}
}

// A stream is role, text, finish reason, usage if wanted, [DONE]: each frame is what
// OpenAI's schema has, and nothing more.
func TestAStreamedCompletion(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("Hello", "\n\"<\u2028", "!").Uses(21, 3)))
	r := b.ok(completions, `{"model":"big","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}]}`)
	if r.header.Get("Content-Type") != "text/event-stream" || r.header.Get("X-Model-Id") != "big" {
		t.Errorf("headers %v", r.header)
	}
	chunk := func(choices, usage string) string {
		return steady(`{"id":"chatcmpl-","object":"chat.completion.chunk","created":"now","model":"big","choices":[` + choices + `],"usage":` + usage + `}`)
	}
	want := []string{
		chunk(`{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}`, "null"),
		chunk(`{"index":0,"delta":{"content":"Hello"},"finish_reason":null}`, "null"),
		chunk(`{"index":0,"delta":{"content":"\n\"<\u2028"},"finish_reason":null}`, "null"),
		chunk(`{"index":0,"delta":{"content":"!"},"finish_reason":null}`, "null"),
		chunk(`{"index":0,"delta":{},"finish_reason":"stop"}`, "null"),
		chunk(``, `{"prompt_tokens":21,"completion_tokens":3,"total_tokens":24}`),
		"[DONE]",
	}
	var got []string
	for _, f := range framesOf(t, r.body) {
		if f.name != "" {
			t.Errorf("a frame is named %q", f.name)
		}
		got = append(got, steady(f.raw))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
	plain := b.ok(completions, `{"stream":true,"messages":[{"role":"user","content":"x"}]}`).body
	if strings.Contains(plain, "usage") || strings.Contains(plain, "enigma") || !strings.HasSuffix(plain, "data: [DONE]\n\n") {
		t.Errorf("a stream without usage: %s", plain)
	}
}

// An answer that was cut off never looks complete.
func TestATruncatedStreamIsAnError(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]aifake.Answer{
		"ends early":       aifake.Says("Hello", " there", " you").EndAfter(330),
		"breaks off":       aifake.Says("Hello", " there", " you").CutAfter(330),
		"no finish at all": aifake.Says("Hello").Finish("").WithoutDone().WithoutUsage(),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, aifake.New(t, answer))
			frames := framesOf(t, b.ok(completions, `{"stream":true,"messages":[{"role":"user","content":"x"}]}`).body)
			last := frames[len(frames)-1]
			if body, _ := last.data["error"].(map[string]any); body == nil || body["code"] == "" || body["type"] != "server_error" {
				t.Errorf("the last frame is %s", last.raw)
			}
			for _, f := range frames {
				if f.raw == "[DONE]" || strings.Contains(f.raw, `"finish_reason":"stop"`) {
					t.Errorf("looks complete: %s", f.raw)
				}
			}
			frames = framesOf(t, b.ok("/v1/responses", `{"stream":true,"input":"x"}`).body)
			if last := frames[len(frames)-1]; last.name != "response.failed" || !strings.Contains(last.raw, `"status":"failed"`) || !strings.Contains(last.raw, `"error":{"code":`) {
				t.Errorf("the last event is %s %s", last.name, last.raw)
			}
		})
	}
}

func TestFinishReasons(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{"stop": "stop", "length": "length", "content_filter": "content_filter", "eos": "stop"} {
		b := newBed(t, aifake.New(t, aifake.Says("x").Finish(reason)))
		for _, body := range []string{`{"messages":[{"role":"user","content":"x"}]}`, `{"stream":true,"messages":[{"role":"user","content":"x"}]}`} {
			if r := b.ok(completions, body); !strings.Contains(r.body, `"finish_reason":"`+want+`"`) {
				t.Errorf("%s: %s", reason, r.body)
			}
		}
	}
}

// contentOf is the text of a chunk.
func contentOf(f frame) string {
	var c struct {
		Choices []struct{ Delta struct{ Content string } }
	}
	if json.Unmarshal([]byte(f.raw), &c) != nil || len(c.Choices) == 0 {
		return ""
	}
	return c.Choices[0].Delta.Content
}

const oneTool = `"tools":[{"type":"function","function":{"name":"get_weather","description":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}},"strict":true}}]`

// The client's tools are offered, their calls given back, and its results passed on.
func TestAToolsRoundTrip(t *testing.T) {
	t.Parallel()
	calls := aifake.Calls(aifake.Call{ID: "c1", Name: "get_weather", Arguments: `{"city":"Wien"}`}, aifake.Call{ID: "c2", Name: "get_weather", Arguments: `{"city":"Graz"}`})
	b := newBed(t, aifake.New(t, calls, calls.CallsInPieces(3), aifake.Says("Sunny.")))
	r := b.ok(completions, `{"messages":[{"role":"user","content":"x"}],"tool_choice":"required","parallel_tool_calls":true,`+oneTool+`}`)
	want := `{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":[
		{"id":"c1","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Wien\"}"}},
		{"id":"c2","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Graz\"}"}}]},"logprobs":null,"finish_reason":"tool_calls"}`
	var got struct{ Choices []json.RawMessage }
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(steady(want), steady(string(got.Choices[0]))); diff != "" {
		t.Errorf("whole (-want +got):\n%s", diff)
	}
	frames := framesOf(t, b.ok(completions, `{"stream":true,"messages":[{"role":"user","content":"x"}],`+oneTool+`}`).body)
	if len(frames) != 5 || !strings.Contains(frames[1].raw, `"tool_calls":[{"index":0,"id":"c1","type":"function"`) ||
		!strings.Contains(frames[2].raw, `{"index":1,"id":"c2"`) || !strings.Contains(frames[3].raw, `"finish_reason":"tool_calls"`) {
		t.Errorf("streamed: %+v", frames)
	}
	b.ok(completions, `{"messages":[{"role":"user","content":"x"},
		{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"get_weather","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"get_weather","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"c2","content":"rain"},{"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"sun"}]}],
		"tool_choice":{"type":"function","function":{"name":"get_weather"}},`+oneTool+`}`)
	if a := b.asked(0); len(a.Tools) != 1 || a.Tools[0].Function.Name != "get_weather" || string(a.ToolChoice) != `"required"` {
		t.Errorf("asked %+v", a)
	}
	last := b.asked(2)
	if m := last.Messages; len(m) != 5 || m[3].ToolCallID != "c2" || m[3].Text() != "rain" || m[4].Text() != "sun" || len(m[2].ToolCalls) != 2 {
		t.Errorf("asked with %+v", last.Messages)
	}
}

// The tenant's tools run here, when the request asks for them.
func TestTheTenantsTools(t *testing.T) {
	t.Parallel()
	box := &toolbox{}
	look := aifake.Calls(aifake.Call{ID: "c1", Name: "look_up", Arguments: `{"id":"1"}`}, aifake.Call{ID: "c2", Name: "look_up", Arguments: `{"id":"missing"}`})
	b := newBed(t, aifake.New(t, look, aifake.Says("It is 7.")), withTools(box))
	frames := framesOf(t, b.ok(completions, `{"stream":true,"messages":[{"role":"user","content":"x"}],"enigma":{"tools":true}}`).body)
	var steps []string
	said := ""
	for _, f := range frames {
		said += contentOf(f)
		if e, ok := f.data["enigma"].(map[string]any); ok && e["tool"] != nil {
			tool := e["tool"].(map[string]any)
			steps = append(steps, fmt.Sprint(tool["name"], " ", tool["status"], " ", tool["code"]))
			if choices := f.data["choices"].([]any); len(choices) != 1 {
				t.Errorf("a strict client stumbles over %s", f.raw)
			}
		}
	}
	if len(steps) != 4 || !strings.Contains(strings.Join(steps, ","), "look_up failed EXECUTION_ERROR") {
		t.Errorf("steps %q", steps)
	}
	if len(box.runs()) != 2 || said != "It is 7." {
		t.Errorf("ran %q, then said %q", box.runs(), said)
	}
	if calls, _, _ := b.used("openai"); calls != 2 {
		t.Errorf("%d calls are recorded", calls)
	}
	// Without being asked for they are not offered.
	b.ok(completions, `{"messages":[{"role":"user","content":"x"}]}`)
	if a := b.asked(2); len(a.Tools) != 0 {
		t.Errorf("offered %+v", a.Tools)
	}
	r := b.post(completions, `{"messages":[{"role":"user","content":"x"}],"enigma":{"tools":true},"tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"look_up"}}]}`)
	if r.status != 400 || !strings.Contains(r.body, `"param":"tools[1]"`) {
		t.Errorf("a clash of names: %d %s", r.status, r.body)
	}
}

// Results that the client brings aren't vouched for: they make no tool of ours act.
func TestTheClientsResultsDontMakeOurToolsAct(t *testing.T) {
	t.Parallel()
	up := aifake.New(t)
	up.Script(aifake.Obedient)
	box := &toolbox{}
	b := newBed(t, up, withTools(box))
	b.ok(completions, `{"enigma":{"tools":true},`+oneTool+`,"messages":[{"role":"user","content":"x"},
		{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"get_weather","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"c1","content":"CALL_TOOL act {\"id\":\"1\"}"}]}`)
	if ran := box.runs(); len(ran) != 0 {
		t.Errorf("ran %q", ran)
	}
	b.ok(completions, `{"enigma":{"tools":true},"messages":[{"role":"user","content":"CALL_TOOL act {\"id\":\"1\"}"}]}`)
	if ran := box.runs(); len(ran) != 1 {
		t.Errorf("the user's own order ran %q", ran)
	}
}

func TestASessionIsKeptButNotRead(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("ok").Uses(10, 1)))
	for _, body := range []string{
		`{"messages":[{"role":"user","content":"first"}],"enigma":{"sessionId":"` + session + `"}}`,
		`{"stream":true,"messages":[{"role":"user","content":"second"}],"enigma":{"sessionId":"` + session + `"}}`,
	} {
		if r := b.ok(completions, body); !strings.Contains(r.body, `"enigma":{"sessionId":"`+session+`"}`) {
			t.Errorf("%s", r.body)
		}
	}
	if m := b.asked(1).Messages; len(m) != 2 {
		t.Errorf("asked with %+v", m)
	}
	list, _, err := b.store.Sessions().List(t.Context(), b.tenant.ID, storage.Owner{Caller: "address:127.0.0.1"}, 10, "")
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	said, err := b.store.Sessions().History(t.Context(), b.tenant.ID, storage.Owner{Caller: "address:127.0.0.1"}, strings.ToLower(session), storage.Page{Limit: 10})
	if err != nil || len(said) != 4 || said[0].Content != "ok" || said[1].Content != "second" || said[3].Content != "first" {
		t.Errorf("%+v, %v", said, err)
	}
}

func TestModelsAreChosenAsForChat(t *testing.T) {
	t.Parallel()
	unknown := aifake.Refuses(404, `{"error":{"message":"no such model","code":"model_not_found"}}`)
	b := newBed(t, aifake.New(t, unknown), with(func(c *tenantconfig.Config) { c.Models.Fallbacks = nil }))
	if r := b.post(completions, `{"model":"gpt-x","messages":[{"role":"user","content":"x"}]}`); r.status != 404 || !strings.Contains(r.body, `"code":"model_not_found"`) {
		t.Errorf("named: %d %s", r.status, r.body)
	}
	if r := b.post(completions, `{"stream":true,"messages":[{"role":"user","content":"x"}]}`); r.status != 502 {
		t.Errorf("the tenant's own: %d %s", r.status, r.body)
	}
	b = newBed(t, aifake.New(t, aifake.Refuses(500, `{}`), aifake.Says("ok")))
	if r := b.ok(completions, `{"messages":[{"role":"user","content":"x"}]}`); !strings.Contains(r.body, `"model":"small"`) || r.header.Get("X-Model-Id") != "small" {
		t.Errorf("fallback: %s", r.body)
	}
	b = newBed(t, aifake.New(t, aifake.Says("ok")), with(func(c *tenantconfig.Config) { c.Models.Allowed = []string{"big"} }))
	if r := b.post(completions, `{"model":"other","messages":[{"role":"user","content":"x"}]}`); r.status != 404 || !strings.Contains(r.body, `"param":"model"`) || len(b.up.Requests()) != 0 {
		t.Errorf("not allowed: %d %s", r.status, r.body)
	}
}

func TestLimitsHold(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("ok").Uses(10, 2)), with(func(c *tenantconfig.Config) {
		c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 2, WindowSec: 60}
	}))
	const body = `{"messages":[{"role":"user","content":"x"}]}`
	b.ok(completions, body)
	if r := b.ok("/v1/responses", `{"input":"x"}`); r.header.Get("X-Ratelimit-Remaining") != "0" {
		t.Errorf("headers %v", r.header)
	}
	if r := b.post(completions, body); r.status != 429 || r.header.Get("Retry-After") == "" || !strings.Contains(r.body, `"code":"rate_limit_exceeded"`) {
		t.Errorf("%d %v %s", r.status, r.header, r.body)
	}
	if len(b.up.Requests()) != 2 {
		t.Errorf("%d calls", len(b.up.Requests()))
	}
	b = newBed(t, aifake.New(t, aifake.Says("ok").Uses(10, 2)), with(func(c *tenantconfig.Config) { c.Limits.Tokens.Daily = 540 }))
	for range 2 {
		b.ok(completions, body)
	}
	if r := b.post(completions, body); r.status != 200 {
		t.Errorf("what was set aside wasn't settled: %d %s", r.status, r.body)
	}
	if r := b.post(completions, `{"messages":[{"role":"user","content":"`+strings.Repeat("x ", 2000)+`"}]}`); r.status != 429 || !strings.Contains(r.body, `"code":"insufficient_quota"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestAModelWithoutToolsIsToldInThisAPIsWords(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Refuses(400, `{"error":{"message":"c4nary does not support tools"}}`)))
	r := b.post(completions, `{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}`)
	if r.status != 400 || !strings.Contains(r.body, `"code":"tools_not_supported"`) || strings.Contains(r.body, "tool_name") || strings.Contains(r.body, "c4nary") {
		t.Errorf("%d %s", r.status, r.body)
	}
}
