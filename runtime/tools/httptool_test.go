package tools_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/tools"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

const toolSecret = "c4nary-tool-secret"

// service is a tenant's service that answers as f does.
func service(t testing.TB, f http.HandlerFunc) string {
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return srv.URL
}

// httpBed has one http tool called "svc".
func httpBed(t testing.TB, tool tenantconfig.HTTPTool) *bed {
	tool.Name, tool.Description = "svc", "A service."
	if tool.Method == "" {
		tool.Method = "GET"
	}
	if tool.Effect == "" {
		tool.Effect = tenantconfig.EffectRead
	}
	return newBed(t, nil, newTenant(t, map[string]string{"tool-key": toolSecret}, withTools(func(c *tenantconfig.Tools) { c.HTTP = []tenantconfig.HTTPTool{tool} })))
}

func TestHTTPToolRequest(t *testing.T) {
	t.Parallel()
	type seen struct{ Method, Path, Query, Body, Auth, Extra, Type string }
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"items": []any{seen{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(body), r.Header.Get("Authorization"), r.Header.Get("X-Extra"), r.Header.Get("Content-Type")}}}})
	}
	base := service(t, echo)
	for name, tc := range map[string]struct {
		tool   tenantconfig.HTTPTool
		params string
		want   seen
	}{
		"get": {
			tenantconfig.HTTPTool{URL: base + "/orders/{id}?state={state}&v=1"},
			`{"id":"a/b?c#d","state":"x&y=z","limit":5,"tags":["p","q"],"deep":{"k":1}}`,
			seen{Method: "GET", Path: "/orders/a%2Fb%3Fc%23d", Query: "state=x%26y%3Dz&v=1&deep=%7B%22k%22%3A1%7D&limit=5&tags=p&tags=q"},
		},
		"a query that is left out": {tenantconfig.HTTPTool{URL: base + "/o?a={a}&b={b}"}, `{"b":true}`, seen{Method: "GET", Path: "/o", Query: "b=true"}},
		"post": {
			tenantconfig.HTTPTool{URL: base + "/o/{id}", Method: "POST", Effect: tenantconfig.EffectWrite, Headers: map[string]string{"x-extra": "e"}},
			`{"id":7,"big":12345678901234567890,"s":"é"}`,
			seen{Method: "POST", Path: "/o/7", Body: `{"big":12345678901234567890,"s":"é"}`, Extra: "e", Type: "application/json"},
		},
		"delete": {tenantconfig.HTTPTool{URL: base + "/o/{id}", Method: "DELETE", Effect: tenantconfig.EffectWrite}, `{"id":"x y"}`, seen{Method: "DELETE", Path: "/o/x%20y"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.tool.SecretHeaders = []tenantconfig.SecretHeader{{Name: "authorization", Prefix: "Bearer ", ValueFile: "tool-key"}}
			tc.tool.Result = "/data/items/0"
			tc.want.Auth = "Bearer " + toolSecret
			b := httpBed(t, tc.tool)
			var got seen
			b.ran("svc", tc.params, &got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if strings.Contains(b.logs.String(), "c4nary") {
				t.Error("the secret is in the log")
			}
			offered := b.feature.Tools(t.Context(), b.call(keyMain))
			for _, o := range offered {
				if o.Name == "svc" && (!o.Leaves || o.Writes != (tc.tool.Effect == tenantconfig.EffectWrite)) {
					t.Errorf("offered as %+v", o)
				}
			}
		})
	}
}

// TestTemplateNeverChangesTheAddress: whatever is put in, host and path keep their parts,
// and the service reads back what was meant.
func TestTemplateNeverChangesTheAddress(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, q := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "q")
		params, _ := json.Marshal(map[string]string{"a": a, "q": q})
		var meant map[string]string
		_ = json.Unmarshal(params, &meant) // what isn't UTF-8 is replaced
		address, _, err := tools.Expand("https://api.example/x/{a}/y?k={q}&z=1", string(params))
		if err != nil {
			dots := func(segment string) bool { return segment == "." || segment == ".." }
			slash := func(r rune) bool { return r == '/' || r == '\\' }
			if meant["a"] != "" && !slices.ContainsFunc(strings.FieldsFunc(meant["a"], slash), dots) {
				t.Fatalf("%q is refused: %v", a, err)
			}
			return
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatalf("%q: %v", address, err)
		}
		parts := strings.Split(u.EscapedPath(), "/")
		got, err := url.PathUnescape(parts[2])
		if err != nil || len(parts) != 4 || got != meant["a"] || u.Host != "api.example" || u.Fragment != "" {
			t.Fatalf("%q became %q", a, address)
		}
		if v := u.Query(); v.Get("k") != meant["q"] || v.Get("z") != "1" || len(v) != 2 {
			t.Fatalf("%q became %q", q, address)
		}
	})
}

func TestTemplateParametersThatDontFit(t *testing.T) {
	t.Parallel()
	b := httpBed(t, tenantconfig.HTTPTool{URL: service(t, func(http.ResponseWriter, *http.Request) { t.Error("it was called") }) + "/a/{id}/b?as=us"})
	for _, bad := range []string{`{}`, `{"id":null}`, `{"id":""}`, `{"id":"."}`, `{"id":".."}`, `{"id":"../../admin"}`, `{"id":"x/../../admin"}`, `{"id":"..\\admin"}`, `{"id":"a","as":"other"}`} {
		b.fails(keyMain, "svc", bad, 400, "VALIDATION_FAILED")
	}
}

func TestHTTPToolAnswers(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	var kind, body atomic.Value
	base := service(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind.Load().(string))
		w.WriteHeader(int(status.Load()))
		_, _ = io.WriteString(w, body.Load().(string))
	})
	b := httpBed(t, tenantconfig.HTTPTool{URL: base})
	answers := func(s int, k, text string) {
		status.Store(int64(s))
		kind.Store(k)
		body.Store(text)
	}
	for _, good := range []struct{ kind, body, want string }{
		{"application/json", `{"n":1.50}`, `{"n":1.50}`}, {"application/problem+json; charset=utf-8", `[]`, `[]`},
		{"text/plain", "plain \"text\"", `"plain \"text\""`}, {"text/html; charset=utf-8", "<b>", `"<b>"`}, {"application/json", "", "null"},
	} {
		answers(200, good.kind, good.body)
		var got json.RawMessage
		b.ran("svc", "{}", &got)
		if string(got) != good.want {
			t.Errorf("%s %q: got %s", good.kind, good.body, got)
		}
	}
	for _, bad := range []struct{ kind, body string }{
		{"image/png", "\x89PNG"}, {"application/octet-stream", "abc"}, {"text/plain", "a\xffb"}, {"text/plain", "a\x00b"}, {"application/json", "{"},
		{"application/json", `"` + strings.Repeat("x", 2<<20) + `"`},
	} {
		answers(200, bad.kind, bad.body)
		b.fails(keyMain, "svc", "{}", 502, "EXECUTION_ERROR")
	}
	for _, s := range []int{400, 401, 403, 404, 422, 429, 500, 503} {
		answers(s, "application/json", `{"error":"c4nary from the service"}`)
		a := b.fails(keyMain, "svc", "{}", 502, "EXECUTION_ERROR")
		if strings.Contains(a.Error.Message, "c4nary") || !strings.Contains(a.Error.Message, fmt.Sprint(s)) {
			t.Errorf("%d: told %q", s, a.Error.Message)
		}
	}
	if strings.Contains(b.logs.String(), "c4nary") {
		t.Error("what the service said is in the log")
	}
}

func TestHTTPToolRetries(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	base := service(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, `"ok"`)
	})
	var got string
	httpBed(t, tenantconfig.HTTPTool{URL: base, Retries: 2}).ran("svc", "{}", &got)
	if got != `"ok"` || calls.Load() != 3 {
		t.Errorf("%q after %d calls", got, calls.Load())
	}
	calls.Store(0)
	httpBed(t, tenantconfig.HTTPTool{URL: base, Method: "POST", Effect: tenantconfig.EffectWrite}).fails(keyMain, "svc", "{}", 502, "EXECUTION_ERROR")
	if calls.Load() != 1 {
		t.Errorf("what writes was called %d times", calls.Load())
	}
	// A service that asks for more patience than there is fails at once.
	far := service(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "100")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	began := time.Now()
	httpBed(t, tenantconfig.HTTPTool{URL: far, Retries: 3, TimeoutSeconds: 5}).fails(keyMain, "svc", "{}", 502, "EXECUTION_ERROR")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it waited %v", took)
	}
	refused := httptest.NewServer(http.NotFoundHandler())
	refused.Close()
	httpBed(t, tenantconfig.HTTPTool{URL: refused.URL, Retries: 1}).fails(keyMain, "svc", "{}", 502, "EXECUTION_ERROR")
}

// TestHTTPToolThatHangs: at its limit the call of the service has ended too.
func TestHTTPToolThatHangs(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 10)
	base := service(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		gone <- struct{}{}
	})
	b := httpBed(t, tenantconfig.HTTPTool{URL: base, TimeoutSeconds: 1})
	var r turn.Result
	took := promptly(1050*time.Millisecond, func() { r = b.feature.Run(t.Context(), b.call(keyMain), "svc", nil) })
	if r.Code != "EXECUTION_TIMEOUT" || took > 1050*time.Millisecond {
		t.Errorf("%q after %v", r.Code, took)
	}
	<-gone
}

// TestHTTPToolStaysWhereItMay: neither a redirect nor an address leads elsewhere.
func TestHTTPToolStaysWhereItMay(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	elsewhere := service(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	base := service(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, http.StatusFound) })
	httpBed(t, tenantconfig.HTTPTool{URL: base}).fails(keyMain, "svc", "{}", 502, "EXECUTION_ERROR")
	httpBed(t, tenantconfig.HTTPTool{URL: "http://169.254.169.254/latest", Private: true}).fails(keyMain, "svc", "{}", 502, "EXECUTION_ERROR")
	if reached.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

// TestBrokenToolsDegradeAlone and say what to do.
func TestBrokenToolsDegradeAlone(t *testing.T) {
	t.Parallel()
	tool := func(name string) tenantconfig.HTTPTool {
		return tenantconfig.HTTPTool{Name: name, Description: "d", Method: "GET", URL: "https://api.example/", Effect: tenantconfig.EffectRead}
	}
	good, schema, secret := tool("good"), tool("schema"), tool("secret")
	schema.Parameters = json.RawMessage(`{"type":"object","properties":{"a":{"$ref":"https://evil.example/s"}}}`)
	secret.SecretHeaders = []tenantconfig.SecretHeader{{Name: "x-key", ValueFile: "tool-missing"}}
	b := newBed(t, nil, newTenant(t, nil, withTools(func(c *tenantconfig.Tools) { c.HTTP = []tenantconfig.HTTPTool{good, schema, secret} })))
	status := b.feature.Status(b.tenant)
	if len(status) != 2 || status[0].Name != "schema" || status[0].Reason != "BadSchema" || status[1].Reason != "NoSecret" || status[1].Message == "" {
		t.Errorf("status %+v", status)
	}
	if diff := cmp.Diff([]string{"classify_intent", "extract_entities", "good", "ingest_docs", "search_docs", "summarize", "tag_chunk_docs"}, b.names(keyMain)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.fails(keyMain, "schema", "{}", 404, "TOOL_NOT_FOUND")
}

func TestPointers(t *testing.T) {
	t.Parallel()
	data := map[string]any{"a/b": []any{map[string]any{"~": 1}}, "": 2, "n": nil}
	for pointer, want := range map[string]any{"/a~1b/0/~0": 1, "/": 2, "/n": nil} {
		if got, ok := tools.PointTo(data, pointer); !ok || got != want {
			t.Errorf("%s: %v %v", pointer, got, ok)
		}
	}
	for _, none := range []string{"/x", "/a~1b/1", "/a~1b/-1", "/a~1b/00", "/n/x", "/a~1b/0/~0/z"} {
		if _, ok := tools.PointTo(data, none); ok {
			t.Errorf("%s leads somewhere", none)
		}
	}
}
