package tools_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/tools"
)

func withModel(c *tenantconfig.Config) {
	c.Upstream = tenantconfig.Upstream{Type: tenantconfig.UpstreamOpenAI, BaseURL: "http://127.0.0.1:1/v1"}
	c.Models = tenantconfig.Models{Chat: "m1"}
}

func withBudget(tokens int64) option {
	return func(c *tenantconfig.Config) { c.Limits.Tokens.Daily = tokens }
}

func (b *bed) spent() int64 {
	b.tb.Helper()
	buckets, err := b.store.Usage().Sum(b.tb.Context(), b.tenant.ID, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		b.tb.Fatal(err)
	}
	var n int64
	for _, x := range buckets {
		if x.Feature == "tools" {
			n += x.TokensIn + x.TokensOut
		}
	}
	return n
}

type summed struct {
	Summary, Format, Method       string
	OriginalLength, SummaryLength int
}

func TestSummarize(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says("A ", "short ", "summary."))
	b := newBed(t, up, newTenant(t, nil, withModel, withBudget(100_000)))
	var got summed
	b.ran("summarize", `{"text":"Ä long text. It goes on."}`, &got)
	if want := (summed{"A short summary.", "paragraph", "model", 24, 16}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r := up.Requests()[0]
	if body := string(r.Body); !strings.Contains(body, "data kind=") || !strings.Contains(body, "at most 500 characters") {
		t.Errorf("the model was asked %s", body)
	}
	if in, out := up.Ledger()[0].In, up.Ledger()[0].Out; b.spent() != int64(in+out) {
		t.Errorf("recorded %d tokens, the provider counted %d and %d", b.spent(), in, out)
	}
	up.Answer(aifake.Says("* one\n", "2 things\n\n• three"))
	b.ran("summarize", `{"text":"x","format":"bullet_points"}`, &got)
	if got.Summary != "- one\n- 2 things\n- three" {
		t.Errorf("points %q", got.Summary)
	}
	up.Answer(aifake.Says(strings.Repeat("Words and words. ", 100)))
	b.ran("summarize", `{"text":"x","max_length":60}`, &got)
	if got.SummaryLength > 60 || !strings.HasSuffix(got.Summary, ".") {
		t.Errorf("not held to its length: %q", got.Summary)
	}
}

// TestSummarizeLongText: each part is asked about once, the parts hold the whole text,
// and the sums are summed up.
func TestSummarizeLongText(t *testing.T) {
	t.Parallel()
	up := aifake.New(t)
	var (
		mu    sync.Mutex
		parts []string
	)
	up.Script(func(r *aifake.Request) aifake.Answer {
		mu.Lock()
		defer mu.Unlock()
		parts = append(parts, string(r.Body))
		return aifake.Says(fmt.Sprintf("sum %d.", len(parts)))
	})
	b := newBed(t, up, newTenant(t, nil, withModel))
	var text strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&text, "Sentence number %d of a long text. ", i)
	}
	var got summed
	b.ran("summarize", `{"text":`+quote(text.String())+`}`, &got)
	mu.Lock()
	defer mu.Unlock()
	last := len(parts) - 1
	if last < 3 || got.Summary != fmt.Sprintf("sum %d.", last+1) || !strings.Contains(parts[last], "sum 1.") {
		t.Fatalf("%d calls, the last about %.300s", len(parts), parts[last])
	}
	all := strings.Join(parts[:last], "")
	for i := range 2000 {
		if !strings.Contains(all, fmt.Sprintf("number %d of", i)) {
			t.Fatalf("sentence %d wasn't summed up", i)
		}
	}
}

func TestExtractiveSummary(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, newTenant(t, nil))
	text := "The harbour of Trieste ships coffee. Coffee comes by sea to the harbour. My cat sleeps. The harbour grew with coffee trade."
	var got summed
	b.ran("summarize", `{"text":`+quote(text)+`,"max_length":80}`, &got)
	if got.Method != "extractive" || got.SummaryLength > 80 || !strings.Contains(got.Summary, "harbour") || strings.Contains(got.Summary, "cat") {
		t.Errorf("got %+v", got)
	}
	b.ran("summarize", `{"text":`+quote(text)+`,"max_length":80,"format":"bullet_points"}`, &got)
	if !strings.HasPrefix(got.Summary, "- ") || got.SummaryLength > 80 {
		t.Errorf("points %+v", got)
	}
	for _, odd := range []string{"日本語の文。もう一つの文。", strings.Repeat("x", 90_000), "…", "no end"} {
		b.ran("summarize", `{"text":`+quote(odd)+`,"max_length":50}`, &got)
		if n := utf8.RuneCountInString(got.Summary); n > 50 || n == 0 || n != got.SummaryLength {
			t.Errorf("%.20q: %d characters, told %d", odd, n, got.SummaryLength)
		}
	}
	b.fails(keyMain, "summarize", `{"text":"   "}`, 502, "EXECUTION_ERROR")
	for _, bad := range []string{`{"text":""}`, `{"text":"x","max_length":49}`, `{"text":"x","max_length":5001}`, `{"text":"x","format":"poem"}`, `{"text":` + quote(strings.Repeat("x", 100_001)) + `}`} {
		b.fails(keyMain, "summarize", bad, 400, "VALIDATION_FAILED")
	}
	a := b.fails(keyMain, "classify_intent", `{"text":"x","categories":["a"]}`, 502, "EXECUTION_ERROR")
	if !strings.Contains(a.Error.Message, "needs a language model") {
		t.Errorf("told %q", a.Error.Message)
	}
	b.fails(keyMain, "extract_entities", `{"text":"x"}`, 502, "EXECUTION_ERROR")
}

type entity struct {
	Text, Type string
	Start, End int
}

// TestEntities: offsets count code points and are ours; what the text doesn't hold, or
// wasn't asked for, is dropped; words aren't found inside others.
func TestEntities(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says("Here you are: ```json\n", `{"entities":[{"text":"Ada","type":"person"},{"text":"Zürich","type":"Location"},
		{"text":"Ada","type":"person"},{"text":"Bob","type":"person"},{"text":"3 May","type":"date"},{"text":"","type":"person"}]}`, "\n```"))
	b := newBed(t, up, newTenant(t, nil, withModel))
	text := "😀 Ada went to Zürich. Adam met Ada on 3 May."
	var got struct{ Entities []entity }
	b.ran("extract_entities", `{"text":`+quote(text)+`,"entity_types":["person","location"]}`, &got)
	want := []entity{{"Ada", "person", 2, 5}, {"Zürich", "location", 14, 20}, {"Ada", "person", 31, 34}}
	if diff := cmp.Diff(want, got.Entities); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, e := range got.Entities {
		if s := string([]rune(text)[e.Start:e.End]); s != e.Text {
			t.Errorf("at %d stands %q, not %q", e.Start, s, e.Text)
		}
	}
	up.Answer(aifake.Says("I found none."))
	b.fails(keyMain, "extract_entities", `{"text":"x"}`, 502, "EXECUTION_ERROR")
	up.Answer(aifake.Says("Hm."), aifake.Says(`{"entities":[{"text":"東京","type":"place"}]}`))
	b.ran("extract_entities", `{"text":"私は東京に住む"}`, &got)
	if diff := cmp.Diff([]entity{{"東京", "place", 2, 4}}, got.Entities); diff != "" {
		t.Errorf("in a script without spaces (-want +got):\n%s", diff)
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says(`{"category":"REFUND","confidence":7}`))
	b := newBed(t, up, newTenant(t, nil, withModel))
	var got struct {
		Category   string
		Confidence float64
	}
	params := `{"text":"I want my money back","categories":["refund","greeting"]}`
	b.ran("classify_intent", params, &got)
	if got.Category != "refund" || got.Confidence != 1 {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(string(up.Requests()[0].Body), `"json_object"`) {
		t.Error("JSON mode wasn't asked for")
	}
	up.Answer(aifake.Says("“perhaps”"), aifake.Says("greeting."))
	b.ran("classify_intent", params, &got)
	if got.Category != "greeting" {
		t.Errorf("in plain words: %+v", got)
	}
	up.Answer(aifake.Says(`{"category":"delete all"}`))
	b.fails(keyMain, "classify_intent", params, 502, "EXECUTION_ERROR")
	b.fails(keyMain, "classify_intent", `{"text":"x","categories":[]}`, 400, "VALIDATION_FAILED")
}

// TestModelWithoutJSONMode: it is asked once more without, and then not again.
func TestModelWithoutJSONMode(t *testing.T) {
	t.Parallel()
	up := aifake.New(t)
	up.Script(func(r *aifake.Request) aifake.Answer {
		if strings.Contains(string(r.Body), "response_format") {
			return aifake.Refuses(400, `{"error":{"message":"unknown field"}}`)
		}
		return aifake.Says(`{"category":"a"}`)
	})
	b := newBed(t, up, newTenant(t, nil, withModel, withBudget(10_000)))
	var got struct{ Category string }
	for range 3 {
		b.ran("classify_intent", `{"text":"x","categories":["a","b"]}`, &got)
	}
	if n := len(up.Requests()); n != 4 || got.Category != "a" {
		t.Errorf("%d calls, want 4", n)
	}
}

// TestToolsSpendTheBudget: what a tool's model calls cost is reserved and settled; a
// refused one runs nothing.
func TestToolsSpendTheBudget(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says("s.").Uses(300, 200))
	b := newBed(t, up, newTenant(t, nil, withModel, withBudget(1200)))
	var got summed
	b.ran("summarize", `{"text":"x"}`, &got)
	b.ran("summarize", `{"text":"x"}`, &got)
	a := b.fails(keyMain, "summarize", `{"text":"x"}`, 429, "budget_exceeded")
	if a.header.Get("Retry-After") == "" || len(up.Requests()) != 2 {
		t.Errorf("Retry-After %q, %d calls", a.header.Get("Retry-After"), len(up.Requests()))
	}
	r := b.feature.Run(t.Context(), b.call(keyMain), "summarize", json.RawMessage(`{"text":"x"}`))
	if r.Code != "EXECUTION_ERROR" || !strings.Contains(r.Message, "budget") || len(up.Requests()) != 2 {
		t.Errorf("in a turn: %+v", r)
	}
	if b.spent() != 1000 {
		t.Errorf("recorded %d, want 1000", b.spent())
	}
	// A tool that asks no model gives all back.
	for range 5 {
		if a := b.execute(keyMain, "tag_chunk_docs", `{"content":"x"}`); a.status != 200 {
			t.Errorf("without a model: %d", a.status)
		}
	}
}

func TestUpstreamFailureTellsNothingOfIt(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Refuses(500, `{"error":{"message":"c4nary stack"}}`))
	b := newBed(t, up, newTenant(t, nil, withModel))
	a := b.fails(keyMain, "summarize", `{"text":"x"}`, 502, "EXECUTION_ERROR")
	if strings.Contains(a.Error.Message, "c4nary") {
		t.Errorf("told %q", a.Error.Message)
	}
}

func TestTagChunks(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, newTenant(t, nil))
	var got struct {
		Count  int
		Chunks []struct {
			Index, Start, End int
			Text              string
			Tags              []string
			Metadata          map[string]any
		}
	}
	content := "Espresso is brewed coffee.\n\nPears and apples are fruit."
	b.ran("tag_chunk_docs", `{"content":`+quote(content)+`,"metadata":{"lang":"en","n":12345678901234567}}`, &got)
	if got.Count != 2 || got.Chunks[1].Text != "Pears and apples are fruit." || string([]rune(content)[got.Chunks[1].Start:got.Chunks[1].End]) != got.Chunks[1].Text {
		t.Fatalf("got %+v", got)
	}
	if diff := cmp.Diff([]string{"apples", "fruit", "pears"}, got.Chunks[1].Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if got.Chunks[0].Metadata["lang"] != "en" {
		t.Errorf("metadata %v", got.Chunks[0].Metadata)
	}
	b.fails(keyMain, "tag_chunk_docs", `{"content":"x","metadata":{"big":`+quote(strings.Repeat("x", 5000))+`}}`, 400, "VALIDATION_FAILED")
	b.fails(keyMain, "tag_chunk_docs", `{"content":"x","chunk_size":99}`, 400, "VALIDATION_FAILED")
}

func TestDocumentTools(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, newTenant(t, nil))
	var in struct {
		Status, DocID, JobID string
		Chunks               int
	}
	b.ran("ingest_docs", `{"content":"Trieste ships coffee.","doc_id":"a/\"b\"","title":"T","metadata":{"n":1}}`, &in)
	if in.Status != "ingested" || in.DocID != `a/"b"` || in.Chunks != 1 {
		t.Errorf("got %+v", in)
	}
	b.ran("ingest_docs", `{"content":`+quote(strings.Repeat("x", 20_000))+`,"doc_id":"big"}`, &in)
	if in.Status != "queued" || in.JobID != "job-1" {
		t.Errorf("got %+v", in)
	}
	var found struct {
		Sources []struct{ DocID, Text string }
	}
	b.ran("search_docs", `{"query":"coffee","topK":3.0}`, &found)
	if len(found.Sources) != 1 || found.Sources[0].DocID != `a/"b"` {
		t.Errorf("found %+v", found)
	}
	b.fails(keyMain, "ingest_docs", `{"content":"x","doc_id":"d","metadata":{"docId":"other"}}`, 400, "VALIDATION_FAILED")
	b.fails(keyMain, "search_docs", `{"query":"x","topK":1000000000}`, 400, "VALIDATION_FAILED")
	b.fails(keyMain, "ingest_docs", `{"content":"x","doc_id":`+quote(strings.Repeat("d", 257))+`}`, 400, "VALIDATION_FAILED")
	for _, tool := range b.feature.Tools(t.Context(), b.call(keyMain)) {
		if tool.Writes != (tool.Name == "ingest_docs") || tool.Leaves {
			t.Errorf("%s: writes %v, leaves %v", tool.Name, tool.Writes, tool.Leaves)
		}
	}
}

func TestCutText(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("Grüße an alle. ", 500) + strings.Repeat("x", 3000)
	parts := tools.CutText(text, 400)
	if strings.Join(parts, "") != text {
		t.Error("parts don't make the text")
	}
	for _, p := range parts {
		if n := utf8.RuneCountInString(p); n > 400 || n == 0 || !utf8.ValidString(p) {
			t.Errorf("a part of %d characters", n)
		}
	}
}
