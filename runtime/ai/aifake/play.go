package aifake

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// play carries out one answer.
type play struct {
	w       http.ResponseWriter
	ctx     context.Context
	closing <-chan struct{}
	r       *Request
	a       Answer
}

func (p play) run() {
	if p.a.hang {
		p.wait(nil)
		return
	}
	if p.a.drop {
		panic(http.ErrAbortHandler)
	}
	if p.a.before != nil && !p.wait(p.a.before) {
		return
	}
	for name, values := range p.a.header {
		p.w.Header()[name] = values
	}
	out := &body{w: p.w, flush: http.NewResponseController(p.w), a: p.a}
	switch {
	case p.a.raw != nil || p.a.status != http.StatusOK:
		p.w.Header().Set("Content-Type", p.a.contentType)
		p.w.WriteHeader(p.a.status)
		out.write(string(p.a.raw))
	case p.r.Chat.Stream && !p.a.whole:
		p.w.Header().Set("Content-Type", "text/event-stream")
		p.w.WriteHeader(http.StatusOK)
		p.stream(out)
	default:
		p.w.Header().Set("Content-Type", "application/json")
		p.whole(out)
	}
}

// wait is false if the client went away or the server closes first.
func (p play) wait(gate <-chan struct{}) bool {
	select {
	case <-gate:
		return true
	case <-p.ctx.Done():
	case <-p.closing:
	}
	return false
}

func (p play) stream(out *body) {
	_ = out.flush.Flush() // the headers are the upstream's yes
	for i, token := range p.a.tokens {
		if !p.ready(i) {
			return
		}
		if !out.event(p.token(token)) {
			return
		}
		p.r.out.Add(1)
	}
	if !p.ready(len(p.a.tokens)) || !p.streamCalls(out) {
		return
	}
	if p.a.finish != "" && !p.a.native {
		out.event(chunk(p.r.Chat.Model, map[string]any{}, p.a.finish))
	}
	asked := p.a.native || p.r.Chat.StreamOptions != nil && p.r.Chat.StreamOptions.IncludeUsage
	if asked && !p.a.noUsage {
		last := map[string]any{"response": "", "usage": p.usage()}
		if !p.a.native {
			last = map[string]any{"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": p.r.Chat.Model, "choices": []any{}, "usage": p.usage()}
		}
		p.r.told.Store(out.event(encode(last)))
	}
	if !p.a.noDone {
		out.event("[DONE]")
	}
}

func (p play) ready(token int) bool {
	if gate, ok := p.a.pauses[token]; ok && !p.wait(gate) {
		return false
	}
	return p.ctx.Err() == nil
}

func (p play) token(text string) string {
	if p.a.native {
		return encode(map[string]any{"response": text, "p": "abcdefgh"})
	}
	return chunk(p.r.Chat.Model, map[string]any{"content": text}, nil)
}

func chunk(model string, delta map[string]any, finish any) string {
	return encode(map[string]any{
		"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model,
		"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}},
	})
}

func (p play) whole(out *body) {
	text := strings.Join(p.a.tokens, "")
	p.r.out.Store(int64(len(p.a.tokens) + p.callTokens()))
	message := map[string]any{"role": "assistant", "content": text}
	if len(p.a.calls) > 0 {
		message["tool_calls"] = p.wholeCalls()
	}
	doc := map[string]any{
		"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": p.r.Chat.Model,
		"choices": []any{map[string]any{"index": 0, "message": message, "finish_reason": p.a.finish}},
	}
	if p.a.native {
		result := map[string]any{"response": text}
		if len(p.a.calls) > 0 {
			result = map[string]any{"response": nil, "tool_calls": p.nativeCalls()}
		}
		doc = map[string]any{"result": result, "success": true, "errors": []any{}, "messages": []any{}}
	}
	if !p.a.noUsage {
		if result, ok := doc["result"].(map[string]any); ok {
			result["usage"] = p.usage()
		} else {
			doc["usage"] = p.usage()
		}
	}
	p.r.told.Store(out.write(encode(doc)) && !p.a.noUsage)
}

func (p play) usage() map[string]int {
	in, out := p.r.Chat.promptTokens(), int(p.r.out.Load())
	if p.a.ownUsage {
		in, out = p.a.usageIn, p.a.usageOut
	}
	return map[string]int{"prompt_tokens": in, "completion_tokens": out, "total_tokens": in + out}
}

// body writes in pieces and stops where the answer says. Its writes are false once
// the client is gone.
type body struct {
	w       http.ResponseWriter
	flush   *http.ResponseController
	a       Answer
	written int
	over    bool
}

func (b *body) event(data string) bool {
	if b.a.crlf {
		return b.write("data: " + data + "\r\n\r\n")
	}
	return b.write("data: " + data + "\n\n")
}

func (b *body) write(s string) bool {
	for s != "" && !b.over {
		n := len(s)
		if b.a.pieces > 0 {
			n = min(n, b.a.pieces)
		}
		if b.a.cutAfter >= 0 {
			n = min(n, b.a.cutAfter-b.written)
		}
		if b.a.endAfter >= 0 {
			n = min(n, b.a.endAfter-b.written)
		}
		if n > 0 {
			if _, err := b.w.Write([]byte(s[:n])); err != nil || b.flush.Flush() != nil {
				b.over = true
				return false
			}
		}
		b.written += n
		s = s[n:]
		if b.written == b.a.cutAfter {
			panic(http.ErrAbortHandler) // breaks the connection, which is what was asked for
		}
		b.over = b.written == b.a.endAfter
	}
	return !b.over
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only texts and numbers of this package's own
	}
	return string(b)
}

func openAIError(message string) string {
	return encode(map[string]any{"error": map[string]any{"message": message, "type": "invalid_request_error", "code": nil, "param": nil}})
}
