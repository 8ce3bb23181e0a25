package mcpapi

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// listTools answers tools/list.
func (x *caller) listTools(ctx context.Context) (mcp.Result, error) {
	list := []*mcp.Tool{}
	for _, t := range x.f.n.Tools.Tools(ctx, x.c) {
		list = append(list, &mcp.Tool{
			Name: t.Name, Description: t.Description, InputSchema: t.Parameters,
			Annotations: &mcp.ToolAnnotations{ReadOnlyHint: !t.Writes, DestructiveHint: &t.Writes, OpenWorldHint: &t.Leaves},
		})
	}
	return &mcp.ListToolsResult{Tools: list}, nil
}

// callTool answers tools/call: one request of the caller's rate windows.
func (x *caller) callTool(ctx context.Context, req *mcp.CallToolRequest) (mcp.Result, error) {
	if err := x.admit(ctx); err != nil {
		return refusal(err)
	}
	stop := x.progress(ctx, req)
	r := x.f.n.Tools.Run(ctx, x.c, req.Params.Name, req.Params.Arguments)
	stop()
	return resultOf(r), nil
}

// admit takes a request from the caller's windows. What a tool's models cost the tool
// reserves itself.
func (x *caller) admit(ctx context.Context) error {
	a, err := x.f.n.Gate.Admit(ctx, x.c, limits.Ask{Prompt: func(context.Context) (int, error) { return 0, nil }})
	if err != nil {
		return err
	}
	after, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer done()
	a.Settle(after, x.c.Tenant.Config.Models.Chat, ai.Usage{})
	return nil
}

// refusal tells a model that it must wait, in words.
func refusal(err error) (mcp.Result, error) {
	e, ok := errors.AsType[*httpapi.Error](err)
	if !ok {
		return failed("unavailable: the service can't reach its store: try again shortly"), nil
	}
	text := e.Code + ": " + e.Message
	if e.RetryAfter > 0 {
		text += " (retry after " + strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))) + " s)"
	}
	return failed(text), nil
}

func failed(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}

func resultOf(r turn.Result) *mcp.CallToolResult {
	if r.Code != "" {
		out := failed(r.Code + ": " + r.Message)
		if r.Content != "" {
			out.Content = append(out.Content, &mcp.TextContent{Text: r.Content})
		}
		return out
	}
	out := &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: r.Content}}}
	if _, isText := r.Data.(string); isText || r.Data == nil {
		return out
	}
	// Older versions of the protocol have objects alone.
	if raw, err := json.Marshal(r.Data); err == nil && raw[0] == '{' {
		out.StructuredContent = json.RawMessage(raw)
	}
	return out
}

// progress tells now and then that the tool is still at work, to who asked for that.
func (x *caller) progress(ctx context.Context, req *mcp.CallToolRequest) (stop func()) {
	token := req.Params.GetProgressToken()
	if token == nil || req.Session == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(x.f.n.Progress)
		defer tick.Stop()
		for n := 1.0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			_ = req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: n, Message: "still at work"})
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}
