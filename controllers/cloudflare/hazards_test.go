package cloudflare_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

var made = cloudflare.Step{Verb: cloudflare.Create, Kind: cloudflare.KV, Name: "ce-hazard"}

// calls counts the server's calls of a method.
func calls(s *server, method string) int {
	n := 0
	for _, e := range s.Log() {
		if e.Method == method {
			n++
		}
	}
	return n
}

// A creation is never sent twice, and its error says truly whether it may have happened.
func TestACreationIsSentOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, fakecloudflare.Options{NoSchema: true}, false)
	for name, c := range map[string]struct {
		fault   fakecloudflare.Fault
		meaning error
		exists  int
	}{
		"a web page before":       {fakecloudflare.Fault{Status: 502, Body: fakecloudflare.BodyHTML, ContentType: "text/html"}, cloudflare.ErrUncertain, 0},
		"a web page after":        {fakecloudflare.Fault{Status: 502, Body: fakecloudflare.BodyHTML, ContentType: "text/html", After: true}, cloudflare.ErrUncertain, 1},
		"cut before":              {fakecloudflare.Fault{Cut: true}, cloudflare.ErrUncertain, 0},
		"cut after":               {fakecloudflare.Fault{Cut: true, After: true}, cloudflare.ErrUncertain, 1},
		"half an answer":          {fakecloudflare.Fault{Truncate: 20, After: true}, cloudflare.ErrUncertain, 1},
		"success false":           {fakecloudflare.Fault{Status: 200, Body: `{"success":false,"errors":[],"result":null}`, ContentType: "application/json"}, cloudflare.ErrUncertain, 0},
		"success false, taken":    {fakecloudflare.Fault{Status: 200, Body: fakecloudflare.BodyEnvelope(10014, "c4nary"), ContentType: "application/json"}, cloudflare.ErrNameTaken, 0},
		"no envelope":             {fakecloudflare.Fault{Status: 200, Body: `{"result":{"id":"x"}}`, ContentType: "application/json"}, cloudflare.ErrUncertain, 0},
		"no id":                   {fakecloudflare.Fault{Status: 200, Body: `{"success":true,"result":{}}`, ContentType: "application/json", After: true}, cloudflare.ErrUncertain, 1},
		"throttled":               {fakecloudflare.Fault{Status: 400, Body: fakecloudflare.BodyEnvelope(971, "c4nary"), ContentType: "application/json"}, cloudflare.ErrRateLimited, 0},
		"the gateway's shape":     {fakecloudflare.Fault{Status: 403, Body: fakecloudflare.BodyGateway(10026, "c4nary"), ContentType: "application/json"}, cloudflare.ErrQuota, 0},
		"an unknown refusal":      {fakecloudflare.Fault{Status: 422, Body: `c4nary`, ContentType: "text/plain"}, cloudflare.ErrInvalid, 0},
		"somebody else's 404":     {fakecloudflare.Fault{Status: 404, Body: `<html>`, ContentType: "text/html"}, cloudflare.ErrUncertain, 0},
		"a redirect with a token": {fakecloudflare.Fault{Status: 307, Body: ` `, ContentType: "text/html"}, cloudflare.ErrUncertain, 0},
	} {
		t.Run(name, func(t *testing.T) {
			before, existed := calls(s, "POST"), s.State(fakecloudflare.DefaultAccount).Count("kv")
			c.fault.Method, c.fault.Times = "POST", 1
			s.script(t, c.fault)
			defer s.Heal()
			step := made
			step.Name += strings.ReplaceAll(name, " ", "-")
			o := s.options(cloudflare.Secret(s.RootToken(fakecloudflare.DefaultAccount)))
			o.Endpoint += "/" // a budget of its own, as one case blocks it
			pool := cloudflare.NewPool(cloudflare.PoolOptions{Timeout: 5 * time.Second})
			_, err := pool.Open(o, cloudflare.Edit).Do(t.Context(), step)
			if !errors.Is(err, c.meaning) {
				t.Errorf("got %v, want %v", err, c.meaning)
			}
			if got := calls(s, "POST") - before; got != 1 {
				t.Errorf("it was sent %d times", got)
			}
			if got := s.State(fakecloudflare.DefaultAccount).Count("kv") - existed; got != c.exists {
				t.Errorf("%d were made, want %d", got, c.exists)
			}
			if strings.Contains(err.Error(), "c4nary") {
				t.Errorf("%q has Cloudflare's text", err)
			}
		})
	}
}

func TestReadingAndDeletingAreRepeated(t *testing.T) {
	t.Parallel()
	s := serve(t, fakecloudflare.Options{NoSchema: true}, false)
	ns, err := s.root().Do(t.Context(), made)
	if err != nil {
		t.Fatal(err)
	}
	bad := fakecloudflare.Fault{Method: "GET|DELETE", Status: 502, Body: fakecloudflare.BodyHTML, ContentType: "text/html"}
	for _, f := range []fakecloudflare.Fault{bad, {Method: "GET|DELETE", Cut: true}, {Method: "GET|DELETE", Truncate: 9}} {
		f.Times = 2
		s.script(t, f)
		if _, err := s.root().Get(t.Context(), cloudflare.KV, ns.ID); err != nil {
			t.Error(err)
		}
		s.Heal()
	}
	bad.Times = -1
	s.script(t, bad)
	before := calls(s, "GET")
	_, err = s.root().Get(t.Context(), cloudflare.KV, ns.ID)
	if n := calls(s, "GET") - before; !errors.Is(err, cloudflare.ErrUnavailable) || n != 3 {
		t.Errorf("%v after %d calls", err, n)
	}
	_, err = s.root().Do(t.Context(), cloudflare.Step{Verb: cloudflare.Delete, Kind: cloudflare.KV, ID: ns.ID})
	if n := calls(s, "DELETE"); !errors.Is(err, cloudflare.ErrUncertain) || n != 3 {
		t.Errorf("%v after %d calls", err, n)
	}
	s.Heal()
	// Deleted, but nobody heard: the second time nothing is there, which is as wanted.
	s.script(t, fakecloudflare.Fault{Method: "DELETE", Cut: true, After: true})
	if _, err := s.root().Do(t.Context(), cloudflare.Step{Verb: cloudflare.Delete, Kind: cloudflare.KV, ID: ns.ID}); err != nil {
		t.Error(err)
	}
}

// Nobody listens there: nothing can have been done.
func TestWithoutAConnectionNothingWasDone(t *testing.T) {
	t.Parallel()
	s := serve(t, fakecloudflare.Options{NoSchema: true}, false)
	h := httptest.NewServer(http.NotFoundHandler())
	o := s.options("ce_c4nary-value")
	o.Endpoint = h.URL
	h.Close()
	_, err := s.pool.Open(o, cloudflare.Edit).Do(t.Context(), made)
	if !errors.Is(err, cloudflare.ErrUnavailable) || errors.Is(err, cloudflare.ErrUncertain) {
		t.Error(err)
	}
}

func TestATimeoutLeavesACreationUncertain(t *testing.T) {
	t.Parallel()
	s := serve(t, fakecloudflare.Options{NoSchema: true}, false)
	ctx, cancel := context.WithCancel(t.Context())
	s.script(t, fakecloudflare.Fault{Method: "POST", Hang: true, After: true, Do: cancel})
	if _, err := s.root().Do(ctx, made); !errors.Is(err, cloudflare.ErrUncertain) {
		t.Error(err)
	}
}

func TestARefusalIsExplained(t *testing.T) {
	t.Parallel()
	s := serve(t, fakecloudflare.Options{NoSchema: true, Accounts: []fakecloudflare.Account{
		{ID: fakecloudflare.DefaultAccount}, {ID: strings.Repeat("2", 32)},
	}}, false)
	root := cloudflare.Secret(s.RootToken(fakecloudflare.DefaultAccount))
	for account, id := range map[string]string{"another's": strings.Repeat("2", 32), "nobody's": strings.Repeat("3", 32), "no id": "acme"} {
		before := s.Calls()
		for range 5 {
			_, err := s.pool.Open(s.in(id, root), cloudflare.Poll).List(t.Context(), cloudflare.KV)
			if !errors.Is(err, cloudflare.ErrWrongAccount) {
				t.Errorf("%s: %v", account, err)
			}
		}
		if n := s.Calls() - before; n != 6 {
			t.Errorf("%s: 5 refusals took %d calls, one of which asks why", account, n)
		}
	}
	for _, token := range []cloudflare.Secret{"", "two\nlines c4nary", "ünprintable"} {
		before := s.Calls()
		_, err := s.pool.Open(s.options(token), cloudflare.Edit).List(t.Context(), cloudflare.KV)
		if !errors.Is(err, cloudflare.ErrUnauthorized) || s.Calls() != before {
			t.Error(err)
		}
	}
}

// The dashboard set spending limits; the SDK would panic on them, and a PUT without them
// would remove them.
func TestAnUpdateKeepsWhatTheDashboardSet(t *testing.T) {
	t.Parallel()
	s := serve(t, fakecloudflare.Options{}, false)
	account := s.root()
	if _, err := account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Create, Kind: cloudflare.AIGateway, Name: "shared", Settings: cloudflare.Settings{Gateway: &cloudflare.Gateway{}}}); err != nil {
		t.Fatal(err)
	}
	put := `{"cache_ttl":0,"collect_logs":false,"cache_invalidate_on_update":true,"rate_limiting_interval":0,"rate_limiting_limit":0,
		"spend_limits":{"enabled":true,"rules":[{"limit":5,"limitType":"cost","window":86400,"metadata":{"tenant":{"mode":"partition"}}}]}}`
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, s.url+"/client/v4/accounts/"+fakecloudflare.DefaultAccount+"/ai-gateway/gateways/shared", strings.NewReader(put))
	req.Header.Set("Authorization", "Bearer "+s.RootToken(fakecloudflare.DefaultAccount))
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	rest := func() map[string]any {
		t.Helper()
		got, err := account.Get(t.Context(), cloudflare.AIGateway, "shared")
		if err != nil {
			t.Fatal(err)
		}
		var all map[string]any
		if err := json.Unmarshal(got.Settings.Gateway.Rest, &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := rest()
	if before["spend_limits"] == nil {
		t.Fatal("the limits weren't taken")
	}
	want := cloudflare.Settings{Gateway: &cloudflare.Gateway{Authentication: true, CacheTTLSeconds: 300}}
	if _, err := account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Update, Kind: cloudflare.AIGateway, ID: "shared", Settings: want}); err != nil {
		t.Fatal(err)
	}
	after := rest()
	if diff := cmp.Diff(before["spend_limits"], after["spend_limits"]); diff != "" || after["cache_invalidate_on_update"] != true {
		t.Errorf("the update changed what isn't ours: %s", diff)
	}
	if after["cache_ttl"] != 300.0 || after["authentication"] != true {
		t.Errorf("it didn't change what is: %v", after)
	}
}

// answering serves one answer for each request, made by its number.
func answering(t *testing.T, answer func(n int, r *http.Request) string) (*cloudflare.Client, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer(int(n.Add(1)), r))
	}))
	t.Cleanup(h.Close)
	pool := cloudflare.NewPool(cloudflare.PoolOptions{})
	o := cloudflare.Options{AccountID: someAccount, Endpoint: h.URL, Token: "ce_c4nary-value", Requests: 1_000_000, Window: time.Second}
	return pool.Open(o, cloudflare.Edit), &n
}

func TestListsEnd(t *testing.T) {
	t.Parallel()
	namespaces := func(from, to int) string {
		var all []string
		for n := from; n < to; n++ {
			all = append(all, fmt.Sprintf(`{"id":"%d","title":"t%d"}`, n, n))
		}
		return strings.Join(all, ",")
	}
	page := func(items, info string) string {
		return `{"success":true,"result":[` + items + `],"result_info":{` + info + `}}`
	}
	for name, c := range map[string]struct {
		answer func(n int, r *http.Request) string
		things int // -1: the list must not be taken for whole
		calls  int64
	}{
		"by pages": {func(n int, _ *http.Request) string {
			return page(namespaces(n*10, n*10+10), `"total_pages":3,"page":1`)
		}, 30, 3},
		"by count": {func(n int, _ *http.Request) string {
			return page(namespaces(n*10, n*10+10), `"total_count":30,"per_page":10`)
		}, 30, 3},
		"by length":              {func(n int, _ *http.Request) string { return page(namespaces(n*1000, n*1000+1000-n/3), ``) }, 2999, 3},
		"nothing":                {func(int, *http.Request) string { return page("", ``) }, 0, 1},
		"the same page for ever": {func(int, *http.Request) string { return page(namespaces(0, 1000), ``) }, -1, 2},
		"torn": {func(n int, _ *http.Request) string {
			return page(map[bool]string{true: namespaces(0, 10)}[n == 1], `"total_pages":3`)
		}, -1, 2},
		"moved while read": {func(n int, _ *http.Request) string { return page(namespaces(n*9, n*9+10), `"total_pages":3`) }, 28, 3},
	} {
		account, n := answering(t, c.answer)
		all, err := account.List(t.Context(), cloudflare.KV)
		if c.things < 0 {
			if !errors.Is(err, cloudflare.ErrUnavailable) || len(all) != 0 {
				t.Errorf("%s: %d things, %v", name, len(all), err)
			}
		} else if err != nil || len(all) != c.things {
			t.Errorf("%s: %d things, %v", name, len(all), err)
		}
		if n.Load() != c.calls {
			t.Errorf("%s: %d calls, want %d", name, n.Load(), c.calls)
		}
	}
	account, _ := answering(t, func(int, *http.Request) string {
		return `{"success":true,"result":{"buckets":[{"name":"b"}]},"result_info":{"cursor":"again"}}`
	})
	if all, err := account.List(t.Context(), cloudflare.R2); !errors.Is(err, cloudflare.ErrUnavailable) || len(all) != 0 {
		t.Errorf("a cursor that repeats: %d things, %v", len(all), err)
	}
}

func TestAnEndlessAnswerIsNotRead(t *testing.T) {
	t.Parallel()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		block := strings.Repeat("c4nary ", 1<<16)
		for range 200 { // 90 MiB
			if _, err := io.WriteString(w, block); err != nil {
				return
			}
		}
	}))
	defer h.Close()
	pool := cloudflare.NewPool(cloudflare.PoolOptions{})
	_, err := pool.Open(cloudflare.Options{AccountID: someAccount, Endpoint: h.URL, Token: "ce_c4nary-value"}, cloudflare.Edit).Do(t.Context(), made)
	if !errors.Is(err, cloudflare.ErrUncertain) || strings.Contains(err.Error(), "c4nary") {
		t.Error(err)
	}
}

func TestAnIDStaysOneSegment(t *testing.T) {
	t.Parallel()
	const prefix = "/accounts/" + someAccount + "/storage/kv/namespaces/"
	for _, id := range []string{"../../../other/storage/kv/namespaces/x?y=1", "..", ".", "a/b", "%zz", "a?b#c", "a b", "\x00"} {
		var paths []string
		account, _ := answering(t, func(_ int, r *http.Request) string {
			paths = append(paths, r.URL.EscapedPath())
			if r.URL.RawQuery != "" {
				t.Errorf("%q became a query", id)
			}
			return `{"success":true,"result":{"id":"x","title":"t"}}`
		})
		_, err := account.Get(t.Context(), cloudflare.KV, id)
		for _, p := range paths {
			last := strings.TrimPrefix(p, prefix)
			if last == p || strings.Contains(last, "/") || slices.Contains([]string{"", ".", ".."}, last) {
				t.Errorf("%q called %s (%v)", id, p, err)
			}
		}
	}
}

func TestNothingPrintsATokensValue(t *testing.T) {
	t.Parallel()
	account, _ := answering(t, func(int, *http.Request) string {
		return `{"success":true,"result":{"id":"1","name":"n","value":"ce_c4nary-minted-0123456789","policies":[]}}`
	})
	minted, err := account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Update, Kind: cloudflare.APIToken, ID: "1", Name: "n"})
	if err == nil || minted.Secret != "" {
		t.Error("an update without permissions went through")
	}
	thing := cloudflare.Thing{Secret: "ce_c4nary-minted"}
	text, _ := json.Marshal(map[string]any{"thing": thing, "options": cloudflare.Options{Token: "ce_c4nary-value"}})
	for _, s := range []string{fmt.Sprint(account), fmt.Sprintf("%+v %#v", account, account), fmt.Sprintf("%v %+v %#v", thing, thing, thing),
		fmt.Sprintf("%+v %#v", cloudflare.Options{Token: "ce_c4nary-value"}, cloudflare.Options{Token: "ce_c4nary-value"}), string(text)} {
		if strings.Contains(s, "c4nary") {
			t.Error("a token's value is printed")
		}
	}
}

func TestAnIndexThatIsKnownIsReadByOneCall(t *testing.T) {
	t.Parallel()
	s := serve(t, fakecloudflare.Options{NoSchema: true}, false)
	c, ctx := s.root(), t.Context()
	make := func(dimensions int) {
		t.Helper()
		_, err := c.Do(ctx, cloudflare.Step{Verb: cloudflare.Create, Kind: cloudflare.Vectorize, Name: "index-a",
			Settings: cloudflare.Settings{Dimensions: dimensions, Metric: "cosine"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	// calls of one Get, and the dimensions that it tells.
	get := func(c *cloudflare.Client) (calls, dimensions int, err error) {
		before := len(s.Log())
		thing, err := c.Get(ctx, cloudflare.Vectorize, "index-a")
		return len(s.Log()) - before, thing.Settings.Dimensions, err
	}
	make(3)
	if calls, dimensions, err := get(c); calls != 1 || dimensions != 3 || err != nil {
		t.Errorf("got %d dimensions by %d calls, %v; want 3 by one call", dimensions, calls, err)
	}
	// Somebody else, who has a budget and a memory of his own, makes it anew.
	other := cloudflare.NewPool(cloudflare.PoolOptions{}).Open(s.options(cloudflare.Secret(s.RootToken(fakecloudflare.DefaultAccount))), cloudflare.Edit)
	if _, err := other.Do(ctx, cloudflare.Step{Verb: cloudflare.Delete, Kind: cloudflare.Vectorize, ID: "index-a"}); err != nil {
		t.Fatal(err)
	}
	if calls, _, err := get(c); calls != 1 || !errors.Is(err, cloudflare.ErrNotFound) {
		t.Errorf("got %v by %d calls for what is gone, want ErrNotFound by one", err, calls)
	}
	if calls, _, err := get(c); calls != 1 || !errors.Is(err, cloudflare.ErrNotFound) {
		t.Errorf("got %v by %d calls for what is known to be gone, want ErrNotFound by one", err, calls)
	}
	make(3)
	for _, step := range []cloudflare.Step{
		{Verb: cloudflare.Delete, Kind: cloudflare.Vectorize, ID: "index-a"},
		{Verb: cloudflare.Create, Kind: cloudflare.Vectorize, Name: "index-a", Settings: cloudflare.Settings{Dimensions: 5, Metric: "cosine"}},
	} {
		if _, err := other.Do(ctx, step); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.List(ctx, cloudflare.Vectorize); err != nil {
		t.Fatal(err)
	}
	if calls, dimensions, err := get(c); calls != 1 || dimensions != 5 || err != nil {
		t.Errorf("after LIST got %d dimensions by %d calls, %v; want the new index's 5 by one call", dimensions, calls, err)
	}
}
