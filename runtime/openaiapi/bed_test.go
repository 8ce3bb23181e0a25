package openaiapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/openai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/openaiapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const session = "3F0e8a52-1c6b-4f7e-9d0a-5b1f2c3d4e5f"

// bed is the API behind a real door, in front of a fake upstream.
type bed struct {
	t      *testing.T
	up     *aifake.Server
	tenant *tenancy.Tenant
	store  storage.Store
	url    string
	needs  openaiapi.Needs
}

type option func(*tenantconfig.Config, *openaiapi.Needs)

func newBed(t *testing.T, up *aifake.Server, options ...option) *bed {
	t.Helper()
	cfg := &tenantconfig.Config{
		Version:  1,
		Tenant:   tenantconfig.Tenant{ID: "acme", Identity: "o/n/development/acme", Environment: "development"},
		Server:   tenantconfig.Server{APIPort: 8080, MetricsPort: 9090},
		State:    tenantconfig.State{Driver: tenantconfig.StateMemory},
		Auth:     tenantconfig.Auth{Mode: tenantconfig.AuthNone},
		Upstream: tenantconfig.Upstream{Type: tenantconfig.UpstreamOpenAI, BaseURL: up.URL},
		Models:   tenantconfig.Models{Chat: "big", Fallbacks: []string{"small"}},
		Prompt:   tenantconfig.Prompt{System: "You help {{who}}.", Variables: map[string]string{"who": "Acme"}, MaxTokens: 500},
		Limits:   tenantconfig.Limits{BodyBytes: 1 << 20, MessageChars: 10_000},
		Sessions: tenantconfig.Sessions{RetentionDays: 30, MaxMessages: 1000},
	}
	driver, err := openai.New(openai.Options{BaseURL: up.URL, Transport: transport(t)})
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, up: up, store: memory.New(memory.Options{})}
	t.Cleanup(func() { _ = b.store.Close(context.Background()) })
	logger := slog.New(slog.DiscardHandler)
	gate := limits.New(b.store.Windows(), b.store.Budgets(), limits.Options{Logger: logger})
	recorder := telemetry.NewRecorder(b.store.Usage(), telemetry.NewMetrics("test"), logger, nil)
	b.needs = openaiapi.Needs{
		Gate: gate, Recorder: recorder, Estimator: &ai.Estimator{}, Logger: logger,
		History: b.store.Sessions(), Embedders: drivers{driver},
	}
	for _, o := range options {
		o(cfg, &b.needs)
	}
	if b.tenant, err = tenancy.NewTenant(cfg, nil); err != nil {
		t.Fatal(err)
	}
	b.needs.Turns = turn.New(turn.Needs{
		Gate: gate, Models: drivers{driver}, Recorder: recorder, Estimator: b.needs.Estimator, Logger: logger, Toolbox: b.needs.Toolbox,
	})
	dir, err := tenancy.NewDirectory(b.tenant)
	if err != nil {
		t.Fatal(err)
	}
	door := httpapi.NewDoor(dir, httpapi.Options{Logger: logger, Translate: translate})
	openaiapi.New(b.needs).Mount(door)
	server := httptest.NewUnstartedServer(nil)
	server.Config = httpapi.Server(door, logger)
	server.Start()
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

func transport(t *testing.T) *http.Transport {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func with(change func(*tenantconfig.Config)) option {
	return func(c *tenantconfig.Config, _ *openaiapi.Needs) { change(c) }
}

type drivers struct{ openai.Driver }

func (d drivers) Chatter(*tenancy.Tenant) ai.Chatter   { return d.Driver }
func (d drivers) Embedder(*tenancy.Tenant) ai.Embedder { return d.Driver }

// translate stands for the server's, which knows more kinds.
func translate(err error) *httpapi.Error {
	e, ok := errors.AsType[*ai.Error](err)
	switch {
	case !ok:
		return nil
	case e.Kind == ai.KindTruncated:
		return &httpapi.Error{Status: 502, Code: "ai_truncated", Message: "the answer was cut off", Cause: err}
	case e.Kind == ai.KindTooLong:
		return &httpapi.Error{Status: 400, Code: "context_too_long", Message: "too long", Cause: err}
	}
	return &httpapi.Error{Status: 502, Code: "ai_error", Message: "the model failed", Cause: err}
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

func (b *bed) do(method, path, body string) reply {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("X-Tenant-Id", "acme")
	client := http.Client{Transport: transport(b.t)}
	res, err := client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(raw)}
}

func (b *bed) post(path, body string) reply { b.t.Helper(); return b.do("POST", path, body) }

// ok posts and wants 200.
func (b *bed) ok(path, body string) reply {
	b.t.Helper()
	r := b.post(path, body)
	if r.status != 200 {
		b.t.Fatalf("%d %s", r.status, r.body)
	}
	return r
}

// asked is the only request that the upstream got.
func (b *bed) asked(i int) aifake.Chat {
	b.t.Helper()
	all := b.up.Requests()
	if len(all) <= i {
		b.t.Fatalf("the upstream was asked %d times", len(all))
	}
	return all[i].Chat
}

// used is what is recorded of a feature.
func (b *bed) used(feature string) (calls, in, out int64) {
	b.t.Helper()
	now := time.Now().UTC()
	buckets, err := b.store.Usage().Sum(b.t.Context(), b.tenant.ID, now.Add(-2*time.Hour).Truncate(time.Minute), now.Add(time.Minute))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, u := range buckets {
		if u.Feature == feature {
			calls, in, out = calls+u.Calls, in+u.TokensIn, out+u.TokensOut
		}
	}
	return calls, in, out
}

// frame is one event of a stream; data is parsed, or {"done":"[DONE]"}.
type frame struct {
	name string
	raw  string
	data map[string]any
}

func framesOf(t *testing.T, body string) []frame {
	t.Helper()
	var all []frame
	for text := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		if strings.HasPrefix(text, ":") {
			continue
		}
		var f frame
		for line := range strings.SplitSeq(text, "\n") {
			if v, ok := strings.CutPrefix(line, "event: "); ok {
				f.name = v
			} else if v, ok := strings.CutPrefix(line, "data: "); ok {
				f.raw = v
			} else {
				t.Fatalf("line %q", line)
			}
		}
		if f.raw != "[DONE]" {
			if err := json.Unmarshal([]byte(f.raw), &f.data); err != nil {
				t.Fatalf("frame %q: %v", f.raw, err)
			}
		}
		all = append(all, f)
	}
	return all
}

// steady replaces what differs from run to run.
func steady(body string) string {
	var v any
	dec := json.NewDecoder(strings.NewReader(body))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return body
	}
	calm(v)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	_ = enc.Encode(v)
	return out.String()
}

func calm(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if text, ok := value.(string); ok && (key == "id" || key == "item_id") {
				for _, prefix := range []string{"chatcmpl-", "resp_", "msg_", "fc_"} {
					if strings.HasPrefix(text, prefix) && len(text) > len(prefix)+16 {
						v[key] = prefix
					}
				}
			}
			if _, ok := value.(json.Number); ok && (key == "created" || key == "created_at") {
				v[key] = "now"
			}
			calm(value)
		}
	case []any:
		for _, value := range v {
			calm(value)
		}
	}
}

// toolbox is a tenant's, with one tool that looks things up and one that acts.
type toolbox struct {
	mu  sync.Mutex
	ran []string
}

func (b *toolbox) Tools(context.Context, httpapi.Call) []turn.Tool {
	schema := json.RawMessage(`{"type":"object","properties":{"id":{"type":"string"}}}`)
	return []turn.Tool{
		{Tool: ai.Tool{Name: "act", Description: "acts", Parameters: schema}, Writes: true},
		{Tool: ai.Tool{Name: "look_up", Description: "looks up", Parameters: schema}},
	}
}

func (b *toolbox) Run(_ context.Context, _ httpapi.Call, name string, params json.RawMessage) turn.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ran = append(b.ran, name+" "+string(params))
	if strings.Contains(string(params), "missing") {
		return turn.Result{Code: "EXECUTION_ERROR", Message: "there is none"}
	}
	return turn.Result{Content: "found 7"}
}

func (b *toolbox) runs() []string { b.mu.Lock(); defer b.mu.Unlock(); return slices.Clone(b.ran) }

func withTools(box *toolbox) option {
	return func(c *tenantconfig.Config, n *openaiapi.Needs) { c.Tools.Enabled, n.Toolbox = true, box }
}

// library finds what it has for every question.
type library struct {
	sources []guard.Source
	err     error
	asked   []openaiapi.Question
}

func (l *library) Retrieve(_ context.Context, _ httpapi.Call, q openaiapi.Question) ([]guard.Source, error) {
	l.asked = append(l.asked, q)
	return l.sources, l.err
}

func withDocuments(l *library) option {
	return func(c *tenantconfig.Config, n *openaiapi.Needs) {
		c.Documents.Store, n.Retriever = tenantconfig.DocumentsState, l
	}
}
