package tools_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tools"
)

type auditPage struct {
	Records []struct {
		Timestamp                         int64
		Caller, Tool, ParamsHash, Outcome string
		DurationMs                        int64
	}
	Cursor string
}

func (b *bed) audit(query string) (page auditPage) {
	b.tb.Helper()
	a := b.do("GET", "/tools/audit"+query, keyMetrics, "")
	if a.status != 200 {
		b.tb.Fatalf("audit%s: %d %+v", query, a.status, a.Error)
	}
	if err := json.Unmarshal(a.Data, &page); err != nil {
		b.tb.Fatal(err)
	}
	return page
}

// TestAudit: who ran what with which outcome, newest first; neither parameters nor
// results, in the log neither; names that a client made up aren't there.
func TestAudit(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, newTenant(t, nil))
	b.execute(keyMain, "tag_chunk_docs", `{"content":"c4nary@example.com","chunk_size":200}`)
	b.execute(keyMain, "tag_chunk_docs", ` {"chunk_size":200, "content":"c4nary@example.com"}`)
	b.execute(keyMain, "tag_chunk_docs", `{"content":"c4nary other"}`)
	b.execute(keyMain, "tag_chunk_docs", `{"content":7}`)
	b.execute(keyNone, "summarize", `{"text":"c4nary"}`)
	b.execute(keyMain, "c4nary_made_up", `{}`)
	b.do("POST", "/tools/execute", keyVouches, `{"tool_name":"tag_chunk_docs","params":{"content":"x"},"user_id":"u1"}`)
	page := b.audit("")
	var got []string
	for _, r := range page.Records {
		got = append(got, r.Caller+" "+r.Tool+" "+r.Outcome)
	}
	want := []string{
		"user:vouches/u1 tag_chunk_docs ok", "key:none summarize PERMISSION_DENIED", "key:main tag_chunk_docs VALIDATION_FAILED",
		"key:main tag_chunk_docs ok", "key:main tag_chunk_docs ok", "key:main tag_chunk_docs ok",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r := page.Records
	if r[4].ParamsHash != r[5].ParamsHash || r[3].ParamsHash == r[4].ParamsHash || len(r[4].ParamsHash) != 64 {
		t.Errorf("hashes %s %s %s", r[3].ParamsHash, r[4].ParamsHash, r[5].ParamsHash)
	}
	raw, err := json.Marshal(page)
	if err != nil || strings.Contains(string(raw), "c4nary") || strings.Contains(b.logs.String(), "c4nary") {
		t.Error("the audit or the log holds parameters")
	}

	first := b.audit("?limit=2")
	second := b.audit("?limit=10&cursor=" + first.Cursor)
	if len(first.Records) != 2 || len(second.Records) != 4 || second.Cursor != "" {
		t.Errorf("pages of %d and %d, cursor %q", len(first.Records), len(second.Records), second.Cursor)
	}
	if got := b.audit("?to=" + fmt.Sprint(time.Now().Add(-time.Hour).UnixMilli())); len(got.Records) != 0 {
		t.Errorf("before an hour ago: %d records", len(got.Records))
	}
	if got := b.audit("?from=" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)); len(got.Records) != 6 {
		t.Errorf("since an hour ago: %d records", len(got.Records))
	}
	for _, bad := range []string{"?limit=0", "?limit=1000", "?limit=x", "?from=yesterday", "?to=x", "?cursor=forged"} {
		if a := b.do("GET", "/tools/audit"+bad, keyMetrics, ""); a.status != 400 {
			t.Errorf("%s: %d", bad, a.status)
		}
	}
	if a := b.do("GET", "/tools/audit", keyMain, ""); a.status != 403 {
		t.Errorf("without the scope: %d", a.status)
	}
}

func TestHashesDifferByTenant(t *testing.T) {
	t.Parallel()
	a, b := newTenant(t, nil), newTenant(t, nil, func(c *config) { c.Tenant.ID, c.Tenant.Identity = "globex", "cluster/team/production/globex" })
	if p := map[string]any{"x": "y"}; tools.HashOf(a.ID, p) == tools.HashOf(b.ID, p) {
		t.Error("a table made for one tenant tells the parameters of another")
	}
}

type metricsPage struct {
	Period string
	Total  struct {
		Executions, Succeeded, Failed int64
		AverageDurationMs             float64
		Outcomes                      map[string]int64
	}
	Tools []struct {
		Tool                          string
		Executions, Succeeded, Failed int64
	}
}

func (b *bed) executions(period string) (page metricsPage) {
	b.tb.Helper()
	a := b.do("GET", "/metrics/tools/execution?period="+period, keyMetrics, "")
	if a.status != 200 {
		b.tb.Fatalf("metrics: %d %+v", a.status, a.Error)
	}
	if err := json.Unmarshal(a.Data, &page); err != nil {
		b.tb.Fatal(err)
	}
	return page
}

func TestExecutionMetrics(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, newTenant(t, nil))
	for range 3 {
		b.execute(keyMain, "tag_chunk_docs", `{"content":"x"}`)
	}
	b.execute(keyMain, "tag_chunk_docs", `{}`)
	b.execute(keyMain, "search_docs", `{"query":"x"}`)
	b.execute(keyMain, "c4nary_made_up", `{}`)
	for _, period := range []string{"1h", "24h", "7d"} {
		got := b.executions(period)
		if got.Total.Executions != 5 || got.Total.Succeeded != 4 || got.Total.Outcomes["VALIDATION_FAILED"] != 1 || len(got.Tools) != 2 || got.Tools[0].Tool != "tag_chunk_docs" || got.Tools[0].Executions != 4 {
			t.Errorf("%s: %+v", period, got)
		}
	}
	if a := b.do("GET", "/metrics/tools/execution?period=1y", keyMetrics, ""); a.status != 400 {
		t.Errorf("a period that isn't: %d", a.status)
	}
	if a := b.do("GET", "/metrics/tools/execution", keyMain, ""); a.status != 403 {
		t.Errorf("without the scope: %d", a.status)
	}
	rec := httptest.NewRecorder()
	b.metrics.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := rec.Body.String()
	if !strings.Contains(text, `enigma_tool_runs_total{outcome="ok",tool="tag_chunk_docs"} 3`) || strings.Contains(text, "c4nary") {
		t.Error("Prometheus doesn't tell the runs of known tools alone")
	}
}

// TestExecutionMetricsOfABusyWeek: hours that are over are read once, their sums stay
// right, and the answer comes in under 50 ms.
func TestExecutionMetricsOfABusyWeek(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, newTenant(t, nil))
	now := time.Now()
	var want int64
	for minute := range 7*24*60 - 2 {
		at := now.Add(-time.Duration(minute) * time.Minute)
		for _, feature := range []string{"chat", storage.UsageOfTool + "summarize", storage.UsageOfTool + "shop.orders"} {
			if err := b.store.Usage().Add(t.Context(), b.tenant.ID, storage.UsageRecord{At: at, Feature: feature, Outcome: "ok", Latency: time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			if feature != "chat" {
				want++
			}
		}
	}
	first := b.executions("7d")
	var second metricsPage
	took := promptly(50*time.Millisecond, func() { second = b.executions("7d") })
	if first.Total.Executions != want || second.Total.Executions != want || took > 50*time.Millisecond {
		t.Errorf("%d and %d runs, want %d; took %v", first.Total.Executions, second.Total.Executions, want, took)
	}
	b.execute(keyMain, "tag_chunk_docs", `{"content":"x"}`)
	if got := b.executions("7d"); got.Total.Executions != want+1 {
		t.Errorf("after one more: %d, want %d", got.Total.Executions, want+1)
	}
	if got := b.executions("1h"); got.Total.Executions < 118 || got.Total.Executions > 124 {
		t.Errorf("of the last hour: %d", got.Total.Executions)
	}
}
