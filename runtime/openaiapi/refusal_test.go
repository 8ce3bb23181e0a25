package openaiapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/openaiapi"
)

// paramOf is the field that a refusal names.
func paramOf(t *testing.T, r reply) string {
	t.Helper()
	var body struct {
		Error struct{ Param, Code, Message string }
	}
	if err := json.Unmarshal([]byte(r.body), &body); err != nil {
		t.Fatal(err)
	}
	if r.status != 400 || body.Error.Code != "invalid_request" || body.Error.Message == "" {
		t.Errorf("%d %s", r.status, r.body)
	}
	return body.Error.Param
}

func TestWhatWouldBeMisreadIsRefused(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("ok")))
	const user = `"messages":[{"role":"user","content":"x"}]`
	messages := func(list string) string { return `{"messages":[` + list + `]}` }
	const called = `{"role":"user","content":"x"},{"role":"assistant","content":"","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]}`
	for body, param := range map[string]string{
		`{}`:                                    "messages",
		messages(``):                            "messages",
		`{"messages":"x"}`:                      "messages",
		messages(`{"content":"x"}`):             "messages[0].role",
		messages(`{"role":"bot"}`):              "messages[0].role",
		messages(`{"role":"user"}`):             "messages[0].content",
		messages(`{"role":"assistant"}`):        "messages[0].content",
		messages(`{"role":"user","content":5}`): "messages[0].content",
		messages(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}`):        "messages[0].content[0].type",
		messages(`{"role":"user","content":[{"type":"text","text":"a"},{"type":"input_audio"}]}`):   "messages[0].content[1].type",
		messages(`{"role":"user","content":[{"type":"text"}]}`):                                     "messages[0].content[0].text",
		messages(`{"role":"system","content":"x"}`):                                                 "messages[0]",
		messages(`{"role":"user","content":"x"},{"role":"assistant","content":"y"}`):                "messages[1]",
		messages(`{"role":"user","content":"x"},{"role":"tool","tool_call_id":"c1","content":"y"}`): "messages[1]",
		messages(`{"role":"tool","content":"y"}`):                                                   "messages[0].tool_call_id",
		messages(called): "messages[1]",
		messages(called + `,{"role":"user","content":"x"}`):                                                                                     "messages[2]",
		messages(called + `,{"role":"tool","tool_call_id":"c2","content":"y"}`):                                                                 "messages[2]",
		messages(called + `,{"role":"tool","tool_call_id":"c1","content":"y"},{"role":"tool","tool_call_id":"c1","content":"y"}`):               "messages[3]",
		messages(`{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"","type":"function","function":{"name":"f"}}]}`):       "messages[1].tool_calls[0].id",
		messages(`{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"a","type":"custom","function":{"name":"f"}}]}`):        "messages[1].tool_calls[0].type",
		messages(`{"role":"user","content":"x"},{"role":"assistant","content":"a","function_call":{"name":"f"}},{"role":"user","content":"x"}`): "messages[1].function_call",
		messages(`{"role":"function","name":"f","content":"x"}`):                                                                                "messages[0].role",
		`{` + user + `,"n":2}`:                                                                 "n",
		`{` + user + `,"logprobs":true}`:                                                       "logprobs",
		`{` + user + `,"store":true}`:                                                          "store",
		`{` + user + `,"modalities":["text","audio"]}`:                                         "modalities",
		`{` + user + `,"audio":{"voice":"x"}}`:                                                 "audio",
		`{` + user + `,"functions":[]}`:                                                        "functions",
		`{` + user + `,"max_tokens":0}`:                                                        "max_tokens",
		`{` + user + `,"max_completion_tokens":-1}`:                                            "max_completion_tokens",
		`{` + user + `,"max_tokens":1.5}`:                                                      "max_tokens",
		`{` + user + `,"temperature":2.1}`:                                                     "temperature",
		`{` + user + `,"top_p":-1}`:                                                            "top_p",
		`{` + user + `,"frequency_penalty":3}`:                                                 "frequency_penalty",
		`{` + user + `,"presence_penalty":-3}`:                                                 "presence_penalty",
		`{` + user + `,"seed":"x"}`:                                                            "seed",
		`{` + user + `,"stop":["a","b","c","d","e"]}`:                                          "stop",
		`{` + user + `,"stop":[""]}`:                                                           "stop",
		`{` + user + `,"stop":5}`:                                                              "stop",
		`{` + user + `,"response_format":"json"}`:                                              "response_format",
		`{` + user + `,"stream_options":{"include_usage":true}}`:                               "stream_options",
		`{` + user + `,"tools":[{"type":"web_search"}]}`:                                       "tools[0].type",
		`{` + user + `,"tools":[{"type":"function","function":{"name":"a b"}}]}`:               "tools[0].function.name",
		`{` + user + `,"tools":[{"type":"function","function":{"name":"f","parameters":[]}}]}`: "tools[0].function.parameters",
		`{` + user + `,"tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"f"}}]}`: "tools",
		`{` + user + `,"tool_choice":"required"}`:                                  "tool_choice",
		`{` + user + `,"tool_choice":"maybe"}`:                                     "tool_choice",
		`{` + user + `,"tool_choice":{"type":"function","function":{"name":"f"}}}`: "tool_choice",
		`{` + user + `,"model":"` + strings.Repeat("m", 300) + `"}`:                "model",
		`{` + user + `,"user":"` + strings.Repeat("u", 300) + `"}`:                 "user",
		`{` + user + `,"Model":"x"}`:                                               "model",
		`{` + user + `,"enigma":{"sessionId":"1"}}`:                                "enigma.sessionId",
		`{` + user + `,"enigma":{"topK":3}}`:                                       "enigma.useRag",
		`{` + user + `,"enigma":{"useRag":true,"topK":1000000000}}`:                "enigma.topK",
	} {
		if got := paramOf(t, b.post(completions, body)); got != param {
			t.Errorf("%s: %q, want %q", body, got, param)
		}
	}
	for body, param := range map[string]string{
		`{}`:                               "input",
		`{"input":[]}`:                     "input",
		`{"input":[{"type":"reasoning"}]}`: "input",
		`{"input":5}`:                      "input",
		`{"input":[{"type":"item_reference","id":"x"}]}`:                                                               "input[0].type",
		`{"input":[{"role":"user","content":[{"type":"input_image"}]}]}`:                                               "input[0].content[0].type",
		`{"input":[{"type":"function_call_output","call_id":"c","output":"x"}]}`:                                       "input[0]",
		`{"input":[{"role":"user","content":"x"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]}`: "input[1]",
		`{"input":"x","previous_response_id":"resp_1"}`:                                                                "previous_response_id",
		`{"input":"x","conversation":"c"}`:                                                                             "conversation",
		`{"input":"x","store":true}`:                                                                                   "store",
		`{"input":"x","background":true}`:                                                                              "background",
		`{"input":"x","prompt":{"id":"p"}}`:                                                                            "prompt",
		`{"input":"x","max_output_tokens":0}`:                                                                          "max_output_tokens",
		`{"input":"x","tools":[{"type":"web_search"}]}`:                                                                "tools[0].type",
		`{"input":"x","tools":[{"type":"function","name":""}]}`:                                                        "tools[0].name",
		`{"input":"x","text":{"format":{"type":"grammar"}}}`:                                                           "text.format",
		`{"input":"x","text":{"format":{"type":"json_schema","name":"n"}}}`:                                            "text.format",
	} {
		if got := paramOf(t, b.post("/v1/responses", body)); got != param {
			t.Errorf("%s: %q, want %q", body, got, param)
		}
	}
	if n := len(b.up.Requests()); n != 0 {
		t.Errorf("the upstream was asked %d times", n)
	}
}

func TestWhatTheTenantHasNotIsRefused(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("ok")))
	for extra, code := range map[string]string{`{"useRag":true}`: "documents_not_enabled", `{"tools":true}`: "tools_not_enabled"} {
		r := b.post(completions, `{"messages":[{"role":"user","content":"x"}],"enigma":`+extra+`}`)
		if r.status != 403 || !strings.Contains(r.body, `"code":"`+code+`"`) {
			t.Errorf("%s: %d %s", extra, r.status, r.body)
		}
	}
	if n := len(b.up.Requests()); n != 0 {
		t.Errorf("the upstream was asked %d times", n)
	}
}

// FuzzRequests: whatever the body, a request is answered or refused in OpenAI's shape,
// and what reaches the model is a conversation that models take.
func FuzzRequests(f *testing.F) {
	for _, s := range []string{
		`{"messages":[{"role":"user","content":"x"}]}`, `{"input":"x"}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":"x"}]},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"y"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":"auto"}`,
		`{"input":[{"role":"user","content":[{"type":"input_text","text":"x"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"y"},{"type":"reasoning"}],"tools":[{"type":"function","name":"f"}],"text":{"format":{"type":"json_object"}}}`,
		`{"messages":[{"role":"user","content":null}],"stop":null,"tools":null,"enigma":null}`,
	} {
		f.Add(s)
	}
	decode := []func([]byte) ([]ai.Message, bool){openaiapi.DecodeChat, openaiapi.DecodeResponses}
	f.Fuzz(func(t *testing.T, body string) {
		for _, d := range decode {
			asked, ok := d([]byte(body))
			if !ok {
				continue
			}
			open := map[string]bool{}
			for i, m := range asked {
				switch {
				case m.Role == "tool" && !open[m.ToolCallID]:
					t.Fatalf("message %d answers nothing: %+v", i, asked)
				case m.Role == "tool":
					delete(open, m.ToolCallID)
				case len(open) > 0:
					t.Fatalf("message %d comes before all calls are answered: %+v", i, asked)
				}
				for _, c := range m.ToolCalls {
					open[c.ID] = true
				}
			}
			if n := len(asked); n == 0 || len(open) > 0 || asked[n-1].Role != "user" && asked[n-1].Role != "tool" {
				t.Fatalf("%q is taken as %+v", body, asked)
			}
		}
	})
}
