package rag_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func (b *bed) call() httpapi.Call {
	return httpapi.Call{Tenant: b.acme, Caller: tenancy.Caller{Key: "main"}, TraceID: "t", Out: http.Header{}}
}

func past(question, answer string) []ai.Message {
	return []ai.Message{{Role: ai.RoleUser, Content: question}, {Role: ai.RoleAssistant, Content: answer}}
}

func TestAFollowUpQuestionIsLookedForWithItsConversation(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		up       []aifake.Answer
		question rag.Question
		calls    int
		want     string
	}{
		"rewritten": {[]aifake.Answer{aifake.Says("\"northern pond herons depth\"\nSure!")},
			rag.Question{Message: "And how deep is it?", History: past("Where do herons nest?", "Near the northern pond [1].")}, 1, "birds"},
		"the model is down": {[]aifake.Answer{aifake.Refuses(500, "c4nary")},
			rag.Question{Message: "And how deep is it?", History: past("Where do herons nest?", "Near the northern pond [1].")}, 1, "birds"},
		"stands alone": {[]aifake.Answer{aifake.Says("herons")},
			rag.Question{Message: "Which mooring fees does the harbour master charge nightly?", History: past("Where do herons nest?", "In reeds.")}, 0, "harbour"},
		"first question": {nil, rag.Question{Message: "it herons"}, 0, "birds"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, setup{up: tc.up})
			b.must("birds", herons)
			b.must("harbour", "The harbour master charges mooring fees of twelve euros nightly.")
			found, err := b.feature.Retrieve(t.Context(), b.call(), tc.question)
			if err != nil || len(found) == 0 || found[0].DocID != tc.want || found[0].ID != 1 {
				t.Errorf("%+v %v", found, err)
			}
			if n := len(b.up.Requests()); n != tc.calls {
				t.Errorf("%d calls of the model", n)
			}
			for _, r := range b.up.Requests() {
				if !strings.Contains(r.Chat.Messages[0].Text(), "<data kind=\"conversation\"") {
					t.Error("the conversation isn't fenced")
				}
			}
		})
	}
}

func TestWhatARetrieverRefuses(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{})
	for name, q := range map[string]rag.Question{
		"filter": {Message: "x", Filter: json.RawMessage(`{"$or":[]}`)}, "topK": {Message: "x", TopK: 51}, "nothing": {Message: " "},
	} {
		_, err := b.feature.Retrieve(t.Context(), b.call(), q)
		if e, ok := err.(*httpapi.Error); !ok || e.Status != 400 { //nolint:errorlint // it is the answer itself
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestToolsSearchAndIngestWithinTheirRequest(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: func(c *tenantconfig.Config) {
		withModel(c)
		c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 1, WindowSec: 60}
		c.Limits.Tokens.Daily = 1000
	}})
	for range 3 { // a request is counted by whoever was asked
		chunks, job, err := b.feature.Ingest(t.Context(), b.call(), "birds", "Birds", "tool", herons, 0, map[string]any{"lang": "en"})
		if err != nil || chunks != 1 || job != "" {
			t.Fatalf("%d %q %v", chunks, job, err)
		}
		found, err := b.feature.Search(t.Context(), b.call(), "herons", 3)
		if err != nil || len(found) != 1 || found[0].Source != "tool" || found[0].Title != "Birds" {
			t.Fatalf("%+v %v", found, err)
		}
	}
	for name, ingest := range map[string]func() error{
		"a bad size": func() error {
			_, _, err := b.feature.Ingest(t.Context(), b.call(), "x", "", "", "text", 5, nil)
			return err
		},
		"over the budget": func() error {
			_, _, err := b.feature.Ingest(t.Context(), b.call(), "x", "", "", strings.Repeat("herons ", 2000), 0, nil)
			return err
		},
		"a key that reads alone": func() error {
			c := b.call()
			c.Caller.Scopes = []string{tenancy.ScopeDocumentsRead}
			_, _, err := b.feature.Ingest(t.Context(), c, "x", "", "", "text", 0, nil)
			return err
		},
	} {
		if _, ok := ingest().(*httpapi.Error); !ok { //nolint:errorlint // it is the answer itself
			t.Errorf("%s: %v", name, ingest())
		}
	}
	if d, _ := documentsOf(t, b); d != 1 {
		t.Errorf("%d documents", d)
	}
}
