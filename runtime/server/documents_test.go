package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type searched struct {
	Data struct {
		Answer     string
		Confidence float64
		Sources    []struct {
			DocID, Text string
			Score       float64
		}
	}
}

func (b *bed) search(body map[string]any) (found searched, header http.Header) {
	b.t.Helper()
	a := b.do(call{method: http.MethodPost, path: "/search", key: keyMain, body: body})
	if a.status != http.StatusOK {
		b.t.Fatalf("search: %d %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body, &found); err != nil {
		b.t.Fatal(err)
	}
	return found, a.header
}

// Without any model, documents are found by their words and answered by their own
// sentences, with citations, after a restart too.
func TestDocumentsWithoutAnyModel(t *testing.T) {
	state := t.TempDir()
	serve := func() *bed {
		return newBed(t, aifake.New(t), setup{cfg: func(c *tenantconfig.Config) {
			c.State = tenantconfig.State{Driver: tenantconfig.StateEmbedded, Path: state}
			c.Upstream = tenantconfig.Upstream{Type: tenantconfig.UpstreamEmbedded}
			c.Models = tenantconfig.Models{Chat: "builtin/extractive"}
			c.Documents = tenantconfig.Documents{Store: tenantconfig.DocumentsState}
		}})
	}
	b := serve()
	for id, text := range map[string]string{"harbour": "Mooring costs twelve euros a night. Dogs stay on a lead.", "birds": "Herons nest in reeds."} {
		if a := b.do(call{method: http.MethodPost, path: "/ingest", key: keyMain, body: map[string]any{"docId": id, "text": text}}); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	b.stop()
	b.ended <- <-b.ended // close looks at it again
	b = serve()
	f, _ := b.search(map[string]any{"query": "What does mooring cost a night?"})
	if !strings.Contains(f.Data.Answer, "Mooring costs twelve euros a night.") || !strings.Contains(f.Data.Answer, "[1]") || f.Data.Confidence <= 0 {
		t.Errorf("%+v", f.Data)
	}
	if f, _ := b.search(map[string]any{"query": "quarterly revenue"}); f.Data.Confidence != 0 || len(f.Data.Sources) != 0 {
		t.Errorf("%+v", f.Data)
	}
	if st := b.status().Index; !st.Ready || st.Documents != 2 || st.Passages != 2 || st.Model != tenantconfig.EmbeddingLSA {
		t.Errorf("status %+v", st)
	}
	a := b.do(call{method: http.MethodPost, path: "/chat", key: keyMain, body: map[string]any{"sessionId": sessionA, "message": "What does mooring cost a night?", "useRag": true, "stream": false}})
	if a.status != http.StatusOK || !strings.Contains(string(a.body), "twelve euros a night") || !strings.Contains(string(a.body), `"docId":"harbour"`) {
		t.Errorf("chat: %d %s", a.status, a.body)
	}
}

// Vectors in Vectorize become visible late: a document is found once they are, in one
// version, and its removal leaves none behind. Its original lies in R2 as long as it does.
func TestDocumentsInVectorize(t *testing.T) {
	c := newCloudflare(t, fakecloudflare.Options{Lag: fakecloudflare.Lag{Vectorize: 300 * time.Millisecond}})
	var nothing any
	c.call("/vectorize/v2/indexes", map[string]any{"name": "acme", "config": map[string]any{"dimensions": 384, "metric": "cosine"}}, &nothing)
	c.call("/vectorize/v2/indexes/acme/metadata_index/create", map[string]any{"propertyName": "lang", "indexType": "string"}, &nothing)
	c.call("/r2/buckets", map[string]any{"name": "originals"}, &nothing)
	var tenant *tenancy.Tenant
	b := newBed(t, aifake.New(t), setup{
		cfg: func(cfg *tenantconfig.Config) {
			c.document(cfg)
			cfg.Cloudflare.UsageLedger, cfg.Cloudflare.ConfigExport = "", ""
			cfg.Cloudflare.TokenID, cfg.Cloudflare.S3 = c.tokenID(), c.url+"/_r2/"+fakecloudflare.DefaultAccount
			cfg.Cloudflare.Originals, cfg.Cloudflare.OriginalsJurisdiction = "originals", "default"
			cfg.Upstream = tenantconfig.Upstream{Type: tenantconfig.UpstreamWorkersAI, AccountID: fakecloudflare.DefaultAccount, BaseURL: c.url, CredentialsFile: tenantconfig.CloudflareTokenFile}
			cfg.Models = tenantconfig.Models{Chat: "@cf/meta/llama-3.1-8b-instruct-fast"}
			cfg.Documents.Vectorize = tenantconfig.Vectorize{Index: "acme", Dimensions: 384, Metric: "cosine", Filterable: []string{"lang"}}
			cfg.Documents.RerankModel = "@cf/baai/bge-reranker-base"
		},
		files:   map[string]string{tenantconfig.CloudflareTokenFile: c.token},
		options: func(o *server.Options) { tenant = o.Tenant },
	})
	ingest := func(text string) {
		t.Helper()
		a := b.do(call{method: http.MethodPost, path: "/ingest", key: keyMain, body: map[string]any{"docId": "birds", "text": text, "metadata": map[string]any{"lang": "en", "year": 2024}}})
		var queued struct {
			Data struct{ Status, JobID string }
		}
		if err := json.Unmarshal(a.body, &queued); err != nil || a.status != http.StatusAccepted || queued.Data.Status != "indexing" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		var job struct{ Data struct{ Status string } }
		b.eventually("the job", func() bool {
			a := b.do(call{method: http.MethodGet, path: "/ingest/jobs/" + queued.Data.JobID, key: keyMain})
			if err := json.Unmarshal(a.body, &job); err != nil {
				t.Fatal(err)
			}
			if job.Data.Status == "failed" {
				t.Fatalf("%s", a.body)
			}
			return job.Data.Status == "done"
		})
	}
	ingest("Herons nest in reeds near the pond.")
	ingest("Storks nest on roofs near the church.")
	for _, mode := range []string{"vector", "hybrid", "text"} {
		f, _ := b.search(map[string]any{"query": "storks nest on roofs", "mode": mode, "answer": false, "filter": map[string]any{"lang": "en", "year": map[string]any{"$gte": 2020}}})
		if len(f.Data.Sources) != 1 || !strings.HasPrefix(f.Data.Sources[0].Text, "Storks") {
			t.Errorf("%s: %+v", mode, f.Data.Sources)
		}
	}
	if f, _ := b.search(map[string]any{"query": "storks nest on roofs", "answer": false, "filter": map[string]any{"year": map[string]any{"$lt": 2020}}}); len(f.Data.Sources) != 0 {
		t.Errorf("a filter on what the index doesn't know is forgotten: %+v", f.Data.Sources)
	}
	if n := c.originals(tenant); n != 1 {
		t.Errorf("%d originals", n)
	}
	if a := b.do(call{method: http.MethodDelete, path: "/documents/birds", key: keyMain}); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if f, _ := b.search(map[string]any{"query": "storks nest on roofs", "mode": "vector", "answer": false}); len(f.Data.Sources) != 0 {
		t.Errorf("found after its removal: %+v", f.Data.Sources)
	}
	if n := c.originals(tenant); n != 0 {
		t.Errorf("%d originals stay", n)
	}
	b.eventually("the index to be empty", func() bool { return c.vectors() == 0 })
}

// vectors counts what the index has.
func (c *onCloudflare) vectors() int {
	var info struct{ VectorCount int }
	c.call("/vectorize/v2/indexes/acme/info", nil, &info)
	return info.VectorCount
}

func (c *onCloudflare) tokenID() string {
	var verified struct{ ID string }
	c.call("/tokens/verify", nil, &verified)
	return verified.ID
}

// originals counts the objects of the bucket.
func (c *onCloudflare) originals(t *tenancy.Tenant) int {
	c.t.Helper()
	account := cloudflare.New(cloudflare.Options{
		AccountID: fakecloudflare.DefaultAccount, API: c.url + "/client/v4", S3: c.url + "/_r2/" + fakecloudflare.DefaultAccount,
		Credential: func() cloudflare.Credential { return cloudflare.Credential{ID: c.tokenID(), Token: c.token} },
	})
	defer account.Close()
	keys, err := cloudflare.NewObjects(account, "originals", "default").Keys(c.t.Context(), t.ID, "", "", 100)
	if err != nil {
		c.t.Fatal(err)
	}
	return len(keys)
}
