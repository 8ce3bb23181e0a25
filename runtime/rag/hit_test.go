package rag_test

import (
	"bytes"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
)

// A hit of the cache, over HTTP.
func TestAHitIsFast(t *testing.T) {
	b := newBed(t, setup{up: []aifake.Answer{aifake.Says("In reeds [1].")}})
	b.must("birds", herons)
	b.search(fields{"query": "Where do herons nest?"})
	var took []time.Duration
	for range 200 {
		begun := time.Now()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/search", bytes.NewReader([]byte(`{"query":"Where do herons nest?"}`)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("x-tenant-id", "acme")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.Header.Get("X-Cache") != "hit" {
			t.Fatal("no hit")
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	t.Logf("p50 %v", took[len(took)/2])
	// 2 ms is the goal on a quiet machine; here others are at work.
	if p50 := took[len(took)/2]; p50 > 20*time.Millisecond {
		t.Errorf("p50 %v", p50)
	}
}
