package chat_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/openai"
	"github.com/crispy-enigma/crispy-enigma/runtime/chat"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const session = "3f0e8a52-1c6b-4f7e-9d0a-5b1f2c3d4e5f"

// ask sends one question behind what is in the store and gives what the upstream was
// asked.
func ask(t *testing.T, past []storage.Message) []aifake.Message {
	t.Helper()
	tenant := newTenant(t, func(c *tenantconfig.Config) { c.Prompt.System = "system" })
	up := aifake.New(t, aifake.Says("ok"))
	driver, err := openai.New(openai.Options{BaseURL: up.URL})
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New(memory.Options{})
	owner := storage.Owner{Caller: tenancy.Caller{Key: "k"}.ID()}
	if err := store.Sessions().Append(t.Context(), tenant.ID, owner, session, past, storage.Keep{}); err != nil {
		t.Fatal(err)
	}
	f := chat.New(needs(driver, store, slog.New(slog.DiscardHandler), nil))
	no := false
	if err := f.Ask(context.Background(), tenant, tenancy.Caller{Key: "k"}, chat.Request{SessionID: session, Message: "question", Stream: &no}); err != nil {
		t.Fatal(err)
	}
	return up.Requests()[0].Chat.Messages
}

func conversation(turns, length int) (out []storage.Message) {
	at := time.Now().Add(-time.Hour)
	for i := range turns {
		for _, role := range []string{storage.RoleUser, storage.RoleAssistant} {
			at = at.Add(time.Second)
			out = append(out, storage.Message{Role: role, Content: fmt.Sprintf("%s %d %s", role, i, strings.Repeat("x", length)), At: at})
		}
	}
	return out
}

func TestTheHistoryInThePromptIsBounded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		turns, length int
		want          int // messages of the history
		first         string
	}{
		"nothing":       {0, 0, 0, ""},
		"short":         {3, 10, 6, "user 0 "},
		"many messages": {100, 10, 40, "user 80 "},
		"long messages": {20, 3000, 8, "user 16 "},
		"one too long":  {1, 100_000, 0, ""},
	} {
		got := ask(t, conversation(tc.turns, tc.length))
		if got[0].Role != "system" || *got[len(got)-1].Content != "question" {
			t.Errorf("%s: asked from %q to %q", name, got[0].Role, *got[len(got)-1].Content)
		}
		past := got[1 : len(got)-1]
		if len(past) != tc.want || tc.want > 0 && !strings.HasPrefix(*past[0].Content, tc.first) {
			t.Errorf("%s: %d messages of history, want %d from %q on", name, len(past), tc.want, tc.first)
		}
	}
}
