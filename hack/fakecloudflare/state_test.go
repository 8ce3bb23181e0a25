package fakecloudflare_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

// newRequest makes a call under a context of its own.
func newRequest(ctx context.Context, f fake, method, path, body string) (func() error, error) {
	r, err := http.NewRequestWithContext(ctx, method, f.url+f.base+path[1:], strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+f.token)
	return func() error {
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}, nil
}

func TestTheStateOutlivesTheServer(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	opts := fakecloudflare.Options{StateFile: file}
	f := start(t, opts)
	ns := namespace(f, "kept")
	f.want(200, 0, "PUT", kv+"/"+ns+"/values/k", "v", "Content-Type", "application/octet-stream")
	db := d1 + "/" + database(f, "kept")
	f.want(200, 0, "POST", db+"/query", map[string]string{"sql": "CREATE TABLE t (n); INSERT INTO t VALUES (42)"})
	ix := index(f, "kept")
	f.want(200, 0, "POST", ix+"/metadata_index/create", map[string]string{"propertyName": "k", "indexType": "string"})
	upsert(f, ix, map[string]any{"id": "v", "values": []int{1, 0}, "metadata": map[string]any{"k": "x"}})
	gateway(f, "kept", "retry_max_attempts", 2)
	f.want(200, 0, "POST", r2, map[string]string{"name": "kept"})
	id, value := f.mint("kept", nil, "Workers KV Storage Read")
	gone, _ := f.mint("gone", nil, "Workers KV Storage Read")
	f.want(200, 0, "DELETE", "~/tokens/"+gone, nil)
	if err := f.s.Save(t.Context()); err != nil {
		t.Fatal(err)
	}

	g := start(t, opts)
	if g.token != f.token {
		t.Error("the root token is another")
	}
	want, _ := json.Marshal(f.s.State(account))
	got, _ := json.Marshal(g.s.State(account))
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
	if r := g.call("GET", kv+"/"+ns+"/values/k", nil); r.raw != "v" {
		t.Errorf("the value is %q", r.raw)
	}
	if r := g.want(200, 0, "POST", db+"/query", map[string]string{"sql": "SELECT n FROM t"}); !strings.Contains(r.raw, `"n":42`) {
		t.Errorf("the table holds %s", r.raw)
	}
	if found := matches(g, ix, map[string]any{"filter": map[string]any{"k": "x"}}); !slices.Equal(found, []string{"v"}) {
		t.Errorf("the index finds %v", found)
	}
	if r := g.as(value).want(200, 0, "GET", "~/tokens/verify", nil); r.field(t, "id") != id {
		t.Error("the minted token isn't itself any more")
	}
}

func TestStatesThatCantBeRead(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"not JSON": "{", "no accounts": `[{"ID":"x"}]`} {
		file := filepath.Join(t.TempDir(), "state.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := fakecloudflare.New(fakecloudflare.Options{StateFile: file}); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	for name, opts := range map[string]fakecloudflare.Options{
		"account": {Accounts: []fakecloudflare.Account{{ID: "x"}}},
		"token":   {Accounts: []fakecloudflare.Account{{ID: account, RootToken: "two words"}}},
	} {
		if _, err := fakecloudflare.New(opts); err == nil {
			t.Errorf("%s: there is no error", name)
		}
	}
	s, err := fakecloudflare.New(fakecloudflare.Options{StateFile: filepath.Join(t.TempDir(), "no", "folder")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context()); err == nil {
		t.Error("a state that can't be written was saved")
	}
}

func TestTheLogSaysWhoDidWhat(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{LogLimit: 8})
	id, value := f.mint("worker", nil, "Workers KV Storage Write")
	ns := namespace(f.as(value), "made")
	log := f.s.Log()
	e := log[len(log)-1]
	want := fakecloudflare.Entry{Seq: e.Seq, Time: e.Time, Ray: e.Ray, Method: "POST", Path: f.base + "/storage/kv/namespaces", Account: account, Token: id,
		TokenName: "worker", Operation: makeNamespace, Kind: "kv", Status: 200, Effect: "create", ID: ns, Name: "made"}
	if e.Method != want.Method || e.Path != want.Path || e.Account != want.Account || e.Token != want.Token || e.TokenName != want.TokenName ||
		e.Operation != want.Operation || e.Kind != want.Kind || e.Status != want.Status || e.Effect != want.Effect || e.ID != want.ID || e.Name != want.Name {
		t.Errorf("the entry is %+v, want %+v", e, want)
	}
	for range 50 {
		f.want(200, 0, "GET", kv, nil)
	}
	if n := len(f.s.Log()); n > 10 {
		t.Errorf("the log has %d entries", n)
	}
	if n := f.s.Calls(); n != 53 {
		t.Errorf("%d calls were counted", n)
	}
	select {
	case <-f.s.Changes():
	default:
		t.Error("nothing was changed")
	}
}

func TestTheBackDoor(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	f = f.as("")
	if r := f.call("GET", "/_fake/health", nil); r.status != 200 {
		t.Errorf("health: %d", r.status)
	}
	if r := f.call("POST", "/_fake/faults", map[string]any{"Operation": makeNamespace, "Status": 503, "After": true}); r.status != 201 {
		t.Errorf("a fault: %d %s", r.status, r.raw)
	}
	f.as(f.s.RootToken(account)).want(503, 10001, "POST", kv, map[string]string{"title": "made all the same"})
	if r := f.call("GET", "/_fake/state?account="+account, nil); !strings.Contains(r.raw, `"name":"made all the same"`) {
		t.Errorf("the state: %s", r.raw)
	}
	if r := f.call("GET", "/_fake/log", nil); !strings.Contains(r.raw, `"fault":"status 503"`) {
		t.Errorf("the log: %s", r.raw)
	}
	for _, bad := range []any{map[string]any{"Colour": "red"}, map[string]any{"Path": "("}, "{"} {
		if r := f.call("POST", "/_fake/faults", bad); r.status != 400 || !strings.Contains(r.raw, "error") {
			t.Errorf("a bad fault: %d %s", r.status, r.raw)
		}
	}
	if r := f.call("DELETE", "/_fake/faults", nil); r.status != 200 {
		t.Errorf("healing: %d", r.status)
	}
	if r := f.call("GET", "/_fake/violations", nil); strings.TrimSpace(r.raw) != "[]" {
		t.Errorf("violations: %s", r.raw)
	}
	if r := f.call("GET", "/_fake/else", nil); r.status != 404 {
		t.Errorf("no such door: %d", r.status)
	}
}
