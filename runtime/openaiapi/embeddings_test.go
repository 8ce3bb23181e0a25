package openaiapi_test

import (
	"context"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/openaiapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// embedder makes a vector of a text's length.
type embedder struct {
	asked ai.EmbedRequest
	err   error
}

func (e *embedder) Embedder(*tenancy.Tenant) ai.Embedder { return e }

func (e *embedder) Embed(_ context.Context, _ tenancy.ID, r ai.EmbedRequest) (ai.Embeddings, error) {
	e.asked = r
	out := ai.Embeddings{Usage: ai.Usage{In: 7}}
	for _, text := range r.Texts {
		out.Vectors = append(out.Vectors, []float32{float32(len(text)), -0.5})
	}
	return out, e.err
}

func TestEmbeddings(t *testing.T) {
	t.Parallel()
	e := &embedder{}
	b := newBed(t, aifake.New(t), func(c *tenantconfig.Config, n *openaiapi.Needs) {
		n.Embedders, c.Documents.Store, c.Documents.Embedding.Model = e, tenantconfig.DocumentsState, "embed"
		c.Models.Allowed = []string{"big", "other"}
	})
	const path = "/v1/embeddings"
	want := `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1,-0.5]},{"object":"embedding","index":1,"embedding":[2,-0.5]}],"model":"embed","usage":{"prompt_tokens":7,"total_tokens":7}}`
	if got := b.ok(path, `{"model":"embed","input":["a","bc"],"encoding_format":"float"}`).body; got != want {
		t.Errorf("got %s", got)
	}
	// 1 and -0.5 as little-endian float32.
	if got := b.ok(path, `{"input":"a","encoding_format":"base64","dimensions":2}`).body; !strings.Contains(got, `"embedding":"AACAPwAAAL8="`) || !strings.Contains(got, `"model":"embed"`) {
		t.Errorf("base64: %s", got)
	}
	if calls, in, out := b.used("embeddings"); calls != 2 || in != 14 || out != 0 {
		t.Errorf("recorded %d calls, %d, %d", calls, in, out)
	}
	b.ok(path, `{"model":"other","input":"a"}`)
	if e.asked.Model != "other" {
		t.Errorf("asked %+v", e.asked)
	}
	for body, param := range map[string]string{
		`{"model":"embed"}`: "input", `{"input":[]}`: "input", `{"input":[1,2]}`: "input", `{"input":[[1],[2]]}`: "input", `{"input":["a",null]}`: "input",
		`{"input":["a",""]}`: "input", `{"input":""}`: "input", `{"input":"a","encoding_format":"int8"}`: "encoding_format",
		`{"input":"a","dimensions":0}`: "dimensions", `{"input":"a","dimensions":3}`: "dimensions", `{"model":"builtin/lsa","input":"a"}`: "model",
		`{"input":[` + strings.Repeat(`"a",`, 2048) + `"a"]}`: "input",
	} {
		if got := paramOf(t, b.post(path, body)); got != param {
			t.Errorf("%s: %q, want %q", body[:min(60, len(body))], got, param)
		}
	}
	b = newBed(t, aifake.New(t), func(c *tenantconfig.Config, n *openaiapi.Needs) {
		n.Embedders, c.Documents.Store = e, tenantconfig.DocumentsState
		c.Documents.Embedding.Model, c.Documents.Embedding.Dimensions = "embed", 2
		c.Models.Allowed = []string{"big", "other"}
	})
	if got := paramOf(t, b.post(path, `{"input":"a","dimensions":3}`)); got != "dimensions" {
		t.Errorf("%q", got)
	}
	if calls, in, _ := b.used("embeddings"); calls != 0 || in != 0 {
		t.Errorf("what is known to be refused was paid: %d calls, %d", calls, in)
	}
	if r := b.post(path, `{"model":"forbidden","input":"a"}`); r.status != 404 || !strings.Contains(r.body, `"code":"model_not_found"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	e.err = &ai.Error{Kind: ai.KindModelNotFound}
	if r := b.post(path, `{"model":"other","input":"a"}`); r.status != 404 {
		t.Errorf("%d %s", r.status, r.body)
	}
	b = newBed(t, aifake.New(t), func(_ *tenantconfig.Config, n *openaiapi.Needs) { n.Embedders = nil })
	if r := b.post(path, `{"input":"a"}`); r.status != 403 || !strings.Contains(r.body, `"code":"embeddings_not_enabled"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestEmbeddingsAreWithinTheBudget(t *testing.T) {
	t.Parallel()
	e := &embedder{}
	b := newBed(t, aifake.New(t), func(c *tenantconfig.Config, n *openaiapi.Needs) { n.Embedders, c.Limits.Tokens.Daily = e, 20 })
	for range 2 {
		b.ok("/v1/embeddings", `{"model":"m","input":"a few words"}`)
	}
	if r := b.post("/v1/embeddings", `{"model":"m","input":"a few words more than fit"}`); r.status != 429 || !strings.Contains(r.body, "insufficient_quota") {
		t.Errorf("%d %s", r.status, r.body)
	}
}
