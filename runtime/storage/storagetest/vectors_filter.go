package storagetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var vectorFilterChecks = []VectorCheck{
	{"Filter/every operator", filterOperators},
	{"Filter/those that can't be", filterRefused},
}

var vectorRefusalChecks = []VectorCheck{
	{"Upsert/vectors that can't be", vectorsRefused},
	{"Upsert/chunks that can't be", chunksRefused},
	{"Context/an ended one does nothing", vectorsEnded},
	{"Tenants/none is refused", vectorsNoTenant},
}

func filterOperators(t rapid.TB, b VectorBed) {
	id := tenant(t, "a")
	var chunks []storage.Chunk
	for doc, metadata := range map[string]map[string]any{
		"en99": {"lang": "en", "year": 1999.0, "draft": true}, "en05": {"lang": "en", "year": 2005.5, "draft": false},
		"de05": {"lang": "de", "year": 2005.0, "team": `q"\<&`}, "neg": {"lang": "fr", "year": -3.0}, "none": nil,
		"long": {"lang": strings.Repeat("l", 64)}, "empty": {"lang": "", "year": 0.0}, "almost": {"lang": strings.Repeat("l", 63) + "m"},
	} {
		c := chunkOf(doc, 1, 0, direction(len(chunks), 0.3), doc)
		c.Metadata = metadata
		chunks = append(chunks, c)
	}
	b.upsert(t, id, chunks...)
	is := func(property, op string, values ...any) storage.Condition {
		return storage.Condition{Property: property, Op: op, Values: values}
	}
	for _, c := range []struct {
		filter []storage.Condition
		want   string
	}{
		{nil, "almost de05 empty en05 en99 long neg none"},
		{[]storage.Condition{is("lang", storage.Equal, "en")}, "en05 en99"},
		{[]storage.Condition{is("lang", storage.Equal, "e")}, ""},
		{[]storage.Condition{is("lang", storage.Equal, "")}, "empty"},
		{[]storage.Condition{is("lang", storage.Equal, strings.Repeat("l", 64))}, "long"},
		{[]storage.Condition{is("lang", storage.NotEqual, "en")}, "almost de05 empty long neg"},
		{[]storage.Condition{is("draft", storage.NotEqual, true)}, "en05"},
		{[]storage.Condition{is("draft", storage.Equal, false)}, "en05"},
		{[]storage.Condition{is("draft", storage.In, true, false)}, "en05 en99"},
		{[]storage.Condition{is("lang", storage.In, "de", "fr", "xx")}, "de05 neg"},
		{[]storage.Condition{is("lang", storage.NotIn, "de", "en")}, "almost empty long neg"},
		{[]storage.Condition{is("year", storage.NotIn, 1999.0)}, "de05 empty en05 neg"},
		{[]storage.Condition{is("year", storage.Less, 2005.0)}, "empty en99 neg"},
		{[]storage.Condition{is("year", storage.LessOrEqual, 2005.0)}, "de05 empty en99 neg"},
		{[]storage.Condition{is("year", storage.Greater, 2005.0)}, "en05"},
		{[]storage.Condition{is("year", storage.GreaterOrEqual, 2005.0)}, "de05 en05"},
		{[]storage.Condition{is("year", storage.Greater, -3.0), is("year", storage.Less, 2005.0)}, "empty en99"},
		{[]storage.Condition{is("lang", storage.Greater, "de"), is("lang", storage.LessOrEqual, "en")}, "en05 en99"},
		{[]storage.Condition{is("lang", storage.Equal, "en"), is("year", storage.Greater, 2000.0)}, "en05"},
		{[]storage.Condition{is("lang", storage.Equal, "en"), is("draft", storage.Equal, true), is("year", storage.Equal, 1999.0)}, "en99"},
		{[]storage.Condition{is("team", storage.Equal, `q"\<&`)}, "de05"},
		{[]storage.Condition{is("year", storage.Equal, "1999")}, ""},
	} {
		got := docs(b.query(t, id, direction(0, 1), 50, c.filter...))
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v: got %q, want %q", c.filter, strings.Join(got, " "), c.want)
		}
	}
}

func filterRefused(t rapid.TB, b VectorBed) {
	id := tenant(t, "a")
	b.upsert(t, id, chunkOf("d", 1, 0, direction(0, 0), ""))
	many := func(n int, value any) (list []any) {
		for range n {
			list = append(list, value)
		}
		return list
	}
	one := func(property, op string, values ...any) []storage.Condition {
		return []storage.Condition{{Property: property, Op: op, Values: values}}
	}
	for name, filter := range map[string][]storage.Condition{
		"no operator": one("lang", "", "en"), "unknown operator": one("lang", "$regex", "en"), "an operator in disguise": one("lang", "eq", "en"),
		"not filterable": one("title", storage.Equal, "x"), "no property": one("", storage.Equal, "x"), "a path": one("lang.x", storage.Equal, "x"), "an operator as property": one("$or", storage.Equal, "x"),
		"no value": one("lang", storage.Equal), "two values": one("lang", storage.Equal, "a", "b"), "no value of many": one("lang", storage.In), "33 values": one("year", storage.In, many(33, 1.0)...),
		"mixed values": one("lang", storage.In, "a", 1.0), "an int": one("year", storage.Equal, 1), "nil": one("lang", storage.Equal, nil), "an object": one("lang", storage.Equal, map[string]any{"$ne": "x"}),
		"a long string": one("lang", storage.Equal, strings.Repeat("x", 65)), "no UTF-8": one("lang", storage.Equal, "\xff"), "NaN": one("year", storage.Less, math.NaN()), "infinity": one("year", storage.Less, math.Inf(1)),
		"order of bools": one("draft", storage.Less, true), "too large": one("lang", storage.In, many(32, strings.Repeat("x", 64))...),
		"the same twice": append(one("lang", storage.Equal, "a"), one("lang", storage.Equal, "a")...), "two lower bounds": append(one("year", storage.Greater, 1.0), one("year", storage.GreaterOrEqual, 2.0)...),
		"a bound beside another condition": append(one("year", storage.Greater, 1.0), one("year", storage.NotEqual, 2.0)...),
	} {
		got, err := b.Query(context.Background(), id, storage.VectorQuery{Vector: direction(0, 0), TopK: 1, Filter: filter})
		wantErr(t, name, err, storage.ErrBadFilter)
		if len(got) != 0 {
			t.Errorf("%s: and yet there are matches", name)
		}
	}
}

func vectorsRefused(t rapid.TB, b VectorBed) {
	ctx, id := context.Background(), tenant(t, "a")
	bend := func(i int, x float64) []float32 {
		v := direction(0, 1)
		v[i] = float32(x)
		return v
	}
	for name, c := range map[string]struct {
		vector []float32
		want   error
	}{
		"none": {nil, storage.ErrDimensions}, "one short": {direction(0, 1)[1:], storage.ErrDimensions}, "one long": {append(direction(0, 1), 1), storage.ErrDimensions},
		"NaN": {bend(3, math.NaN()), storage.ErrBadVector}, "infinite": {bend(0, math.Inf(-1)), storage.ErrBadVector}, "zero": {make([]float32, VectorShape.Dimensions), storage.ErrBadVector},
	} {
		_, err := b.Upsert(ctx, id, []storage.Chunk{chunkOf("ok", 1, 0, direction(0, 0), ""), chunkOf("d", 1, 0, c.vector, "")})
		wantErr(t, "Upsert "+name, err, c.want)
		_, err = b.Query(ctx, id, storage.VectorQuery{Vector: c.vector, TopK: 1})
		wantErr(t, "Query "+name, err, c.want)
	}
	// The largest and the least there are have a direction too.
	large, small := direction(2, 0), direction(5, 0)
	for i := range large {
		large[i] *= math.MaxFloat32 / 2
		small[i] *= math.SmallestNonzeroFloat32
	}
	b.upsert(t, id, chunkOf("large", 1, 0, large, ""), chunkOf("small", 1, 0, small, ""))
	for doc, vector := range map[string][]float32{"large": direction(2, 0), "small": direction(5, 0)} {
		if got := b.query(t, id, vector, 1); len(got) != 1 || got[0].Doc != doc || math.Abs(got[0].Score-1) > 1e-4 {
			t.Errorf("%s: got %+v", doc, got)
		}
	}
	if got := b.query(t, id, direction(0, 0), 50); len(got) != 2 {
		t.Errorf("refused calls left something: %v", docs(got))
	}
}

func chunksRefused(t rapid.TB, b VectorBed) {
	ctx, id := context.Background(), tenant(t, "a")
	b.upsert(t, id, chunkOf("kept", 1, 0, direction(0, 0), ""))
	with := func(name string, value any) storage.Chunk {
		c := chunkOf("d", 1, 0, direction(0, 0), "")
		c.Metadata = map[string]any{name: value}
		return c
	}
	wide, large := map[string]any{}, map[string]any{}
	for i := range 33 {
		wide[fmt.Sprint("p", i)] = 1.0
	}
	for i := range 32 {
		large[fmt.Sprintf("%060d%d", 0, i)] = strings.Repeat("\x01", 64)
	}
	many, big := chunkOf("d", 1, 0, direction(0, 0), ""), chunkOf("d", 1, 0, direction(0, 0), "")
	many.Metadata, big.Metadata = wide, large
	for name, bad := range map[string]storage.Chunk{
		"no document": chunkOf("", 1, 0, direction(0, 0), ""), "a long document": chunkOf(strings.Repeat("d", 257), 1, 0, direction(0, 0), ""), "a document that isn't UTF-8": chunkOf("\xff", 1, 0, direction(0, 0), ""),
		"below 0": chunkOf("d", 1, -1, direction(0, 0), ""), "text that isn't UTF-8": chunkOf("d", 1, 0, direction(0, 0), "a\xc3"), "a text beyond the bound": chunkOf("d", 1, 0, direction(0, 0), strings.Repeat("x", storage.MaxTextBytes+1)),
		"a key twice": chunkOf("first", 1, 0, direction(1, 0), ""), "33 properties": many, "metadata beyond the bound": big,
		"no name": with("", "x"), "a dot": with("a.b", "x"), "a quote": with(`a"`, "x"), "a dollar": with("$a", "x"), "the store's own": with("_text", "x"), "a line": with("a\n", "x"), "a long name": with(strings.Repeat("n", 65), "x"), "a name that isn't UTF-8": with("\xff", "x"),
		"a long string": with("a", strings.Repeat("x", 65)), "no UTF-8": with("a", "\xff"), "an int": with("a", 1), "nil": with("a", nil), "a list": with("a", []any{"x"}), "NaN": with("a", math.NaN()), "infinity": with("a", math.Inf(1)),
	} {
		_, err := b.Upsert(ctx, id, []storage.Chunk{chunkOf("first", 1, 0, direction(0, 0), ""), bad})
		wantErr(t, name, err, storage.ErrBadChunk)
	}
	for _, k := range []storage.ChunkKey{{}, {Doc: "\xff"}, {Doc: "kept", Version: 1, N: -1}} {
		_, err := b.Delete(ctx, id, []storage.ChunkKey{{Doc: "kept", Version: 1}, k})
		wantErr(t, fmt.Sprintf("Delete %+v", k), err, storage.ErrBadChunk)
	}
	// What a later change makes visible is seen with everything before it.
	b.upsert(t, id, chunkOf("last", 1, 0, direction(0, 1), ""))
	same(t, "documents", docs(b.query(t, id, direction(0, 0), 50)), []string{"kept", "last"})
}

// vectorCalls are all methods that name a tenant.
func vectorCalls(ctx context.Context, b VectorBed, id tenancy.ID) map[string]error {
	_, upsert := b.Upsert(ctx, id, []storage.Chunk{chunkOf("d", 1, 0, direction(0, 0), "")})
	_, query := b.Query(ctx, id, storage.VectorQuery{Vector: direction(0, 0), TopK: 1})
	_, remove := b.Delete(ctx, id, []storage.ChunkKey{{Doc: "kept", Version: 1}})
	_, visible := b.Visible(ctx, id, "")
	return map[string]error{"Upsert": upsert, "Query": query, "Delete": remove, "Visible": visible}
}

func vectorsEnded(t rapid.TB, b VectorBed) {
	id := tenant(t, "a")
	b.upsert(t, id, chunkOf("kept", 1, 0, direction(0, 0), ""))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, err := range vectorCalls(ctx, b, id) {
		wantErr(t, name, err, context.Canceled)
	}
	b.upsert(t, id, chunkOf("last", 1, 0, direction(0, 1), ""))
	same(t, "documents", docs(b.query(t, id, direction(0, 0), 50)), []string{"kept", "last"})
}

func vectorsNoTenant(t rapid.TB, b VectorBed) {
	for name, err := range vectorCalls(context.Background(), b, tenancy.ID{}) {
		wantErr(t, name, err, storage.ErrNoTenant)
	}
}
