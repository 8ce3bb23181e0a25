package aitest

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// EmbedHarness makes embedders to be tested.
type EmbedHarness struct {
	// Model that the embedder is asked for, and the most texts of one of its calls.
	Model string
	Batch int
	// New makes an embedder over an upstream at url that answers every POST with
	// embeddings in OpenAI's shape.
	New func(t *testing.T, url string) ai.Embedder
}

// embedUpstream embeds texts by their hash, and can be bent.
type embedUpstream struct {
	mu     sync.Mutex
	sizes  []int
	tokens []string
	// bend answers the n-th call, from 0, in its own way if it says true.
	bend func(n int, w http.ResponseWriter, answer map[string]any) bool
}

const embedDimensions = 8

func embedding(text string) []float32 {
	v := make([]float32, embedDimensions)
	for i := range v {
		h := fnv.New32a()
		_, _ = h.Write([]byte(text + strconv.Itoa(i))) // never fails
		v[i] = float32(h.Sum32()%1000) + 1
	}
	return v
}

func (u *embedUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Input []string `json:"input"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, "no JSON", http.StatusBadRequest)
		return
	}
	u.mu.Lock()
	n := len(u.sizes)
	u.sizes = append(u.sizes, len(body.Input))
	u.tokens = append(u.tokens, r.Header.Get("Authorization"))
	u.mu.Unlock()
	data := []any{}
	for i, text := range body.Input {
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": embedding(text)})
	}
	slices.Reverse(data) // nobody promises an order
	answer := map[string]any{"object": "list", "data": data, "usage": map[string]int{"prompt_tokens": 3 * len(body.Input)}}
	if u.bend != nil && u.bend(n, w, answer) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that is gone wants nothing
}

func (h EmbedHarness) open(t *testing.T, u *embedUpstream) ai.Embedder {
	t.Helper()
	srv := httptest.NewServer(u)
	t.Cleanup(srv.Close)
	return h.New(t, srv.URL)
}

func texts(n int) (list []string) {
	for i := range n {
		list = append(list, "c4nary text "+strconv.Itoa(i))
	}
	return list
}

// RunEmbedder tests one embedder.
func RunEmbedder(t *testing.T, h EmbedHarness) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, EmbedHarness){
		"batches keep their bounds and order":     embedBatches,
		"a batch that is lost is sent again":      embedAgain,
		"what waiting doesn't mend fails at once": embedFails,
		"vectors that can't be kept are refused":  embedRefuses,
		"senseless requests are refused":          embedSenseless,
		"an ended context ends the call":          embedEnded,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, h) })
	}
}

func (h EmbedHarness) request(n int) ai.EmbedRequest {
	return ai.EmbedRequest{Model: h.Model, Texts: texts(n), Dimensions: embedDimensions}
}

func embedBatches(t *testing.T, h EmbedHarness) {
	u := &embedUpstream{}
	e := h.open(t, u)
	n := 2*h.Batch + 1
	got, err := e.Embed(t.Context(), Tenant(t), h.request(n))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(u.sizes, []int{h.Batch, h.Batch, 1}) {
		t.Errorf("the batches are %v", u.sizes)
	}
	if len(got.Vectors) != n || got.Usage != (ai.Usage{In: 3 * n}) {
		t.Fatalf("%d vectors, usage %+v", len(got.Vectors), got.Usage)
	}
	for i, text := range texts(n) {
		if !slices.Equal(got.Vectors[i], embedding(text)) {
			t.Fatalf("text %d has another text's vector", i)
		}
	}
	for _, token := range u.tokens {
		if token != "Bearer "+Canary {
			t.Error("a call has no credential")
		}
	}
}

func embedAgain(t *testing.T, h EmbedHarness) {
	for name, bend := range map[string]func(http.ResponseWriter, map[string]any){
		"overloaded": func(w http.ResponseWriter, _ map[string]any) { w.WriteHeader(http.StatusInternalServerError) },
		"a moment's limit": func(w http.ResponseWriter, _ map[string]any) {
			w.Header().Set("Retry-After", "0.01")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"cut": func(w http.ResponseWriter, answer map[string]any) {
			whole, _ := json.Marshal(answer)
			w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
			_, _ = w.Write(whole[:len(whole)/2])
		},
	} {
		u := &embedUpstream{bend: func(n int, w http.ResponseWriter, answer map[string]any) bool {
			if n == 1 {
				bend(w, answer)
			}
			return n == 1
		}}
		got, err := h.open(t, u).Embed(t.Context(), Tenant(t), h.request(h.Batch+1))
		if err != nil || len(got.Vectors) != h.Batch+1 || !slices.Equal(u.sizes, []int{h.Batch, 1, 1}) {
			t.Errorf("%s: %v, batches %v", name, err, u.sizes)
		}
	}
}

func embedFails(t *testing.T, h EmbedHarness) {
	for name, c := range map[string]struct {
		status     int
		retryAfter string
		calls      int
		want       ai.Kind
	}{
		"unauthorized":      {401, "", 1, ai.KindUnauthorized},
		"bad":               {400, "", 1, ai.KindBadRequest},
		"limited for long":  {429, "60", 1, ai.KindRateLimited},
		"limited, no word":  {429, "", 1, ai.KindRateLimited},
		"never comes back":  {500, "", 3, ai.KindUnavailable},
		"paid up":           {402, "", 1, ai.KindQuota},
		"is a redirect":     {302, "", 1, ai.KindUnavailable},
		"the text too long": {413, "", 1, ai.KindTooLong},
	} {
		u := &embedUpstream{bend: func(_ int, w http.ResponseWriter, _ map[string]any) bool {
			w.Header().Set("Retry-After", c.retryAfter)
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(`{"error":{"message":"c4nary"}}`))
			return true
		}}
		_, err := h.open(t, u).Embed(t.Context(), Tenant(t), h.request(2))
		wantEmbedKind(t, name, err, c.want)
		if len(u.sizes) != c.calls {
			t.Errorf("%s: %d calls, want %d", name, len(u.sizes), c.calls)
		}
	}
}

func wantEmbedKind(t *testing.T, name string, err error, want ai.Kind) {
	t.Helper()
	var e *ai.Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Errorf("%s: %v, want %s", name, err, want)
		return
	}
	if strings.Contains(err.Error(), "c4nary") {
		t.Errorf("%s: the error holds what it mustn't", name)
	}
}

func embedRefuses(t *testing.T, h EmbedHarness) {
	set := func(i int, v any) func(map[string]any) {
		return func(answer map[string]any) { answer["data"].([]any)[i].(map[string]any)["embedding"] = v }
	}
	for name, bend := range map[string]func(map[string]any){
		"other dimensions":   set(1, []float32{1, 2}),
		"no dimensions":      set(0, []float32{}),
		"no vector":          set(0, nil),
		"text for a vector":  set(0, "AAAA"),
		"all zero":           set(1, make([]float32, embedDimensions)),
		"beyond float32":     set(1, []float64{1e300, 1, 1, 1, 1, 1, 1, 1}),
		"one too few":        func(a map[string]any) { a["data"] = a["data"].([]any)[:1] },
		"one twice":          func(a map[string]any) { d := a["data"].([]any); d[0] = d[1] },
		"an index of nobody": func(a map[string]any) { a["data"].([]any)[0].(map[string]any)["index"] = 7 },
		"data is no list":    func(a map[string]any) { a["data"] = "x" },
	} {
		u := &embedUpstream{bend: func(_ int, _ http.ResponseWriter, answer map[string]any) bool { bend(answer); return false }}
		_, err := h.open(t, u).Embed(t.Context(), Tenant(t), h.request(2))
		wantEmbedKind(t, name, err, ai.KindMalformed)
	}
	// Without a number asked for, any will do, so long as it stays the same.
	req := h.request(h.Batch + 1)
	req.Dimensions = 0
	if _, err := h.open(t, &embedUpstream{}).Embed(t.Context(), Tenant(t), req); err != nil {
		t.Error(err)
	}
	u := &embedUpstream{bend: func(n int, _ http.ResponseWriter, answer map[string]any) bool {
		if n == 1 {
			set(0, []float32{1})(answer)
		}
		return false
	}}
	_, err := h.open(t, u).Embed(t.Context(), Tenant(t), req)
	wantEmbedKind(t, "dimensions that change", err, ai.KindMalformed)
}

func embedSenseless(t *testing.T, h EmbedHarness) {
	u := &embedUpstream{}
	e := h.open(t, u)
	for name, req := range map[string]ai.EmbedRequest{
		"no model":      {Texts: texts(1)},
		"no texts":      {Model: h.Model},
		"an empty text": {Model: h.Model, Texts: []string{"a", ""}},
	} {
		_, err := e.Embed(t.Context(), Tenant(t), req)
		wantEmbedKind(t, name, err, ai.KindBadRequest)
	}
	_, err := e.Embed(t.Context(), tenancy.ID{}, h.request(1))
	wantEmbedKind(t, "no tenant", err, ai.KindBadRequest)
	if len(u.sizes) != 0 {
		t.Errorf("the upstream was asked %d times", len(u.sizes))
	}
}

func embedEnded(t *testing.T, h EmbedHarness) {
	ctx, cancel := context.WithCancel(t.Context())
	u := &embedUpstream{bend: func(_ int, w http.ResponseWriter, _ map[string]any) bool {
		cancel()
		w.WriteHeader(http.StatusInternalServerError)
		return true
	}}
	_, err := h.open(t, u).Embed(ctx, Tenant(t), h.request(1))
	wantEmbedKind(t, "canceled", err, ai.KindCanceled)
	if len(u.sizes) != 1 {
		t.Errorf("%d calls for a client that has gone", len(u.sizes))
	}
}
