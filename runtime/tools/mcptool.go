package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
)

const (
	// maxDescription bounds what a server says of a tool, in bytes.
	maxDescription = 4096
	// patience is how long a call waits for a session that is being made anew.
	patience = 3 * time.Second
)

// tool makes a tool of what a server offers. Whether it changes anything is told by the
// document, not by the server.
func (s *server) tool(remote *mcp.Tool) (*tool, *tenantconfig.ToolStatus) {
	name := s.cfg.Name + "." + remote.Name
	if !remoteName.MatchString(remote.Name) {
		return nil, &tenantconfig.ToolStatus{Name: s.cfg.Name, Reason: ReasonBadServer, Message: "it has a tool whose name isn't letters, digits, _, -, . and /, at most 128: that one is left out"}
	}
	parameters := anyObject
	if remote.InputSchema != nil {
		var err error
		if parameters, err = json.Marshal(remote.InputSchema); err != nil {
			parameters = nil
		}
	}
	checked, err := compileSchema(parameters)
	if err != nil {
		return nil, &tenantconfig.ToolStatus{Name: name, Reason: ReasonBadSchema, Message: "its parameters: " + err.Error()}
	}
	description := remote.Description
	if len(description) > maxDescription {
		description = strings.ToValidUTF8(description[:maxDescription], "")
	}
	writes := true
	for _, read := range s.cfg.ReadOnly {
		writes = writes && read != remote.Name
	}
	remoteTool := remote.Name
	return &tool{
		name: name, description: description, parameters: parameters, schema: checked,
		writes: writes, leaves: true, origin: s.cfg.Name, timeout: seconds(s.cfg.TimeoutSeconds),
		run: func(ctx context.Context, _ *job, params map[string]any) (any, error) {
			return s.call(ctx, remoteTool, params, !writes)
		},
	}, nil
}

// call runs a tool of the server. A session that the server has forgotten refused the
// call; it is made again on a new one. What may have been begun is only repeated if it
// changes nothing.
func (s *server) call(ctx context.Context, name string, params map[string]any, repeatable bool) (any, error) {
	for try := 0; ; try++ {
		session := s.current(ctx, patience)
		if session == nil {
			return nil, failed(nil, fmt.Sprintf("the server %q of this tool can't be reached now: try again later, or tell who operates it", s.cfg.Name))
		}
		result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: params})
		if err == nil {
			return s.read(result)
		}
		missing := errors.Is(err, mcp.ErrSessionMissing)
		if missing || errors.Is(err, mcp.ErrConnectionClosed) {
			s.lost(session)
			if try == 0 && ctx.Err() == nil && (missing || repeatable) {
				continue
			}
		}
		return nil, s.refused(err)
	}
}

// lost says that a session is no good any more.
func (s *server) lost(session *mcp.ClientSession) {
	s.mu.Lock()
	current := s.session == session
	if current {
		s.session = nil
		s.ready = make(chan struct{})
	}
	s.mu.Unlock()
	if current {
		poke(s.again)
	}
}

// refused tells of a call without a result.
func (s *server) refused(err error) error {
	told := fmt.Sprintf("the server %q of this tool ", s.cfg.Name)
	if e, ok := errors.AsType[*jsonrpc.Error](err); ok {
		f := failed(fmt.Errorf("calling a tool of a server: JSON-RPC error %d", e.Code), told+fmt.Sprintf("refused the call (error %d)", e.Code))
		f.content = e.Message
		return f
	}
	if errors.Is(s.wire.lastError(), outbound.ErrTooLarge) {
		return failed(outbound.ErrTooLarge, told+fmt.Sprintf("answered more than %d bytes: ask for less", maxRemote))
	}
	status := s.wire.explain(s.cfg.Name, err)
	return failed(errors.New("calling a tool of a server: "+status.Reason), told+"can't be used now: "+status.Message)
}

// read takes a result: what is structured, or else its texts.
func (s *server) read(r *mcp.CallToolResult) (any, error) {
	text := textOfContent(r.Content)
	switch {
	case r.IsError:
		f := failed(nil, fmt.Sprintf("the tool of the server %q reported an error", s.cfg.Name))
		f.content = text
		return nil, f
	case r.NeedsInput():
		return nil, failed(nil, fmt.Sprintf("the tool of the server %q wants to ask a person something, which isn't possible here", s.cfg.Name))
	case r.StructuredContent != nil:
		return r.StructuredContent, nil
	}
	return text, nil
}

// textOfContent joins the texts of a result. Of all else it says that it was there.
func textOfContent(content []mcp.Content) string {
	parts := make([]string, 0, len(content))
	left := map[string]int{}
	for _, c := range content {
		switch c := c.(type) {
		case *mcp.TextContent:
			parts = append(parts, strings.ToValidUTF8(c.Text, "\ufffd"))
		case *mcp.ImageContent:
			left["image"]++
		case *mcp.AudioContent:
			left["sound"]++
		case *mcp.ResourceLink:
			parts = append(parts, "(a link to "+strings.ToValidUTF8(c.URI, "")+")")
		case *mcp.EmbeddedResource:
			if c.Resource != nil && c.Resource.Text != "" {
				parts = append(parts, strings.ToValidUTF8(c.Resource.Text, "\ufffd"))
			} else {
				left["file"]++
			}
		default:
			left["part"]++
		}
	}
	for _, kind := range []string{"image", "sound", "file", "part"} {
		if n := left[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("(left out: %d of kind %s)", n, kind))
		}
	}
	return strings.Join(parts, "\n")
}
