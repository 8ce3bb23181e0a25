package rag_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"log/slog"
	"math"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/openai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/extract"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/textindex"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// The test binary is the child that reads PDF and DOCX, as the runtime's is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "extract" {
		os.Exit(extract.Child(os.Args[2:], os.Stdin, os.Stdout))
	}
	var err error
	if cacheDir, err = os.MkdirTemp("", "rag-cache"); err != nil {
		panic(err)
	}
	status := m.Run()
	_ = os.RemoveAll(cacheDir)
	os.Exit(status)
}

// cacheDir keeps the PDF engine's compiled code for all tests.
var cacheDir string

const (
	key       = "ce_c4nary_acme_0123456789abcdef"
	readerKey = "ce_c4nary_read_0123456789abcdef"
	otherKey  = "ce_c4nary_glob_0123456789abcdef"
)

// bed is documents behind the real door, over the memory store.
type bed struct {
	t        *testing.T
	store    *memory.Store
	up       *aifake.Server
	embedder *embedder
	needs    rag.Needs
	feature  *rag.Feature
	url      string
	key      string
	acme     *tenancy.Tenant
}

type setup struct {
	cfg   func(*tenantconfig.Config)
	needs func(*rag.Needs)
	// idle runs no worker.
	idle  bool
	store *memory.Store
	up    []aifake.Answer
	// reranker is the upstream's.
	reranker ai.Reranker
}

func newBed(t *testing.T, s setup) *bed {
	t.Helper()
	b := &bed{t: t, store: s.store, up: aifake.New(t, s.up...), embedder: &embedder{}, key: key}
	if b.store == nil {
		b.store = memory.New(memory.Options{})
	}
	b.acme = newTenant(t, "acme", b.up.URL, map[string]string{"main": key, "reader": readerKey}, s.cfg)
	globex := newTenant(t, "globex", b.up.URL, map[string]string{"main": otherKey}, s.cfg)
	directory, err := tenancy.NewDirectory(b.acme, globex)
	if err != nil {
		t.Fatal(err)
	}
	driver, err := openai.New(openai.Options{BaseURL: b.up.URL, Transport: http.DefaultTransport.(*http.Transport).Clone()})
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	gate := limits.New(b.store.Windows(), b.store.Budgets(), limits.Options{Logger: logger})
	recorder := telemetry.NewRecorder(b.store.Usage(), telemetry.NewMetrics("test"), logger, nil)
	models := upstream{driver, b.embedder, s.reranker}
	estimator := &ai.Estimator{}
	n := rag.Needs{
		Documents: b.store.Documents(), Jobs: b.store.Jobs(), Cache: b.store.Cache(), Extractor: extract.New(extract.Limits{CacheDir: cacheDir}),
		Gate: gate, Models: models, Recorder: recorder, Estimator: estimator, Logger: logger,
		Turns:    turn.New(turn.Needs{Gate: gate, Models: models, Recorder: recorder, Estimator: estimator, Logger: logger}),
		Tenants:  func() []*tenancy.Tenant { return []*tenancy.Tenant{b.acme, globex} },
		Outbound: outbound.Options{AllowLoopback: true},
	}
	if s.needs != nil {
		s.needs(&n)
	}
	b.needs, b.feature = n, rag.New(n)
	door := httpapi.NewDoor(directory, httpapi.Options{Logger: logger})
	b.feature.Mount(door)
	srv := httptest.NewServer(door)
	t.Cleanup(srv.Close)
	b.url = srv.URL
	if !s.idle {
		b.run()
	}
	return b
}

// run works until the test ends, or what it returns is called.
func (b *bed) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.feature.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	b.t.Cleanup(stop)
	return stop
}

func newTenant(t *testing.T, id, upstream string, keys map[string]string, change func(*tenantconfig.Config)) *tenancy.Tenant {
	t.Helper()
	c := &tenantconfig.Config{
		Version:   1,
		Tenant:    tenantconfig.Tenant{ID: id, Identity: "o/n/production/" + id, Environment: "production"},
		Server:    tenantconfig.Server{APIPort: 8080, MetricsPort: 9090},
		State:     tenantconfig.State{Driver: tenantconfig.StateMemory},
		Auth:      tenantconfig.Auth{Mode: tenantconfig.AuthAPIKey},
		Upstream:  tenantconfig.Upstream{Type: tenantconfig.UpstreamOpenAI, BaseURL: upstream},
		Models:    tenantconfig.Models{Chat: "big"},
		Limits:    tenantconfig.Limits{BodyBytes: 1 << 20, MessageChars: 10_000},
		Sessions:  tenantconfig.Sessions{RetentionDays: 30, MaxMessages: 1000},
		Documents: tenantconfig.Documents{Store: tenantconfig.DocumentsState},
	}
	for name, value := range keys {
		sum := sha256.Sum256([]byte(value))
		k := tenantconfig.Key{Name: name, Digests: []tenantconfig.Digest{{SHA256: hex.EncodeToString(sum[:])}}}
		if name == "reader" {
			k.Scopes = []string{tenancy.ScopeDocumentsRead}
		}
		c.Auth.Keys = append(c.Auth.Keys, k)
	}
	if change != nil {
		change(c)
	}
	tenant, err := tenancy.NewTenant(c, map[string]string{"token": "c4nary-token"})
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

// withModel has the upstream make the vectors.
func withModel(c *tenantconfig.Config) { c.Documents.Embedding.Model = "embed" }

type upstream struct {
	chatter  ai.Chatter
	embedder *embedder
	reranker ai.Reranker
}

func (u upstream) Chatter(*tenancy.Tenant) ai.Chatter   { return u.chatter }
func (u upstream) Embedder(*tenancy.Tenant) ai.Embedder { return u.embedder }
func (u upstream) Reranker(*tenancy.Tenant) ai.Reranker { return u.reranker }

// embedder is a model whose vectors are counts of hashed terms: texts that share words are
// near. It refuses what a real one refuses.
type embedder struct {
	calls atomic.Int64
	// fail answers a call instead, if it gives an error.
	fail atomic.Pointer[func(call int64) error]
}

const dimensions = 256

func (e *embedder) Embed(ctx context.Context, t tenancy.ID, req ai.EmbedRequest) (ai.Embeddings, error) {
	n := e.calls.Add(1)
	if f := e.fail.Load(); f != nil {
		if err := (*f)(n); err != nil {
			return ai.Embeddings{}, err
		}
	}
	if t.IsZero() || req.Model == "" || len(req.Texts) == 0 {
		return ai.Embeddings{}, &ai.Error{Kind: ai.KindBadRequest, Err: errors.New("no tenant, model or text")}
	}
	out := ai.Embeddings{}
	for _, text := range req.Texts {
		if text == "" {
			return ai.Embeddings{}, &ai.Error{Kind: ai.KindBadRequest, Err: errors.New("an empty text")}
		}
		out.Usage.In += len(text)/4 + 1
		v := make([]float32, dimensions)
		v[0] = 0.01
		for term := range textindex.Terms(text) {
			h := fnv.New32a()
			_, _ = h.Write([]byte(term))
			v[h.Sum32()%dimensions]++
		}
		out.Vectors = append(out.Vectors, v)
	}
	if err := ai.CheckVectors(req, out.Vectors); err != nil {
		return ai.Embeddings{}, &ai.Error{Kind: ai.KindMalformed, Err: err}
	}
	return out, ctx.Err()
}

func (e *embedder) failWith(f func(call int64) error) { e.fail.Store(&f) }

// answer is the envelope.
type answer struct {
	Status int
	Header http.Header
	OK     bool            `json:"ok"`
	Data   json.RawMessage `json:"data"`
	Error  struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Details []struct {
			Path    string `json:"path"`
			Message string `json:"message"`
		} `json:"details"`
	} `json:"error"`
	text string
}

func (a answer) get(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.Data, into); err != nil {
		t.Fatalf("%v in %s", err, a.text)
	}
}

func (a answer) paths() (out []string) {
	for _, d := range a.Error.Details {
		out = append(out, d.Path)
	}
	return out
}

func (b *bed) do(method, path, contentType string, body io.Reader) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.key)
	if b.key == otherKey {
		req.Header.Set("x-tenant-id", "globex")
	} else {
		req.Header.Set("x-tenant-id", "acme")
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	a := answer{Status: resp.StatusCode, Header: resp.Header, text: string(text)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(text, &a); err != nil {
			b.t.Fatalf("%v in %s", err, text)
		}
	}
	return a
}

// as gives the bed of another key.
func (b *bed) as(key string) *bed {
	c := *b
	c.key = key
	return &c
}

type fields map[string]any

func (b *bed) post(path string, body any) answer {
	b.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do("POST", path, "application/json", bytes.NewReader(text))
}

func (b *bed) get(path string) answer { b.t.Helper(); return b.do("GET", path, "", nil) }

// upload sends a form.
func (b *bed) upload(values map[string]string, name string, data []byte) answer {
	b.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for k, v := range values {
		if err := form.WriteField(k, v); err != nil {
			b.t.Fatal(err)
		}
	}
	file, err := form.CreateFormFile("file", name)
	if err == nil {
		_, err = file.Write(data)
	}
	if err = errors.Join(err, form.Close()); err != nil {
		b.t.Fatal(err)
	}
	return b.do("POST", "/ingest", form.FormDataContentType(), &body)
}

// must ingests a text at once.
func (b *bed) must(doc, text string) {
	b.t.Helper()
	if a := b.post("/ingest", fields{"docId": doc, "text": text}); a.Status != 200 {
		b.t.Fatalf("ingest of %s: %d %s", doc, a.Status, a.text)
	}
}

type found struct {
	Status  string `json:"status"`
	TraceID string `json:"traceId"`
	Answer  string `json:"answer"`
	Sources []struct {
		ID      int     `json:"id"`
		DocID   string  `json:"docId"`
		ChunkID string  `json:"chunkId"`
		Title   string  `json:"title"`
		URL     string  `json:"url"`
		Text    string  `json:"text"`
		Score   float64 `json:"score"`
	} `json:"sources"`
	Confidence float64  `json:"confidence"`
	FollowUps  []string `json:"followUps"`
}

func (f found) docs() []string {
	out := []string{}
	for _, s := range f.Sources {
		out = append(out, s.DocID)
	}
	return out
}

func (b *bed) search(body fields) found {
	b.t.Helper()
	a := b.post("/search", body)
	if a.Status != 200 {
		b.t.Fatalf("search: %d %s", a.Status, a.text)
	}
	var f found
	a.get(b.t, &f)
	return f
}

// passages searches without an answer.
func (b *bed) passages(query string, more fields) found {
	b.t.Helper()
	body := fields{"query": query, "answer": false}
	for k, v := range more {
		body[k] = v
	}
	return b.search(body)
}

type jobInfo struct {
	Status   string `json:"status"`
	DocID    string `json:"docId"`
	Attempts int    `json:"attempts"`
	Progress struct {
		Done, Total int
		Phase       string
	} `json:"progress"`
	Error struct{ Code, Message string } `json:"error"`
}

// await waits until a job has ended.
func (b *bed) await(job string) jobInfo {
	b.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		var j jobInfo
		a := b.get("/ingest/jobs/" + job)
		if a.Status != 200 {
			b.t.Fatalf("job: %d %s", a.Status, a.text)
		}
		a.get(b.t, &j)
		if j.Status == "done" || j.Status == "failed" {
			return j
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the job is still %+v", j)
		}
		time.Sleep(5 * time.Millisecond) // another goroutine's work, in its own time
	}
}

// queued gives the job of an ingest that goes on behind the request.
func (b *bed) queued(a answer) string {
	b.t.Helper()
	var q struct{ Status, JobID string }
	if a.Status != 202 {
		b.t.Fatalf("ingest: %d %s", a.Status, a.text)
	}
	a.get(b.t, &q)
	return q.JobID
}

type event struct{ name, data string }

func (b *bed) stream(body fields) (events []event, header http.Header) {
	b.t.Helper()
	body["stream"] = true
	a := b.post("/search", body)
	if a.Status != 200 {
		b.t.Fatalf("search: %d %s", a.Status, a.text)
	}
	var e event
	lines := bufio.NewScanner(strings.NewReader(a.text))
	lines.Buffer(nil, math.MaxInt32)
	for lines.Scan() {
		switch line := lines.Text(); {
		case line == "" && e.data != "":
			events = append(events, e)
			e = event{}
		case strings.HasPrefix(line, "event: "):
			e.name = line[len("event: "):]
		case strings.HasPrefix(line, "data: "):
			e.data = line[len("data: "):]
		}
	}
	return events, a.Header
}

func documentsOf(t *testing.T, b *bed) (documents, passages int64) {
	t.Helper()
	d, p, err := b.store.Documents().Totals(t.Context(), b.acme.ID)
	if err != nil {
		t.Fatal(err)
	}
	return d, p
}
