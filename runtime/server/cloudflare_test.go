package server_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// onCloudflare is the strict double with what a tenant's bindings made there.
type onCloudflare struct {
	t          *testing.T
	fake       *fakecloudflare.Server
	url        string
	ledger, kv string
	token      string
}

func newCloudflare(t *testing.T, o fakecloudflare.Options) *onCloudflare {
	t.Helper()
	fake, err := fakecloudflare.New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(fake)
	c := &onCloudflare{t: t, fake: fake, url: srv.URL, token: fake.RootToken(fakecloudflare.DefaultAccount)}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		srv.Close()
		fake.Close()
		for _, v := range fake.Violations() {
			t.Errorf("%s broke Cloudflare's document: %s", v.Operation, v.Problem)
		}
	})
	var made struct{ UUID, ID string }
	c.call("/d1/database", map[string]any{"name": "ledger"}, &made)
	c.ledger = made.UUID
	c.call("/storage/kv/namespaces", map[string]any{"title": "export"}, &made)
	c.kv = made.ID
	return c
}

func (c *onCloudflare) call(path string, body, result any) {
	c.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	method := http.MethodPost
	if body == nil {
		method = http.MethodGet
	}
	r, err := http.NewRequest(method, c.url+"/client/v4/accounts/"+fakecloudflare.DefaultAccount+path, bytes.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %d %s, %v", path, resp.StatusCode, answer, err)
	}
	envelope := struct{ Result any }{result}
	if err := json.Unmarshal(answer, &envelope); err != nil {
		c.t.Fatal(err)
	}
}

func (c *onCloudflare) document(cfg *tenantconfig.Config) {
	cfg.Cloudflare = tenantconfig.Cloudflare{
		AccountID: fakecloudflare.DefaultAccount, API: c.url + "/client/v4", CredentialsFile: tenantconfig.CloudflareTokenFile,
		CredentialsRevision: "1", UsageLedger: c.ledger, ConfigExport: c.kv,
	}
	cfg.Documents = tenantconfig.Documents{Store: tenantconfig.DocumentsVectorize, Vectorize: tenantconfig.Vectorize{Index: "acme", Dimensions: 8, Metric: "cosine"}}
}

// A Cloudflare that refuses everything stops no answer. The token that comes in its place
// is taken up at once, and the document is exported.
func TestCloudflareBesideServing(t *testing.T) {
	c := newCloudflare(t, fakecloudflare.Options{})
	b := newBed(t, aifake.New(t, aifake.Says("fine")), setup{cfg: c.document})
	b.eventually("a refusal", func() bool { return b.status().Documents.Reason == "unauthorized" })
	if a := b.do(call{method: http.MethodPost, path: "/chat", key: keyMain, body: `{"sessionId":"` + sessionA + `","message":"c4nary hello","stream":false}`}); a.status != http.StatusOK {
		t.Fatalf("chat while Cloudflare refuses: %d", a.status)
	}
	if text := b.scrape(); !strings.Contains(text, "enigma_cloudflare_up 0") || !strings.Contains(text, "enigma_usage_ledger_lag_seconds 0") {
		t.Error("the metrics don't tell")
	}
	b.write(tenantconfig.CloudflareTokenFile, c.token)
	b.reload(func(cfg *tenantconfig.Config) { cfg.Cloudflare.CredentialsRevision = "2" })
	b.eventually("the export", func() bool {
		for _, e := range c.fake.Log() {
			if e.Kind == "kv" && e.Effect == "write" {
				return true
			}
		}
		return false
	})
	if st := b.status().Documents; !st.OK || st.Driver != tenantconfig.DocumentsVectorize {
		t.Errorf("status of documents: %+v", st)
	}
}

// What was used is in the ledger once the server has stopped.
func TestUsageIsInTheLedgerAtTheEnd(t *testing.T) {
	c := newCloudflare(t, fakecloudflare.Options{})
	b := newBed(t, aifake.New(t, aifake.Says("fine")), setup{cfg: func(cfg *tenantconfig.Config) {
		c.document(cfg)
		cfg.Cloudflare.ConfigExport = ""
	}, options: func(o *server.Options) {
		if err := os.WriteFile(filepath.Join(o.Dir, tenantconfig.CloudflareTokenFile), []byte(c.token), 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		if o.Tenant, err = tenancy.Load(o.Dir); err != nil {
			t.Fatal(err)
		}
	}})
	b.eventually("the ledger's first answer", func() bool {
		return !strings.Contains(b.scrape(), "enigma_usage_ledger_lag_seconds 0")
	})
	if a := b.do(call{method: http.MethodPost, path: "/chat", key: keyMain, body: `{"sessionId":"` + sessionA + `","message":"c4nary hello","stream":false}`}); a.status != http.StatusOK {
		t.Fatalf("chat: %d", a.status)
	}
	b.stop()
	b.ended <- <-b.ended // close looks at it again
	var rows []struct {
		Results []struct {
			Tenant, Model, Outcome string
			Calls                  int
		}
	}
	c.call("/d1/database/"+c.ledger+"/query", map[string]any{"sql": "SELECT tenant, model, outcome, calls FROM usage"}, &rows)
	if len(rows) != 1 || len(rows[0].Results) != 1 || rows[0].Results[0].Calls != 1 || rows[0].Results[0].Tenant != b.cfg.Tenant.Identity || rows[0].Results[0].Outcome != "ok" {
		t.Errorf("the ledger has %+v", rows)
	}
}
