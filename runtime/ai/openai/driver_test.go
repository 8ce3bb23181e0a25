package openai_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aitest"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/openai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	aitest.Run(t, aitest.Harness{Model: "llama3.2", New: func(t *testing.T, answers ...aifake.Answer) (ai.Chatter, *aifake.Server) {
		up := aifake.New(t, answers...)
		d, err := openai.New(openai.Options{BaseURL: up.URL + "/", Credential: func() string { return aitest.Canary }})
		if err != nil {
			t.Fatal(err)
		}
		return d, up
	}})
}

func TestNoCredentialIsSentIfThereIsNone(t *testing.T) {
	t.Parallel()
	for name, credential := range map[string]func() string{"nil": nil, "empty": func() string { return "" }} {
		up := aifake.New(t, aifake.Says("x"))
		d, err := openai.New(openai.Options{BaseURL: up.URL, Credential: credential})
		if err != nil {
			t.Fatal(err)
		}
		req := ai.ChatRequest{Model: "m", MaxTokens: 1, Messages: []ai.Message{{Role: ai.RoleUser, Content: "hi"}}}
		if _, err := d.Complete(t.Context(), aitest.Tenant(t), req); err != nil {
			t.Fatal(err)
		}
		if got := up.Requests()[0].Header.Values("Authorization"); len(got) != 0 {
			t.Errorf("%s: %d credentials were sent", name, len(got))
		}
	}
}
