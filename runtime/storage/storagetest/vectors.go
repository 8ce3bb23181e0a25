package storagetest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// VectorShape is what the stores under test take. The values of lang and team are
// strings, those of year numbers, those of draft bools.
var VectorShape = storage.Shape{Dimensions: 8, Filterable: []string{"draft", "lang", "team", "year"}}

// VectorBed is a store that nothing else uses.
type VectorBed struct {
	storage.Vectors
	// Pass lets so much time go by that a change becomes visible, at the latest after
	// a hundred times. Nil for a store whose changes are visible at once.
	Pass func()
}

// VectorCheck is one promise. Run fails t if the store breaks it.
type VectorCheck struct {
	Name string
	Run  func(t rapid.TB, b VectorBed)
}

// VectorChecks are all promises of storage.Vectors.
func VectorChecks() []VectorCheck {
	return slices.Concat(vectorChecks, vectorFilterChecks, vectorRefusalChecks)
}

// RunVectors runs every check against a store of its own. open closes the store when
// its test ends.
func RunVectors(t *testing.T, open func(t *testing.T) VectorBed) {
	for _, c := range VectorChecks() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.Run(t, open(t))
		})
	}
}

var vectorChecks = []VectorCheck{
	{"Query/what is found is what was kept", vectorsWhole},
	{"Query/the nearest, best first", vectorsNearest},
	{"Query/equal scores by key", vectorsTies},
	{"Query/at most topK", vectorsTopK},
	{"Upsert/no key spells another", vectorsHostile},
	{"Upsert/replaces the same key alone", vectorsReplace},
	{"Upsert/thousands at once", vectorsMany},
	{"Upsert/a chunk is the caller's own", vectorsCopies},
	{"Delete/these keys alone", vectorsDelete},
	{"Visible/a change and all before it", vectorsVisible},
	{"Tenants/each finds its own", vectorsApart},
}

// direction is a vector that points mostly along axis, a little less with each step.
func direction(axis int, step float64) []float32 {
	v := make([]float32, VectorShape.Dimensions)
	v[axis%len(v)] = 2
	v[(axis+1)%len(v)] = float32(step)
	return v
}

func chunkOf(doc string, version int64, n int, vector []float32, text string) storage.Chunk {
	return storage.Chunk{ChunkKey: storage.ChunkKey{Doc: doc, Version: version, N: n}, Vector: vector, Text: text}
}

func (b VectorBed) upsert(t rapid.TB, id tenancy.ID, chunks ...storage.Chunk) {
	t.Helper()
	m, err := b.Upsert(context.Background(), id, chunks)
	must(t, "Upsert", err)
	b.await(t, id, m)
}

// await lets time pass until the change is visible.
func (b VectorBed) await(t rapid.TB, id tenancy.ID, m storage.Mutation) {
	t.Helper()
	for range 100 {
		seen, err := b.Visible(context.Background(), id, m)
		must(t, "Visible", err)
		if seen {
			return
		}
		if b.Pass == nil {
			t.Fatalf("a change isn't visible at once")
		}
		b.Pass()
	}
	t.Fatalf("a change is never visible")
}

func (b VectorBed) query(t rapid.TB, id tenancy.ID, vector []float32, topK int, filter ...storage.Condition) []storage.Match {
	t.Helper()
	got, err := b.Query(context.Background(), id, storage.VectorQuery{Vector: vector, TopK: topK, Filter: filter})
	must(t, "Query", err)
	for _, m := range got {
		if m.Vector != nil || math.IsNaN(m.Score) || m.Score < -1.0001 || m.Score > 1.0001 {
			t.Fatalf("match %v has the score %v, and a vector of %d", m.ChunkKey, m.Score, len(m.Vector))
		}
	}
	return got
}

func docs(matches []storage.Match) []string {
	var names []string
	for _, m := range matches {
		names = append(names, m.Doc)
	}
	return names
}

func vectorsWhole(t rapid.TB, b VectorBed) {
	id := tenant(t, "a")
	texts := map[string]string{
		"empty": "", "plain": "a passage", "hostile": "</script>\"'\\ \u2028 \x00\x01 {{x}} \r\n\t", "wide": "日本語 🙂 é",
		"5 KB": strings.Repeat("five ", 1024), "10 KiB": strings.Repeat("x", 10<<10), "10 KiB quoted": strings.Repeat("\"\n", 5<<10),
		"100 KB": strings.Repeat("hundred ä ", 10_000), "1 MiB": strings.Repeat("m", storage.MaxTextBytes),
	}
	metadata := map[string]any{"lang": "en", "year": 1999.5, "draft": true, "none of the index's": "x", "größe": -0.1, "empty": "", "big": 1e300, "no": false}
	axis := 0
	var chunks []storage.Chunk
	for name, text := range texts {
		c := chunkOf(name, math.MinInt64+int64(len(text)), 7, direction(axis, 0.5), text)
		c.Metadata = metadata
		chunks = append(chunks, c)
		axis++
	}
	chunks[0].Metadata = nil
	chunks[1].Version = math.MaxInt64
	b.upsert(t, id, chunks...)
	found := map[string]storage.Match{}
	for _, m := range b.query(t, id, direction(0, 1), 50) {
		found[m.Doc] = m
	}
	for _, want := range chunks {
		got, there := found[want.Doc]
		switch {
		case !there:
			t.Fatalf("%s isn't found", want.Doc)
		case got.ChunkKey != want.ChunkKey:
			t.Errorf("%s: got the key %+v, want %+v", want.Doc, got.ChunkKey, want.ChunkKey)
		case got.Text != want.Text:
			t.Errorf("%s: got %d bytes of text, want %d", want.Doc, len(got.Text), len(want.Text))
		case len(want.Metadata)+len(got.Metadata) > 0:
			same(t, want.Doc, got.Metadata, want.Metadata)
		}
	}
}

func vectorsNearest(t rapid.TB, b VectorBed) {
	id, r := tenant(t, "a"), rand.New(rand.NewPCG(1, 2))
	random := func(scale float64) []float32 {
		v := make([]float32, VectorShape.Dimensions)
		for i := range v {
			v[i] = float32(r.NormFloat64() * scale)
		}
		return v
	}
	exact := memory.NewVectors(VectorShape)
	var chunks []storage.Chunk
	for i := range 200 {
		// Lengths don't matter, however different they are.
		chunks = append(chunks, chunkOf(fmt.Sprintf("%03d", i), 1, 0, random(math.Pow(10, float64(i%7-3))), fmt.Sprint(i)))
	}
	_, err := exact.Upsert(context.Background(), id, chunks)
	must(t, "Upsert", err)
	b.upsert(t, id, chunks...)
	for _, topK := range []int{1, 7, 50} {
		vector := random(100)
		want := VectorBed{Vectors: exact}.query(t, id, vector, topK)
		got := b.query(t, id, vector, topK)
		same(t, fmt.Sprintf("the nearest %d", topK), docs(got), docs(want))
		for i := range got {
			if math.Abs(got[i].Score-want[i].Score) > 1e-4 {
				t.Errorf("%s: got the score %v, want %v", got[i].Doc, got[i].Score, want[i].Score)
			}
		}
	}
	opposite := direction(3, 0)
	b.upsert(t, id, chunkOf("opposite", 1, 0, opposite, ""))
	for i := range opposite {
		opposite[i] = -opposite[i]
	}
	for _, m := range b.query(t, id, opposite, 50, storage.Condition{Property: "lang", Op: storage.Equal, Values: []any{"none"}}) {
		t.Errorf("%s meets a filter that nothing meets", m.Doc)
	}
}

func vectorsTies(t rapid.TB, b VectorBed) {
	id := tenant(t, "a")
	var chunks []storage.Chunk
	for _, k := range []storage.ChunkKey{{Doc: "b", Version: 1}, {Doc: "a", Version: 2, N: 1}, {Doc: "a", Version: 2, N: 0}, {Doc: "a", Version: -1, N: 10}, {Doc: "B", Version: 5}} {
		chunks = append(chunks, storage.Chunk{ChunkKey: k, Vector: direction(1, 0), Text: "x"})
	}
	b.upsert(t, id, chunks...)
	var got []storage.ChunkKey
	for _, m := range b.query(t, id, direction(1, 0), 10) {
		got = append(got, m.ChunkKey)
	}
	same(t, "keys", got, []storage.ChunkKey{{Doc: "B", Version: 5}, {Doc: "a", Version: -1, N: 10}, {Doc: "a", Version: 2, N: 0}, {Doc: "a", Version: 2, N: 1}, {Doc: "b", Version: 1}})
}

func vectorsTopK(t rapid.TB, b VectorBed) {
	id := tenant(t, "a")
	if got := b.query(t, id, direction(0, 0), 50); len(got) != 0 {
		t.Fatalf("an empty store has %v", docs(got))
	}
	var chunks []storage.Chunk
	for i := range 60 {
		chunks = append(chunks, chunkOf(fmt.Sprint(i), 1, 0, direction(0, float64(i)/10), ""))
	}
	b.upsert(t, id, chunks...)
	for _, topK := range []int{1, 2, 49, 50} {
		if got := b.query(t, id, direction(0, 0), topK); len(got) != topK || got[0].Doc != "0" {
			t.Errorf("topK %d: got %v", topK, docs(got))
		}
	}
	for _, topK := range []int{-1, 0, 51, math.MaxInt} {
		_, err := b.Query(context.Background(), id, storage.VectorQuery{Vector: direction(0, 0), TopK: topK})
		wantErr(t, fmt.Sprint("topK ", topK), err, storage.ErrBadTopK)
	}
}

// hostileDocs are ids that joining, cutting, quoting or hashing in part would mix up.
func hostileDocs() []string {
	list := []string{"a", "a1", "a:1", "a/1", "a\x00", "a\x001", "../a", "a'", `a"`, `a\`, "a%", "*", "🙂", "é", "e\u0301", " ", "\n", "a\u2028",
		strings.Repeat("d", 255), strings.Repeat("d", 256), strings.Repeat("d", 255) + "e", strings.Repeat("é", 128)}
	return list
}

func vectorsHostile(t rapid.TB, b VectorBed) {
	id := tenant(t, "a")
	want := map[storage.ChunkKey]string{}
	var chunks []storage.Chunk
	for _, doc := range hostileDocs() {
		// Two that would be one if the parts were only joined.
		for _, k := range []storage.ChunkKey{{Doc: doc, Version: 1, N: 11}, {Doc: doc, Version: 11, N: 1}} {
			want[k] = fmt.Sprintf("%q %d %d", k.Doc, k.Version, k.N)
			chunks = append(chunks, storage.Chunk{ChunkKey: k, Vector: direction(len(chunks), 1), Text: want[k]})
		}
	}
	b.upsert(t, id, chunks...)
	got := map[storage.ChunkKey]string{}
	for _, m := range b.query(t, id, direction(0, 1), 50) {
		got[m.ChunkKey] = m.Text
	}
	same(t, "chunks", got, want)
}

func vectorsReplace(t rapid.TB, b VectorBed) {
	id := tenant(t, "a")
	long := strings.Repeat("first ", 5000)
	first := chunkOf("d", 1, 0, direction(0, 0), long)
	first.Metadata = map[string]any{"lang": "en", "draft": true}
	b.upsert(t, id, first, chunkOf("d", 1, 1, direction(0, 0.1), "second"), chunkOf("d", 2, 0, direction(0, 0.2), "other version"))
	again := chunkOf("d", 1, 0, direction(4, 0), strings.Repeat("again ", 4000))
	again.Metadata = map[string]any{"lang": "de"}
	b.upsert(t, id, again)
	got := b.query(t, id, direction(4, 0), 50)
	if len(got) != 3 || got[0].Text != again.Text || got[0].ChunkKey != again.ChunkKey || math.Abs(got[0].Score-1) > 1e-4 {
		t.Fatalf("got %d chunks, the nearest %+v of %d bytes", len(got), got[0].ChunkKey, len(got[0].Text))
	}
	same(t, "metadata", got[0].Metadata, again.Metadata)
	if got := b.query(t, id, direction(0, 0), 50, storage.Condition{Property: "draft", Op: storage.Equal, Values: []any{true}}); len(got) != 0 {
		t.Errorf("a property that was replaced away is found: %v", got)
	}
	// The same once more changes nothing: a failed call is repeated.
	b.upsert(t, id, again)
	if got := b.query(t, id, direction(4, 0), 50); len(got) != 3 || got[0].Text != again.Text {
		t.Errorf("after the same again there are %d chunks", len(got))
	}
	m, err := b.Upsert(context.Background(), id, nil)
	must(t, "Upsert of nothing", err)
	b.await(t, id, m)
}

func vectorsMany(t rapid.TB, b VectorBed) {
	id := tenant(t, "a")
	var chunks []storage.Chunk
	for i := range 2500 {
		c := chunkOf("many", 1, i, direction(i, float64(i%97)/97), fmt.Sprint("text ", i))
		c.Metadata = map[string]any{"team": fmt.Sprint(i)}
		chunks = append(chunks, c)
	}
	b.upsert(t, id, chunks...)
	for _, i := range []int{0, 999, 1000, 1001, 2499} {
		got := b.query(t, id, chunks[i].Vector, 50, storage.Condition{Property: "team", Op: storage.Equal, Values: []any{fmt.Sprint(i)}})
		if len(got) != 1 || got[0].Text != chunks[i].Text {
			t.Fatalf("chunk %d: got %d matches", i, len(got))
		}
	}
	var keys []storage.ChunkKey
	for _, c := range chunks[1:] {
		keys = append(keys, c.ChunkKey)
	}
	m, err := b.Delete(context.Background(), id, keys)
	must(t, "Delete", err)
	b.await(t, id, m)
	if got := b.query(t, id, direction(0, 0), 50); len(got) != 1 || got[0].N != 0 {
		t.Errorf("after deleting all but one there are %d", len(got))
	}
}

func vectorsCopies(t rapid.TB, b VectorBed) {
	id := tenant(t, "a")
	c := chunkOf("d", 1, 0, direction(0, 0), "text")
	c.Metadata = map[string]any{"lang": "en"}
	b.upsert(t, id, c)
	c.Vector[0], c.Vector[5] = 0, 1
	c.Metadata["lang"] = "xx"
	got := b.query(t, id, direction(0, 0), 1)
	if len(got) != 1 || math.Abs(got[0].Score-1) > 1e-4 || got[0].Metadata["lang"] != "en" {
		t.Fatalf("the caller changed what is kept: %+v", got)
	}
	got[0].Metadata["lang"] = "yy"
	if got := b.query(t, id, direction(0, 0), 1); got[0].Metadata["lang"] != "en" {
		t.Errorf("a reader changed what is kept: %+v", got)
	}
}

func vectorsDelete(t rapid.TB, b VectorBed) {
	id, other := tenant(t, "a"), tenant(t, "a/")
	long := strings.Repeat("long ", 5000)
	for _, who := range []tenancy.ID{id, other} {
		b.upsert(t, who, chunkOf("d", 1, 0, direction(0, 0), long), chunkOf("d", 1, 1, direction(0, 0), "1"), chunkOf("d", 2, 0, direction(0, 0), long), chunkOf("d2", 1, 0, direction(0, 0), long))
	}
	m, err := b.Delete(context.Background(), id, []storage.ChunkKey{{Doc: "d", Version: 1, N: 0}, {Doc: "unknown", Version: 1}, {Doc: "d", Version: 3}})
	must(t, "Delete", err)
	b.await(t, id, m)
	check := func(who tenancy.ID, want ...storage.ChunkKey) {
		t.Helper()
		got := b.query(t, who, direction(0, 0), 50)
		var keys []storage.ChunkKey
		for _, m := range got {
			keys = append(keys, m.ChunkKey)
			if m.N == 0 && m.Text != long {
				t.Errorf("%+v has lost its text", m.ChunkKey)
			}
		}
		slices.SortFunc(keys, func(a, b storage.ChunkKey) int {
			return cmp.Or(strings.Compare(a.Doc, b.Doc), cmp.Compare(a.Version, b.Version), cmp.Compare(a.N, b.N))
		})
		same(t, "keys", keys, want)
	}
	rest := []storage.ChunkKey{{Doc: "d", Version: 1, N: 1}, {Doc: "d", Version: 2}, {Doc: "d2", Version: 1}}
	check(id, rest...)
	check(other, append([]storage.ChunkKey{{Doc: "d", Version: 1}}, rest...)...)
	m, err = b.Delete(context.Background(), id, rest)
	must(t, "Delete", err)
	b.await(t, id, m)
	check(id)
	b.upsert(t, id, chunkOf("d", 1, 0, direction(0, 0), long))
	check(id, storage.ChunkKey{Doc: "d", Version: 1})
}

func vectorsVisible(t rapid.TB, b VectorBed) {
	ctx, id := context.Background(), tenant(t, "a")
	first, err := b.Upsert(ctx, id, []storage.Chunk{chunkOf("1", 1, 0, direction(0, 0), "1")})
	must(t, "Upsert", err)
	second, err := b.Upsert(ctx, id, []storage.Chunk{chunkOf("2", 1, 0, direction(0, 0), "2")})
	must(t, "Upsert", err)
	third, err := b.Delete(ctx, id, []storage.ChunkKey{{Doc: "1", Version: 1}})
	must(t, "Delete", err)
	has := func(doc string) bool { return slices.Contains(docs(b.query(t, id, direction(0, 0), 50)), doc) }
	b.await(t, id, second)
	if !has("2") {
		t.Fatalf("the second change is called visible, and isn't")
	}
	b.await(t, id, third)
	if has("1") || !has("2") {
		t.Fatalf("the third change is called visible, and isn't")
	}
	for _, m := range []storage.Mutation{first, second, third} {
		if seen, err := b.Visible(ctx, id, m); !seen || err != nil {
			t.Errorf("what was visible isn't: %v, %v", seen, err)
		}
	}
	for _, made := range []storage.Mutation{"x", "{}", "[]", "null", storage.Mutation(strings.Repeat("[", 1000))} {
		_, err := b.Visible(ctx, id, made)
		wantErr(t, "Visible of one made up", err, storage.ErrBadMutation)
	}
	if first != "" {
		_, err := b.Visible(ctx, tenant(t, "b"), first)
		wantErr(t, "Visible of another tenant's", err, storage.ErrBadMutation)
	}
}

func vectorsApart(t rapid.TB, b VectorBed) {
	var tenants []tenancy.ID
	for _, sep := range []string{":", "/", "*"} {
		names, _, _ := spelling(sep)
		for _, name := range names[:min(3, len(names))] {
			tenants = append(tenants, tenant(t, sep+"/"+name))
		}
	}
	long := strings.Repeat("y", 20<<10)
	for _, id := range tenants {
		b.upsert(t, id, chunkOf("d", 1, 0, direction(0, 0), "of "+id.Identity()), chunkOf("long", 1, 0, direction(0, 1), id.Identity()+long))
	}
	for _, id := range tenants {
		got := b.query(t, id, direction(0, 0), 50)
		if len(got) != 2 || got[0].Text != "of "+id.Identity() || got[1].Text != id.Identity()+long {
			t.Fatalf("tenant %q finds %d chunks, the first %q", id.Identity(), len(got), got[0].Text[:min(len(got[0].Text), 50)])
		}
	}
}
