package tools

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
)

const (
	maxNameChars = 200
	maxUserChars = 128
)

// executeRequest is the body of POST /tools/execute.
type executeRequest struct {
	// ToolName is the tool's name or its functionName.
	ToolName string          `json:"tool_name"`
	Params   json.RawMessage `json:"params"`
	// UserID is the end user, believed only of keys that may vouch for users.
	UserID string `json:"user_id"`
}

// Validate checks what needs no tenant.
func (r *executeRequest) Validate() []httpapi.Detail {
	var ds []httpapi.Detail
	if n := utf8.RuneCountInString(r.ToolName); n < 1 || n > maxNameChars {
		ds = append(ds, httpapi.Detail{Path: "tool_name", Message: "must have 1 to " + strconv.Itoa(maxNameChars) + " characters"})
	}
	if utf8.RuneCountInString(r.UserID) > maxUserChars {
		ds = append(ds, httpapi.Detail{Path: "user_id", Message: "must have at most " + strconv.Itoa(maxUserChars) + " characters"})
	}
	return ds
}

// executed is the data of its answer.
type executed struct {
	Success  bool     `json:"success"`
	Data     any      `json:"data"`
	Metadata metadata `json:"metadata"`
}

type metadata struct {
	DurationMs int64 `json:"durationMs"`
}

// execute answers POST /tools/execute.
func (f *Feature) execute(ctx context.Context, c httpapi.Call, req executeRequest) (httpapi.Answer, error) {
	if !c.Tenant.Config.Tools.Enabled {
		return httpapi.Answer{}, NotEnabled()
	}
	if req.UserID != "" {
		var err error
		if c.Caller, err = c.Caller.WithUser(req.UserID); err != nil {
			return httpapi.Answer{}, httpapi.Invalid("user_id", err.Error())
		}
	}
	began := f.n.Now()
	t, fault := f.find(c, req.ToolName)
	if t == nil {
		return httpapi.Answer{}, fault.answer()
	}
	var params map[string]any
	if fault == nil {
		params, fault = t.accept(req.Params)
	}
	if fault != nil {
		f.note(ctx, c, t, params, fault, 0)
		return httpapi.Answer{}, fault.answer()
	}
	j := &job{feature: f, c: c, tool: t}
	// One that is refused hasn't run: it isn't in the audit log.
	if err := f.admit(ctx, j, params); err != nil {
		return httpapi.Answer{}, err
	}
	data, fault := f.perform(ctx, j, params)
	took := f.n.Now().Sub(began)
	f.note(ctx, c, t, params, fault, took)
	if fault != nil {
		return httpapi.Answer{}, gone(ctx, fault)
	}
	return httpapi.Answer{Data: executed{Success: true, Data: data, Metadata: metadata{took.Milliseconds()}}}, nil
}

// admit takes the request from the caller's windows, and reserves what the tool's first
// call of a model may cost.
func (f *Feature) admit(ctx context.Context, j *job, params map[string]any) error {
	var ask limits.Ask
	ask.Prompt = func(context.Context) (int, error) { return 0, nil }
	if first := j.tool.first; first != nil {
		messages, maxOut := first(j.c.Tenant, params)
		ask = f.ask(j.c.Tenant, messages, maxOut)
	}
	a, err := f.n.Gate.Admit(ctx, j.c, ask)
	if err != nil {
		return err
	}
	j.admission = a
	return nil
}

// gone is the answer to a client that left, or that the server can't wait for.
func gone(ctx context.Context, fault *failure) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil:
		return fault.answer()
	case errors.Is(cause, context.Canceled):
		return cause
	}
	return &httpapi.Error{
		Status: http.StatusServiceUnavailable, Code: "unavailable", Message: "the server is stopping; send the request again",
		RetryAfter: time.Second, Cause: cause,
	}
}

// NotEnabled is what a tenant without tools is told.
func NotEnabled() *httpapi.Error {
	return &httpapi.Error{
		Status: http.StatusForbidden, Code: "tools_not_enabled",
		Message: "tools aren't enabled for this tenant; tell who operates this API",
	}
}

// schemas answers GET /schema/tools.
func (f *Feature) schemas(_ context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	s := f.snapshot(c.Tenant)
	if s == nil {
		return httpapi.Answer{}, NotEnabled()
	}
	list := []described{}
	for _, t := range s.tools {
		if may(c.Caller, t) {
			list = append(list, t.describe())
		}
	}
	return httpapi.Answer{Data: struct {
		Tools []described `json:"tools"`
	}{list}}, nil
}
