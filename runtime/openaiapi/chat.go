package openaiapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

const (
	maxStops     = 4
	maxStopChars = 256
	maxUserChars = 128
)

// chatRequest is the body of POST /v1/chat/completions.
type chatRequest struct {
	Model               string          `json:"model"`
	Messages            []message       `json:"messages"`
	Stream              bool            `json:"stream"`
	StreamOptions       *streamOptions  `json:"stream_options"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	Temperature         *float64        `json:"temperature"`
	TopP                *float64        `json:"top_p"`
	FrequencyPenalty    *float64        `json:"frequency_penalty"`
	PresencePenalty     *float64        `json:"presence_penalty"`
	Seed                *int64          `json:"seed"`
	N                   *int            `json:"n"`
	Stop                json.RawMessage `json:"stop"`
	ResponseFormat      json.RawMessage `json:"response_format"`
	Tools               []tool          `json:"tools"`
	ToolChoice          json.RawMessage `json:"tool_choice"`
	ParallelToolCalls   *bool           `json:"parallel_tool_calls"`
	User                string          `json:"user"`
	Enigma              *extras         `json:"enigma"`

	// What would be answered as if it had not been asked.
	Functions    json.RawMessage `json:"functions"`
	FunctionCall json.RawMessage `json:"function_call"`
	Logprobs     bool            `json:"logprobs"`
	Modalities   []string        `json:"modalities"`
	Audio        json.RawMessage `json:"audio"`
	Store        bool            `json:"store"`

	asked *question
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// Validate reads the request into what both APIs ask.
func (r *chatRequest) Validate() []httpapi.Detail {
	var w wrongs
	w.add(len(r.Messages) == 0, "messages", "must not be empty")
	w.add(r.N != nil && *r.N != 1, "n", "must be 1: one choice is made")
	w.add(r.Logprobs, "logprobs", "must be false: log probabilities aren't told")
	w.add(given(r.Functions), "functions", "isn't taken any more: use tools")
	w.add(given(r.FunctionCall), "function_call", "isn't taken any more: use tool_choice")
	w.add(given(r.Audio), "audio", "isn't made here: use /v1/audio/speech")
	w.add(r.Store, "store", "must be false: completions aren't stored")
	for _, m := range r.Modalities {
		w.add(m != "text", "modalities", "must be text alone")
	}
	w.add(r.MaxTokens != nil && *r.MaxTokens < 1, "max_tokens", "must be 1 or more")
	w.add(r.MaxCompletionTokens != nil && *r.MaxCompletionTokens < 1, "max_completion_tokens", "must be 1 or more")
	w.add(outside(r.FrequencyPenalty, -2, 2), "frequency_penalty", "must be from -2 to 2")
	w.add(outside(r.PresencePenalty, -2, 2), "presence_penalty", "must be from -2 to 2")
	w.add(given(r.ResponseFormat) && r.ResponseFormat[0] != '{', "response_format", "must be an object")
	w.add(r.StreamOptions != nil && !r.Stream, "stream_options", "must only be set with stream: true")
	q := &question{
		model: r.Model, user: r.User, extras: r.Enigma, maxTokens: r.MaxCompletionTokens, temperature: r.Temperature,
		messages: conversation(r.Messages, &w), tools: readTools(r.Tools, &w),
		oneTool: r.ParallelToolCalls != nil && !*r.ParallelToolCalls,
		sampling: ai.Sampling{
			TopP: r.TopP, FrequencyPenalty: r.FrequencyPenalty, PresencePenalty: r.PresencePenalty, Seed: r.Seed, Stop: r.stops(&w),
		},
	}
	if q.maxTokens == nil {
		q.maxTokens = r.MaxTokens
	}
	if given(r.ResponseFormat) {
		q.sampling.ResponseFormat = r.ResponseFormat
	}
	q.choice = readChoice(r.ToolChoice, q.tools, &w)
	q.validate(&w)
	r.asked = q
	return w
}

func (r *chatRequest) stops(w *wrongs) []string {
	stops, ok := stringOrStrings(r.Stop)
	if !ok || len(stops) > maxStops {
		w.add(true, "stop", "must be a string, or an array of at most 4")
		return nil
	}
	for _, s := range stops {
		w.add(s == "" || utf8.RuneCountInString(s) > maxStopChars, "stop", "must be 1 to 256 characters each")
	}
	return stops
}

// chat answers POST /v1/chat/completions.
func (f *Feature) chat(ctx context.Context, c httpapi.Call, r chatRequest) (httpapi.Answer, error) {
	x, err := f.begin(ctx, c, r.asked)
	if err != nil {
		return httpapi.Answer{}, err
	}
	if !r.Stream {
		out, err := x.whole(ctx)
		if err != nil {
			return httpapi.Answer{}, err
		}
		return httpapi.Answer{Raw: newCompletion(x, out)}, nil
	}
	return x.stream(ctx, newChatFrames(x, r.StreamOptions != nil && r.StreamOptions.IncludeUsage))
}

// newID makes an id with one of OpenAI's prefixes.
func newID(prefix string) string { return prefix + rand.Text() }
