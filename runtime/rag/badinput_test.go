package rag_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/extract"
)

var unavailable = &ai.Error{Kind: ai.KindUnavailable, Status: 503}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

// bomb is a DOCX whose text unpacks to far more than it is.
func bomb(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("word/document.xml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeros{}, 1<<30); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// manyPages is a PDF of n empty pages.
func manyPages(n int) []byte {
	var b bytes.Buffer
	var at []int
	object := func(text string) {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", len(at), text)
	}
	b.WriteString("%PDF-1.4\n")
	object("<< /Type /Catalog /Pages 2 0 R >>")
	kids := strings.Builder{}
	for i := range n {
		fmt.Fprintf(&kids, "%d 0 R ", i+3)
	}
	object(fmt.Sprintf("<< /Type /Pages /Count %d /Kids [%s] >>", n, kids.String()))
	for range n {
		object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 10 10] >>")
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, o := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, xref)
	return b.Bytes()
}

func TestBadFilesAreRefusedAndLeaveNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: func(c *tenantconfig.Config) { c.Documents.UploadBytes = 4 << 20 }})
	for name, tc := range map[string]struct {
		file   string
		data   []byte
		status int
		code   string
	}{
		"empty":           {"a.txt", nil, 422, "document_empty"},
		"white space":     {"a.txt", []byte(" \n\t "), 422, "document_empty"},
		"binary as text":  {"a.txt", append([]byte{0, 1, 2, 0xff}, bytes.Repeat([]byte{0}, 500)...), 415, "document_unsupported"},
		"broken PDF":      {"a.pdf", []byte("%PDF-1.7\nnothing of the kind"), 422, "document_broken"},
		"text named PDF":  {"a.pdf", []byte("not a PDF"), 422, "document_broken"},
		"10,000 pages":    {"a.pdf", manyPages(10_000), 413, "document_too_large"},
		"zip bomb":        {"a.docx", bomb(t), 413, "document_bomb"},
		"another zip":     {"a.docx", []byte("PK\x03\x04 nothing"), 422, "document_broken"},
		"over the upload": {"a.txt", bytes.Repeat([]byte("x "), 2<<20+1), 413, "payload_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.upload(map[string]string{"docId": "d"}, tc.file, tc.data)
			if a.Status != tc.status || a.Error.Code != tc.code || a.Error.Message == "" {
				t.Errorf("%d %s, want %d %s", a.Status, a.text, tc.status, tc.code)
			}
		})
	}
	if d, p := documentsOf(t, b); d != 0 || p != 0 {
		t.Errorf("%d documents, %d passages are left", d, p)
	}
}

func TestStrangeTextsAreTakenWhole(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{})
	for id, text := range map[string]string{
		"long word": strings.Repeat("x", 1<<20), "arabic": strings.Repeat("يعيش مالك الحزين في المستنقعات. ", 50), "cjk": strings.Repeat("鹭在芦苇中筑巢。", 300),
		"emoji": strings.Repeat("👩‍👩‍👧‍👦 ", 400), strings.Repeat("i", 256): "An id of 256 bytes.", `quo"te/s 'and' <tags>`: "A strange id.",
	} {
		a := b.post("/ingest", fields{"docId": id, "text": text})
		if a.Status != 200 && a.Status != 202 {
			t.Errorf("%.20q: %d %s", id, a.Status, a.text)
			continue
		}
		if a.Status == 202 {
			if j := b.await(b.queued(a)); j.Status != "done" {
				t.Errorf("%.20q: %+v", id, j)
			}
		}
		d, there, err := b.store.Documents().Document(t.Context(), b.acme.ID, id)
		if err != nil || !there {
			t.Errorf("%.20q isn't there: %v", id, err)
			continue
		}
		passages, err := b.store.Documents().Passages(t.Context(), b.acme.ID, id, d.Version, 0, 1000, false)
		if err != nil || strings.Contains(fmt.Sprint(passages), "\ufffd") {
			t.Errorf("%.20q: cut within a character, or %v", id, err)
		}
	}
	for query, want := range map[string]string{"مالك الحزين": "arabic", "芦苇": "cjk"} {
		if f := b.passages(query, nil); len(f.Sources) == 0 || f.Sources[0].DocID != want {
			t.Errorf("%s finds %v", query, f.docs())
		}
	}
}

func TestBadRequestsNameTheField(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{})
	long := strings.Repeat("x", 65)
	for name, tc := range map[string]struct {
		body  string
		paths []string
	}{
		"no docId":           {`{"text":"x"}`, []string{"docId"}},
		"257 bytes":          {`{"text":"x","docId":"` + strings.Repeat("x", 257) + `"}`, []string{"docId"}},
		"dot segments":       {`{"text":"x","docId":"a/../b"}`, []string{"docId"}},
		"control characters": {`{"text":"x","docId":"a\nb"}`, []string{"docId"}},
		"nothing to ingest":  {`{"docId":"d"}`, []string{"text"}},
		"object as metadata": {`{"docId":"d","text":"x","metadata":{"a":{"b":1}}}`, []string{"metadata.a"}},
		"null in metadata":   {`{"docId":"d","text":"x","metadata":{"a":null}}`, []string{"metadata.a"}},
		"reserved name":      {`{"docId":"d","text":"x","metadata":{"_tenant":"globex"}}`, []string{"metadata._tenant"}},
		"operator as a name": {`{"docId":"d","text":"x","metadata":{"$or":"x"}}`, []string{"metadata.$or"}},
		"long value":         {`{"docId":"d","text":"x","metadata":{"a":"` + long + `"}}`, []string{"metadata.a"}},
		"small chunks":       {`{"docId":"d","text":"x","chunking":{"maxChunkSize":99}}`, []string{"chunking.maxChunkSize"}},
		"wide overlap":       {`{"docId":"d","text":"x","chunking":{"maxChunkSize":200,"overlap":100}}`, []string{"chunking.overlap"}},
		"long title":         {`{"docId":"d","text":"x","title":"` + strings.Repeat("x", 2049) + `"}`, []string{"title"}},
	} {
		a := b.do("POST", "/ingest", "application/json", strings.NewReader(tc.body))
		if diff := cmp.Diff(tc.paths, a.paths()); a.Status != 400 || a.Error.Code != "invalid_request" || diff != "" {
			t.Errorf("%s: %d %s %s", name, a.Status, a.text, diff)
		}
	}
	for name, tc := range map[string]struct {
		body string
		path string
	}{
		"no query":           {`{}`, "query"},
		"blank query":        {`{"query":"  "}`, "query"},
		"2,001 characters":   {`{"query":"` + strings.Repeat("ü", 2001) + `"}`, "query"},
		"topK 0":             {`{"query":"x","topK":0}`, "topK"},
		"topK 10^9":          {`{"query":"x","topK":1000000000}`, "topK"},
		"mode":               {`{"query":"x","mode":"magic"}`, "mode"},
		"rerank":             {`{"query":"x","rerank":true}`, "rerank"},
		"filter as a list":   {`{"query":"x","filter":["lang"]}`, "filter"},
		"filter as a text":   {`{"query":"x","filter":"lang = 'en' OR 1=1"}`, "filter"},
		"unknown operator":   {`{"query":"x","filter":{"lang":{"$where":"1"}}}`, "filter.lang"},
		"$or":                {`{"query":"x","filter":{"$or":[{"a":1}]}}`, "filter.$or"},
		"system field":       {`{"query":"x","filter":{"_tenant":"globex"}}`, "filter._tenant"},
		"a dot":              {`{"query":"x","filter":{"a.b":1}}`, "filter"},
		"quotes":             {`{"query":"x","filter":{"a\" OR \"1":1}}`, "filter"},
		"object as a value":  {`{"query":"x","filter":{"a":{"$eq":{"b":1}}}}`, "filter.a"},
		"null":               {`{"query":"x","filter":{"a":null}}`, "filter.a"},
		"ordered booleans":   {`{"query":"x","filter":{"a":{"$lt":true}}}`, "filter.a"},
		"mixed values":       {`{"query":"x","filter":{"a":{"$in":[1,"x"]}}}`, "filter.a"},
		"too many values":    {`{"query":"x","filter":{"a":{"$in":[` + strings.Repeat("1,", 32) + `1]}}}`, "filter.a"},
		"too many bytes":     {`{"query":"x","filter":` + manyConditions(60) + `}`, "filter"},
		"empty":              {`{"query":"x","filter":{"a":{}}}`, "filter.a"},
		"two contradictions": {`{"query":"x","filter":{"a":{"$eq":1,"$ne":2}}}`, "filter"},
	} {
		a := b.do("POST", "/search", "application/json", strings.NewReader(tc.body))
		if a.Status != 400 || a.Error.Code != "invalid_request" || len(a.paths()) == 0 || a.paths()[0] != tc.path {
			t.Errorf("%s: %d %s", name, a.Status, a.text)
		}
	}
	if d, _ := documentsOf(t, b); d != 0 {
		t.Errorf("%d documents are left", d)
	}
}

func manyConditions(n int) string {
	filter := map[string]string{}
	for i := range n {
		filter[fmt.Sprintf("property%d", i)] = strings.Repeat("v", 40)
	}
	text, err := json.Marshal(filter)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestTheTenantsPassagesAreBounded(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: func(c *tenantconfig.Config) { c.Documents.MaxPassages = 3 }})
	b.must("a", guide)
	cut := fields{"maxChunkSize": 100, "overlap": 0}
	long := strings.Repeat("Herons nest in the reeds of a pond. ", 12)
	for _, async := range []bool{false, true} {
		a := b.post("/ingest", fields{"docId": "b", "text": long, "chunking": cut, "async": async})
		if async {
			if j := b.await(b.queued(a)); j.Status != "failed" || j.Error.Code != "documents_limit" {
				t.Errorf("%+v", j)
			}
		} else if a.Status != 409 || a.Error.Code != "documents_limit" {
			t.Errorf("%d %s", a.Status, a.text)
		}
	}
	b.must("a", herons) // what replaces takes no more room
	if d, _ := documentsOf(t, b); d != 1 {
		t.Errorf("%d documents", d)
	}
}

func TestATitleThatIsNoTextIsNamed(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{idle: true})
	for _, async := range []string{"", "&async=true"} {
		a := b.do("POST", "/ingest?docId=d&title=%ff"+async, "text/plain", strings.NewReader("Herons."))
		if a.Status != 400 || !slices.Equal(a.paths(), []string{"title"}) {
			t.Errorf("%q: %d %s", async, a.Status, a.text)
		}
	}
}

// What keeps the reader of files from beginning is ours, and passes.
func TestAReaderThatCantBeginBlamesNoFile(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{needs: func(n *rag.Needs) {
		n.Extractor = extract.New(extract.Limits{Command: []string{"/nonexistent/c4nary"}})
	}})
	a := b.upload(map[string]string{"docId": "d"}, "d.pdf", []byte("%PDF-1.7\n"))
	if a.Status != 503 || a.Error.Code != "unavailable" || a.Header.Get("Retry-After") == "" || strings.Contains(a.text, "c4nary") {
		t.Errorf("%d %s", a.Status, a.text)
	}
}
