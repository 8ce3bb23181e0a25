package rag_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag"
)

const herons = "Herons nest in reeds near the northern pond."

func TestAnAnswerCitesItsSources(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{up: []aifake.Answer{aifake.Says(
		"Herons nest in reeds [1], not in trees [7]. See https://evil.example/x.\n\n",
		"FOLLOW", "-UPS:\n- Where is the pond? [1]\n2. What else nests there?\n\n", "- Ask https://evil.example now?\n",
	)}})
	b.must("birds", herons)
	a := b.post("/search", fields{"query": "Where do herons nest?"})
	var f found
	a.get(t, &f)
	if a.Status != 200 || f.Status != "ok" || f.TraceID == "" || a.Header.Get("X-Cache") != "miss" || a.Header.Get("X-Model-Id") != "big" {
		t.Fatalf("%d %v %s", a.Status, a.Header, a.text)
	}
	if !strings.Contains(f.Answer, "in reeds [1]") || strings.Contains(f.Answer, "[7]") || strings.Contains(a.text, "evil.example") || strings.Contains(f.Answer, "FOLLOW") {
		t.Errorf("the answer is %q, follow-ups %q", f.Answer, f.FollowUps)
	}
	if len(f.FollowUps) < 2 || f.FollowUps[0] != "Where is the pond?" || f.FollowUps[1] != "What else nests there?" {
		t.Errorf("follow-ups %q", f.FollowUps)
	}
	if len(f.Sources) != 1 || f.Sources[0].ID != 1 || f.Sources[0].DocID != "birds" || f.Sources[0].ChunkID != "birds#0" || f.Sources[0].Text != herons || f.Confidence <= 0.5 {
		t.Errorf("%+v", f)
	}
	prompt := b.up.Requests()[0].Chat.Messages
	if !strings.Contains(prompt[0].Text(), "<data kind=\"passage\"") || !strings.Contains(prompt[0].Text(), herons) || prompt[len(prompt)-1].Text() != "Where do herons nest?" {
		t.Errorf("asked with %+v", prompt)
	}
}

func TestWhereNothingIsFoundNoModelIsAsked(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]func(*tenantconfig.Config){"learnt": nil, "model": withModel} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, setup{cfg: cfg})
			b.must("birds", herons)
			for range 2 {
				a := b.post("/search", fields{"query": "quarterly revenue projections"})
				var f found
				a.get(t, &f)
				if f.Answer != rag.NothingFound || f.Confidence != 0 || len(f.Sources) != 0 || a.Header.Get("X-Cache") != "miss" {
					t.Errorf("%v %+v", a.Header, f)
				}
			}
			if n := len(b.up.Requests()); n != 0 {
				t.Errorf("%d calls of the model", n)
			}
		})
	}
}

// One word in common is no answer, unless the tenant wants to see it all the same.
func TestAPassageThatHoldsLittleOfTheQueryIsNoSource(t *testing.T) {
	t.Parallel()
	none, much := 0, 900
	for name, c := range map[string]struct {
		least *int
		query string
		found int
	}{
		"little of the query":         {nil, "Which herons paid quarterly taxes to the council in Vienna?", 0},
		"little, and all is wanted":   {&none, "Which herons paid quarterly taxes to the council in Vienna?", 1},
		"most of the query":           {nil, "Where do herons nest in winter?", 1},
		"most, but nearly all is due": {&much, "Where do herons nest in winter?", 0},
		"all of it":                   {&much, "Where do herons nest?", 1},
	} {
		for arm, cfg := range map[string]func(*tenantconfig.Config){"learnt": func(*tenantconfig.Config) {}, "model": withModel} {
			if arm == "model" && c.least == &much {
				continue // its vectors have their say in the score
			}
			b := newBed(t, setup{up: []aifake.Answer{aifake.Says("So it is [1].")}, cfg: func(t *tenantconfig.Config) {
				cfg(t)
				t.Documents.MinScoreMilli = c.least
			}})
			b.must("birds", herons)
			f := b.search(fields{"query": c.query})
			if len(f.Sources) != c.found || (f.Answer == rag.NothingFound) != (c.found == 0) {
				t.Errorf("%s, %s: %+v", name, arm, f)
			}
			if c.found > 0 && f.Confidence < f.Sources[0].Score {
				t.Errorf("%s, %s: confidence %v with a score of %v", name, arm, f.Confidence, f.Sources[0].Score)
			}
		}
	}
}

func TestAModelThatFindsNoAnswerIsBelievedAndNotKept(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{up: []aifake.Answer{aifake.Says(rag.NothingFound)}})
	b.must("birds", herons)
	for n := 1; n <= 2; n++ {
		if f := b.search(fields{"query": "herons"}); f.Answer != rag.NothingFound || f.Confidence != 0 || len(f.FollowUps) != 0 {
			t.Errorf("%+v", f)
		}
		if got := len(b.up.Requests()); got != n {
			t.Errorf("%d calls after %d searches", got, n)
		}
	}
}

func TestTheCacheAnswersWithoutAnyModel(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: withModel, up: []aifake.Answer{aifake.Says("In reeds [1].")}})
	b.must("birds", herons)
	first := b.search(fields{"query": "Where do herons nest?"})
	calls, embeds := len(b.up.Requests()), b.embedder.calls.Load()
	a := b.post("/search", fields{"query": "  where do  HERONS nest? "})
	var again found
	a.get(t, &again)
	again.TraceID = first.TraceID
	if diff := cmp.Diff(first, again); diff != "" || a.Header.Get("X-Cache") != "hit" || a.Header.Get("X-Model-Id") != "big" {
		t.Errorf("%v\n%s", a.Header, diff)
	}
	if len(b.up.Requests()) != calls || b.embedder.calls.Load() != embeds {
		t.Error("a hit called a model")
	}
	// Whatever changes the answer is another question.
	for i, other := range []fields{
		{"query": "Where do herons nest?", "topK": 4},
		{"query": "Where do herons nest?", "mode": "text"},
		{"query": "Where do herons nest?", "answer": false},
		{"query": "Where do herons nest?", "filter": fields{"lang": "en"}},
	} {
		if a := b.post("/search", other); a.Status != 200 || a.Header.Get("X-Cache") != "miss" {
			t.Errorf("%d: %d %v", i, a.Status, a.Header)
		}
	}
	if a := b.as(otherKey).post("/search", fields{"query": "Where do herons nest?"}); a.Header.Get("X-Cache") != "miss" || strings.Contains(a.text, "reeds") {
		t.Errorf("another tenant has the answer: %s", a.text)
	}
	for i, change := range []func(){
		func() { b.must("fish", "Perch swim.") },
		func() { b.do("DELETE", "/documents/fish", "", nil) },
	} {
		b.search(fields{"query": "Where do herons nest?"})
		change()
		if a := b.post("/search", fields{"query": "Where do herons nest?"}); a.Header.Get("X-Cache") != "miss" {
			t.Errorf("after change %d there is a hit", i)
		}
	}
}

func TestTheCacheIsOffWhereTheTenantSaysSo(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: func(c *tenantconfig.Config) { c.Documents.CacheSeconds = -1 }, up: []aifake.Answer{aifake.Says("In reeds [1].")}})
	b.must("birds", herons)
	for range 2 {
		if a := b.post("/search", fields{"query": "herons"}); a.Header.Get("X-Cache") != "miss" {
			t.Error("a hit")
		}
	}
}

func TestASimilarQueryHasTheAnswerWhereTheTenantWantsThat(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{
		cfg: func(c *tenantconfig.Config) { withModel(c); c.Documents.SemanticCacheMilli = 950 },
		up:  []aifake.Answer{aifake.Says("In reeds [1].")},
	})
	b.must("birds", herons)
	b.search(fields{"query": "where do herons nest"})
	calls := len(b.up.Requests())
	a := b.post("/search", fields{"query": "herons nest where"})
	if a.Header.Get("X-Cache") != "hit" || len(b.up.Requests()) != calls {
		t.Errorf("%v, %d calls", a.Header, len(b.up.Requests()))
	}
	if a := b.post("/search", fields{"query": "where is the northern pond"}); a.Header.Get("X-Cache") != "miss" {
		t.Error("a query that isn't similar is a hit")
	}
	b.must("birds", "Herons nest in trees.")
	if a := b.post("/search", fields{"query": "nest herons where"}); a.Header.Get("X-Cache") != "miss" {
		t.Error("a hit after the documents changed")
	}
}

func TestAStreamBeginsWithTheSources(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{up: []aifake.Answer{aifake.Says("Herons nest ", "in reeds [1].", "\nFOLLOW-", "UPS:\n- Where is the pond?").InPieces(7)}})
	b.must("birds", herons)
	for n, cache := range []string{"miss", "hit"} {
		events, header := b.stream(fields{"query": "Where do herons nest?"})
		if header.Get("X-Cache") != cache || !strings.HasPrefix(header.Get("Content-Type"), "text/event-stream") {
			t.Errorf("%v", header)
		}
		if len(events) < 3 || events[0].name != "sources" || !strings.Contains(events[0].data, herons) || events[len(events)-1].name != "done" {
			t.Fatalf("%+v", events)
		}
		text := ""
		for _, e := range events[1 : len(events)-1] {
			var token struct{ Role, Content, TenantID string }
			if err := json.Unmarshal([]byte(e.data), &token); err != nil || e.name != "" || token.Role != "assistant" || token.TenantID != "acme" {
				t.Errorf("%+v %v", e, err)
			}
			text += token.Content
		}
		var done struct {
			Done       bool
			Sources    []any
			Confidence float64
			FollowUps  []string
			Usage      struct{ TokensOut int }
		}
		if err := json.Unmarshal([]byte(events[len(events)-1].data), &done); err != nil {
			t.Fatal(err)
		}
		if text != "Herons nest in reeds [1]." || !done.Done || len(done.Sources) != 1 || done.Confidence <= 0 || !cmp.Equal(done.FollowUps, []string{"Where is the pond?"}) || (done.Usage.TokensOut > 0) != (n == 0) {
			t.Errorf("%q %+v", text, done)
		}
	}
	if n := len(b.up.Requests()); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestAStreamThatBreaksSaysSo(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{up: []aifake.Answer{aifake.Says("Herons nest ", "in ", "reeds").CutAfter(60)}})
	b.must("birds", herons)
	events, _ := b.stream(fields{"query": "Where do herons nest?"})
	n := len(events)
	if n < 2 || events[n-2].name != "error" || events[n-1].name != "done" || !strings.Contains(events[n-1].data, `"error":`) {
		t.Errorf("%+v", events)
	}
	if a := b.post("/search", fields{"query": "Where do herons nest?"}); a.Header.Get("X-Cache") == "hit" {
		t.Error("half an answer was kept")
	}
}

func TestModesAndFilters(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: withModel})
	for id, meta := range map[string]fields{
		"en-2020": {"lang": "en", "year": 2020, "draft": false}, "en-2024": {"lang": "en", "year": 2024, "draft": true}, "de-2024": {"lang": "de", "year": 2024}, "none": nil,
	} {
		if a := b.post("/ingest", fields{"docId": id, "text": "Herons live here: " + id, "metadata": meta}); a.Status != 200 {
			t.Fatal(a.text)
		}
	}
	for filter, want := range map[string]string{
		`{}`: "de-2024 en-2020 en-2024 none", `{"lang":"en"}`: "en-2020 en-2024", `{"lang":"en","year":{"$gte":2021}}`: "en-2024",
		`{"year":{"$gte":2020,"$lt":2024}}`: "en-2020", `{"lang":{"$in":["de","fr"]}}`: "de-2024", `{"lang":{"$ne":"de"}}`: "en-2020 en-2024",
		`{"lang":{"$nin":["de"]}}`: "en-2020 en-2024", `{"draft":true}`: "en-2024", `{"year":"2024"}`: "", `{"nothing":1}`: "", `{"lang":{"$eq":"de"}}`: "de-2024",
	} {
		for _, mode := range []string{"hybrid", "vector", "text"} {
			got := b.passages("herons live here", fields{"filter": json.RawMessage(filter), "mode": mode}).docs()
			if got := strings.Join(sorted(got), " "); got != want {
				t.Errorf("%s %s finds %q, want %q", filter, mode, got, want)
			}
		}
	}
}

func TestVectorsThatArentThereAreMissed(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{})
	b.must("birds", herons)
	if a := b.post("/search", fields{"query": "herons", "mode": "vector"}); a.Status != 409 || a.Error.Code != "vectors_not_ready" {
		t.Errorf("too few passages to learn from: %d %s", a.Status, a.text)
	}
	for i := range 210 {
		b.must(fmt.Sprint("d", i), fmt.Sprintf("Word%d and word%d, with herons and reeds of kind%d.", i%20, i%7, i%5))
	}
	deadline := time.Now().Add(10 * time.Second)
	for b.post("/search", fields{"query": "herons", "mode": "vector", "answer": false}).Status != 200 {
		if time.Now().After(deadline) {
			t.Fatal("no vectors are learnt")
		}
		time.Sleep(10 * time.Millisecond) // another goroutine's work, in its own time
	}
	if f := b.passages("word3 kind2", fields{"mode": "vector"}); len(f.Sources) == 0 {
		t.Error("learnt vectors find nothing")
	}
}

func TestNeighboursBecomeOneSource(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{})
	var text strings.Builder
	for i := range 8 {
		fmt.Fprintf(&text, "Paragraph %d tells of the word%d and of nothing else that matters here at all today.\n\n", i, i)
	}
	if a := b.post("/ingest", fields{"docId": "d", "text": text.String(), "chunking": fields{"maxChunkSize": 100, "overlap": 0}}); a.Status != 200 {
		t.Fatal(a.text)
	}
	f := b.passages("word3 word4", nil)
	if len(f.Sources) != 1 || !strings.Contains(f.Sources[0].Text, "word3") || !strings.Contains(f.Sources[0].Text, "word4") {
		t.Errorf("%d sources: %+v", len(f.Sources), f.Sources)
	}
	if f := b.passages("word1 word6", nil); len(f.Sources) != 2 {
		t.Errorf("passages apart: %+v", f.Sources)
	}
}

func TestAFailingEmbedderIsABadGateway(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: withModel})
	b.must("birds", herons)
	b.embedder.failWith(func(int64) error { return unavailable })
	a := b.post("/search", fields{"query": "herons"})
	if a.Status != 502 || a.Error.Code != "ai_error" || strings.Contains(a.text, "c4nary") {
		t.Errorf("%d %s", a.Status, a.text)
	}
	if a := b.post("/search", fields{"query": "herons", "mode": "text", "answer": false}); a.Status != 200 {
		t.Errorf("words need no model: %d %s", a.Status, a.text)
	}
	if a := b.post("/ingest", fields{"docId": "fish", "text": "Perch."}); a.Status != 502 || a.Error.Code != "ai_error" {
		t.Errorf("%d %s", a.Status, a.text)
	}
	if d, _ := documentsOf(t, b); d != 1 {
		t.Errorf("%d documents", d)
	}
}

func TestBudgetsAndRates(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: func(c *tenantconfig.Config) {
		withModel(c)
		c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 4, WindowSec: 60}
		c.Limits.Tokens.Daily = 3000
		c.Prompt.MaxTokens = 100
		c.Prompt.ContextTokens = 1100
	}, up: []aifake.Answer{aifake.Says("In reeds [1].").Uses(100, 10)}})
	b.must("birds", herons)
	if a := b.post("/ingest", fields{"docId": "long", "text": strings.Repeat("Herons nest in reeds. ", 2000)}); a.Status != 429 || a.Error.Code != "budget_exceeded" {
		t.Errorf("%d %s", a.Status, a.text)
	}
	if d, _ := documentsOf(t, b); d != 1 {
		t.Errorf("a refused ingest left %d documents", d)
	}
	for i, want := range []string{"miss", "hit", "hit"} {
		if a := b.post("/search", fields{"query": "Where do herons nest?"}); a.Status != 200 || a.Header.Get("X-Cache") != want || a.Header.Get("X-Ratelimit-Remaining") != fmt.Sprint(2-i) {
			t.Errorf("%d: %d %v", i, a.Status, a.Header)
		}
	}
	if a := b.post("/search", fields{"query": "Where do herons nest?"}); a.Status != 429 || a.Error.Code != "rate_limited" {
		t.Errorf("a hit counts too: %d %s", a.Status, a.text)
	}
	var in, out int64
	buckets, err := b.store.Usage().Sum(t.Context(), b.acme.ID, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range buckets {
		if u.Feature == "search" && u.Model == "big" {
			in, out = in+u.TokensIn, out+u.TokensOut
		}
	}
	if in != 100 || out != 10 {
		t.Errorf("billed %d and %d tokens of the model", in, out)
	}
}

// A reader sees each document in one version, whole, while it is replaced.
func TestAReaderSeesOneVersionWhole(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: withModel})
	version := func(n int) string {
		var text strings.Builder
		for i := range 6 {
			fmt.Fprintf(&text, "Release %d of the handbook, part%d: all the herons of version v%d nest in reeds.\n\n", n, i, n)
		}
		return text.String()
	}
	put := func(n int) {
		if a := b.post("/ingest", fields{"docId": "d", "text": version(n), "chunking": fields{"maxChunkSize": 120, "overlap": 0}}); a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.text)
		}
	}
	put(0)
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := 1; n <= 15; n++ {
			put(n)
		}
	})
	done := make(chan struct{})
	go func() { writing.Wait(); close(done) }()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		f := b.passages("herons of the handbook nest in reeds", fields{"topK": 50})
		all := ""
		for _, s := range f.Sources {
			all += s.Text + "\n"
		}
		_, rest, ok := strings.Cut(all, "Release ")
		n, _, _ := strings.Cut(rest, " ")
		if !ok || strings.Count(all, "Release ") != 6 || strings.Count(all, "Release "+n+" ") != 6 {
			t.Fatalf("not one version: %s", all)
		}
	}
}
