package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

func TestOps(t *testing.T) {
	token, ready := "st-c4nary", error(nil)
	h := httpapi.Ops(httpapi.OpsOptions{
		Ready: func(context.Context) error { return ready },
		Status: func(context.Context) tenantconfig.Status {
			return tenantconfig.Status{ConfigDigest: "sha256:x", ActiveStreams: 2}
		},
		StatusToken: func() (string, error) { return token, nil },
		Metrics:     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") }),
	})
	get := func(method, path string, auth ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		r.Header["Authorization"] = auth
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if rec := get("GET", path); rec.Code != 200 {
			t.Errorf("%s: %d", path, rec.Code)
		}
		if rec := get("POST", path); rec.Code != 405 {
			t.Errorf("POST %s: %d", path, rec.Code)
		}
	}
	ready = errors.New("the store at 10.0.0.1 is gone")
	if rec := get("GET", "/readyz"); rec.Code != 503 || strings.Contains(rec.Body.String(), "10.0.0.1") {
		t.Errorf("not ready: %d %s", rec.Code, rec.Body)
	}
	if rec := get("GET", "/healthz"); rec.Code != 200 {
		t.Errorf("alive while not ready: %d", rec.Code)
	}
	for _, auth := range [][]string{nil, {"Bearer "}, {"Bearer wrong"}, {"Basic st-c4nary"}, {"st-c4nary"}, {"Bearer st-c4nary", "Bearer st-c4nary"}, {"Bearer st-c4naryy"}} {
		rec := get("GET", "/status", auth...)
		if rec.Code != 401 || strings.Contains(rec.Body.String(), "sha256") {
			t.Errorf("%q: %d %s", auth, rec.Code, rec.Body)
		}
	}
	rec := get("GET", "/status", "Bearer st-c4nary")
	var status tenantconfig.Status
	if err := json.Unmarshal(rec.Body.Bytes(), &status); err != nil || rec.Code != 200 || status.ActiveStreams != 2 || status.ConfigDigest != "sha256:x" {
		t.Errorf("status: %d %s", rec.Code, rec.Body)
	}
	token = ""
	if rec := get("GET", "/status", "Bearer "); rec.Code != 503 {
		t.Errorf("an empty token opens: %d", rec.Code)
	}
}

// Pages for programs in the pod are there for nobody else.
func TestPagesInsideThePod(t *testing.T) {
	t.Parallel()
	h := httpapi.Ops(httpapi.OpsOptions{
		StatusToken: func() (string, error) { return "c4nary-token", nil },
		Inside:      map[string]http.Handler{"GET /inside": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") })},
	})
	for _, tc := range []struct {
		from, token string
		want        int
	}{
		{"127.0.0.1:1", "c4nary-token", 200}, {"[::1]:1", "c4nary-token", 200}, {"[::ffff:127.0.0.1]:1", "c4nary-token", 200},
		{"127.0.0.1:1", "", 401}, {"127.0.0.1:1", "c4nary-other", 401},
		{"10.0.0.7:1", "c4nary-token", 404}, {"[fd00::7]:1", "c4nary-token", 404}, {"", "c4nary-token", 404},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/inside", nil)
		r.RemoteAddr = tc.from
		if tc.token != "" {
			r.Header.Set("Authorization", "Bearer "+tc.token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tc.want {
			t.Errorf("from %q with %q: %d, want %d", tc.from, tc.token, w.Code, tc.want)
		}
	}
}
