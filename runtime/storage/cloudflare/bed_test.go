package cloudflare_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const account = fakecloudflare.DefaultAccount

// clock stands until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// bed is the strict double of Cloudflare and an account of it. What breaks Cloudflare's
// own document fails the test.
type bed struct {
	*cloudflare.Account
	t       *testing.T
	fake    *fakecloudflare.Server
	url     string
	clock   *clock
	mu      sync.Mutex
	token   cloudflare.Credential
	refused bool // violations are wanted
}

func newBed(t *testing.T, o fakecloudflare.Options, change func(*cloudflare.Options)) *bed {
	t.Helper()
	b := &bed{t: t, clock: &clock{at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}}
	o.Now = b.clock.now
	var err error
	if b.fake, err = fakecloudflare.New(o); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(b.fake)
	b.url = srv.URL
	b.token.Token = b.fake.RootToken(account)
	var verified struct{ ID string }
	b.api(http.MethodGet, "/tokens/verify", nil, &verified)
	b.token.ID = verified.ID
	transport := &http.Transport{}
	co := cloudflare.Options{AccountID: account, API: srv.URL + "/client/v4", S3: srv.URL + "/_r2/" + account, Credential: b.credential, Transport: transport, Now: b.clock.now}
	if change != nil {
		change(&co)
	}
	b.Account = cloudflare.New(co)
	t.Cleanup(func() {
		b.Close()
		http.DefaultClient.CloseIdleConnections()
		srv.Close()
		b.fake.Close()
		for _, v := range b.fake.Violations() {
			if !b.refused {
				t.Errorf("%s broke Cloudflare's document: %s", v.Operation, v.Problem)
			}
		}
	})
	return b
}

func (b *bed) credential() cloudflare.Credential {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.token
}

func (b *bed) rotate(c cloudflare.Credential) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token = c
}

// api is the operator's call: it makes what the runtime finds.
func (b *bed) api(method, path string, body, result any) {
	b.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, b.url+"/client/v4/accounts/"+account+path, bytes.NewReader(text))
	if err != nil {
		b.t.Fatal(err)
	}
	if body == nil {
		r.Body = http.NoBody
		r.ContentLength = 0
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+b.fake.RootToken(account))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		b.t.Fatalf("%s %s: %d %s, %v", method, path, resp.StatusCode, answer, err)
	}
	var envelope struct{ Result json.RawMessage }
	if err := json.Unmarshal(answer, &envelope); err != nil {
		b.t.Fatal(err)
	}
	if result != nil {
		if err := json.Unmarshal(envelope.Result, result); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bed) bucket() *cloudflare.Objects {
	b.t.Helper()
	b.api(http.MethodPost, "/r2/buckets", map[string]any{"name": "originals"}, nil)
	return cloudflare.NewObjects(b.Account, "originals", "default")
}

func id(t *testing.T, identity string) tenancy.ID {
	t.Helper()
	tid, err := tenancy.NewID("acme", identity)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

// calls counts those of the log whose operation begins so.
func (b *bed) calls(operation string) (n int) {
	for _, e := range b.fake.Log() {
		if strings.HasPrefix(e.Operation, operation) {
			n++
		}
	}
	return n
}
