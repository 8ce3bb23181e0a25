package chatwire_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aitest"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/chatwire"
)

// client is one of an upstream's.
func toolClient(t *testing.T, answers ...aifake.Answer) (*chatwire.Client, *aifake.Server) {
	t.Helper()
	up := aifake.New(t, answers...)
	c, err := chatwire.NewClient(chatwire.Settings{URL: up.URL + "/chat/completions"})
	if err != nil {
		t.Fatal(err)
	}
	return c, up
}

func toolRequest() ai.ChatRequest {
	return ai.ChatRequest{
		Model: "m", MaxTokens: 50, Messages: []ai.Message{{Role: ai.RoleUser, Content: "weather?"}},
		Tools: []ai.Tool{{Name: "weather", Description: "tells the weather", Parameters: []byte(`{"type":"object"}`)}, {Name: "time"}},
	}
}

// streamed reads a stream: its text, the calls of its one chunk with any, its finish.
func streamed(t *testing.T, c *chatwire.Client) (text string, calls []ai.ToolCall, finish string, err error) {
	t.Helper()
	s, err := c.Stream(t.Context(), aitest.Tenant(t), toolRequest())
	if err != nil {
		return "", nil, "", err
	}
	defer func() { _ = s.Close() }()
	for {
		chunk, err := s.Next()
		if err != nil {
			if err.Error() == "EOF" {
				err = nil
			}
			return text, calls, finish, err
		}
		text += chunk.Text
		if chunk.Finish != "" {
			finish = chunk.Finish
		}
		if len(chunk.ToolCalls) > 0 && calls != nil {
			t.Error("calls came in two chunks")
		}
		calls = append(calls, chunk.ToolCalls...)
	}
}

var noIDs = cmpopts.IgnoreFields(ai.ToolCall{}, "ID")

func TestCallsAreTheSameHoweverTheyCome(t *testing.T) {
	t.Parallel()
	calls := []aifake.Call{{ID: "a", Name: "weather", Arguments: `{"city":"Gráz 😀","days":[1,2]}`}, {ID: "b", Name: "time", Arguments: `{}`}, {ID: "c", Name: "weather", Arguments: `{"city":"Wien"}`}}
	var want []ai.ToolCall
	for _, c := range calls {
		want = append(want, ai.ToolCall{ID: c.ID, Name: c.Name, Arguments: c.Arguments})
	}
	answer := aifake.Says("Let me ", "look.").AndCalls(calls...)
	for name, a := range map[string]aifake.Answer{
		"whole arguments":   answer,
		"bytes by turns":    answer.CallsInPieces(9),
		"split anywhere":    answer.CallsInPieces(5).InPieces(3),
		"ended with stop":   answer.Finish("stop"),
		"CRLF":              answer.CRLF().InPieces(7),
		"no usage, no DONE": answer.WithoutUsage().WithoutDone(),
		"not streamed":      answer.Whole(),
	} {
		c, _ := toolClient(t, a)
		text, got, finish, err := streamed(t, c)
		if err != nil || text != "Let me look." || finish != "tool_calls" {
			t.Errorf("%s: %q, %q, %v", name, text, finish, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		whole, err := c.Complete(t.Context(), aitest.Tenant(t), toolRequest())
		if diff := cmp.Diff(want, whole.ToolCalls); err != nil || diff != "" || whole.Finish != "tool_calls" {
			t.Errorf("%s, whole: %q, %v, %s", name, whole.Finish, err, diff)
		}
	}
	// Workers AI's own frames have neither ids nor a finish reason.
	c, _ := toolClient(t, aifake.Calls(calls...).Native())
	_, got, _, err := streamed(t, c)
	whole, err2 := c.Complete(t.Context(), aitest.Tenant(t), toolRequest())
	if diff := cmp.Diff(want, got, noIDs); diff != "" || err != nil {
		t.Errorf("native: %v %s", err, diff)
	}
	if diff := cmp.Diff(want, whole.ToolCalls, noIDs); diff != "" || err2 != nil {
		t.Errorf("native, whole: %v %s", err2, diff)
	}
	for _, calls := range [][]ai.ToolCall{got, whole.ToolCalls} {
		if calls[0].ID == "" || calls[0].ID == calls[1].ID || calls[1].ID == calls[2].ID {
			t.Errorf("the ids are %+v", calls)
		}
	}
}

// frames makes a stream of the inner JSON of deltas; one that begins with "!" is a whole
// frame.
func frames(deltas ...string) aifake.Answer {
	var b strings.Builder
	for _, d := range deltas {
		if raw, ok := strings.CutPrefix(d, "!"); ok {
			fmt.Fprintf(&b, "data: %s\n\n", raw)
			continue
		}
		fmt.Fprintf(&b, "data: {\"choices\":[{\"index\":0,\"delta\":{%s},\"finish_reason\":null}]}\n\n", d)
	}
	return aifake.Sends("text/event-stream", b.String())
}

func TestWhatServersMakeOfCalls(t *testing.T) {
	t.Parallel()
	const stop, done = `!{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, `![DONE]`
	two := []ai.ToolCall{{Name: "weather", Arguments: `{"c":1}`}, {Name: "time", Arguments: `{"d":2}`}}
	same := []ai.ToolCall{{Name: "time", Arguments: `{"d":1}`}, {Name: "time", Arguments: `{"d":2}`}}
	for name, c := range map[string]struct {
		deltas []string
		want   []ai.ToolCall
	}{
		"no index":                   {[]string{`"tool_calls":[{"id":"a","function":{"name":"weather","arguments":"{\"c\""}}]`, `"tool_calls":[{"function":{"arguments":":1}"}}]`, `"tool_calls":[{"id":"b","function":{"name":"time","arguments":"{\"d\":2}"}}]`, stop, done}, two},
		"no index, no id":            {[]string{`"tool_calls":[{"function":{"name":"weather","arguments":"{\"c\":1}"}},{"function":{"name":"time","arguments":"{\"d\":2}"}}]`, stop, done}, two},
		"all of index 0, by id":      {[]string{`"tool_calls":[{"index":0,"id":"a","function":{"name":"weather","arguments":"{\"c\":1}"}}]`, `"tool_calls":[{"index":0,"id":"b","function":{"name":"time","arguments":"{\"d\":2}"}}]`, stop, done}, two},
		"all of index 0, by name":    {[]string{`"tool_calls":[{"index":0,"function":{"name":"time","arguments":"{\"d\":1}"}}]`, `"tool_calls":[{"index":0,"function":{"name":"time","arguments":"{\"d\":2}"}}]`, stop, done}, same},
		"id and name in every delta": {[]string{`"tool_calls":[{"index":0,"id":"a","function":{"name":"weather","arguments":"{\"c\""}}]`, `"tool_calls":[{"index":0,"id":"a","function":{"name":"weather","arguments":":1}"}}]`, `"tool_calls":[{"index":1,"id":"b","function":{"name":"time","arguments":"{\"d\":2}"}}]`, stop, done}, two},
		"nulls":                      {[]string{`"content":null,"tool_calls":[{"index":0,"id":"a","function":{"name":"weather","arguments":null}}]`, `"tool_calls":[{"index":0,"id":null,"type":null,"function":{"name":null,"arguments":"{\"c\":1}"}}]`, `"tool_calls":[{"index":1,"id":"a","function":{"name":"time","arguments":"{\"d\":2}"}}]`, `"tool_calls":null`, stop, done}, two},
		"objects":                    {[]string{`"tool_calls":[{"index":0,"function":{"name":"weather","arguments":{"c":1}}},{"index":1,"function":{"name":"time","arguments":{"d":2}}}]`, stop, done}, two},
		"repeated ends":              {[]string{`"tool_calls":[{"index":0,"id":"a","function":{"name":"weather","arguments":"{\"c\":1}"}},{"index":1,"id":"b","function":{"name":"time","arguments":"{\"d\":2}"}}]`, stop, stop, `!{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"tool_calls"}]}`, done, done}, two},
		"calls behind the end":       {[]string{stop, `"tool_calls":[{"index":0,"id":"a","function":{"name":"weather","arguments":"{\"c\":1}"}},{"index":1,"id":"b","function":{"name":"time","arguments":"{\"d\":2}"}}]`, done}, two},
		"another choice's":           {[]string{`!{"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"name":"x"}}]}}]}`, `"content":"hi"`, stop, done}, nil},
		"no name":                    {[]string{`"tool_calls":[{"index":0,"id":"a"}]`, stop, done}, nil},
		"the old way":                {[]string{`"function_call":{"name":"weather","arguments":"{\"c\""}`, `"function_call":{"arguments":":1}"}`, stop, done}, two[:1]},
		"cut by the limit":           {[]string{`"tool_calls":[{"index":0,"id":"a","function":{"name":"weather","arguments":"{\"c\":1}"}},{"index":1,"id":"b","function":{"name":"time","arguments":"{\"d\":"}}]`, `!{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`, done}, two[:1]},
	} {
		client, _ := toolClient(t, frames(c.deltas...), frames(c.deltas...).InPieces(11))
		for range 2 {
			_, got, finish, err := streamed(t, client)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if diff := cmp.Diff(c.want, got, noIDs); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if len(got) == 2 && got[0].ID == got[1].ID {
				t.Errorf("%s: one id for two", name)
			}
			if name != "calls behind the end" && name != "cut by the limit" && (finish == "tool_calls") != (len(c.want) > 0) {
				t.Errorf("%s: finish %q", name, finish)
			}
		}
	}
}

func TestCallsThatAreNone(t *testing.T) {
	t.Parallel()
	many := `"tool_calls":[` + strings.TrimSuffix(strings.Repeat(`{"function":{"name":"time","arguments":"{}"}},`, 129), ",") + `]`
	for name, c := range map[string]struct {
		answer aifake.Answer
		want   ai.Kind
	}{
		"cut off":              {aifake.Calls(aifake.Call{Name: "time", Arguments: `{"a":"` + strings.Repeat("x", 200) + `"}`}).EndAfter(300), ai.KindTruncated},
		"129":                  {frames(many), ai.KindMalformed},
		"too long":             {frames(`"tool_calls":[{"function":{"name":"time","arguments":"`+strings.Repeat("x", 600_000)+`"}}]`, `"tool_calls":[{"function":{"arguments":"`+strings.Repeat("x", 600_000)+`"}}]`), ai.KindMalformed},
		"a name of a thousand": {frames(`"tool_calls":[{"function":{"name":"` + strings.Repeat("x", 1000) + `"}}]`), ai.KindMalformed},
	} {
		client, _ := toolClient(t, c.answer)
		_, calls, _, err := streamed(t, client)
		var e *ai.Error
		if !errors.As(err, &e) || e.Kind != c.want || len(calls) > 0 {
			t.Errorf("%s: %d calls, %v", name, len(calls), err)
		}
	}
}

func TestAConversationWithToolsIsSentAsItWas(t *testing.T) {
	t.Parallel()
	c, up := toolClient(t, aifake.Says("ok"))
	req := toolRequest()
	p, seed := 0.5, int64(7)
	req.Sampling = ai.Sampling{TopP: &p, FrequencyPenalty: &p, PresencePenalty: &p, Seed: &seed, Stop: []string{"END"}, ResponseFormat: []byte(`{"type":"json_object"}`)}
	req.OneTool = true
	req.Messages = append(req.Messages,
		ai.Message{Role: ai.RoleAssistant, ToolCalls: []ai.ToolCall{{ID: "1", Name: "weather", Arguments: `{"city":"<Graz>"}`}, {ID: "2", Name: "time", Arguments: `{}`}}},
		ai.Message{Role: ai.RoleTool, ToolCallID: "2", Content: "noon"}, ai.Message{Role: ai.RoleTool, ToolCallID: "1", Content: "rain"})
	for choice, want := range map[string]string{"": "", "auto": "", "none": `"none"`, "required": `"required"`, "time": `{"function":{"name":"time"},"type":"function"}`} {
		req.ToolChoice = choice
		if _, err := c.Complete(t.Context(), aitest.Tenant(t), req); err != nil {
			t.Fatal(err)
		}
		requests := up.Requests()
		got := requests[len(requests)-1].Chat
		if string(got.ToolChoice) != want || *got.TopP != p || *got.Seed != seed || got.Stop[0] != "END" || got.ResponseFormat.Type != "json_object" || *got.ParallelToolCalls {
			t.Errorf("%q: %s", choice, requests[len(requests)-1].Body)
		}
		if len(got.Tools) != 2 || got.Tools[0].Function.Description != "tells the weather" || got.Messages[1].ToolCalls[0].Function.Arguments != `{"city":"<Graz>"}` || got.Messages[3].ToolCallID != "1" {
			t.Errorf("%s", requests[len(requests)-1].Body)
		}
	}
	req.ToolChoice = "unknown"
	var e *ai.Error
	if _, err := c.Complete(t.Context(), aitest.Tenant(t), req); !errors.As(err, &e) || e.Kind != ai.KindBadRequest {
		t.Error(err)
	}
}

func TestARefusalOfToolsIsKnown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
	}{
		"Ollama":      {400, `{"error":{"message":"registry.ollama.ai/library/gemma:2b does not support tools","type":"api_error","param":null,"code":null}}`},
		"vLLM":        {400, `{"object":"error","message":"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set","type":"BadRequestError","code":400}`},
		"llama.cpp":   {500, `{"error":{"code":500,"message":"tools param requires --jinja flag","type":"server_error"}}`},
		"OpenRouter":  {404, `{"error":{"message":"No endpoints found that support tool use.","code":404}}`},
		"OpenAI":      {400, `{"error":{"message":"Unsupported parameter: 'tools' is not supported with this model.","type":"invalid_request_error","param":"tools","code":"unsupported_parameter"}}`},
		"in a stream": {200, "data: {\"error\":{\"message\":\"m does not support tools\"}}\n\n"},
	} {
		answer := aifake.Refuses(c.status, c.body)
		if c.status == 200 {
			answer = aifake.Sends("text/event-stream", c.body)
		}
		client, _ := toolClient(t, answer)
		_, _, _, err := streamed(t, client)
		var e *ai.Error
		if !errors.As(err, &e) || e.Kind != ai.KindNoTools || !e.Fallback() {
			t.Errorf("%s: %v", name, err)
		}
		if c.status == 200 {
			continue
		}
		// Without tools in the call it is something else that is refused.
		req := toolRequest()
		req.Tools = nil
		if _, err := client.Complete(t.Context(), aitest.Tenant(t), req); !errors.As(err, &e) || e.Kind == ai.KindNoTools {
			t.Errorf("%s, without tools: %v", name, err)
		}
	}
}
