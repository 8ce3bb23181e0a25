package fakecloudflare_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

const kv = "~/storage/kv/namespaces"

func namespace(f fake, title string) string {
	f.t.Helper()
	return f.want(200, 0, "POST", kv, map[string]string{"title": title}).field(f.t, "id")
}

func TestNamespacesLiveAndDie(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	id := namespace(f, "one")
	f.want(400, 10014, "POST", kv, map[string]string{"title": "one"})
	f.want(400, 10019, "POST", kv, map[string]string{})
	f.want(400, 10019, "POST", kv, map[string]string{"title": " "})
	f.want(400, 10012, "POST", kv, map[string]string{"title": strings.Repeat("x", 513)})
	f.want(400, 10012, "POST", kv, "{")
	other := namespace(f, "two")
	f.want(400, 10014, "PUT", kv+"/"+other, map[string]string{"title": "one"})
	f.want(200, 0, "PUT", kv+"/"+other, map[string]string{"title": "deux"})
	if got := f.want(200, 0, "GET", kv+"/"+other, nil).field(t, "title"); got != "deux" {
		t.Errorf("the title is %q", got)
	}
	f.want(200, 0, "DELETE", kv+"/"+id, nil)
	f.want(404, 10013, "GET", kv+"/"+id, nil)
	f.want(404, 10013, "DELETE", kv+"/"+id, nil)
	namespace(f, "one")
	if twice := f.s.State(account).Duplicates(); len(twice) > 0 {
		t.Errorf("%v are there twice", twice)
	}
	if n := f.s.State(account).Count("kv"); n != 2 {
		t.Errorf("there are %d namespaces", n)
	}
}

func TestTitlesMayRepeatIfCloudflareAllows(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Unsure: fakecloudflare.Unsure{KVTitlesRepeat: true}})
	namespace(f, "one")
	namespace(f, "one")
	if diff := cmp.Diff([]string{"kv/one"}, f.s.State(account).Duplicates()); diff != "" {
		t.Error(diff)
	}
}

func TestNamespacesAreListedInPages(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	for n := range 5 {
		namespace(f, fmt.Sprintf("n%d", n))
	}
	var got []string
	for page := 1; ; page++ {
		r := f.want(200, 0, "GET", fmt.Sprintf("%s?per_page=2&page=%d&order=title&direction=desc", kv, page), nil)
		got = append(got, ids(t, r, "title")...)
		if float64(page) >= r.Info["total_pages"].(float64) {
			break
		}
	}
	if diff := cmp.Diff([]string{"n4", "n3", "n2", "n1", "n0"}, got); diff != "" {
		t.Error(diff)
	}
	if got := ids(t, f.want(200, 0, "GET", kv+"?page=9", nil), "id"); len(got) != 0 {
		t.Errorf("a page after the last has %v", got)
	}
	f.want(400, 10012, "GET", kv+"?per_page=100000", nil)
}

func TestListsLagBehind(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Lag: fakecloudflare.Lag{List: 30 * time.Second}})
	list := func() []string { return ids(t, f.want(200, 0, "GET", kv, nil), "title") }
	id := namespace(f, "late")
	if got := list(); len(got) != 0 {
		t.Fatalf("listed at once: %v", got)
	}
	f.want(200, 0, "GET", kv+"/"+id, nil)
	f.clock.pass(30 * time.Second)
	if got := list(); !slices.Equal(got, []string{"late"}) {
		t.Fatalf("listed later: %v", got)
	}
	f.want(200, 0, "DELETE", kv+"/"+id, nil)
	if got := list(); !slices.Equal(got, []string{"late"}) {
		t.Fatalf("a ghost should be listed: %v", got)
	}
	f.want(404, 10013, "GET", kv+"/"+id, nil)
	f.clock.pass(30 * time.Second)
	if got := list(); len(got) != 0 {
		t.Fatalf("listed for ever: %v", got)
	}
}

func TestValuesAndTheirLimits(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	ns := kv + "/" + namespace(f, "n")
	f.want(200, 0, "PUT", ns+"/values/a%2Fb", "hello", "Content-Type", "application/octet-stream")
	if got := f.call("GET", ns+"/values/a%2Fb", nil); got.raw != "hello" {
		t.Errorf("the value is %q", got.raw)
	}
	f.want(429, 10040, "PUT", ns+"/values/a%2Fb", "again", "Content-Type", "application/octet-stream")
	f.clock.pass(time.Second)
	f.want(200, 0, "PUT", ns+"/values/a%2Fb?expiration_ttl=60", "again", "Content-Type", "application/octet-stream")
	f.want(400, 10034, "PUT", ns+"/values/c?expiration_ttl=59", "x", "Content-Type", "application/octet-stream")
	f.want(400, 10012, "PUT", ns+"/values/"+strings.Repeat("k", 513), "x", "Content-Type", "application/octet-stream")
	f.want(400, 10012, "PUT", ns+"/values/%2E%2E", "x", "Content-Type", "application/octet-stream")
	if at := f.call("GET", ns+"/values/a%2Fb", nil).header.Get("Expiration"); at == "" {
		t.Error("the answer doesn't say when the value expires")
	}
	f.clock.pass(time.Minute)
	f.want(404, 10009, "GET", ns+"/values/a%2Fb", nil)

	form := func(parts ...string) string {
		var b strings.Builder
		for i := 0; i < len(parts); i += 2 {
			b.WriteString("--x\r\nContent-Disposition: form-data; name=\"" + parts[i] + "\"\r\n\r\n" + parts[i+1] + "\r\n")
		}
		return b.String() + "--x--\r\n"
	}
	const multipart = "multipart/form-data; boundary=x"
	f.want(200, 0, "PUT", ns+"/values/m", form("value", "v", "metadata", `{"a":1}`), "Content-Type", multipart)
	if got := f.want(200, 0, "GET", ns+"/metadata/m", nil); string(got.Result) != `{"a":1}` {
		t.Errorf("the metadata is %s", got.Result)
	}
	f.want(400, 10047, "PUT", ns+"/values/m2", form("value", "v"), "Content-Type", multipart)
	f.want(400, 10047, "PUT", ns+"/values/m2", form("value", "v", "metadata.a", "1"), "Content-Type", multipart)
	f.want(400, 10012, "PUT", ns+"/values/m2", form("value", "v", "metadata", `"`+strings.Repeat("x", 1100)+`"`), "Content-Type", multipart)
	f.want(200, 0, "DELETE", ns+"/values/m", nil)
	f.want(404, 10009, "GET", ns+"/values/m", nil)
}

func TestReadsOfKeysAreRepeated(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Lag: fakecloudflare.Lag{KV: time.Minute}})
	ns := kv + "/" + namespace(f, "n")
	put := func(v string) {
		f.want(200, 0, "PUT", ns+"/values/k", v, "Content-Type", "application/octet-stream")
	}
	f.want(404, 10009, "GET", ns+"/values/k", nil)
	put("one")
	f.want(404, 10009, "GET", ns+"/values/k", nil) // that there was none is remembered too
	f.clock.pass(time.Minute)
	if got := f.call("GET", ns+"/values/k", nil).raw; got != "one" {
		t.Fatalf("the value is %q", got)
	}
	put("two")
	if got := f.call("GET", ns+"/values/k", nil).raw; got != "one" {
		t.Fatalf("the value is seen at once: %q", got)
	}
	f.clock.pass(time.Minute)
	if got := f.call("GET", ns+"/values/k", nil).raw; got != "two" {
		t.Fatalf("the value is %q", got)
	}
}

func TestKeysInBulk(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	ns := kv + "/" + namespace(f, "n")
	var pairs []map[string]any
	for n := range 25 {
		pairs = append(pairs, map[string]any{"key": fmt.Sprintf("k%02d", n), "value": "v"})
	}
	pairs = append(pairs, map[string]any{"key": "other", "value": "aGk=", "base64": true, "metadata": map[string]int{"n": 1}})
	f.want(200, 0, "PUT", ns+"/bulk", pairs)
	r := f.want(200, 0, "PUT", ns+"/bulk", pairs[:2]) // within a second
	var failed struct {
		Unsuccessful []string `json:"unsuccessful_keys"`
	}
	if r.into(t, &failed); len(failed.Unsuccessful) != 2 {
		t.Errorf("unsuccessful keys: %v", failed.Unsuccessful)
	}
	f.want(400, 10012, "PUT", ns+"/bulk", make([]map[string]any, 10_001))
	r = f.want(200, 0, "GET", ns+"/keys?limit=10&prefix=k", nil)
	got := ids(t, r, "name")
	for r.Info["cursor"] != "" {
		r = f.want(200, 0, "GET", ns+"/keys?limit=10&prefix=k&cursor="+r.Info["cursor"].(string), nil)
		got = append(got, ids(t, r, "name")...)
	}
	if len(got) != 25 || got[24] != "k24" {
		t.Errorf("the keys are %v", got)
	}
	f.want(400, 10029, "GET", ns+"/keys?limit=5", nil)
	r = f.want(200, 0, "POST", ns+"/bulk/get", map[string]any{"keys": []string{"other", "none"}, "withMetadata": true})
	if diff := cmp.Diff(`{"values":{"none":null,"other":{"metadata":{"n":1},"value":"hi"}}}`, string(r.Result)); diff != "" {
		t.Error(diff)
	}
	f.want(400, 10012, "POST", ns+"/bulk/get", map[string]any{"keys": make([]string, 101)})
	f.want(200, 0, "POST", ns+"/bulk/delete", []string{"other"})
	f.want(404, 10009, "GET", ns+"/values/other", nil)
}

func TestNamespaceQuota(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Accounts: []fakecloudflare.Account{{ID: account, Quotas: fakecloudflare.Quotas{KV: 2}}}})
	namespace(f, "a")
	id := namespace(f, "b")
	f.want(403, 10026, "POST", kv, map[string]string{"title": "c"})
	f.want(200, 0, "DELETE", kv+"/"+id, nil)
	namespace(f, "c")
}
