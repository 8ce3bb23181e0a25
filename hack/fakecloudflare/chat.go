package fakecloudflare

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// ChatCall is what a chat asks.
type ChatCall struct {
	Model    string
	Messages []ChatMessage
	// MaxTokens is 256 if the call doesn't say, which is Workers AI's own default.
	MaxTokens int
	Stream    bool
	Tools     []json.RawMessage
	// Metadata is what the gateway was told.
	Metadata string
	// Token is the id of the caller's.
	Token string
}

// ChatMessage is one message, its parts of text joined.
type ChatMessage struct{ Role, Content string }

// Reply is what a model answers.
type Reply struct {
	// Tokens are the text, one event each in a stream; more than the call's maximum are
	// left out, and the finish reason is length.
	Tokens []string
	// Reasoning comes before them.
	Reasoning []string
	// ToolCalls are OpenAI's.
	ToolCalls []json.RawMessage
	// TokenDelay is waited before each token, by the real clock.
	TokenDelay time.Duration
	// Gate, if it isn't nil, is waited for before each token: one receive lets one go.
	Gate <-chan struct{}
	// CutAfter breaks the connection after so many tokens; 0 doesn't.
	CutAfter int
	// WithoutDone ends a stream as if it were over, WithoutUsage tells no usage.
	WithoutDone, WithoutUsage bool
	// Status and Code refuse the call in the door's own shape: 429 and 3040 are out of
	// capacity, 429 and 3036 the day's free neurons used up.
	Status, Code int
}

// Echo answers the last message of the user, word by word.
func Echo(c ChatCall) Reply {
	text := ""
	for _, m := range c.Messages {
		if m.Role == "user" {
			text = m.Content
		}
	}
	return Reply{Tokens: strings.SplitAfter("You said: "+text, " ")}
}

// AnswerChats lets f write all further answers; nil means Echo.
func (s *Server) AnswerChats(f func(ChatCall) Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chat = f; f == nil {
		s.chat = Echo
	}
}

type chatBody struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Prompt        string            `json:"prompt"`
	MaxTokens     *int              `json:"max_tokens"`
	MaxCompletion *int              `json:"max_completion_tokens"`
	Stream        bool              `json:"stream"`
	Tools         []json.RawMessage `json:"tools"`
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

// askModel reads the body and lets the model answer; complaint says what is wrong.
func (c *call) askModel(m model) (b chatBody, r Reply, usage map[string]int, finish, complaint string) {
	if err := decode(c.body, &b); err != nil {
		return b, r, nil, "", "the body isn't a chat"
	}
	ask := ChatCall{Model: m.name, MaxTokens: 256, Stream: b.Stream, Tools: b.Tools, Metadata: c.r.Header.Get("Cf-Aig-Metadata"), Token: c.token.ID}
	for _, limit := range []*int{b.MaxTokens, b.MaxCompletion} {
		if limit != nil {
			ask.MaxTokens = *limit
		}
	}
	for _, msg := range b.Messages {
		ask.Messages = append(ask.Messages, ChatMessage{Role: msg.Role, Content: joined(msg.Content)})
	}
	if b.Prompt != "" {
		ask.Messages = append(ask.Messages, ChatMessage{Role: "user", Content: b.Prompt})
	}
	switch {
	case len(ask.Messages) == 0:
		return b, r, nil, "", "messages must not be empty"
	case ask.MaxTokens < 1:
		return b, r, nil, "", "max_tokens must be 1 or more"
	case b.StreamOptions != nil && !b.Stream:
		return b, r, nil, "", "stream_options is only allowed with stream"
	}
	r = c.answerChat(ask)
	finish = "stop"
	if len(r.ToolCalls) > 0 {
		finish = "tool_calls"
	}
	if len(r.Tokens) > ask.MaxTokens {
		r.Tokens, finish = r.Tokens[:ask.MaxTokens], "length"
	}
	in := 0
	for _, msg := range ask.Messages {
		in += 4 + (len(msg.Content)+3)/4
	}
	out := len(r.Tokens) + len(r.Reasoning)
	return b, r, map[string]int{"prompt_tokens": in, "completion_tokens": out, "total_tokens": in + out}, finish, ""
}

// answerChat lets go of the lock, so that who writes the answers may look at the server.
func (c *call) answerChat(ask ChatCall) Reply {
	write := c.s.chat
	c.s.mu.Unlock()
	defer c.s.mu.Lock()
	return write(ask)
}

func joined(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(content, &parts) != nil {
		return ""
	}
	for _, p := range parts {
		text += p.Text
	}
	return text
}

func chatCompletion(c *call, m model) answer {
	if m.task != taskChat {
		return openAIFail(http.StatusBadRequest, "5005", m.name+" is no chat model")
	}
	b, r, usage, finish, complaint := c.askModel(m)
	switch {
	case complaint != "":
		return openAIFail(http.StatusBadRequest, "5004", complaint)
	case r.Status != 0:
		return openAIFail(r.Status, itoa(int64(r.Code)), http.StatusText(r.Status))
	case b.Stream:
		return streamed(r, m.name, finish, usage, frames{usage: b.StreamOptions != nil && b.StreamOptions.IncludeUsage}, c)
	}
	return cutWhole(jsonAnswer(http.StatusOK, completion(m.name, r, finish, usage, c)), r)
}

func completion(name string, r Reply, finish string, usage map[string]int, c *call) map[string]any {
	message := map[string]any{"role": "assistant", "content": strings.Join(r.Tokens, "")}
	if len(r.Reasoning) > 0 {
		message["reasoning_content"] = strings.Join(r.Reasoning, "")
	}
	if len(r.ToolCalls) > 0 {
		message["tool_calls"] = r.ToolCalls
	}
	doc := map[string]any{"id": "chatcmpl-" + c.ray, "object": "chat.completion", "created": c.now.Unix(), "model": name,
		"choices": []any{map[string]any{"index": 0, "message": message, "finish_reason": finish}}}
	if !r.WithoutUsage {
		doc["usage"] = usage
	}
	return doc
}

// cutWhole breaks a whole document in its middle, if the reply is to be cut.
func cutWhole(a answer, r Reply) answer {
	if r.CutAfter > 0 {
		a.truncate = max(1, len(a.body)/2)
	}
	return a
}

// nativeChat is /ai/run: three shapes, by the model's age.
func nativeChat(c *call, m model) answer {
	b, r, usage, finish, complaint := c.askModel(m)
	switch {
	case complaint != "":
		return fail(http.StatusBadRequest, 5004, "%s", complaint)
	case r.Status != 0:
		return fail(r.Status, r.Code, "%s", http.StatusText(r.Status))
	case b.Stream && !m.whole:
		return streamed(r, m.name, finish, usage, frames{native: !m.modern, usage: true}, c)
	case m.modern:
		return cutWhole(ok(completion(m.name, r, finish, usage, c)), r)
	}
	result := map[string]any{"response": strings.Join(r.Tokens, "")}
	if !r.WithoutUsage {
		result["usage"] = usage
	}
	if len(r.ToolCalls) > 0 {
		result["tool_calls"] = r.ToolCalls
	}
	return cutWhole(ok(result), r)
}
