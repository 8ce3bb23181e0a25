package cloudflare_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/cloudflare"
)

func document(prompt string) *tenantconfig.Config {
	return &tenantconfig.Config{
		Version: 1, Tenant: tenantconfig.Tenant{ID: "acme", Identity: "o/n/production/acme", Environment: "production"}, Hosts: []string{"acme.example"},
		Auth:       tenantconfig.Auth{Mode: tenantconfig.AuthAPIKey, Keys: []tenantconfig.Key{{Name: "c4nary-key", Digests: []tenantconfig.Digest{{SHA256: "c4nary-digest"}}}}},
		State:      tenantconfig.State{Driver: tenantconfig.StateValkey, Server: tenantconfig.StateServer{URLFile: "c4nary-url", Revision: "c4nary-state"}},
		Upstream:   tenantconfig.Upstream{Type: tenantconfig.UpstreamWorkersAI, CredentialsFile: "c4nary-up", CredentialsRevision: "c4nary-rev"},
		Cloudflare: tenantconfig.Cloudflare{AccountID: account, CredentialsFile: "c4nary-cf", CredentialsRevision: "c4nary-rev2", TokenID: "c4nary-id"},
		Prompt:     tenantconfig.Prompt{System: prompt},
	}
}

// kv is a namespace and the export into it.
type kv struct {
	*bed
	namespace string
}

func newKV(t *testing.T) kv {
	t.Helper()
	k := kv{bed: newBed(t, plenty(), nil)}
	var made struct{ ID string }
	k.api(http.MethodPost, "/storage/kv/namespaces", map[string]any{"title": "export"}, &made)
	k.namespace = made.ID
	return k
}

// run exports until the test ends.
func (k kv) run(logs io.Writer) (e *cloudflare.Export, stop func()) {
	e = cloudflare.NewExport(k.Account, k.namespace, slog.New(slog.NewTextHandler(logs, nil)))
	ctx, cancel := context.WithCancel(k.t.Context())
	ended := make(chan struct{})
	go func() { e.Run(ctx); close(ended) }()
	stop = func() { cancel(); <-ended }
	k.t.Cleanup(stop)
	return e, stop
}

// await waits for the n-th call of an operation.
func (k kv) await(operation string, n int) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 20*time.Second)
	defer cancel()
	seen := map[int]bool{} // Await looks at the whole log each time
	if _, err := k.fake.Await(ctx, func(e fakecloudflare.Entry) bool {
		if strings.HasPrefix(e.Operation, operation) {
			seen[e.Seq] = true
		}
		return len(seen) >= n
	}); err != nil {
		k.t.Fatalf("call %d of %s didn't come: %v", n, operation, err)
	}
}

func (k kv) value() string {
	k.t.Helper()
	r, err := http.NewRequestWithContext(k.t.Context(), http.MethodGet, k.url+"/client/v4/accounts/"+account+"/storage/kv/namespaces/"+k.namespace+"/values/"+url.PathEscape("config/o/n/production/acme"), nil)
	if err != nil {
		k.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+k.fake.RootToken(account))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	return string(text)
}

const (
	getValue = "workers-kv-namespace-read-key-value-pair"
	putValue = "workers-kv-namespace-write-key-value-pair"
)

func TestExportHoldsNothingThatOpens(t *testing.T) {
	t.Parallel()
	text, err := cloudflare.Exported(document("Be kind."))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("c4nary")) || bytes.Contains(text, []byte(`"auth"`)) || !bytes.Contains(text, []byte("acme.example")) || !bytes.Contains(text, []byte("Be kind.")) {
		t.Errorf("exported %s", bytes.ReplaceAll(text, []byte("c4nary"), []byte("canary")))
	}
}

func TestExportFollowsTheDocument(t *testing.T) {
	t.Parallel()
	k := newKV(t)
	e, stop := k.run(io.Discard)
	e.Offer(document("one"))
	k.await(putValue, 1)
	if got := k.value(); !strings.Contains(got, `"one"`) {
		t.Errorf("KV has %s", got)
	}
	// The double refuses a second write within a second of its clock, as KV does.
	k.clock.pass(time.Second)
	e.Offer(document("two"))
	k.await(putValue, 2)
	stop()
	if got := k.value(); !strings.Contains(got, `"two"`) {
		t.Errorf("KV has %s", got)
	}
	// A process that finds its document there writes nothing.
	gets := k.calls(getValue)
	again, stop := k.run(io.Discard)
	again.Offer(document("two"))
	k.await(getValue, gets+1)
	stop()
	// Of documents that come while nobody looks the last one counts.
	k.clock.pass(time.Second)
	last := cloudflare.NewExport(k.Account, k.namespace, slog.New(slog.DiscardHandler))
	for _, prompt := range []string{"three", "four", "five"} {
		last.Offer(document(prompt))
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { last.Run(ctx); close(ended) }()
	k.await(putValue, 3)
	cancel()
	<-ended
	if got := k.value(); !strings.Contains(got, `"five"`) {
		t.Errorf("KV has %s", got)
	}
	if n := k.calls(putValue); n != 3 {
		t.Errorf("%d writes of three documents", n)
	}
}

func TestExportOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	k := newKV(t)
	// A budget by the real clock, since the wait is one.
	k.Account = cloudflare.New(cloudflare.Options{AccountID: account, API: k.url + "/client/v4", Credential: k.credential})
	t.Cleanup(k.Close)
	if err := k.fake.Script(fakecloudflare.Fault{Operation: getValue, Status: 429, RetryAfter: time.Second}); err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	e, stop := k.run(&logs)
	e.Offer(document("c4nary-prompt"))
	k.await(putValue, 1)
	stop()
	if !strings.Contains(k.value(), "-prompt") {
		t.Error("the document isn't there after an outage")
	}
	if !strings.Contains(logs.String(), "isn't copied") || strings.Contains(logs.String(), "c4nary") {
		t.Error("the log tells nothing, or too much")
	}
}
