package httpapi_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func TestEnvelope(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	a := b.do("POST", "/chat", `{"message":"a <b> & \"c\""}`, bearerAcme, "X-Trace-Id: my-\"trace\\")
	want := `{"ok":true,"data":{"caller":"key:default","message":"a <b> & \"c\"","tenant":"acme"},"traceId":"my-\"trace\\"}`
	if diff := cmp.Diff(want, a.Body); diff != "" || a.Status != 200 {
		t.Errorf("status %d, body (-want +got):\n%s", a.Status, diff)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Content-Length": strconv.Itoa(len(want)), "X-Trace-Id": `my-"trace\`,
		"X-Content-Type-Options": "nosniff", "Vary": "Origin", "Cache-Control": "no-store", "X-Model-Id": "small",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if a := b.do("GET", "/chat/s1/history?limit=2", "", bearerAcme); a.Body != `["s1","2"]` {
		t.Errorf("raw answer %s", a.Body)
	}
	if a := b.do("DELETE", "/chat/s1", "", bearerAcme); a.Status != http.StatusAccepted {
		t.Errorf("status %d", a.Status)
	}
	if a := b.do("HEAD", "/chat/s1/history", "", bearerAcme); a.Status != 200 || a.Body != "" || a.Header.Get("Content-Length") != "9" {
		t.Errorf("HEAD: %+v", a)
	}
}

func TestRule1TraceID(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent := "00-" + trace + "-00f067aa0ba902b7-01"
	for name, tc := range map[string]struct {
		lines []string
		want  string // empty: a new UUID
	}{
		"sent":                     {[]string{"X-Trace-Id: abc", "Traceparent: " + parent}, "abc"},
		"longest":                  {[]string{"X-Trace-Id: " + strings.Repeat("x", 128)}, strings.Repeat("x", 128)},
		"too long":                 {[]string{"X-Trace-Id: " + strings.Repeat("x", 129)}, ""},
		"with a space":             {[]string{"X-Trace-Id: a b"}, ""},
		"not ASCII":                {[]string{"X-Trace-Id: ä"}, ""},
		"parent":                   {[]string{"Traceparent: " + parent}, trace},
		"parent after a bad id":    {[]string{"X-Trace-Id: a b", "Traceparent: " + parent}, trace},
		"parent of a later format": {[]string{"Traceparent: 01" + parent[2:] + "-more"}, trace},
		"parent that is too long":  {[]string{"Traceparent: " + parent + "-more"}, ""},
		"parent of version ff":     {[]string{"Traceparent: ff" + parent[2:]}, ""},
		"parent of zeros":          {[]string{"Traceparent: 00-" + strings.Repeat("0", 32) + parent[35:]}, ""},
		"parent in capitals":       {[]string{"Traceparent: " + strings.ToUpper(parent)}, ""},
		"parent cut":               {[]string{"Traceparent: " + parent[:40]}, ""},
		"nothing":                  {nil, ""},
	} {
		a := b.do("GET", "/nowhere", "", tc.lines...)
		got := a.Header.Get("X-Trace-Id")
		if got != a.TraceID {
			t.Errorf("%s: header %q, envelope %q", name, got, a.TraceID)
		}
		if tc.want != "" && got != tc.want || tc.want == "" && (len(got) != 36 || got[14] != '4') {
			t.Errorf("%s: trace id %q, want %q", name, got, tc.want)
		}
	}
}

func TestRules2And3TenantAndKey(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	const good = `{"message":"hi"}`
	unauthorized := b.do("POST", "/chat", good, "X-Tenant-Id: acme", "X-Trace-Id: t")
	for name, tc := range map[string]struct {
		lines  []string
		status int
		code   string
	}{
		"key alone":       {[]string{bearerAcme}, 200, ""},
		"host":            {[]string{"Host: ACME.example:80", "X-Api-Key: " + acmeKey}, 200, ""},
		"none":            {nil, 400, "tenant_required"},
		"unknown":         {[]string{"X-Tenant-Id: initech", bearerAcme}, 404, "tenant_unknown"},
		"mismatch":        {[]string{"Host: globex.example", "X-Tenant-Id: acme", bearerAcme}, 400, "tenant_mismatch"},
		"two headers":     {[]string{"X-Tenant-Id: acme", "X-Tenant-Id: globex", bearerAcme}, 400, "tenant_mismatch"},
		"no key":          {[]string{"X-Tenant-Id: acme"}, 401, "unauthorized"},
		"wrong key":       {[]string{"X-Tenant-Id: acme", "X-Api-Key: nope"}, 401, "unauthorized"},
		"another's key":   {[]string{"X-Tenant-Id: acme", "X-Api-Key: " + globexKey}, 401, "unauthorized"},
		"another's host":  {[]string{"Host: acme.example", "X-Api-Key: " + globexKey}, 401, "unauthorized"},
		"unknown by key":  {[]string{"X-Api-Key: nope"}, 401, "unauthorized"},
		"open by header":  {[]string{"X-Tenant-Id: open"}, 200, ""},
		"bad body, no id": {nil, 400, "tenant_required"},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.do("POST", "/chat", good, append(tc.lines, "X-Trace-Id: t")...)
			if a.Status != tc.status || a.Error.Code != tc.code || a.OK != (tc.status == 200) {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			if tc.status == 401 && (a.Body != unauthorized.Body || a.Header.Get("Www-Authenticate") != "Bearer") {
				t.Errorf("401 tells more: %s", a.Body)
			}
		})
	}
	// Who is not known yet learns nothing of the body's rules.
	if a := b.do("POST", "/chat", `{"message":`, "X-Tenant-Id: acme"); a.Status != 401 {
		t.Errorf("a bad body without a key: %d", a.Status)
	}
	if a := b.do("GET", "/openapi.json", "", "X-Tenant-Id: acme"); a.Body != `{"tenant":"acme"}` {
		t.Errorf("open route: %s", a.Body)
	}
	if a := b.do("GET", "/openapi.json", ""); a.Error.Code != "tenant_required" {
		t.Errorf("open route of nobody: %s", a.Body)
	}
	if a := b.do("GET", "/metrics/cost", "", bearerAcme); a.Status != 403 || a.Error.Code != "forbidden" {
		t.Errorf("without the scope: %s", a.Body)
	}
	if a := b.do("GET", "/metrics/cost", "", "X-Api-Key: "+metricsKey); a.Status != 200 {
		t.Errorf("with the scope: %s", a.Body)
	}
}

func TestRules4And5Body(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	big := `{"message":"` + strings.Repeat("x", 5000) + `"}`
	for name, tc := range map[string]struct {
		body   string
		lines  []string
		status int
		code   string
	}{
		"fits":          {`{"message":"` + strings.Repeat("x", 4000) + `"}`, nil, 200, ""},
		"too large":     {big, nil, 413, "payload_too_large"},
		"null":          {`null`, nil, 400, "invalid_request"},
		"empty":         {``, nil, 400, "invalid_json"},
		"array":         {`[]`, nil, 400, "invalid_request"},
		"garbage after": {`{"message":"x"}x`, nil, 400, "invalid_json"},
		"duplicate":     {`{"message":"x","message":"y"}`, nil, 400, "invalid_json"},
		"invalid UTF-8": {"{\"message\":\"\xff\"}", nil, 400, "invalid_json"},
		"deep":          {`{"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `,"message":"x"}`, nil, 400, "invalid_json"},
		"alias":         {`{"MESSAGE":"x"}`, nil, 400, "invalid_request"},
		"wrong type":    {`{"message":1}`, nil, 400, "invalid_request"},
		"schema":        {`{}`, nil, 400, "invalid_request"},
		"unknown field": {`{"message":"x","extra":{}}`, nil, 200, ""},
		"gzip":          {"\x1f\x8b", []string{"Content-Encoding: gzip"}, 415, "unsupported_media_type"},
		"no type":       {`{"message":"x"}`, []string{"Content-Type: text/plain"}, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.do("POST", "/chat", tc.body, append(tc.lines, bearerAcme)...)
			if a.Status != tc.status || a.Error.Code != tc.code {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	a := b.do("POST", "/chat", `{}`, bearerAcme)
	if diff := cmp.Diff([]httpapi.Detail{{Path: "message", Message: "must not be empty"}}, a.Error.Details); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
	chunked := b.raw("POST /chat HTTP/1.1\r\nHost: x\r\n" + bearerAcme + "\r\nTransfer-Encoding: chunked\r\n\r\n1400\r\n" + strings.Repeat("x", 0x1400) + "\r\n0\r\n\r\n")
	if chunked.Status != 413 {
		t.Errorf("chunked: %d %s", chunked.Status, chunked.Body)
	}
	if a := b.do("POST", "/upload", `{"data":"`+strings.Repeat("x", 500_000)+`"}`, bearerAcme); a.Status != 200 || string(a.Data) != "500000" {
		t.Errorf("a route's own limit: %d %s", a.Status, a.Body)
	}
}

func TestRule6PathsAndMethods(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	for name, tc := range map[string]struct {
		method, path string
		status       int
		allow        string
	}{
		"known":             {"POST", "/chat", 200, ""},
		"trailing slash":    {"POST", "/chat/", 200, ""},
		"slash on wildcard": {"GET", "/chat/s1/history/", 200, ""},
		"unknown":           {"GET", "/nowhere", 404, ""},
		"root":              {"GET", "/", 404, ""},
		"wrong method":      {"PUT", "/chat", 405, "OPTIONS, POST"},
		"wrong method, get": {"POST", "/chat/s1/history", 405, "GET, HEAD, OPTIONS"},
		"made-up method":    {"FROB", "/chat", 405, "OPTIONS, POST"},
		"options":           {"OPTIONS", "/chat", 204, "OPTIONS, POST"},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.do(tc.method, tc.path, `{"message":"x"}`, bearerAcme)
			if a.Status != tc.status || a.Header.Get("Allow") != tc.allow || a.Header.Get("X-Trace-Id") == "" {
				t.Errorf("%d %v %s", a.Status, a.Header, a.Body)
			}
		})
	}
	if a := b.do("GET", "/nowhere", ""); a.Error.Code != "not_found" {
		t.Errorf("an unknown path without a tenant: %s", a.Body)
	}
}

func TestRule7FaultsAndPanics(t *testing.T) {
	b := newBench(t, httpapi.Options{Translate: func(err error) *httpapi.Error {
		if strings.Contains(err.Error(), "translate me") {
			return &httpapi.Error{Status: 502, Code: "ai_error", Message: "fixed", Cause: err}
		}
		return nil
	}})
	for fault, tc := range map[string]struct {
		status int
		code   string
	}{
		"panic": {500, "internal"}, "nil": {500, "internal"}, "internal": {500, "internal"}, "unwritable": {500, "internal"},
		"store": {503, "unavailable"}, "deadline": {504, "timeout"}, "limited": {429, "rate_limited"},
	} {
		t.Run(fault, func(t *testing.T) {
			a := b.do("POST", "/chat", `{"message":"c4nary-message","fault":"`+fault+`"}`, bearerAcme)
			if a.Status != tc.status || a.Error.Code != tc.code {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			for _, secret := range []string{"c4nary", "10.0.0.1", ".go", "goroutine"} {
				if strings.Contains(a.Body, secret) {
					t.Errorf("the client is told %q: %s", secret, a.Body)
				}
			}
			after, err := strconv.Atoi(a.Header.Get("Retry-After"))
			switch fault {
			case "store":
				if err != nil || after < 1 || after > 5 {
					t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
				}
			case "limited":
				if after != 2 {
					t.Errorf("Retry-After %q: 1.5 s is rounded up", a.Header.Get("Retry-After"))
				}
			}
		})
	}
	for len(b.seen) > 0 {
		<-b.seen
	}
	r, _ := http.NewRequestWithContext(t.Context(), "POST", b.url+"/chat", strings.NewReader(`{"message":"x","fault":"abort"}`))
	r.Header.Set("X-Api-Key", acmeKey)
	if res, err := http.DefaultTransport.RoundTrip(r); err == nil {
		_ = res.Body.Close()
		t.Errorf("an aborted answer is %d", res.StatusCode)
	}
	if o := <-b.seen; o.Status != 500 || o.Code != "aborted" {
		t.Errorf("observed %+v", o)
	}
	if a := b.do("POST", "/chat", `{"message":"x"}`, bearerAcme); a.Status != 200 {
		t.Errorf("after the panics: %d", a.Status)
	}
	logs := b.logs.String()
	for _, want := range []string{`"tenant":"acme"`, `"trace_id":`, `"route":"POST /chat"`, "dialing 10.0.0.1", "nil pointer"} {
		if !strings.Contains(logs, want) {
			t.Errorf("logs don't say %s:\n%s", want, logs)
		}
	}
	if strings.Contains(logs, "c4nary") {
		t.Errorf("a key or a message is in the logs:\n%s", logs)
	}
}

func TestRule8CORS(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	ask := "Access-Control-Request-Method: POST"
	for name, tc := range map[string]struct {
		lines []string
		want  string
	}{
		"exact":            {[]string{"Host: acme.example", "Origin: https://app.example", ask}, "https://app.example"},
		"wildcard":         {[]string{"Host: acme.example", "Origin: https://pr-7.preview.example:8443", ask}, "https://pr-7.preview.example:8443"},
		"two labels":       {[]string{"Host: acme.example", "Origin: https://a.b.preview.example:8443", ask}, ""},
		"no label":         {[]string{"Host: acme.example", "Origin: https://.preview.example:8443", ask}, ""},
		"bare domain":      {[]string{"Host: acme.example", "Origin: https://preview.example:8443", ask}, ""},
		"other port":       {[]string{"Host: acme.example", "Origin: https://pr-7.preview.example", ask}, ""},
		"other scheme":     {[]string{"Host: acme.example", "Origin: http://app.example", ask}, ""},
		"suffix":           {[]string{"Host: acme.example", "Origin: https://app.example.evil.example", ask}, ""},
		"prefix":           {[]string{"Host: acme.example", "Origin: https://evil-app.example", ask}, ""},
		"null":             {[]string{"Host: acme.example", "Origin: null", ask}, ""},
		"another tenant":   {[]string{"Host: globex.example", "Origin: https://app.example", ask}, ""},
		"no tenant's host": {[]string{"Origin: https://app.example", ask}, ""},
		"the rule itself":  {[]string{"Host: acme.example", "Origin: https://*.preview.example:8443", ask}, ""},
		"tricky wildcard":  {[]string{"Host: acme.example", "Origin: https://x/.preview.example:8443", ask}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.do("OPTIONS", "/chat", "", tc.lines...)
			if got := a.Header.Get("Access-Control-Allow-Origin"); got != tc.want || a.Status != 204 || a.Body != "" {
				t.Errorf("%d, origin %q, want %q", a.Status, got, tc.want)
			}
			if got := a.Header.Get("Access-Control-Allow-Methods"); (got != "") != (tc.want != "") {
				t.Errorf("methods %q", got)
			}
			if a.Header.Get("Vary") != "Origin" || a.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("headers %v", a.Header)
			}
		})
	}
	if a := b.do("POST", "/chat", `{}`, "Host: acme.example", "Origin: https://app.example", bearerAcme); a.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Error("an error can't be read by the page it is for")
	}
	if a := b.do("POST", "/chat", `{"message":"x"}`, "Origin: https://app.example", bearerAcme); a.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Error("the tenant that the key names was not asked")
	}
	if a := b.do("POST", "/chat", `{"message":"x"}`, "Host: acme.example", "Origin: https://app.example"); a.Status != 401 || a.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Error("a 401 can't be read by the page it is for")
	}
	one := newBench(t, httpapi.Options{}, newTenant(t, "acme", withOrigins("https://app.example"), withKey("default", acmeKey)))
	if a := one.do("OPTIONS", "/chat", "", "Origin: https://app.example", ask); a.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Error("the only tenant was not asked")
	}
}

// A page can make a browser send JSON as text/plain without asking first.
func TestForeignPagesCannotUseATenantWithoutKeys(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	for origin, status := range map[string]int{
		"https://evil.example": 403, "null": 403, "https://app.example": 200, "http://open.example": 200, "http://OPEN.example": 200, "https://open.example.evil.example": 403,
	} {
		a := b.do("POST", "/chat", `{"message":"x"}`, "Host: open.example", "Content-Type: text/plain", "Origin: "+origin)
		if a.Status != status {
			t.Errorf("%s: %d %s", origin, a.Status, a.Body)
		}
	}
}

func TestObservations(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	for _, tc := range []struct {
		method, path, body string
		lines              []string
		want               httpapi.Observation
	}{
		{"POST", "/chat", `{"message":"x"}`, []string{bearerAcme}, httpapi.Observation{Route: "POST /chat", Status: 200}},
		{"GET", "/chat/secret/history", ``, []string{bearerAcme}, httpapi.Observation{Route: "GET /chat/{sessionId}/history", Status: 200}},
		{"GET", "/made/up/1", ``, nil, httpapi.Observation{Route: "unmatched", Status: 404, Code: "not_found"}},
		{"FROB", "/chat", ``, nil, httpapi.Observation{Route: "unmatched", Status: 405, Code: "method_not_allowed"}},
		{"POST", "/chat", ``, nil, httpapi.Observation{Route: "POST /chat", Status: 400, Code: "tenant_required"}},
		{"POST", "/chat", `{"message":"x","fault":"nil"}`, []string{bearerAcme}, httpapi.Observation{Route: "POST /chat", Status: 500, Code: "internal"}},
	} {
		a := b.do(tc.method, tc.path, tc.body, append(tc.lines, "X-Trace-Id: t")...)
		got := <-b.seen
		if got.Duration <= 0 || got.Bytes != int64(len(a.Body)) || got.TraceID != "t" || (got.Tenant.String() != "") != (tc.lines != nil) {
			t.Errorf("%s %s: %+v", tc.method, tc.path, got)
		}
		got.Duration, got.Bytes, got.TraceID, got.Tenant = 0, 0, "", tenancy.ID{}
		if got != tc.want {
			t.Errorf("%s %s: %+v, want %+v", tc.method, tc.path, got, tc.want)
		}
	}
}

func TestHandleRefusesBadPatterns(t *testing.T) {
	d := httpapi.NewDoor(nil, httpapi.Options{})
	h := func(context.Context, httpapi.Call, struct{}) (httpapi.Answer, error) { return httpapi.Answer{}, nil }
	httpapi.Handle(d, "GET", "/a/{id}", httpapi.Route{}, h)
	for _, pattern := range []string{"", "a", "/a/", "/a/{id}", "/a/{other}", "/{"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was accepted", pattern)
				}
			}()
			httpapi.Handle(d, "GET", pattern, httpapi.Route{}, h)
		}()
	}
}
