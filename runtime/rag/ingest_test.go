package rag_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag"
)

const guide = "# Guide\n\nWelcome to the harbour.\n\n## Fees\n\nMooring costs twelve euros a night.\n\n## Rules\n\nDogs stay on a lead.\n"

func TestADocumentIsFoundOnceItIsIngested(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]func(*tenantconfig.Config){"learnt": nil, "model": withModel} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, setup{cfg: cfg})
			a := b.post("/ingest", fields{
				"docId": "guide.md", "text": guide, "title": "Harbour guide", "url": "https://docs.example/guide",
				"source": "web", "metadata": fields{"lang": "en", "year": 2024, "public": true},
			})
			var got map[string]any
			a.get(t, &got)
			model := "builtin/lsa"
			if cfg != nil {
				model = "embed"
			}
			if want := map[string]any{"status": "ingested", "docId": "guide.md", "chunks": 3.0, "embeddingModelId": model}; a.Status != 200 || !cmp.Equal(got, want) {
				t.Fatalf("%d %s", a.Status, cmp.Diff(want, got))
			}
			f := b.passages("what does mooring cost", nil)
			if len(f.Sources) == 0 || !strings.Contains(f.Sources[0].Text, "Mooring costs twelve euros") || f.Sources[0].Title != "Harbour guide" || f.Sources[0].URL != "https://docs.example/guide" {
				t.Fatalf("found %+v", f.Sources)
			}
			if f.Confidence <= 0 || f.Confidence > 1 || f.Sources[0].Score <= 0 || f.Sources[0].Score > 1 {
				t.Errorf("confidence %v, score %v", f.Confidence, f.Sources[0].Score)
			}
			var d map[string]any
			b.get("/documents/guide.md").get(t, &d)
			if d["state"] != "indexed" || d["chunks"] != 3.0 || d["contentType"] != "text/markdown" {
				t.Errorf("the document is told as %v", d)
			}
		})
	}
}

func TestReplacingLeavesNothingOfTheOldVersion(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: withModel})
	b.must("d", strings.Repeat("The old text speaks of badgers. ", 200))
	b.must("d", "The new text speaks of herons.")
	if f := b.passages("badgers", nil); len(f.Sources) != 0 {
		t.Errorf("a stale tail: %+v", f.docs())
	}
	if f := b.passages("herons", nil); len(f.Sources) != 1 {
		t.Errorf("found %v", f.docs())
	}
	if d, p := documentsOf(t, b); d != 1 || p != 1 {
		t.Errorf("%d documents, %d passages", d, p)
	}
}

func TestRemovingIsIdempotent(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{})
	id := `a/b "quoted"`
	b.must(id, "Herons nest in reeds.")
	path := "/documents/a%2Fb%20%22quoted%22"
	if a := b.get(path); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.text)
	}
	var chunks struct {
		Total  int
		Chunks []struct{ ChunkID, Text string }
	}
	b.get(path+"/chunks").get(t, &chunks)
	if chunks.Total != 1 || chunks.Chunks[0].Text != "Herons nest in reeds." || chunks.Chunks[0].ChunkID != id+"#0" {
		t.Errorf("chunks %+v", chunks)
	}
	for _, want := range []bool{true, false} {
		var got struct{ Deleted bool }
		b.do("DELETE", path, "", nil).get(t, &got)
		if got.Deleted != want {
			t.Errorf("deleted %v, want %v", got.Deleted, want)
		}
	}
	if a := b.get(path); a.Status != 404 || a.Error.Code != "document_not_found" {
		t.Errorf("%d %s", a.Status, a.text)
	}
	if f := b.passages("herons", nil); len(f.Sources) != 0 {
		t.Errorf("still found: %v", f.docs())
	}
}

func TestDocumentsAreListedPageByPage(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{})
	for i := range 5 {
		b.must(fmt.Sprintf("d%d", i), "A text.")
	}
	var ids []string
	for cursor, pages := "", 0; ; pages++ {
		var page struct {
			Documents  []struct{ DocID string }
			NextCursor string
		}
		b.get("/documents?limit=2&cursor="+cursor).get(t, &page)
		for _, d := range page.Documents {
			ids = append(ids, d.DocID)
		}
		if cursor = page.NextCursor; cursor == "" || pages > 5 {
			break
		}
	}
	if diff := cmp.Diff([]string{"d0", "d1", "d2", "d3", "d4"}, ids); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"limit=0", "limit=x", "limit=201", "cursor=nonsense"} {
		if a := b.get("/documents?" + bad); a.Status != 400 {
			t.Errorf("%s: %d %s", bad, a.Status, a.text)
		}
	}
}

func TestOneTenantFindsNothingOfAnother(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: withModel})
	b.must("same", "Acme keeps herons.")
	other := b.as(otherKey)
	if f := other.passages("herons", nil); len(f.Sources) != 0 {
		t.Fatalf("globex finds %v", f.docs())
	}
	other.must("same", "Globex keeps badgers.")
	if f := b.passages("badgers", nil); len(f.Sources) != 0 {
		t.Errorf("acme finds %v", f.Sources)
	}
	if a := other.do("DELETE", "/documents/same", "", nil); a.Status != 200 {
		t.Fatal(a.text)
	}
	if f := b.passages("herons", nil); len(f.Sources) != 1 {
		t.Errorf("acme lost its document: %v", f.docs())
	}
	job := b.queued(b.post("/ingest", fields{"docId": "j", "text": "Text.", "async": true}))
	if a := other.get("/ingest/jobs/" + job); a.Status != 404 {
		t.Errorf("globex reads acme's job: %d", a.Status)
	}
	b.await(job)
}

func TestAKeyThatReadsAloneChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{})
	b.must("d", "Herons.")
	reader := b.as(readerKey)
	for _, a := range []answer{
		reader.post("/ingest", fields{"docId": "d", "text": "Badgers."}), reader.do("DELETE", "/documents/d", "", nil),
	} {
		if a.Status != 403 || a.Error.Code != "forbidden" {
			t.Errorf("%d %s", a.Status, a.text)
		}
	}
	if f := reader.passages("herons", nil); len(f.Sources) != 1 {
		t.Errorf("the reader finds %v", f.docs())
	}
}

func TestATenantWithoutDocuments(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: func(c *tenantconfig.Config) { c.Documents = tenantconfig.Documents{} }})
	for _, a := range []answer{
		b.post("/ingest", fields{"docId": "d", "text": "x"}), b.post("/search", fields{"query": "x"}), b.get("/documents"), b.get("/documents/d"),
		b.get("/ingest/jobs/3f0e8a52-1c6b-4f7e-9d0a-5b1f2c3d4e5f"),
	} {
		if a.Status != 403 || a.Error.Code != "documents_not_enabled" {
			t.Errorf("%d %s", a.Status, a.text)
		}
	}
}

func TestAnAddressIsFetchedFromAllowedHostsAlone(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/page":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, "<html><title>Herons</title><body><h1>Birds</h1><p>Herons stand still.</p></body></html>")
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat("x ", 1<<20))
		case "/away":
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(site.Close)
	b := newBed(t, setup{cfg: func(c *tenantconfig.Config) {
		c.Documents.FetchHosts, c.Documents.UploadBytes = []string{"127.0.0.1"}, 1<<20
	}})
	if a := b.post("/ingest", fields{"docId": "p", "url": site.URL + "/page"}); a.Status != 403 || a.Error.Code != "url_not_allowed" {
		t.Errorf("a port that isn't named: %d %s", a.Status, a.text)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(site.URL, "http://"), ":")
	b = newBed(t, setup{
		cfg: func(c *tenantconfig.Config) {
			c.Documents.FetchHosts, c.Documents.UploadBytes = []string{"127.0.0.1"}, 1<<20
		},
		needs: func(n *rag.Needs) { n.FetchPorts = []int{must(strconv.Atoi(port))} },
	})
	for url, want := range map[string]string{
		site.URL + "/large": "payload_too_large", site.URL + "/away": "url_not_allowed", site.URL + "/none": "fetch_failed",
		"http://evil.example/": "url_not_allowed", "ftp://127.0.0.1/x": "invalid_request", "http://u:p@127.0.0.1/": "invalid_request", "nonsense": "invalid_request",
	} {
		if a := b.post("/ingest", fields{"docId": "p", "url": url}); a.Error.Code != want || a.Status >= 500 {
			t.Errorf("%s: %d %s", url, a.Status, a.text)
		}
	}
	if d, _ := documentsOf(t, b); d != 0 {
		t.Errorf("%d documents", d)
	}
	if a := b.post("/ingest", fields{"docId": "p", "url": site.URL + "/page"}); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.text)
	}
	if f := b.passages("herons", nil); len(f.Sources) != 1 || f.Sources[0].Title != "Herons" || f.Sources[0].URL != site.URL+"/page" {
		t.Errorf("found %+v", f.Sources)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
