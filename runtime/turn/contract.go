package turn

import (
	"context"
	"encoding/json"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

// Tool is what a model is offered, and what the runtime knows of it.
type Tool struct {
	ai.Tool
	// Writes tells that it changes something, or tells somebody something.
	Writes bool
	// Leaves tells that its parameters leave the tenant's own stores and models.
	Leaves bool
	// Pure tells that its result is made of its parameters alone, so that it brings no
	// text before the model that wasn't there.
	Pure bool
	// Origin is the server that describes it in words of its own, empty for tools that the
	// tenant or the runtime describes.
	Origin string
	// AfterUntrusted tells that the tenant lets a model call it though text that nobody
	// vouches for is before the model, see tenantconfig.Tools.AfterUntrusted.
	AfterUntrusted bool
}

// Result is what came of a tool.
type Result struct {
	// Content is given to the model: JSON or text, cut at a bound. It is not trusted.
	Content string
	// Data is the same for a program.
	Data any
	// Code is empty, or why it failed: TOOL_NOT_FOUND, VALIDATION_FAILED,
	// PERMISSION_DENIED, EXECUTION_TIMEOUT, EXECUTION_ERROR.
	Code string
	// Message of a failure, for model and person. It holds no secret and nothing that an
	// upstream said.
	Message  string
	Duration time.Duration
}

// Toolbox has the tools of a tenant.
type Toolbox interface {
	// Tools are those that the caller may use, in the order of their names.
	Tools(ctx context.Context, c httpapi.Call) []Tool
	// Run checks the parameters, runs the tool within its time, and notes it in the audit
	// log. It never fails but in its Result.
	Run(ctx context.Context, c httpapi.Call, name string, params json.RawMessage) Result
}
