package openaiapi_test

import (
	"context"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/openaiapi"
)

const grounded = `{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"before"},{"role":"assistant","content":"yes"},{"role":"user","content":"When?"}],
	"enigma":{"useRag":true,"topK":3,"filter":{"lang":"de"}}`

func TestAnswersFromDocuments(t *testing.T) {
	t.Parallel()
	lib := &library{sources: []guard.Source{{ID: 1, DocID: "a/b", ChunkID: "a/b#1", Title: "Hours", Text: "Opens at nine."}}}
	b := newBed(t, aifake.New(t, aifake.Says("At nine [1].", " See [2] and https://evil.example/?q=1")), withDocuments(lib))
	whole := b.ok(completions, grounded+`}`).body
	frames := framesOf(t, b.ok(completions, grounded+`,"stream":true}`).body)
	streamed := ""
	for _, f := range frames {
		streamed += contentOf(f)
	}
	if !strings.Contains(frames[len(frames)-2].raw, `"finish_reason":"stop"`) {
		t.Fatalf("%+v", frames)
	}
	for name, text := range map[string]string{"whole": whole, "streamed": streamed + frames[len(frames)-2].raw} {
		if !strings.Contains(text, "At nine [1].") || !strings.Contains(text, `"sources":[{"id":1,"docId":"a/b","chunkId":"a/b#1","title":"Hours"`) {
			t.Errorf("%s: %s", name, text)
		}
		if strings.Contains(text, "evil.example") || strings.Contains(text, "[2]") {
			t.Errorf("%s passes the guard: %s", name, text)
		}
	}
	q := lib.asked[0]
	if q.Message != "When?" || len(q.History) != 3 || q.TopK != 3 || string(q.Filter) != `{"lang":"de"}` {
		t.Errorf("looked for %+v", q)
	}
	m := b.asked(0).Messages
	if len(m) != 4 || !strings.HasPrefix(m[0].Text(), "You help Acme.") || !strings.Contains(m[0].Text(), "Be brief.") || !strings.Contains(m[0].Text(), guard.Rules) ||
		!strings.Contains(m[3].Text(), "Opens at nine.") || !strings.HasSuffix(m[3].Text(), "When?") {
		t.Errorf("asked with %+v", m)
	}
}

// What the documents don't answer isn't asked, and what was set aside is given back.
func TestNothingInTheDocuments(t *testing.T) {
	t.Parallel()
	lib := &library{}
	b := newBed(t, aifake.New(t, aifake.Says("a guess")), withDocuments(lib))
	for _, body := range []string{grounded + `}`, grounded + `,"stream":true}`} {
		if r := b.ok(completions, body); !strings.Contains(r.body, ai.Ungrounded) || !strings.Contains(r.body, `"finish_reason":"stop"`) {
			t.Errorf("%s", r.body)
		}
	}
	if n := len(b.up.Requests()); n != 0 {
		t.Errorf("the model was asked %d times", n)
	}
	spent, err := b.needs.Gate.(*limits.Gate).Spending(t.Context(), b.tenant)
	if err != nil || spent.TokensToday != 0 {
		t.Errorf("spent %+v, %v", spent, err)
	}
	lib.err = &httpapi.Error{Status: 400, Code: "invalid_request", Message: "no", Details: []httpapi.Detail{{Path: "filter", Message: "is wrong"}}}
	for _, body := range []string{grounded + `}`, grounded + `,"stream":true}`} {
		if r := b.post(completions, body); r.status != 400 || !strings.Contains(r.body, `"param":"filter"`) {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
}

func TestADocumentsFaultGivesTheBudgetBack(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"false", "true"} {
		b := newBed(t, aifake.New(t, aifake.Says("ok")), withDocuments(&library{}), with(func(c *tenantconfig.Config) { c.Limits.Tokens.Daily = 6000 }),
			func(_ *tenantconfig.Config, n *openaiapi.Needs) { n.Retriever = faulty{} })
		for range 3 {
			r := b.post(completions, `{"messages":[{"role":"user","content":"x"}],"enigma":{"useRag":true},"stream":`+stream+`}`)
			if r.status != 500 || strings.Contains(r.body, "c4nary") {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
	}
}

// faulty documents panic.
type faulty struct{}

func (faulty) Retrieve(context.Context, httpapi.Call, openaiapi.Question) ([]guard.Source, error) {
	panic("c4nary")
}
