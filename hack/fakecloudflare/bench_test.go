package fakecloudflare_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

// What the fake costs itself, without a network.
func BenchmarkCalls(b *testing.B) {
	for name, noSchema := range map[string]bool{"schema": false, "no schema": true} {
		s, err := fakecloudflare.New(fakecloudflare.Options{NoSchema: noSchema, Rate: fakecloudflare.Rate{Limit: -1}})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.LoadSchema(); err != nil {
			b.Fatal(err)
		}
		token := s.RootToken(account)
		call := func(b *testing.B, method, path, body string, want int) {
			r := httptest.NewRequestWithContext(b.Context(), method, "/client/v4/accounts/"+account+path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			if s.ServeHTTP(w, r); w.Code != want {
				b.Fatalf("answered %d %s", w.Code, w.Body)
			}
		}
		call(b, http.MethodPost, "/vectorize/v2/indexes", `{"name":"bench","config":{"dimensions":1024,"metric":"cosine"}}`, 200)
		b.Run("get/"+name, func(b *testing.B) {
			for b.Loop() {
				call(b, http.MethodGet, "/vectorize/v2/indexes/bench", "", 200)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
		b.Run("create+delete/"+name, func(b *testing.B) {
			for b.Loop() {
				call(b, http.MethodPost, "/ai-gateway/gateways", `{"id":"g","cache_invalidate_on_update":false,"cache_ttl":0,"collect_logs":true,"rate_limiting_interval":0,"rate_limiting_limit":0}`, 200)
				call(b, http.MethodDelete, "/ai-gateway/gateways/g", "", 200)
			}
			b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
