package fakecloudflare_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

const d1 = "~/d1/database"

func database(f fake, name string) string {
	f.t.Helper()
	return f.want(200, 0, "POST", d1, map[string]string{"name": name}).field(f.t, "uuid")
}

func TestDatabasesLiveAndDie(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Accounts: []fakecloudflare.Account{{ID: account, Quotas: fakecloudflare.Quotas{D1: 3}}}})
	id := database(f, "tenant-1")
	f.want(400, 7502, "POST", d1, map[string]string{"name": "tenant-1"})
	for _, name := range []string{"", "Tenant", "-x", "a b"} {
		f.want(400, 7400, "POST", d1, map[string]string{"name": name})
	}
	f.want(400, 7400, "POST", d1, map[string]string{"name": "x", "jurisdiction": "moon"})
	database(f, "tenant-10")
	database(f, "other")
	f.want(403, 7406, "POST", d1, map[string]string{"name": "fourth"})
	// The filter is a part of the name.
	if diff := cmp.Diff([]string{"tenant-1", "tenant-10"}, ids(t, f.want(200, 0, "GET", d1+"?name=tenant-1", nil), "name")); diff != "" {
		t.Error(diff)
	}
	f.want(200, 0, "PATCH", d1+"/"+id, map[string]any{"read_replication": map[string]string{"mode": "auto"}})
	if r := f.want(200, 0, "GET", d1+"/"+id, nil); !strings.Contains(r.raw, `"mode":"auto"`) {
		t.Errorf("the setting was lost: %s", r.raw)
	}
	if got := f.want(200, 0, "GET", d1+"/tenant-1", nil).field(t, "uuid"); got != id {
		t.Errorf("by its name there is %q", got)
	}
	f.want(400, 7400, "PATCH", d1+"/"+id, map[string]any{"read_replication": map[string]string{"mode": "some"}})
	f.want(200, 0, "DELETE", d1+"/"+id, nil)
	f.want(404, 7404, "GET", d1+"/"+id, nil)
	f.want(404, 7404, "POST", d1+"/"+id+"/query", map[string]string{"sql": "SELECT 1"})
}

func TestDatabaseNamesMayRepeatIfCloudflareAllows(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Unsure: fakecloudflare.Unsure{D1NamesRepeat: true}})
	first := database(f, "x")
	if database(f, "x") == first {
		t.Error("two databases have one id")
	}
}

func TestQueriesRunOnSQLite(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	db := d1 + "/" + database(f, "ledger")
	type results []struct {
		Results any            `json:"results"`
		Meta    map[string]any `json:"meta"`
	}
	query := func(path string, body any) results {
		t.Helper()
		var r results
		f.want(200, 0, "POST", db+path, body).into(t, &r)
		return r
	}
	query("/query", map[string]string{"sql": "CREATE TABLE usage (tenant TEXT, tokens INTEGER, note TEXT); -- a ; in a comment\nCREATE INDEX i ON usage (tenant);"})
	r := query("/query", map[string]any{"batch": []any{
		map[string]any{"sql": "INSERT INTO usage VALUES (?, ?, ?)", "params": []any{"a", 5, nil}},
		map[string]any{"sql": "INSERT INTO usage VALUES (?, ?, 'x;y')", "params": []any{"b", 7}},
	}})
	if len(r) != 2 || r[1].Meta["changes"] != 1.0 || r[1].Meta["last_row_id"] != 2.0 {
		t.Errorf("the batch answered %+v", r)
	}
	r = query("/query", map[string]any{"sql": "SELECT * FROM usage WHERE tokens > ?", "params": []any{6}})
	if diff := cmp.Diff([]any{map[string]any{"tenant": "b", "tokens": 7.0, "note": "x;y"}}, r[0].Results); diff != "" {
		t.Error(diff)
	}
	r = query("/raw", map[string]any{"sql": "SELECT tenant, sum(tokens) AS n FROM usage GROUP BY tenant ORDER BY tenant"})
	want := map[string]any{"columns": []any{"tenant", "n"}, "rows": []any{[]any{"a", 5.0}, []any{"b", 7.0}}}
	if diff := cmp.Diff(want, r[0].Results); diff != "" {
		t.Error(diff)
	}
	// A batch is one transaction.
	f.want(400, 7500, "POST", db+"/query", map[string]any{"batch": []any{
		map[string]any{"sql": "DELETE FROM usage"}, map[string]any{"sql": "INSERT INTO nowhere VALUES (1)"}}})
	if r = query("/query", map[string]any{"sql": "SELECT count(*) AS n FROM usage"}); fmt.Sprint(r[0].Results) != "[map[n:2]]" {
		t.Errorf("half a batch was kept: %v", r[0].Results)
	}
	query("/query", map[string]string{"sql": "CREATE TRIGGER t AFTER INSERT ON usage BEGIN UPDATE usage SET note = 'seen'; DELETE FROM usage WHERE tokens = 5; END; INSERT INTO usage VALUES ('c', 1, '')"})
	if r = query("/query", map[string]any{"sql": "SELECT count(*) AS n FROM usage WHERE note = 'seen'"}); fmt.Sprint(r[0].Results) != "[map[n:2]]" {
		t.Errorf("the trigger did %v", r[0].Results)
	}
}

func TestQueriesThatAreRefused(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	db := d1 + "/" + database(f, "x")
	many := make([]any, 101)
	for n := range many {
		many[n] = "p"
	}
	for name, c := range map[string]struct {
		code int
		body any
	}{
		"nothing":       {7400, map[string]any{"sql": " ; "}},
		"no SQL":        {7500, map[string]any{"sql": "SELEKT 1"}},
		"another file":  {7500, map[string]any{"sql": "/* x */ ATTACH '/tmp/x.db' AS y"}},
		"transaction":   {7500, map[string]any{"sql": "BEGIN"}},
		"params":        {7500, map[string]any{"sql": "SELECT 1", "params": many}},
		"too long":      {7500, map[string]any{"sql": "SELECT '" + strings.Repeat("x", 100_000) + "'"}},
		"mixed":         {7400, map[string]any{"sql": "SELECT ?; SELECT ?", "params": []any{1}}},
		"missing value": {7500, map[string]any{"sql": "SELECT ?"}},
	} {
		if r := f.call("POST", db+"/query", c.body); r.status != 400 || r.code() != c.code {
			t.Errorf("%s: answered %d with %d, want %d", name, r.status, r.code(), c.code)
		}
	}
}
