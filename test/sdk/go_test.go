package sdk_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

func client(base string, more ...option.RequestOption) openai.Client {
	return openai.NewClient(append([]option.RequestOption{option.WithBaseURL(base), option.WithAPIKey(key), option.WithMaxRetries(0)}, more...)...)
}

func ask(text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: "big", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}}
}

var weather = shared.FunctionDefinitionParam{
	Name: "get_weather", Description: openai.String("The weather of a city."),
	Parameters: shared.FunctionParameters{"type": "object", "properties": map[string]any{"city": map[string]string{"type": "string"}}},
}

func TestGoChat(t *testing.T) {
	t.Parallel()
	c := client(serve(t, nil))
	got, err := c.Chat.Completions.New(t.Context(), ask("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if m := got.Choices[0]; m.Message.Content != "Hello, wörld!" || m.FinishReason != "stop" || got.Usage.TotalTokens != 24 || !strings.HasPrefix(got.ID, "chatcmpl-") || got.Model != "big" {
		t.Errorf("%s", got.RawJSON())
	}
	params := ask("hello")
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := c.Chat.Completions.NewStreaming(t.Context(), params)
	defer func() { _ = stream.Close() }()
	var acc openai.ChatCompletionAccumulator
	chunks := 0
	for stream.Next() {
		chunks++
		if !acc.AddChunk(stream.Current()) {
			t.Fatalf("the accumulator refuses %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if m := acc.Choices[0]; chunks != 6 || m.Message.Content != "Hello, wörld!" || m.FinishReason != "stop" || acc.Usage.TotalTokens != 24 {
		t.Errorf("%d chunks: %+v", chunks, acc.ChatCompletion)
	}
}

func TestGoTools(t *testing.T) {
	t.Parallel()
	c := client(serve(t, nil))
	params := ask("weather?")
	params.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(weather)}
	whole, err := c.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	stream := c.Chat.Completions.NewStreaming(t.Context(), params)
	defer func() { _ = stream.Close() }()
	var acc openai.ChatCompletionAccumulator
	for stream.Next() {
		acc.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	for name, choice := range map[string]openai.ChatCompletionChoice{"whole": whole.Choices[0], "streamed": acc.Choices[0]} {
		calls := choice.Message.ToolCalls
		if choice.FinishReason != "tool_calls" || len(calls) != 2 || calls[0].Function.Arguments != `{"city":"Wien"}` || calls[1].ID != "c2" {
			t.Errorf("%s: %+v", name, choice)
		}
	}
	params.Messages = append(params.Messages, whole.Choices[0].Message.ToParam(), openai.ToolMessage("rain", "c2"), openai.ToolMessage("sun", "c1"))
	got, err := c.Chat.Completions.New(t.Context(), params)
	if err != nil || got.Choices[0].Message.Content != "It is sun." {
		t.Errorf("%v, %v", got, err)
	}
}

func TestGoErrors(t *testing.T) {
	t.Parallel()
	base := serve(t, nil)
	few := client(serve(t, limited))
	if _, err := few.Chat.Completions.New(t.Context(), ask("hello")); err != nil {
		t.Fatal(err)
	}
	c, stranger := client(base), client(base, option.WithAPIKey("ce_c4nary-wrong"), option.WithHeader("x-tenant-id", "acme"))
	for name, tc := range map[string]struct {
		client      openai.Client
		params      openai.ChatCompletionNewParams
		status      int
		kind, code  string
		header, has string
	}{
		"wrong key": {stranger, ask("hello"), 401, "invalid_request_error", "invalid_api_key", "", ""},
		"rate":      {few, ask("hello"), 429, "requests", "rate_limit_exceeded", "Retry-After", "60"},
		"model":     {c, ask("unknown"), 404, "invalid_request_error", "model_not_found", "", ""},
		"bad":       {c, openai.ChatCompletionNewParams{Model: "big", Messages: ask("x").Messages, N: openai.Int(2)}, 400, "invalid_request_error", "invalid_request", "", ""},
	} {
		_, err := tc.client.Chat.Completions.New(t.Context(), tc.params)
		e, ok := errors.AsType[*openai.Error](err)
		if !ok || e.StatusCode != tc.status || e.Type != tc.kind || e.Code != tc.code || e.Message == "" {
			t.Errorf("%s: %+v, %v", name, e, err)
			continue
		}
		if tc.header != "" && e.Response.Header.Get(tc.header) != tc.has {
			t.Errorf("%s: %s is %q", name, tc.header, e.Response.Header.Get(tc.header))
		}
	}
	stream := c.Chat.Completions.NewStreaming(t.Context(), ask("cut"))
	defer func() { _ = stream.Close() }()
	for stream.Next() {
	}
	if err := stream.Err(); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("a stream that was cut off ends with %v", err)
	}
}

func TestGoEmbeddings(t *testing.T) {
	t.Parallel()
	c := client(serve(t, nil))
	for _, format := range []openai.EmbeddingNewParamsEncodingFormat{"float", "base64"} {
		got, err := c.Embeddings.New(t.Context(), openai.EmbeddingNewParams{
			Model: "embed", Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "bcd"}}, EncodingFormat: format,
		})
		if format == "base64" {
			// The SDK for Go takes floats alone; the one for JavaScript reads these.
			if err == nil && len(got.Data) == 2 && got.Data[0].JSON.Embedding.Raw() != `"AACAPwAAAL/NzMw9"` {
				t.Errorf("base64: %s", got.RawJSON())
			}
			continue
		}
		if err != nil || len(got.Data) != 2 || !slices.Equal(got.Data[1].Embedding, []float64{3, -0.5, 0.1}) || got.Usage.TotalTokens != 7 {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func TestGoModels(t *testing.T) {
	t.Parallel()
	c := client(serve(t, nil))
	page, err := c.Models.List(t.Context())
	if err != nil || len(page.Data) != 1 || page.Data[0].ID != "big" {
		t.Errorf("%v, %v", page, err)
	}
	if m, err := c.Models.Get(t.Context(), "big"); err != nil || m.OwnedBy != "openai" {
		t.Errorf("%v, %v", m, err)
	}
}

func TestGoResponses(t *testing.T) {
	t.Parallel()
	c := client(serve(t, nil))
	params := func(text string) responses.ResponseNewParams {
		return responses.ResponseNewParams{Model: "big", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)}}
	}
	got, err := c.Responses.New(t.Context(), params("hello"))
	if err != nil || got.OutputText() != "Hello, wörld!" || got.Status != "completed" || got.Usage.TotalTokens != 24 {
		t.Errorf("%v, %v", got, err)
	}
	read := func(p responses.ResponseNewParams) (text string, calls []responses.ResponseFunctionToolCall, last string) {
		t.Helper()
		stream := c.Responses.NewStreaming(t.Context(), p)
		defer func() { _ = stream.Close() }()
		for stream.Next() {
			switch e := stream.Current().AsAny().(type) {
			case responses.ResponseTextDeltaEvent:
				text += e.Delta
			case responses.ResponseOutputItemDoneEvent:
				if e.Item.Type == "function_call" {
					calls = append(calls, e.Item.AsFunctionCall())
				}
			case nil:
				t.Errorf("the SDK doesn't know %s", stream.Current().RawJSON())
			}
			last = stream.Current().Type
		}
		if err := stream.Err(); err != nil {
			t.Error(err)
		}
		return text, calls, last
	}
	if text, _, last := read(params("hello")); text != "Hello, wörld!" || last != "response.completed" {
		t.Errorf("%q, %s", text, last)
	}
	if _, _, last := read(params("long")); last != "response.incomplete" {
		t.Errorf("an answer of full length ends with %s", last)
	}
	if _, _, last := read(params("cut")); last != "response.failed" {
		t.Errorf("one that was cut off ends with %s", last)
	}
	tools := params("weather?")
	tools.Tools = []responses.ToolUnionParam{responses.ToolParamOfFunction("get_weather", weather.Parameters, false)}
	_, calls, last := read(tools)
	if len(calls) != 2 || calls[0].Arguments != `{"city":"Wien"}` || calls[1].CallID != "c2" || last != "response.completed" {
		t.Fatalf("%+v, %s", calls, last)
	}
	items := responses.ResponseInputParam{responses.ResponseInputItemParamOfMessage("weather?", "user")}
	for _, call := range calls {
		items = append(items, responses.ResponseInputItemParamOfFunctionCall(call.Arguments, call.CallID, call.Name))
	}
	for _, call := range calls {
		items = append(items, responses.ResponseInputItemUnionParam{OfFunctionCallOutput: &responses.ResponseInputItemFunctionCallOutputParam{
			CallID: openai.String(call.CallID), Output: responses.ResponseInputItemFunctionCallOutputOutputUnionParam{OfString: openai.String("sun")},
		}})
	}
	tools.Input = responses.ResponseNewParamsInputUnion{OfInputItemList: items}
	if got, err := c.Responses.New(t.Context(), tools); err != nil || got.OutputText() != "It is sun." {
		t.Errorf("%v, %v", got, err)
	}
}

// What is ours passes a strict client by, and those who ask for it get it.
func TestGoExtras(t *testing.T) {
	t.Parallel()
	const session = "3f0e8a52-1c6b-4f7e-9d0a-5b1f2c3d4e5f"
	c := client(serve(t, nil))
	got, err := c.Chat.Completions.New(t.Context(), ask("hello"), option.WithJSONSet("enigma.sessionId", session))
	if err != nil {
		t.Fatal(err)
	}
	if extra := got.JSON.ExtraFields["enigma"].Raw(); extra != `{"sessionId":"`+session+`"}` {
		t.Errorf("enigma is %q", extra)
	}
	got, err = c.Chat.Completions.New(t.Context(), ask("hello"))
	if err != nil || len(got.JSON.ExtraFields) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}
