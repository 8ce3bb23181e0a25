package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func acme(t *testing.T) tenancy.ID {
	t.Helper()
	id, err := tenancy.NewID("acme", "o/n/development/acme")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func scrape(m *telemetry.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func expect(t *testing.T, m *telemetry.Metrics, lines ...string) {
	t.Helper()
	text := scrape(m)
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
}

func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("v1")
	r := telemetry.NewRecorder(memory.New(memory.Options{}).Usage(), m, slog.New(slog.DiscardHandler), nil)
	for i := range 1000 {
		model := fmt.Sprintf("c4nary-%d", i)
		if i < 500 {
			m.Know(model) // a document may be reloaded for ever
		}
		r.Record(t.Context(), acme(t), telemetry.Call{Model: model, Feature: "chat", Outcome: telemetry.OutcomeOK, In: 1, Out: 1, Latency: time.Second, FirstToken: time.Second})
		m.Unpriced(model)
		m.Observe(httpapi.Observation{Route: "unmatched", Status: 404, Code: "not_found"})
	}
	text := scrape(m)
	if n := strings.Count(text, `gen_ai_client_operation_duration_seconds_count{`); n > 70 {
		t.Errorf("%d series of models", n)
	}
	if strings.Contains(text, "c4nary-600") {
		t.Error("a model that only a request named has a series")
	}
	expect(t, m, `enigma_http_requests_total{code="not_found",route="unmatched",status="404"} 1000`)
}

func TestACallIsMeasuredAndRecorded(t *testing.T) {
	t.Parallel()
	store := memory.New(memory.Options{})
	m := telemetry.NewMetrics("v1")
	m.Know("big")
	at := time.Date(2026, 11, 24, 12, 0, 30, 0, time.UTC)
	r := telemetry.NewRecorder(store.Usage(), m, slog.New(slog.DiscardHandler), func() time.Time { return at })
	r.Record(t.Context(), acme(t), telemetry.Call{Model: "big", Feature: "chat", Outcome: telemetry.OutcomeTruncated, In: 10, Out: 20, MicroUSD: 30, Latency: time.Second, FirstToken: 20 * time.Millisecond})
	expect(t, m,
		`gen_ai_client_token_usage_sum{gen_ai_response_model="big",gen_ai_token_type="input"} 10`,
		`gen_ai_client_token_usage_sum{gen_ai_response_model="big",gen_ai_token_type="output"} 20`,
		`gen_ai_client_operation_duration_seconds_count{gen_ai_response_model="big",outcome="truncated"} 1`,
		`gen_ai_server_time_to_first_token_seconds_sum{gen_ai_response_model="big"} 0.02`,
	)
	got, err := store.Usage().Sum(t.Context(), acme(t), at.Add(-time.Minute), at.Add(time.Minute))
	want := storage.UsageBucket{Minute: at.Truncate(time.Minute), Model: "big", Feature: "chat", Outcome: "truncated", Calls: 1, TokensIn: 10, TokensOut: 20, MicroUSD: 30, Latency: time.Second}
	if err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("recorded %+v, %v", got, err)
	}
	closed := r.StreamOpened()
	expect(t, m, "enigma_streams_active 1")
	closed()
	expect(t, m, "enigma_streams_active 0", `enigma_build_info{goversion="`+goversion(scrape(m))+`",version="v1"} 1`)
}

func goversion(text string) string {
	_, after, _ := strings.Cut(text, `enigma_build_info{goversion="`)
	v, _, _ := strings.Cut(after, `"`)
	return v
}

// fullUsage is a store on a full disk.
type fullUsage struct{ storage.Usage }

func (fullUsage) Add(context.Context, tenancy.ID, storage.UsageRecord) error {
	return storage.ErrUnavailable
}

func TestARecordThatCantBeStoredIsInTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	m := telemetry.NewMetrics("v1")
	r := telemetry.NewRecorder(fullUsage{}, m, telemetry.NewLogger(&log, slog.LevelInfo), nil)
	r.Record(t.Context(), acme(t), telemetry.Call{Model: "big", Feature: "chat", Outcome: telemetry.OutcomeOK, In: 10, Out: 20, MicroUSD: 30})
	expect(t, m, "enigma_usage_lost_total 1")
	for _, want := range []string{`"tenant":"acme"`, `"tokens_in":10`, `"tokens_out":20`, `"micro_usd":30`, `"model":"big"`, `"outcome":"ok"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %s", want, &log)
		}
	}
}

// saying answers with the errors it is told, in turn.
type saying struct{ errs []error }

func (s *saying) next() error {
	err := s.errs[0]
	s.errs = s.errs[1:]
	return err
}

func (s *saying) Complete(context.Context, tenancy.ID, ai.ChatRequest) (ai.Answer, error) {
	return ai.Answer{}, s.next()
}

func (s *saying) Stream(context.Context, tenancy.ID, ai.ChatRequest) (ai.Stream, error) {
	if err := s.next(); err != nil {
		return nil, err
	}
	return ending{s.next()}, nil
}

type ending struct{ err error }

func (e ending) Next() (ai.Chunk, error) { return ai.Chunk{}, e.err }
func (e ending) Model() string           { return "big" }
func (e ending) Close() error            { return nil }

func TestTheDefaultModelsState(t *testing.T) {
	t.Parallel()
	down := &ai.Error{Kind: ai.KindUnavailable}
	s := &saying{errs: []error{
		down,
		&ai.Error{Kind: ai.KindCanceled},
		nil, down, io.EOF,
		&ai.Error{Kind: ai.KindUnauthorized},
		&ai.Error{Kind: ai.KindTooLong},
		errors.New("odd"),
	}}
	m := telemetry.NewMetrics("v1")
	m.Know("big", "small")
	u := m.Watch(s, "big")
	state := func(want string, wantAsked bool) {
		t.Helper()
		if got, asked := u.Last(); got != want || asked != wantAsked {
			t.Errorf("state %q %v, want %q %v", got, asked, want, wantAsked)
		}
	}
	complete := func(model string) { _, _ = u.Complete(t.Context(), acme(t), ai.ChatRequest{Model: model}) }
	state("", false)
	complete("big")
	state("unavailable", true)
	complete("big") // canceled: says nothing
	state("unavailable", true)
	complete("big")
	state("", true)
	complete("small") // another model says nothing of this one
	state("", true)
	s.errs = append([]error{nil}, s.errs...)
	stream, err := u.Stream(t.Context(), acme(t), ai.ChatRequest{Model: "big"})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = stream.Next()
	state("", true)
	complete("big")
	state("unauthorized", true)
	complete("big") // too long: it answered
	state("", true)
	complete("big")
	state("unknown", true)
	expect(t, m,
		`enigma_upstream_failures_total{gen_ai_request_model="big",kind="unavailable"} 1`,
		`enigma_upstream_failures_total{gen_ai_request_model="small",kind="unavailable"} 1`,
		`enigma_upstream_failures_total{gen_ai_request_model="big",kind="context_too_long"} 1`,
	)
}
