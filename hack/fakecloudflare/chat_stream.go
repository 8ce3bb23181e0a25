package fakecloudflare

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// frames is a dialect: OpenAI's, or Workers AI's own.
type frames struct {
	native bool
	usage  bool // tell it at the end of a stream
}

func streamed(r Reply, name, finish string, usage map[string]int, f frames, c *call) answer {
	id, created := "chatcmpl-"+c.ray, c.now.Unix()
	event := func(out *pieces, v any) bool {
		text, err := json.Marshal(v)
		return err == nil && out.write([]byte("data: "+string(text)+"\n\n"))
	}
	chunk := func(delta map[string]any, finish any) map[string]any {
		return map[string]any{"id": id, "object": "chat.completion.chunk", "created": created, "model": name,
			"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}}}
	}
	return answer{status: http.StatusOK, contentType: "text/event-stream", stream: func(ctx context.Context, out *pieces) {
		if out.flush.Flush() != nil {
			return
		}
		for _, t := range r.Reasoning {
			if !f.native && !event(out, chunk(map[string]any{"reasoning_content": t}, nil)) {
				return
			}
		}
		for n, t := range r.Tokens {
			if !r.wait(ctx) {
				return
			}
			var v any = chunk(map[string]any{"content": t}, nil)
			if f.native {
				v = map[string]any{"response": t, "p": "abdefghijklmnop"[:1+n%15]}
			}
			if !event(out, v) {
				return
			}
			if r.CutAfter > 0 && n+1 == r.CutAfter {
				panic(http.ErrAbortHandler)
			}
		}
		end(r, f, out, event, chunk, finish, usage)
	}}
}

// end writes what follows the last token.
func end(r Reply, f frames, out *pieces, event func(*pieces, any) bool, chunk func(map[string]any, any) map[string]any, finish string, usage map[string]int) {
	switch {
	case f.native:
		last := map[string]any{"response": ""}
		if len(r.ToolCalls) > 0 {
			last["tool_calls"] = r.ToolCalls
		}
		if !r.WithoutUsage {
			last["usage"] = usage
		}
		event(out, last)
	default:
		if len(r.ToolCalls) > 0 {
			event(out, chunk(map[string]any{"tool_calls": r.ToolCalls}, nil))
		}
		event(out, chunk(map[string]any{}, finish))
		if f.usage && !r.WithoutUsage {
			last := chunk(nil, nil)
			last["choices"], last["usage"] = []any{}, usage
			event(out, last)
		}
	}
	if !r.WithoutDone {
		out.write([]byte("data: [DONE]\n\n"))
	}
}

// wait is false if the client goes away first.
func (r Reply) wait(ctx context.Context) bool {
	if r.TokenDelay > 0 {
		t := time.NewTimer(r.TokenDelay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return false
		}
	}
	if r.Gate != nil {
		select {
		case <-r.Gate:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}
