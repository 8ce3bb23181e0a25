package openai_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aitest"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/chatwire"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/openai"
)

func request() ai.ChatRequest {
	return ai.ChatRequest{Model: "m", MaxTokens: 50, Messages: []ai.Message{{Role: ai.RoleUser, Content: "hi"}}}
}

// BenchmarkComplete and BenchmarkPlainHTTP differ by what the driver adds to a call.
func BenchmarkComplete(b *testing.B) {
	up := aifake.New(b, aifake.Says("Hello", " world"))
	d, err := openai.New(openai.Options{BaseURL: up.URL})
	if err != nil {
		b.Fatal(err)
	}
	tenant, req := aitest.Tenant(b), request()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Complete(context.Background(), tenant, req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlainHTTP(b *testing.B) {
	up := aifake.New(b, aifake.Says("Hello", " world"))
	body := []byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":50,"stream":false}`)
	client := &http.Client{Transport: chatwire.NewTransport(chatwire.TransportOptions{})}
	b.ReportAllocs()
	for b.Loop() {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, up.URL+"/chat/completions", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			b.Fatal(err)
		}
	}
}

// A thousand streams are open at once, over one transport; every token arrives.
// It runs alone, because others measure times.
func TestThousandStreamsAtOnce(t *testing.T) {
	const streams = 1000
	gate := make(chan struct{})
	up := aifake.New(t, aifake.Says("one", " two", " three").PauseAt(1, gate))
	d, err := openai.New(openai.Options{BaseURL: up.URL})
	if err != nil {
		t.Fatal(err)
	}
	var open, done sync.WaitGroup
	open.Add(streams)
	for range streams {
		done.Go(func() {
			opened := sync.OnceFunc(open.Done)
			defer opened()
			s, err := d.Stream(t.Context(), aitest.Tenant(t), request())
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = s.Close() }()
			first, err := s.Next()
			if err != nil {
				t.Error(err)
				return
			}
			opened()
			rest, usage, err := aitest.Collect(s)
			if first.Text+rest != "one two three" || err != nil || usage == nil || usage.Out != 3 {
				t.Errorf("%q, %+v, %v", first.Text+rest, usage, err)
			}
		})
	}
	open.Wait()
	close(gate)
	done.Wait()
	if n := len(up.Ledger()); n != streams {
		t.Errorf("%d calls", n)
	}
}
