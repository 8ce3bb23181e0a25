package cloudflare_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const lag = 30 * time.Second

// index makes one as the operator does: its metadata indexes are there before the first
// vector.
func (b *bed) index(name, metric string) {
	b.t.Helper()
	const base = "/vectorize/v2/indexes"
	b.api(http.MethodPost, base, map[string]any{"name": name, "config": map[string]any{"dimensions": storagetest.VectorShape.Dimensions, "metric": metric}}, nil)
	for property, kind := range map[string]string{"draft": "boolean", "lang": "string", "team": "string", "year": "number"} {
		b.api(http.MethodPost, base+"/"+name+"/metadata_index/create", map[string]any{"propertyName": property, "indexType": kind}, nil)
	}
	b.clock.pass(lag)
}

// plenty of budget: what is tested is what is kept.
func plenty() fakecloudflare.Options {
	return fakecloudflare.Options{Lag: fakecloudflare.Lag{Vectorize: lag}, Rate: fakecloudflare.Rate{Limit: -1}}
}

func (b *bed) vectors(metric string, place func(tenancy.ID) (cloudflare.Place, error)) *cloudflare.Vectors {
	return cloudflare.NewVectors(b.Account, cloudflare.VectorsOptions{Shape: storagetest.VectorShape, Metric: metric, Place: place, Texts: b.bucket()})
}

// A tenant's own index, one that is shared by namespaces, one that is shared by mistake,
// one that is being replaced, and the other metrics.
func TestVectors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		metric string
		place  func(t tenancy.ID) cloudflare.Place
	}{
		"an index each": {"cosine", func(t tenancy.ID) cloudflare.Place {
			return cloudflare.Place{Index: "own-" + statestore.Tag(t.Identity())}
		}},
		"shared": {"cosine", func(t tenancy.ID) cloudflare.Place {
			return cloudflare.Place{Index: "shared", Namespace: statestore.Tag(t.Identity())}
		}},
		"shared in error": {"cosine", func(tenancy.ID) cloudflare.Place { return cloudflare.Place{Index: "shared"} }},
		"being replaced": {"cosine", func(t tenancy.ID) cloudflare.Place {
			return cloudflare.Place{Index: "shared", Next: "next", Namespace: statestore.Tag(t.Identity())}
		}},
		"by dot product": {"dot-product", func(t tenancy.ID) cloudflare.Place {
			return cloudflare.Place{Index: "shared", Namespace: statestore.Tag(t.Identity())}
		}},
		"by the distance": {"euclidean", func(t tenancy.ID) cloudflare.Place {
			return cloudflare.Place{Index: "shared", Namespace: statestore.Tag(t.Identity())}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storagetest.RunVectors(t, func(t *testing.T) storagetest.VectorBed {
				b := newBed(t, plenty(), nil)
				made := map[string]bool{}
				v := b.vectors(c.metric, func(t tenancy.ID) (cloudflare.Place, error) {
					p := c.place(t)
					for _, index := range []string{p.Index, p.Next} {
						if index != "" && !made[index] {
							b.index(index, c.metric)
							made[index] = true
						}
					}
					return p, nil
				})
				return storagetest.VectorBed{Vectors: v, Pass: func() { b.clock.pass(7 * time.Second) }}
			})
		})
	}
}

func chunk(doc, text string) storage.Chunk {
	return storage.Chunk{ChunkKey: storage.ChunkKey{Doc: doc, Version: 1}, Vector: []float32{1, 0, 0, 0, 0, 0, 0, 0}, Text: text}
}

func near() storage.VectorQuery {
	return storage.VectorQuery{Vector: []float32{1, 0, 0, 0, 0, 0, 0, 0}, TopK: 50}
}

func fixed(p cloudflare.Place) func(tenancy.ID) (cloudflare.Place, error) {
	return func(tenancy.ID) (cloudflare.Place, error) { return p, nil }
}

// While an index is replaced, what comes and goes does so in both: the next one answers
// as the old one did once it takes over.
func TestNextIndexHoldsTheSame(t *testing.T) {
	t.Parallel()
	b := newBed(t, plenty(), nil)
	b.index("blue", "cosine")
	b.index("green", "cosine")
	place := cloudflare.Place{Index: "blue", Next: "green"}
	v := b.vectors("cosine", func(tenancy.ID) (cloudflare.Place, error) { return place, nil })
	acme := id(t, "acme")
	if _, err := v.Upsert(t.Context(), acme, []storage.Chunk{chunk("a", strings.Repeat("long ", 4000)), chunk("b", "b")}); err != nil {
		t.Fatal(err)
	}
	m, err := v.Delete(t.Context(), acme, []storage.ChunkKey{{Doc: "b", Version: 1}})
	if err != nil {
		t.Fatal(err)
	}
	b.clock.pass(lag)
	place = cloudflare.Place{Index: "green"}
	if seen, err := v.Visible(t.Context(), acme, m); !seen || err != nil {
		t.Errorf("after the switch: %v, %v", seen, err)
	}
	got, err := v.Query(t.Context(), acme, near())
	if err != nil || len(got) != 1 || got[0].Doc != "a" || len(got[0].Text) != 20_000 {
		t.Errorf("the next index has %d chunks, %v", len(got), err)
	}
	// If the next one fails, the one that is asked mustn't have it alone.
	place = cloudflare.Place{Index: "blue", Next: "green"}
	if err := b.fake.Script(fakecloudflare.Fault{Path: ".*/green/upsert", Status: 500, Times: -1}); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Upsert(t.Context(), acme, []storage.Chunk{chunk("c", "c")}); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	b.clock.pass(lag)
	if got, err := v.Query(t.Context(), acme, near()); err != nil || len(got) != 1 {
		t.Errorf("%d chunks, %v", len(got), err)
	}
}

// Vectorize names the mutation that it applied last and no order. Another pod's mutation
// on top of mine doesn't hide it, and none before mine passes for it.
func TestVisibleAmongOtherWriters(t *testing.T) {
	t.Parallel()
	b := newBed(t, plenty(), nil)
	b.index("idx", "cosine")
	one := b.vectors("cosine", fixed(cloudflare.Place{Index: "idx"}))
	two := cloudflare.NewVectors(b.Account, cloudflare.VectorsOptions{Shape: storagetest.VectorShape, Metric: "cosine", Place: fixed(cloudflare.Place{Index: "idx"})})
	restarted := cloudflare.NewVectors(b.Account, cloudflare.VectorsOptions{Shape: storagetest.VectorShape, Metric: "cosine", Place: fixed(cloudflare.Place{Index: "idx"})})
	acme := id(t, "acme")
	write := func(v *cloudflare.Vectors, doc string) storage.Mutation {
		t.Helper()
		m, err := v.Upsert(t.Context(), acme, []storage.Chunk{chunk(doc, doc)})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	want := func(v *cloudflare.Vectors, what string, m storage.Mutation, visible bool) {
		t.Helper()
		if seen, err := v.Visible(t.Context(), acme, m); seen != visible || err != nil {
			t.Errorf("%s: visible is %v, %v; want %v", what, seen, err, visible)
		}
	}
	write(two, "before")
	b.clock.pass(10 * time.Second)
	mine := write(one, "mine")
	b.clock.pass(10 * time.Second)
	theirs := write(two, "after")
	// The first is applied, at a time after mine was answered.
	b.clock.pass(10 * time.Second)
	want(one, "theirs before mine is applied", mine, false)
	want(restarted, "theirs before mine is applied", mine, false)
	b.clock.pass(20 * time.Second)
	want(one, "theirs after mine is applied", mine, true)
	want(restarted, "theirs after mine is applied", mine, true)
	want(restarted, "theirs", theirs, true)
	gone, err := one.Delete(t.Context(), acme, []storage.ChunkKey{{Doc: "mine", Version: 1}})
	if err != nil {
		t.Fatal(err)
	}
	want(restarted, "a deletion under way", gone, false)
	b.clock.pass(time.Second)
	write(two, "last")
	b.clock.pass(lag)
	want(restarted, "a deletion with another writer's on top", gone, true)
}

// An index that isn't as the document says takes nothing: its vectors would never be
// found by their properties.
func TestIndexThatIsNotReady(t *testing.T) {
	t.Parallel()
	b := newBed(t, plenty(), nil)
	b.api(http.MethodPost, "/vectorize/v2/indexes", map[string]any{"name": "bare", "config": map[string]any{"dimensions": 8, "metric": "cosine"}}, nil)
	b.api(http.MethodPost, "/vectorize/v2/indexes", map[string]any{"name": "wide", "config": map[string]any{"dimensions": 768, "metric": "cosine"}}, nil)
	objects := b.bucket()
	for index, want := range map[string]string{"bare": "metadata index", "wide": "768 dimensions", "none": "BindingsReady"} {
		v := cloudflare.NewVectors(b.Account, cloudflare.VectorsOptions{Shape: storagetest.VectorShape, Metric: "cosine", Place: fixed(cloudflare.Place{Index: index}), Texts: objects})
		_, err := v.Upsert(t.Context(), id(t, "acme"), []storage.Chunk{chunk("d", "x")})
		if !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", index, err)
		}
		if h := b.Health(); index == "none" && h.Reason != "missing" {
			t.Errorf("health without an index is %+v", h)
		}
	}
	if n := b.calls("vectorize-upsert"); n != 0 {
		t.Errorf("%d upserts were sent", n)
	}
	// What is made later is found: nothing was remembered of the refusals.
	for _, property := range []string{"draft", "lang", "team", "year"} {
		b.api(http.MethodPost, "/vectorize/v2/indexes/bare/metadata_index/create", map[string]any{"propertyName": property, "indexType": "string"}, nil)
	}
	b.clock.pass(lag)
	v := cloudflare.NewVectors(b.Account, cloudflare.VectorsOptions{Shape: storagetest.VectorShape, Metric: "cosine", Place: fixed(cloudflare.Place{Index: "bare"})})
	if _, err := v.Upsert(t.Context(), id(t, "acme"), []storage.Chunk{chunk("d", "x")}); err != nil {
		t.Error(err)
	}
	// Without a bucket a text that doesn't fit is refused whole, and says what to do.
	if _, err := v.Upsert(t.Context(), id(t, "acme"), []storage.Chunk{chunk("d", strings.Repeat("x", 10<<10))}); !errors.Is(err, storage.ErrTextTooLong) || !strings.Contains(err.Error(), "originals") {
		t.Errorf("got %v", err)
	}
}

// Whoever shares an index by mistake, or by malice, is told apart by the ids.
func TestForeignMatchesAreDropped(t *testing.T) {
	t.Parallel()
	b := newBed(t, plenty(), nil)
	b.index("idx", "cosine")
	v := b.vectors("cosine", fixed(cloudflare.Place{Index: "idx", Namespace: "mine"}))
	acme := id(t, "acme")
	if _, err := v.Upsert(t.Context(), acme, []storage.Chunk{chunk("mine", "mine")}); err != nil {
		t.Fatal(err)
	}
	b.clock.pass(lag)
	// A Vectorize that ignores namespace and filter, and forgets metadata.
	forge := func(hit string) {
		t.Helper()
		b.fake.OnCall(func(c fakecloudflare.Call) *fakecloudflare.Fault {
			if !strings.HasSuffix(c.Path, "/query") {
				return nil
			}
			return &fakecloudflare.Fault{Status: 200, ContentType: "application/json", Body: `{"success":true,"errors":[],"messages":[],"result":{"count":1,"matches":[` + hit + `]}}`}
		})
		got, err := v.Query(t.Context(), acme, near())
		if err != nil || len(got) != 0 {
			t.Errorf("%s: %v, %v", hit, got, err)
		}
	}
	const good = `"_doc":"d","_version":"1","_n":0,"_text":"x"`
	for _, hit := range []string{
		`{"id":"x","score":1,"namespace":"theirs","metadata":{` + good + `}}`, `{"id":"x","score":1,"namespace":"mine","metadata":{` + good + `}}`, `{"id":"x","score":1,"namespace":"mine"}`,
		`{"id":"x","score":1,"namespace":"mine","metadata":{"_doc":"d"}}`, `{"id":"x","score":1,"namespace":"mine","metadata":{"_doc":1,"_version":1,"_n":"0"}}`,
	} {
		forge(hit)
	}
	if n := v.Dropped(); n != 5 {
		t.Errorf("%d dropped", n)
	}
	b.fake.OnCall(nil)
	if got, err := v.Query(t.Context(), acme, near()); err != nil || len(got) != 1 {
		t.Errorf("%d of my own, %v", len(got), err)
	}
	if _, err := v.Query(t.Context(), id(t, "other"), near()); err != nil {
		t.Error(err)
	}
}

// A long text that was cut, or changed, isn't told as whole; one that is gone takes its
// match with it.
func TestLongTextsAreWholeOrNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, plenty(), nil)
	b.index("idx", "cosine")
	objects := b.bucket()
	v := cloudflare.NewVectors(b.Account, cloudflare.VectorsOptions{Shape: storagetest.VectorShape, Metric: "cosine", Place: fixed(cloudflare.Place{Index: "idx"}), Texts: objects})
	acme := id(t, "acme")
	if _, err := v.Upsert(t.Context(), acme, []storage.Chunk{chunk("d", strings.Repeat("long ", 4000))}); err != nil {
		t.Fatal(err)
	}
	b.clock.pass(lag)
	keys, err := objects.Keys(t.Context(), acme, "chunk-texts/", "", 10)
	if err != nil || len(keys) != 1 {
		t.Fatalf("%q, %v", keys, err)
	}
	if err := b.fake.Script(fakecloudflare.Fault{Operation: "s3-get", Truncate: 100}); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Query(t.Context(), acme, near()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("cut: %v", err)
	}
	if err := objects.Put(t.Context(), acme, keys[0], 5, strings.NewReader("other")); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Query(t.Context(), acme, near()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("another text: %v", err)
	}
	if err := objects.Delete(t.Context(), acme, keys[0]); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Query(t.Context(), acme, near()); err != nil || len(got) != 0 {
		t.Errorf("gone: %d chunks, %v", len(got), err)
	}
	// Deleting takes the texts of replaced chunks along.
	for _, text := range []string{"one ", "two ", "three "} {
		if _, err := v.Upsert(t.Context(), acme, []storage.Chunk{chunk("d", strings.Repeat(text, 5000)), chunk("kept", strings.Repeat("kept ", 5000))}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.Delete(t.Context(), acme, []storage.ChunkKey{{Doc: "d", Version: 1}}); err != nil {
		t.Fatal(err)
	}
	if keys, err := objects.Keys(t.Context(), acme, "chunk-texts/", "", 10); err != nil || len(keys) != 1 {
		t.Errorf("%d texts are left, %v", len(keys), err)
	}
}

func TestBudgetIsHonest(t *testing.T) {
	t.Parallel()
	b := newBed(t, fakecloudflare.Options{}, nil)
	b.index("idx", "cosine")
	v := b.vectors("cosine", fixed(cloudflare.Place{Index: "idx"}))
	acme := id(t, "acme")
	asked, refused := 0, 0
	var busy *storage.BusyError
	for range 60 {
		if _, err := v.Query(t.Context(), acme, near()); errors.As(err, &busy) {
			refused++
		} else if err == nil {
			asked++
		}
	}
	if asked != 40 || refused != 20 || busy.After <= 0 || busy.After > 300*time.Millisecond {
		t.Errorf("%d asked, %d refused, wait %v", asked, refused, busy.After)
	}
	here, there := b.Refused()
	if here != 20 || there != 0 || b.Health().Reason != "" {
		t.Errorf("refused %d here and %d there, %+v", here, there, b.Health())
	}
	// Who waits as told gets in.
	b.clock.pass(busy.After)
	if _, err := v.Query(t.Context(), acme, near()); err != nil {
		t.Errorf("after the wait: %v", err)
	}
	// For five minutes at full rate Cloudflare never has to refuse.
	served := 0
	for range 3000 {
		b.clock.pass(100 * time.Millisecond)
		if _, err := v.Query(t.Context(), acme, near()); err == nil {
			served++
		}
	}
	if _, there := b.Refused(); there != 0 || served < 1150 || served > 1210 {
		t.Errorf("%d served in 5 minutes, %d refused by Cloudflare", served, there)
	}
}

func TestCloudflaresRefusalIsObeyed(t *testing.T) {
	t.Parallel()
	b := newBed(t, plenty(), nil)
	b.index("idx", "cosine")
	v := b.vectors("cosine", fixed(cloudflare.Place{Index: "idx"}))
	acme := id(t, "acme")
	if err := b.fake.Script(fakecloudflare.Fault{Operation: "vectorize-query-vector", Status: 429, RetryAfter: 90 * time.Second}); err != nil {
		t.Fatal(err)
	}
	before := b.fake.Calls()
	var busy *storage.BusyError
	for range 3 {
		if _, err := v.Query(t.Context(), acme, near()); !errors.As(err, &busy) || busy.After != 90*time.Second {
			t.Fatalf("got %v", err)
		}
	}
	if n := b.fake.Calls() - before; n != 1 {
		t.Errorf("%d calls after a refusal", n-1)
	}
	if here, there := b.Refused(); here != 2 || there != 1 {
		t.Errorf("refused %d here and %d there", here, there)
	}
	b.clock.pass(90 * time.Second)
	if _, err := v.Query(t.Context(), acme, near()); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

func TestOutages(t *testing.T) {
	t.Parallel()
	b := newBed(t, plenty(), nil)
	b.index("idx", "cosine")
	v := b.vectors("cosine", fixed(cloudflare.Place{Index: "idx"}))
	acme := id(t, "acme")
	for name, c := range map[string]struct {
		fault  fakecloudflare.Fault
		calls  int
		reason string
	}{
		"status 500":     {fakecloudflare.Fault{Status: 500}, 2, "unavailable"},
		"a web page":     {fakecloudflare.Fault{Status: 502, Body: fakecloudflare.BodyHTML}, 2, "unavailable"},
		"cut":            {fakecloudflare.Fault{Cut: true}, 2, "unavailable"},
		"truncated":      {fakecloudflare.Fault{Truncate: 10}, 2, "unavailable"},
		"unauthorized":   {fakecloudflare.Fault{Status: 403, Body: fakecloudflare.BodyEnvelope(10000, "c4nary")}, 1, "unauthorized"},
		"success:false":  {fakecloudflare.Fault{Status: 200, Body: `{"success":false,"errors":[],"messages":[],"result":null}`}, 1, "unavailable"},
		"no envelope":    {fakecloudflare.Fault{Status: 200, Body: `[1]`}, 1, "unavailable"},
		"another result": {fakecloudflare.Fault{Status: 200, Body: `{"success":true,"errors":[],"messages":[],"result":[7]}`}, 1, "unavailable"},
		"a bad request":  {fakecloudflare.Fault{Status: 400, Body: fakecloudflare.BodyEnvelope(40006, "c4nary")}, 1, ""},
	} {
		c.fault.Operation, c.fault.Times = "vectorize-query-vector", -1
		if err := b.fake.Script(c.fault); err != nil {
			t.Fatal(err)
		}
		before := b.fake.Calls()
		_, err := v.Query(t.Context(), acme, near())
		if err == nil || (c.reason != "") != errors.Is(err, storage.ErrUnavailable) || strings.Contains(err.Error(), "c4nary") {
			t.Errorf("%s: %v", name, err)
		}
		if n := b.fake.Calls() - before; n != c.calls || c.reason != "" && b.Health().Reason != c.reason {
			t.Errorf("%s: %d calls, health %+v", name, n, b.Health())
		}
		b.fake.Heal()
		if _, err := v.Query(t.Context(), acme, near()); err != nil || !b.Health().OK {
			t.Errorf("after %s: %v, %+v", name, err, b.Health())
		}
	}
	// One that passes isn't seen at all.
	if err := b.fake.Script(fakecloudflare.Fault{Operation: "vectorize-query-vector", Status: 503}); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Query(t.Context(), acme, near()); err != nil {
		t.Error(err)
	}
	// A caller that gives up is answered at once, and says nothing of Cloudflare.
	ctx, cancel := context.WithCancel(t.Context())
	if err := b.fake.Script(fakecloudflare.Fault{Operation: "vectorize-query-vector", Hang: true, Do: cancel}); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Query(ctx, acme, near()); !errors.Is(err, context.Canceled) || !b.Health().OK {
		t.Errorf("%v, %+v", err, b.Health())
	}
}
