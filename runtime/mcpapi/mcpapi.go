package mcpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// progressEvery is how often a caller that asked for progress hears that a tool is still
// at work. It keeps proxies from closing the connection too.
const progressEvery = 5 * time.Second

// Needs are what the server asks of other rooms.
type Needs struct {
	Tools turn.Toolbox
	Gate  Gate
	// Documents may be nil.
	Documents Documents
	Logger    *slog.Logger
	// Build is the version that the server tells.
	Build string
	// Progress replaces the time between two notes of progress, if it isn't 0.
	Progress time.Duration
}

// Feature is /mcp.
type Feature struct{ n Needs }

// New makes the feature.
func New(n Needs) *Feature {
	if n.Progress <= 0 {
		n.Progress = progressEvery
	}
	return &Feature{n: n}
}

// Mount adds the feature's route.
func (f *Feature) Mount(d *httpapi.Door) {
	httpapi.HandleHTTP(d, "/mcp", httpapi.Route{}, f.handler)
}

// handler serves one request of a caller.
func (f *Feature) handler(c httpapi.Call) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !mayCall(c.Tenant.Config, r.Header["Origin"]) {
			http.Error(w, "this origin may not call: add it to the tenant's cors.origins", http.StatusForbidden)
			return
		}
		if isBatch(r) {
			http.Error(w, "batches aren't taken: send one message in each request", http.StatusBadRequest)
			return
		}
		// Headers go out when the protocol wants; what limits would add comes too late.
		quiet := c
		quiet.Out = http.Header{}
		server := f.server(&caller{f: f, c: quiet, gone: r.Context()})
		mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{
			Stateless: true, PropagateRequestCancellation: true, MaxRequestBodyBytes: max(c.Tenant.Config.Limits.BodyBytes, 1),
			// The tenant's hosts and the origin are checked; behind a proxy in the same
			// pod every request comes over loopback.
			DisableLocalhostProtection: true,
		}).ServeHTTP(w, r)
	})
}

// isBatch tells a list of messages. The protocol has given them up, and one request of a
// megabyte could ask for all tools ten thousand times.
func isBatch(r *http.Request) bool {
	body := bufio.NewReader(r.Body)
	r.Body = struct {
		io.Reader
		io.Closer
	}{body, r.Body}
	for {
		c, err := body.ReadByte()
		if err != nil {
			return false
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			_ = body.UnreadByte() // after a ReadByte it can't fail
			return c == '['
		}
	}
}

// mayCall keeps pages out that aren't the tenant's. That a page's host is the one that it
// calls proves nothing: a name can be made to lead here.
func mayCall(cfg *tenantconfig.Config, origins []string) bool {
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 {
		return false
	}
	if httpapi.OriginAllowed(cfg.CORS.Origins, origins[0]) {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && u.Scheme != "" && slices.Contains(cfg.Hosts, tenancy.CanonicalHost(u.Host))
}

// server is one for one caller: nothing in it is shared.
func (f *Feature) server(x *caller) *mcp.Server {
	capabilities := &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}}
	if x.documents() != nil {
		capabilities.Resources = &mcp.ResourceCapabilities{}
	}
	s := mcp.NewServer(&mcp.Implementation{Name: "crispy-enigma", Title: x.c.Tenant.ID.String(), Version: f.n.Build}, &mcp.ServerOptions{Capabilities: capabilities})
	s.AddReceivingMiddleware(x.answer)
	return s
}

// caller is who asks, in one request.
type caller struct {
	f *Feature
	c httpapi.Call
	// gone ends when the client leaves.
	gone context.Context //nolint:containedctx // the protocol's library hands on no context of the request
}

// answer takes what this server offers from the rooms that have it, not from lists in the
// library. The library calls it on goroutines of its own, so a panic must end here.
func (x *caller) answer(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (result mcp.Result, err error) {
		defer func() {
			if p := recover(); p != nil {
				x.log("panic", what(p), string(debug.Stack()))
				result, err = nil, internal()
			}
		}()
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(x.gone, func() { cancel(context.Cause(x.gone)) })()
		switch req := req.(type) {
		case *mcp.ListToolsRequest:
			return x.listTools(ctx)
		case *mcp.CallToolRequest:
			return x.callTool(ctx, req)
		case *mcp.ListResourcesRequest:
			return x.told(x.listResources(ctx, req))
		case *mcp.ReadResourceRequest:
			return x.told(x.readResource(ctx, req))
		case *mcp.SubscriptionsListenRequest, *mcp.SubscribeRequest:
			return nil, &jsonrpc.Error{Code: jsonrpc.CodeMethodNotFound, Message: "this server tells of no changes: ask again instead"}
		}
		return next(ctx, method, req)
	}
}

// told keeps what isn't meant for a caller from it.
func (x *caller) told(r mcp.Result, err error) (mcp.Result, error) {
	if err == nil {
		return r, nil
	}
	if _, ok := errors.AsType[*jsonrpc.Error](err); ok {
		return nil, err
	}
	if e, ok := errors.AsType[*httpapi.Error](err); ok {
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: e.Code + ": " + e.Message}
	}
	x.log("error", err.Error(), "")
	return nil, internal()
}

func internal() error {
	return &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "something went wrong on our side: try again, and report the trace id if it stays"}
}

func (x *caller) log(kind, text, stack string) {
	x.f.n.Logger.Error("answering an MCP request", "tenant", x.c.Tenant.ID.String(), "trace_id", x.c.TraceID, kind, text, "stack", stack)
}

// what leaves a panic's own text out unless the Go runtime wrote it.
func what(p any) string {
	if trap, ok := p.(runtime.Error); ok {
		return trap.Error()
	}
	return fmt.Sprintf("%T", p)
}

// documents are those of a tenant that has any.
func (x *caller) documents() Documents {
	if x.c.Tenant.Config.Documents.Store == "" {
		return nil
	}
	return x.f.n.Documents
}

// firstLine is for titles.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
