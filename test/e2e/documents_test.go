//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/test/e2e/stage"
)

// keys that the sample with documents names.
const (
	editor = "editor"
	reader = "reader"
)

// call asks for what must be answered with that status.
func (d door) call(t *testing.T, want int, method, path, contentType string, body any) stage.Answer {
	t.Helper()
	a, err := stage.Ask(t.Context(), method, d.url+path, d.key, contentType, body)
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != want {
		t.Fatalf("%s %s: status %d, want %d: %s", method, path, a.Status, want, a.Body)
	}
	return a
}

func (d door) ingest(t *testing.T, document map[string]any) {
	t.Helper()
	d.call(t, http.StatusOK, http.MethodPost, "/ingest", "application/json", document)
}

func (d door) search(t *testing.T, query string) (g stage.Grounded) {
	t.Helper()
	if err := d.call(t, http.StatusOK, http.MethodPost, "/search", "application/json", map[string]any{"query": query}).Into(&g); err != nil {
		t.Fatal(err)
	}
	return g
}

// finds searches, and looks whether the answer quotes the text and cites the document.
func (d door) finds(t *testing.T, query, docID, text string) {
	t.Helper()
	if lack := lacks(d.search(t, query), docID, text); lack != "" {
		t.Errorf("%q: %s", query, lack)
	}
}

// lacks is what an answer is without.
func lacks(g stage.Grounded, docID, text string) string {
	if !strings.Contains(g.Answer, text) {
		return fmt.Sprintf("the answer is %q, without %q", g.Answer, text)
	}
	for _, s := range g.Sources {
		if s.DocID == docID && strings.Contains(s.Text, text) && strings.Contains(g.Answer, fmt.Sprintf("[%d]", s.ID)) {
			return ""
		}
	}
	return fmt.Sprintf("the answer %q cites no source %s of %+v", g.Answer, docID, g.Sources)
}

// keyed is a door to a tenant with one of its other keys.
func (p play) keyed(t *testing.T, tenant, key string) door {
	t.Helper()
	if err := p.Ready(t.Context(), p.ns, tenant, 2*time.Minute); err != nil {
		t.Fatal(err)
	}
	value, err := p.Key(t.Context(), p.ns, tenant, key)
	if err != nil {
		t.Fatal(err)
	}
	address, err := p.URL(t.Context(), p.ns, tenant)
	if err != nil {
		t.Fatal(err)
	}
	return door{address, value}
}

// documents: the sample takes texts and files in, and quotes them with their source.
func (p play) documents(t *testing.T) {
	sample, err := os.ReadFile(filepath.Join(p.Root(), "config/samples/tenant-documents.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(t.Context(), p.ns, string(sample)); err != nil {
		t.Fatal(err)
	}
	// What the acts after this one need not wait for, or be refused.
	p.kubectl(t, "patch", "tenant", "library", "-n", p.ns, "--type=merge", "-p",
		`{"spec":{"deletionProtection":false,"deletionPolicy":"Delete","limits":{"requests":{"perMinute":100000}}}}`)
	d, public := p.keyed(t, "library", editor), p.keyed(t, "library", reader)

	d.ingest(t, map[string]any{"docId": "harbour", "contentType": "text/markdown", "url": "https://docs.example.com/harbour",
		"text": "# Prices\n\nMooring costs twelve euros a night.\n\n# Opening\n\nThe harbour office opens at seven.\n"})
	begin := time.Now()
	d.call(t, http.StatusOK, http.MethodPost, "/ingest?docId=rules.pdf", "application/pdf", pdf("The swimming pool closes at sunset.", "Dogs must be on a lead."))
	t.Logf("the first PDF took %s", time.Since(begin))
	form, contentType := upload(t, "menu.docx", docx(t, "Breakfast", "Pancakes are served until eleven."))
	d.call(t, http.StatusOK, http.MethodPost, "/ingest", contentType, form)

	public.finds(t, "What does mooring cost?", "harbour", "Mooring costs twelve euros a night.")
	public.finds(t, "When does the swimming pool close?", "rules.pdf", "The swimming pool closes at sunset.")
	public.finds(t, "Must dogs be on a lead?", "rules.pdf", "Dogs must be on a lead.")
	public.finds(t, "Until when are pancakes served?", "menu", "Pancakes are served until eleven.")
	if g := public.search(t, "Who is the president of Uruguay?"); len(g.Sources) > 0 || g.Confidence != 0 || !strings.Contains(g.Answer, "don't answer") {
		t.Errorf("what isn't in the documents: %+v", g)
	}
	public.call(t, http.StatusForbidden, http.MethodPost, "/ingest", "application/json", map[string]any{"docId": "harbour", "text": "Mooring is free."})

	d.ingest(t, map[string]any{"docId": "harbour", "text": "Mooring costs fifteen euros a night."})
	public.finds(t, "What does mooring cost?", "harbour", "Mooring costs fifteen euros a night.")
	if g := public.search(t, "What does mooring cost?"); strings.Contains(fmt.Sprint(g), "twelve") {
		t.Errorf("the old version is found: %+v", g)
	}
	d.call(t, http.StatusOK, http.MethodDelete, "/documents/rules.pdf", "", nil)
	if g := public.search(t, "When does the swimming pool close?"); slices.ContainsFunc(g.Sources, func(s stage.Source) bool { return s.DocID == "rules.pdf" }) {
		t.Errorf("a removed document is found: %+v", g)
	}
	d.call(t, http.StatusUnprocessableEntity, http.MethodPost, "/ingest?docId=broken.pdf", "application/pdf", []byte("%PDF-1.7\nno more than this"))
	d.call(t, http.StatusNotFound, http.MethodGet, "/documents/broken.pdf", "", nil)
}

// A document that is too much for one request, and how many passages it makes.
const berths = 3000

const indexSpec = `  upstream:
    type: openai
    baseURL: http://services.models:8000/v1
  models:
    chat: obedient
  documents:
    store: state
    embedding: {model: words, dimensions: 64}
  limits:
    requests:
      perMinute: 1000000
`

// killed: the pod dies in the middle of a job, which another one finishes.
func (p play) killed(t *testing.T) {
	p.serve(t)
	d := p.tenant(t, "marina", "  deletionProtection: false\n  deletionPolicy: Delete\n  state:\n    embedded:\n      persistence:\n        size: 1Gi\n"+indexSpec)
	d.ingest(t, map[string]any{"docId": "berths", "text": "The marina has no berths yet."})
	d.ingest(t, map[string]any{"docId": "history", "text": "The marina was dug in 1897."})
	var text strings.Builder
	for i := range berths {
		fmt.Fprintf(&text, "Berth %d of the marina is %d metres long. Its warden is called Warden%d, and tap w%d stands beside it, on the pier of the northern basin behind the dam.\n\n", i, 5+i%20, i, i)
	}
	var job struct {
		JobID, Status string
		Progress      struct{ Done, Total int }
		UpdatedAt     int64
	}
	a := d.call(t, http.StatusAccepted, http.MethodPost, "/ingest", "application/json", map[string]any{
		"docId": "berths", "text": text.String(), "chunking": map[string]int{"maxChunkSize": 160, "overlap": 0}})
	if err := a.Into(&job); err != nil {
		t.Fatal(err)
	}
	path := "/ingest/jobs/" + job.JobID
	look := func() {
		if err := d.call(t, http.StatusOK, http.MethodGet, path, "", nil).Into(&job); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(time.Minute); job.Progress.Done < berths/10; time.Sleep(50 * time.Millisecond) {
		if look(); time.Now().After(end) {
			t.Fatalf("the job doesn't begin: %+v", job)
		}
	}
	before := job
	p.kubectl(t, "delete", "pod", "-n", p.ns, "-l", "ai.crispy-enigma.dev/tenant=marina", "--grace-period=0", "--force")
	if before.Status != "running" || before.Progress.Done >= berths {
		t.Fatalf("the job was over before the pod was killed: %+v", before)
	}
	killed := time.Now()
	p.kubectl(t, "wait", "deployment/tenant-marina", "-n", p.ns, "--for=jsonpath={.status.readyReplicas}=1", "--timeout=90s")
	for ; job.Status != "done"; time.Sleep(200 * time.Millisecond) {
		if a, err := stage.Ask(t.Context(), http.MethodGet, d.url+path, d.key, "", nil); err == nil && a.Status == http.StatusOK {
			if err := a.Into(&job); err != nil {
				t.Fatal(err)
			}
		}
		if job.Status == "failed" || time.Since(killed) > 2*time.Minute {
			t.Fatalf("the job ended as %+v", job)
		}
	}
	if took := time.UnixMilli(job.UpdatedAt).Sub(killed); took < 0 {
		t.Errorf("the job was done %s before the pod was killed", -took)
	}
	t.Logf("killed at %d of %d passages, done %s after it", before.Progress.Done, job.Progress.Total, time.Since(killed))
	d.whole(t)
	if g := d.passages(t, "When was the marina dug?"); len(g.Sources) == 0 || g.Sources[0].DocID != "history" {
		t.Errorf("the other document is found as %+v", g.Sources)
	}
}

// whole: of the document with the berths there is one version, and all of it.
func (d door) whole(t *testing.T) {
	t.Helper()
	var passages []string
	for from := 0; ; from = len(passages) {
		var page struct {
			Chunks []struct{ Text string }
		}
		if err := d.call(t, http.StatusOK, http.MethodGet, fmt.Sprintf("/documents/berths/chunks?limit=200&from=%d", from), "", nil).Into(&page); err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Chunks {
			passages = append(passages, c.Text)
		}
		if len(page.Chunks) == 0 {
			break
		}
	}
	for i := range berths {
		if i >= len(passages) || !strings.HasPrefix(passages[i], fmt.Sprintf("Berth %d of ", i)) {
			t.Fatalf("of %d passages number %d is not berth %d", len(passages), i, i)
		}
	}
	if len(passages) != berths {
		t.Errorf("there are %d passages of %d", len(passages), berths)
	}
	for _, i := range []int{0, berths / 2, berths - 1} {
		g := d.passages(t, fmt.Sprintf("Warden%d w%d", i, i))
		if n := strings.Count(fmt.Sprint(g.Sources), fmt.Sprintf("is called Warden%d,", i)); n != 1 {
			t.Errorf("berth %d is found %d times: %+v", i, n, g.Sources)
		}
	}
	if g := d.passages(t, "The marina has no berths yet."); strings.Contains(fmt.Sprint(g.Sources), "no berths yet") {
		t.Errorf("the old version is found: %+v", g.Sources)
	}
}

// passages searches without asking a model.
func (d door) passages(t *testing.T, query string) (g stage.Grounded) {
	t.Helper()
	if err := d.call(t, http.StatusOK, http.MethodPost, "/search", "application/json", map[string]any{"query": query, "answer": false}).Into(&g); err != nil {
		t.Fatal(err)
	}
	return g
}

// vectorize: what is ingested there is found once Cloudflare has indexed it.
func (c *cloud) vectorize(t *testing.T) {
	d := c.door(t, "clouded")
	var queued struct{ Status, JobID string }
	begin := time.Now()
	if err := d.call(t, http.StatusAccepted, http.MethodPost, "/ingest", "application/json", map[string]any{
		"docId": "harbour", "text": "Mooring costs twelve euros a night.", "metadata": map[string]any{"lang": "en"}}).Into(&queued); err != nil {
		t.Fatal(err)
	}
	if queued.Status != "indexing" {
		t.Errorf("the answer's status is %q", queued.Status)
	}
	c.eventually(t, time.Minute, func() string {
		var job struct{ Status string }
		if err := d.call(t, http.StatusOK, http.MethodGet, "/ingest/jobs/"+queued.JobID, "", nil).Into(&job); err != nil {
			t.Fatal(err)
		}
		if job.Status == "done" {
			return ""
		}
		return "the job is " + job.Status
	})
	t.Logf("indexed %s after the ingest, with a lag of %s", time.Since(begin), vectorizeLag)
	var document struct{ State string }
	if err := d.call(t, http.StatusOK, http.MethodGet, "/documents/harbour", "", nil).Into(&document); err != nil || document.State != "indexed" {
		t.Errorf("the document is %q, %v", document.State, err)
	}
	for filter, want := range map[string]int{`{"lang":"en"}`: 1, `{"lang":"de"}`: 0} {
		var g stage.Grounded
		if err := d.call(t, http.StatusOK, http.MethodPost, "/search", "application/json", map[string]any{
			"query": "mooring", "mode": "vector", "answer": false, "filter": json.RawMessage(filter)}).Into(&g); err != nil {
			t.Fatal(err)
		}
		if len(g.Sources) != want || want == 1 && g.Sources[0].Text != "Mooring costs twelve euros a night." {
			t.Errorf("with filter %s: %+v", filter, g.Sources)
		}
	}
	d.call(t, http.StatusOK, http.MethodDelete, "/documents/harbour", "", nil)
	if g := d.passages(t, "mooring"); len(g.Sources) > 0 {
		t.Errorf("a removed document is found: %+v", g.Sources)
	}
}

// upload is a form with one file.
func upload(t *testing.T, name string, content []byte) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile("file", name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteField("docId", strings.TrimSuffix(name, filepath.Ext(name))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}
