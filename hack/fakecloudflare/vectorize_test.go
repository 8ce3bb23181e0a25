package fakecloudflare_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

const vectorize = "~/vectorize/v2/indexes"

func index(f fake, name string) string {
	f.t.Helper()
	f.want(200, 0, "POST", vectorize, map[string]any{"name": name, "config": map[string]any{"dimensions": 2, "metric": "cosine"}})
	return vectorize + "/" + name
}

func upsert(f fake, ix string, vectors ...map[string]any) string {
	f.t.Helper()
	return f.want(200, 0, "POST", ix+"/upsert", ndjson(vectors...), "Content-Type", "application/x-ndjson").field(f.t, "mutationId")
}

func ndjson(vectors ...map[string]any) string {
	var b strings.Builder
	for _, v := range vectors {
		line, _ := json.Marshal(v) // texts and numbers
		b.WriteString(string(line) + "\n")
	}
	return b.String()
}

func matches(f fake, ix string, q map[string]any) []string {
	f.t.Helper()
	if q["vector"] == nil && q["vectorId"] == nil {
		q["vector"] = []float64{1, 0}
	}
	var r struct {
		Matches []map[string]any `json:"matches"`
	}
	f.want(200, 0, "POST", ix+"/query", q).into(f.t, &r)
	found := []string{}
	for _, m := range r.Matches {
		found = append(found, m["id"].(string))
	}
	return found
}

func TestIndexesLiveAndDie(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		unsure        fakecloudflare.Unsure
		status, never int
		deleted       int
	}{
		"as reported":       {fakecloudflare.Unsure{}, 400, 3000, 3005},
		"the other way":     {fakecloudflare.Unsure{VectorizeMissing404: true, VectorizeForgets: true}, 404, 3000, 3000},
		"404, and remember": {fakecloudflare.Unsure{VectorizeMissing404: true}, 404, 3000, 3005},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, fakecloudflare.Options{Unsure: c.unsure, Accounts: []fakecloudflare.Account{{ID: account, Quotas: fakecloudflare.Quotas{Vectorize: 2}}}})
			f.want(c.status, c.never, "GET", vectorize+"/ab", nil)
			index(f, "ab")
			f.want(400, 3002, "POST", vectorize, map[string]any{"name": "ab", "config": map[string]any{"dimensions": 3, "metric": "cosine"}})
			index(f, "cd")
			f.want(403, 3008, "POST", vectorize, map[string]any{"name": "ef", "config": map[string]any{"dimensions": 3, "metric": "cosine"}})
			f.want(405, 7001, "PATCH", vectorize+"/ab", map[string]any{}) // nothing can be changed
			f.want(200, 0, "DELETE", vectorize+"/ab", nil)
			f.want(c.status, c.deleted, "GET", vectorize+"/ab", nil)
			f.want(c.status, c.deleted, "DELETE", vectorize+"/ab", nil)
			index(f, "ab")
			f.want(200, 0, "GET", vectorize+"/ab", nil)
		})
	}
}

func TestIndexesThatAreRefused(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	for name, config := range map[string]map[string]any{
		"Upper":                 {"dimensions": 2, "metric": "cosine"},
		"end-":                  {"dimensions": 2, "metric": "cosine"},
		"a":                     {"dimensions": 2, "metric": "cosine"},
		strings.Repeat("a", 65): {"dimensions": 2, "metric": "cosine"},
		"none":                  {"dimensions": 0, "metric": "cosine"},
		"many":                  {"dimensions": 1537, "metric": "cosine"},
		"odd":                   {"dimensions": 2, "metric": "manhattan"},
		"preset":                {"preset": "mine"},
	} {
		f.want(400, 1002, "POST", vectorize, map[string]any{"name": name, "config": config})
	}
	r := f.want(200, 0, "POST", vectorize, map[string]any{"name": "small", "config": map[string]any{"preset": "@cf/baai/bge-small-en-v1.5"}})
	if !strings.Contains(r.raw, `"dimensions":384`) {
		t.Errorf("the preset made %s", r.raw)
	}
}

func TestMutationsApplyLate(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Lag: fakecloudflare.Lag{Vectorize: 30 * time.Second}})
	ix := index(f, "late")
	info := func() (m map[string]any) {
		f.want(200, 0, "GET", ix+"/info", nil).into(t, &m)
		return m
	}
	if m := info(); m["processedUpToDatetime"] != nil || m["vectorCount"] != 0.0 {
		t.Errorf("a new index says %v", m)
	}
	id := upsert(f, ix, map[string]any{"id": "v", "values": []float64{1, 0}})
	if got := matches(f, ix, map[string]any{}); len(got) != 0 {
		t.Errorf("found at once: %v", got)
	}
	f.clock.pass(30 * time.Second)
	if m := info(); m["processedUpToMutation"] != id || m["processedUpToDatetime"] != "2026-11-24T12:00:30Z" || m["vectorCount"] != 1.0 {
		t.Errorf("the index says %v", m)
	}
	if got := matches(f, ix, map[string]any{}); !slices.Equal(got, []string{"v"}) {
		t.Errorf("found later: %v", got)
	}
	f.want(200, 0, "POST", ix+"/delete_by_ids", map[string]any{"ids": []string{"v"}})
	if got := matches(f, ix, map[string]any{}); len(got) != 1 {
		t.Error("deleted at once")
	}
	f.clock.pass(30 * time.Second)
	if got := matches(f, ix, map[string]any{}); len(got) != 0 {
		t.Error("never deleted")
	}
}

func TestMetadataIndexesKnowOnlyWhatComesLater(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Accounts: []fakecloudflare.Account{{ID: account, Quotas: fakecloudflare.Quotas{MetadataIndexes: 2}}}})
	ix := index(f, "meta")
	upsert(f, ix, map[string]any{"id": "before", "values": []float64{1, 0}, "metadata": map[string]any{"lang": "de"}})
	f.want(200, 0, "POST", ix+"/metadata_index/create", map[string]string{"propertyName": "lang", "indexType": "string"})
	upsert(f, ix, map[string]any{"id": "after", "values": []float64{1, 0}, "metadata": map[string]any{"lang": "de"}},
		map[string]any{"id": "wrong", "values": []float64{1, 0}, "metadata": map[string]any{"lang": 5}})
	filter := map[string]any{"filter": map[string]any{"lang": "de"}}
	if diff := cmp.Diff([]string{"after"}, matches(f, ix, filter)); diff != "" {
		t.Error(diff)
	}
	f.want(400, 3002, "POST", ix+"/metadata_index/create", map[string]string{"propertyName": "lang", "indexType": "number"})
	f.want(400, 1002, "POST", ix+"/metadata_index/create", map[string]string{"propertyName": "x", "indexType": "date"})
	f.want(200, 0, "POST", ix+"/metadata_index/create", map[string]string{"propertyName": "a.b", "indexType": "number"})
	f.want(400, 3008, "POST", ix+"/metadata_index/create", map[string]string{"propertyName": "third", "indexType": "number"})
	upsert(f, ix, map[string]any{"id": "deep", "values": []float64{1, 0}, "metadata": map[string]any{"a": map[string]any{"b": 7}}})
	if diff := cmp.Diff([]string{"deep"}, matches(f, ix, map[string]any{"filter": map[string]any{"a.b": map[string]any{"$gte": 7}}})); diff != "" {
		t.Error(diff)
	}
	r := f.want(200, 0, "GET", ix+"/metadata_index/list", nil)
	if diff := cmp.Diff(`{"metadataIndexes":[{"propertyName":"lang","indexType":"string"},{"propertyName":"a.b","indexType":"number"}]}`, string(r.Result)); diff != "" {
		t.Error(diff)
	}
	f.want(200, 0, "POST", ix+"/metadata_index/delete", map[string]string{"propertyName": "lang"})
	f.want(400, 3000, "POST", ix+"/metadata_index/delete", map[string]string{"propertyName": "lang"})
}

func TestNamespacesAndFilters(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	ix := index(f, "find")
	for _, p := range []string{"k", "n"} {
		typ := map[string]string{"k": "string", "n": "number"}[p]
		f.want(200, 0, "POST", ix+"/metadata_index/create", map[string]string{"propertyName": p, "indexType": typ})
	}
	long := strings.Repeat("x", 64)
	upsert(f, ix,
		map[string]any{"id": "a", "values": []float64{1, 0}, "namespace": "t1", "metadata": map[string]any{"k": "x", "n": 1, "free": "secret"}},
		map[string]any{"id": "b", "values": []float64{1, 1}, "namespace": "t2", "metadata": map[string]any{"k": "y", "n": 2}},
		map[string]any{"id": "c", "values": []float64{0, 1}, "namespace": "t2", "metadata": map[string]any{"k": long + "more", "n": 3}})
	for name, c := range map[string]struct {
		query map[string]any
		want  []string
	}{
		"all, nearest first": {map[string]any{}, []string{"a", "b", "c"}},
		"namespace":          {map[string]any{"namespace": "t2"}, []string{"b", "c"}},
		"other's namespace":  {map[string]any{"namespace": "t3"}, []string{}},
		"topK":               {map[string]any{"topK": 1}, []string{"a"}},
		"by id":              {map[string]any{"vectorId": "c"}, []string{"c", "b", "a"}},
		"eq":                 {map[string]any{"filter": map[string]any{"k": "y"}}, []string{"b"}},
		"ne":                 {map[string]any{"filter": map[string]any{"k": map[string]any{"$ne": "y"}}}, []string{"a", "c"}},
		"in":                 {map[string]any{"filter": map[string]any{"k": map[string]any{"$in": []string{"x", "y"}}}}, []string{"a", "b"}},
		"nin":                {map[string]any{"filter": map[string]any{"n": map[string]any{"$nin": []int{1, 2}}}}, []string{"c"}},
		"range":              {map[string]any{"filter": map[string]any{"n": map[string]any{"$gt": 1, "$lt": 3}}}, []string{"b"}},
		"not indexed":        {map[string]any{"filter": map[string]any{"free": "secret"}}, []string{}},
		"first 64 bytes":     {map[string]any{"filter": map[string]any{"k": long + "else"}}, []string{"c"}},
	} {
		if diff := cmp.Diff(c.want, matches(f, ix, c.query)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	// get_by_ids looks into all namespaces.
	if r := f.want(200, 0, "POST", ix+"/get_by_ids", map[string]any{"ids": []string{"a", "b", "none"}}); !strings.Contains(r.raw, `"t1"`) || !strings.Contains(r.raw, `"t2"`) {
		t.Errorf("get_by_ids answered %s", r.raw)
	}
	for want, what := range map[string]string{`{"k":"x","n":1}`: "indexed", `"free":"secret"`: "all"} {
		if r := f.want(200, 0, "POST", ix+"/query", map[string]any{"vector": []int{1, 0}, "topK": 1, "returnMetadata": what}); !strings.Contains(r.raw, want) {
			t.Errorf("metadata %s: %s", what, r.raw)
		}
	}
	if r := f.want(200, 0, "POST", ix+"/query", map[string]any{"vector": []int{1, 0}}); strings.Contains(r.raw, "metadata") || strings.Contains(r.raw, "values") {
		t.Errorf("what wasn't asked for came: %s", r.raw)
	}
}

func TestQueriesOfVectorsThatAreRefused(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	ix := index(f, "strict")
	v := []int{1, 0}
	for name, q := range map[string]map[string]any{
		"dimensions":   {"vector": []int{1, 0, 0}},
		"topK 101":     {"vector": v, "topK": 101},
		"topK 0":       {"vector": v, "topK": 0},
		"51 values":    {"vector": v, "topK": 51, "returnValues": true},
		"51 metadata":  {"vector": v, "topK": 51, "returnMetadata": "all"},
		"both":         {"vector": v, "vectorId": "x"},
		"neither":      {"topK": 3},
		"no operator":  {"vector": v, "filter": map[string]any{"k": map[string]any{"$like": "x"}}},
		"no list":      {"vector": v, "filter": map[string]any{"k": map[string]any{"$in": "x"}}},
		"dollar key":   {"vector": v, "filter": map[string]any{"$k": "x"}},
		"empty":        {"vector": v, "filter": map[string]any{}},
		"large filter": {"vector": v, "filter": map[string]any{"k": strings.Repeat("x", 2048)}},
		"namespace":    {"vector": v, "namespace": strings.Repeat("n", 65)},
	} {
		if r := f.call("POST", ix+"/query", q); r.status != 400 || r.code() != 40006 && r.code() != 1002 {
			t.Errorf("%s: answered %d with %d", name, r.status, r.code())
		}
	}
	f.want(200, 0, "POST", ix+"/query", map[string]any{"vector": v, "topK": 100, "returnMetadata": "indexed"})
}

func TestVectorsThatAreRefused(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	ix := index(f, "strict")
	good := map[string]any{"id": "v", "values": []int{1, 0}}
	for name, c := range map[string]struct {
		status, code int
		body, typ    string
	}{
		"JSON":         {415, 1002, `[{"id":"v","values":[1,0]}]`, "application/json"},
		"nameless":     {400, 1002, "--x\r\nContent-Disposition: form-data; name=\"\"; filename=\"anonymous_file\"\r\n\r\n" + ndjson(good) + "\r\n--x--\r\n", "multipart/form-data; boundary=x"},
		"long id":      {400, 1002, ndjson(map[string]any{"id": strings.Repeat("i", 65), "values": []int{1, 0}}), "application/x-ndjson"},
		"no id":        {400, 1002, ndjson(map[string]any{"values": []int{1, 0}}), "application/x-ndjson"},
		"dimensions":   {400, 40012, ndjson(map[string]any{"id": "v", "values": []int{1}}), "application/x-ndjson"},
		"metadata":     {400, 1002, ndjson(map[string]any{"id": "v", "values": []int{1, 0}, "metadata": map[string]any{"t": strings.Repeat("x", 10<<10)}}), "application/x-ndjson"},
		"dotted key":   {400, 1002, ndjson(map[string]any{"id": "v", "values": []int{1, 0}, "metadata": map[string]any{"a.b": 1}}), "application/x-ndjson"},
		"namespace":    {400, 1002, ndjson(map[string]any{"id": "v", "values": []int{1, 0}, "namespace": strings.Repeat("n", 65)}), "application/x-ndjson"},
		"no vector":    {400, 1002, "what\n", "application/x-ndjson"},
		"nothing":      {400, 1002, "\n", "application/x-ndjson"},
		"5001 at once": {400, 1002, strings.Repeat(ndjson(good), 5001), "application/x-ndjson"},
	} {
		if r := f.call("POST", ix+"/upsert", c.body, "Content-Type", c.typ); r.status != c.status || r.code() != c.code {
			t.Errorf("%s: answered %d with %d, want %d with %d", name, r.status, r.code(), c.status, c.code)
		}
	}
	// As wrangler sends it.
	f.want(200, 0, "POST", ix+"/upsert", "--x\r\nContent-Disposition: form-data; name=\"vectors\"; filename=\"vectors.ndjson\"\r\nContent-Type: application/x-ndjson\r\n\r\n"+ndjson(good)+"\r\n--x--\r\n", "Content-Type", "multipart/form-data; boundary=x")
	f.want(200, 0, "POST", ix+"/upsert?unparsable-behavior=discard", "what\n"+ndjson(map[string]any{"id": "w", "values": []int{0, 1}}), "Content-Type", "application/x-ndjson")
	f.want(200, 0, "POST", ix+"/insert", ndjson(map[string]any{"id": "v", "values": []int{0, 1}}), "Content-Type", "application/x-ndjson")
	if diff := cmp.Diff([]string{"v", "w"}, matches(f, ix, map[string]any{})); diff != "" {
		t.Errorf("insert replaced a vector: %s", diff)
	}
}

func TestVectorsAreListedInPages(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	ix := index(f, "many")
	var vectors []map[string]any
	for n := range 25 {
		vectors = append(vectors, map[string]any{"id": fmt.Sprintf("v%02d", n), "values": []int{1, n}})
	}
	upsert(f, ix, vectors...)
	var got []string
	for cursor := ""; ; {
		var page struct {
			TotalCount  int
			IsTruncated bool
			NextCursor  string
			Vectors     []struct{ ID string }
		}
		f.want(200, 0, "GET", ix+"/list?count=10&cursor="+cursor, nil).into(t, &page)
		for _, v := range page.Vectors {
			got = append(got, v.ID)
		}
		if cursor = page.NextCursor; !page.IsTruncated {
			break
		}
	}
	if len(got) != 25 || got[24] != "v24" {
		t.Errorf("listed %v", got)
	}
	f.want(400, 1002, "GET", ix+"/list?count=1001", nil)
}
