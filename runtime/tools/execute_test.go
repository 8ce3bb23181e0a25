package tools_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

func TestExecute(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, newTenant(t, nil))
	a := b.execute(keyMain, "tag_chunk_docs", `{"content":"One apple.\n\nTwo pears.","chunk_size":100}`)
	var got struct {
		Success  bool `json:"success"`
		Metadata struct {
			DurationMs *int64 `json:"durationMs"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(a.Data, &got); err != nil || a.status != 200 || !got.Success || got.Metadata.DurationMs == nil {
		t.Fatalf("status %d, data %s: %v", a.status, a.Data, err)
	}
}

func TestExecuteRefusals(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, newTenant(t, nil, withTools(func(c *tenantconfig.Tools) { c.Deny = []string{"classify_intent"} })))
	b.fails(keyMain, "no_such_tool", "{}", 404, "TOOL_NOT_FOUND")
	b.fails(keyMain, "classify_intent", "{}", 404, "TOOL_NOT_FOUND")
	a := b.fails(keyMain, "tag_chunk_docs", `{"content":"","chunk_size":7.5,"extra":1}`, 400, "VALIDATION_FAILED")
	paths := map[string]bool{}
	for _, d := range a.Error.Details {
		paths[d.Path] = true
	}
	if diff := cmp.Diff(map[string]bool{"content": true, "chunk_size": true, "extra": true}, paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	b.fails(keyMain, "tag_chunk_docs", `[1]`, 400, "VALIDATION_FAILED")
	b.fails(keyMain, "tag_chunk_docs", "", 400, "VALIDATION_FAILED")
	b.fails(keyFew, "summarize", `{"text":"x"}`, 403, "PERMISSION_DENIED")
	b.fails(keyNone, "tag_chunk_docs", `{"content":"x"}`, 403, "PERMISSION_DENIED")
	b.fails(keyReader, "ingest_docs", `{"content":"x","doc_id":"d"}`, 403, "PERMISSION_DENIED")
	if a := b.execute(keyReader, "search_docs", `{"query":"x"}`); a.status != 200 {
		t.Errorf("a reader searches: %d %+v", a.status, a.Error)
	}
	if a := b.execute(keyFew, "tag_chunk_docs", `{"content":"x"}`); a.status != 200 {
		t.Errorf("a tool of the key's scopes: %d %+v", a.status, a.Error)
	}
	for _, body := range []string{`{}`, `{"tool_name":""}`, `{"tool_name":7}`, `{"tool_name":"` + strings.Repeat("x", 300) + `"}`, `null`, `[]`, `{"tool_name":"x"`} {
		if a := b.do("POST", "/tools/execute", keyMain, body); a.status != 400 {
			t.Errorf("%.40s: %d", body, a.status)
		}
	}
	if a := b.do("POST", "/tools/execute", "ce_c4nary_wrong", `{}`); a.status != 401 {
		t.Errorf("a wrong key: %d", a.status)
	}
}

func TestTenantWithoutTools(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, newTenant(t, nil, func(c *tenantconfig.Config) { c.Tools = tenantconfig.Tools{} }))
	b.fails(keyMain, "summarize", `{"text":"x"}`, 403, "tools_not_enabled")
	if a := b.do("GET", "/schema/tools", keyMain, ""); a.status != 403 || a.Error.Code != "tools_not_enabled" {
		t.Errorf("schema: %d %s", a.status, a.Error.Code)
	}
	if got := b.feature.Tools(t.Context(), b.call(keyMain)); got != nil {
		t.Errorf("a model is offered %v", got)
	}
	if got := b.feature.Run(t.Context(), b.call(keyMain), "summarize", json.RawMessage(`{"text":"x"}`)); got.Code != "PERMISSION_DENIED" {
		t.Errorf("a model's call: %+v", got)
	}
}

func (b *bed) names(key string) []string {
	b.tb.Helper()
	var got struct {
		Tools []struct {
			Name       string          `json:"name"`
			Parameters json.RawMessage `json:"parameters"`
		} `json:"tools"`
	}
	if err := json.Unmarshal(b.do("GET", "/schema/tools", key, "").Data, &got); err != nil {
		b.tb.Fatal(err)
	}
	names := []string{}
	for _, tool := range got.Tools {
		names = append(names, tool.Name)
	}
	return names
}

// TestWhichToolsThereAre: the endpoint and the models get the same.
func TestWhichToolsThereAre(t *testing.T) {
	t.Parallel()
	all := []string{"classify_intent", "extract_entities", "ingest_docs", "search_docs", "summarize", "tag_chunk_docs"}
	without := func(s ...string) []string {
		var out []string
		for _, n := range all {
			keep := true
			for _, x := range s {
				keep = keep && x != n
			}
			if keep {
				out = append(out, n)
			}
		}
		return out
	}
	for name, tc := range map[string]struct {
		bend option
		key  string
		want []string
	}{
		"all":               {func(*tenantconfig.Config) {}, keyMain, all},
		"a reader":          {func(*tenantconfig.Config) {}, keyReader, without("ingest_docs")},
		"a key of few":      {func(*tenantconfig.Config) {}, keyFew, []string{"tag_chunk_docs"}},
		"a key of none":     {func(*tenantconfig.Config) {}, keyNone, []string{}},
		"without documents": {func(c *tenantconfig.Config) { c.Documents = tenantconfig.Documents{} }, keyMain, without("ingest_docs", "search_docs")},
		"allowed":           {withTools(func(c *tenantconfig.Tools) { c.Allow = []string{"summarize"} }), keyMain, []string{"summarize"}},
		"denied":            {withTools(func(c *tenantconfig.Tools) { c.Deny = []string{"summarize"} }), keyMain, without("summarize")},
		"denied wins":       {withTools(func(c *tenantconfig.Tools) { c.Allow, c.Deny = []string{"summarize"}, []string{"summarize"} }), keyMain, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil, newTenant(t, nil, tc.bend))
			if diff := cmp.Diff(tc.want, b.names(tc.key)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			offered := []string{}
			for _, tool := range b.feature.Tools(t.Context(), b.call(tc.key)) {
				offered = append(offered, tool.Name)
			}
			if diff := cmp.Diff(tc.want, offered); diff != "" {
				t.Errorf("models (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHangingToolIsCancelled: it is answered within 50 ms of its limit, whether it hears
// of it or not, and one that hears of it has ended.
func TestHangingToolIsCancelled(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	b := newBed(t, nil, newTenant(t, nil))
	heard, release := make(chan error, 10), make(chan struct{})
	defer close(release)
	b.feature.Plant(b.tenant, "obeys", limit, func(ctx context.Context, _ map[string]any) (any, error) {
		<-ctx.Done()
		heard <- context.Cause(ctx)
		return nil, ctx.Err()
	})
	b.feature.Plant(b.tenant, "deaf", limit, func(context.Context, map[string]any) (any, error) {
		<-release
		return nil, nil
	})
	for _, name := range []string{"obeys", "deaf"} {
		var r turn.Result
		took := promptly(limit+50*time.Millisecond, func() { r = b.feature.Run(t.Context(), b.call(keyMain), name, nil) })
		if r.Code != "EXECUTION_TIMEOUT" || took < limit || took > limit+50*time.Millisecond {
			t.Errorf("%s: %q after %v", name, r.Code, took)
		}
	}
	if err := <-heard; err == nil {
		t.Error("the tool wasn't told why")
	}
	b.fails(keyMain, "deaf", "{}", 504, "EXECUTION_TIMEOUT")
}

func TestCallerWhoLeavesEndsTheTool(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, newTenant(t, nil))
	began, ended := make(chan struct{}), make(chan struct{})
	b.feature.Plant(b.tenant, "slow", time.Minute, func(ctx context.Context, _ map[string]any) (any, error) {
		close(began)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	})
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-began
		leave()
	}()
	if r := b.feature.Run(ctx, b.call(keyMain), "slow", nil); r.Code != "EXECUTION_ERROR" {
		t.Errorf("got %+v", r)
	}
	<-ended
	records, _, err := b.store.Audit().Records(t.Context(), b.tenant.ID, time.Time{}, time.Now().Add(time.Hour), 10, "")
	if err != nil || len(records) != 1 || records[0].Outcome != "canceled" {
		t.Errorf("audit %+v, %v", records, err)
	}
}

// TestPanicsAndAccidents stay inside, and tell nothing.
func TestPanicsAndAccidents(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, newTenant(t, nil))
	var n atomic.Int64
	b.feature.Plant(b.tenant, "breaks", time.Second, func(context.Context, map[string]any) (any, error) {
		switch n.Add(1) {
		case 1:
			panic("c4nary in a panic")
		case 2:
			var m map[string]int
			m["x"] = 1 //nolint:staticcheck // it is to fail
			return nil, nil
		}
		return nil, errors.New("an accident")
	})
	for range 3 {
		a := b.fails(keyMain, "breaks", "{}", 502, "EXECUTION_ERROR")
		if strings.Contains(a.Error.Message, "c4nary") || strings.Contains(a.Error.Message, "accident") {
			t.Errorf("told: %s", a.Error.Message)
		}
	}
	if strings.Contains(b.logs.String(), "c4nary") {
		t.Error("a panic's text is in the log")
	}
	if !strings.Contains(b.logs.String(), "nil map") {
		t.Error("what went wrong isn't in the log")
	}
}

// TestRefusedCostsNothing: a request that isn't run takes nothing from the rate windows;
// one that is takes one.
func TestRefusedCostsNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, newTenant(t, nil, func(c *tenantconfig.Config) {
		c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 2, WindowSec: 60, BurstWindowSec: 10}
	}))
	for range 5 {
		b.fails(keyMain, "nothing", "{}", 404, "TOOL_NOT_FOUND")
		b.fails(keyMain, "tag_chunk_docs", `{}`, 400, "VALIDATION_FAILED")
	}
	for i := range 2 {
		if a := b.execute(keyMain, "tag_chunk_docs", `{"content":"x"}`); a.status != 200 || a.header.Get("x-ratelimit-remaining") != []string{"1", "0"}[i] {
			t.Errorf("run %d: %d, remaining %s", i, a.status, a.header.Get("x-ratelimit-remaining"))
		}
	}
	if a := b.fails(keyMain, "tag_chunk_docs", `{"content":"x"}`, http.StatusTooManyRequests, "rate_limited"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestNewDocumentIsInForceAtOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, newTenant(t, nil))
	b.feature.Apply(newTenant(t, nil, withTools(func(c *tenantconfig.Tools) { c.Deny = []string{"tag_chunk_docs"} })))
	// The request still has the older document.
	if r := b.feature.Run(t.Context(), b.call(keyMain), "tag_chunk_docs", json.RawMessage(`{"content":"x"}`)); r.Code != "TOOL_NOT_FOUND" {
		t.Errorf("got %+v", r)
	}
}
