package chat_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/chat"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func TestAnAnswerRestsOnDocuments(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, aifake.Says("It opens at nine [1], ", "says nobody [4]. ", "See https://evil.example/x."))
	b.library.sources = []guard.Source{
		{ID: 1, DocID: "hours", ChunkID: "hours#0", Title: "Hours", Headings: []string{"Vienna"}, Text: "The office opens at nine.", Score: 0.9},
		{ID: 2, DocID: "tea", ChunkID: "tea#0", Text: "Tea is at four."},
	}
	for _, stream := range []bool{false, true} {
		status, text := b.ask(map[string]any{"message": "when does it open?", "stream": stream, "useRag": true, "topK": 7, "filter": map[string]any{"lang": "en"}})
		if status != 200 || strings.Contains(text, "[4]") || strings.Contains(text, "evil") {
			t.Errorf("%d %s", status, text)
		}
		contains(t, text, "[1]", `"sources":[{"id":1,"docId":"hours","chunkId":"hours#0","title":"Hours","headings":["Vienna"],"text":"The office opens at nine.","score":0.9},{"id":2,`)
	}
	msgs := b.asked(0)
	contains(t, msgs[0].Text(), "You help.", "Cite each passage", guard.Rules)
	contains(t, msgs[1].Text(), `label="[1] Hours '`, "The office opens at nine.", "Tea is at four.")
	if !strings.HasSuffix(msgs[1].Text(), "when does it open?") {
		t.Errorf("asked %q", msgs[1].Text())
	}
	q := b.library.asked[1]
	if q.Message != "when does it open?" || q.TopK != 7 || string(q.Filter) != `{"lang":"en"}` || len(q.History) != 2 || q.History[0].Role != ai.RoleUser {
		t.Errorf("looked for %+v", q)
	}
	if h := b.history(); len(h) != 4 || h[1] != "user: when does it open?" || strings.Contains(h[0], "evil") {
		t.Errorf("kept %q", h)
	}
}

func TestWhatTheDocumentsDontAnswer(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	for _, stream := range []bool{false, true} {
		status, text := b.ask(map[string]any{"message": "x", "stream": stream, "useRag": true})
		if status != 200 {
			t.Errorf("%d %s", status, text)
		}
		contains(t, text, ai.Ungrounded, `"sources":[]`)
	}
	if len(b.up.Requests()) != 0 || len(b.history()) != 4 {
		t.Errorf("%d calls of the model, kept %q", len(b.up.Requests()), b.history())
	}
	b.reservedNothing()
	for want, err := range map[int]error{
		400: httpapi.Invalid("filter", "is none"), 500: errors.New("c4nary"), 502: &ai.Error{Kind: ai.KindMalformed}, 503: fmt.Errorf("searching: %w", storage.ErrUnavailable),
	} {
		b.library.err = err
		for _, stream := range []bool{false, true} {
			if status, text := b.ask(map[string]any{"message": "x", "stream": stream, "useRag": true}); status != want || strings.Contains(text, "c4nary") {
				t.Errorf("%v: status %d", want, status)
			}
		}
	}
	b.reservedNothing()
}

func TestPassagesAndHistoryFitTheContext(t *testing.T) {
	t.Parallel()
	b := newBed(t, func(c *tenantconfig.Config) { c.Prompt.ContextTokens, c.Prompt.MaxTokens = 2048, 200 }, aifake.Says("ok"))
	for i := range 30 {
		b.library.sources = append(b.library.sources, guard.Source{ID: i + 1, Text: strings.Repeat("word ", 100)})
	}
	b.say(20, 300)
	_, text := b.ask(map[string]any{"message": "x", "stream": false, "useRag": true})
	var got struct {
		Data struct{ Sources []guard.Source }
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if n := len(got.Data.Sources); n < 3 || n > 6 {
		t.Errorf("%d passages were given", n)
	}
	size := 0
	for _, m := range b.asked(0) {
		size += len(m.Text())
	}
	if size > (2048-200)*4 || len(b.asked(0)) < 5 {
		t.Errorf("asked %d messages of %d bytes", len(b.asked(0)), size)
	}
}

// say puts turns of a length into the session.
func (b *bed) say(turns, length int) {
	b.t.Helper()
	owner := storage.Owner{Caller: tenancy.Caller{Address: "127.0.0.1"}.ID()}
	if err := b.store.Sessions().Append(b.t.Context(), b.tenant.ID, owner, session, conversation(turns, length), storage.Keep{}); err != nil {
		b.t.Fatal(err)
	}
}

func TestALongConversationIsSummedUp(t *testing.T) {
	t.Parallel()
	summing := func(r *aifake.Request) bool { return strings.HasPrefix(r.Chat.Messages[0].Text(), "Sum up") }
	b := newBed(t, func(c *tenantconfig.Config) {
		c.Prompt.Summarize, c.Prompt.ContextTokens, c.Prompt.MaxTokens = true, 2048, 200
	})
	b.up.Script(func(r *aifake.Request) aifake.Answer {
		if summing(r) {
			return aifake.Says("They spoke of xs.")
		}
		return aifake.Says("ok")
	})
	b.say(10, 600)
	for range 3 {
		if status, text := b.ask(map[string]any{"message": "go on", "stream": false, "useTools": false}); status != 200 {
			t.Fatal(status, text)
		}
	}
	requests := b.up.Requests()
	if len(requests) != 4 || !summing(requests[0]) || summing(requests[1]) || summing(requests[2]) {
		t.Fatalf("%d calls", len(requests))
	}
	contains(t, requests[0].Chat.Messages[1].Text(), "user: user 6", "<data kind=\"conversation\"")
	for _, r := range requests[1:] {
		contains(t, r.Chat.Messages[0].Text(), "They spoke of xs.", "You help.")
	}
	contains(t, requests[1].Chat.Messages[1].Text(), "user ")
	// The summary's failure is not the answer's.
	b.up.Script(func(r *aifake.Request) aifake.Answer {
		if summing(r) {
			return aifake.Refuses(500, "")
		}
		return aifake.Says("ok")
	})
	for range 3 {
		b.say(4, 600)
		if status, text := b.ask(map[string]any{"message": "go on", "stream": false, "useTools": false}); status != 200 {
			t.Fatal(status, text)
		}
	}
	if b.logs.Len() == 0 || strings.Contains(b.logs.String(), "xxx") {
		t.Error("the failure isn't logged, or what was said is")
	}
}

func TestADeletedConversationIsntRemembered(t *testing.T) {
	t.Parallel()
	owner := storage.Owner{Caller: tenancy.Caller{Address: "127.0.0.1"}.ID()}
	b := newBed(t, func(c *tenantconfig.Config) {
		c.Prompt.Summarize, c.Prompt.ContextTokens, c.Prompt.MaxTokens = true, 2048, 200
	})
	b.up.Script(func(r *aifake.Request) aifake.Answer {
		if strings.HasPrefix(r.Chat.Messages[0].Text(), "Sum up") {
			return aifake.Says("c4nary: what was said once.")
		}
		return aifake.Says("ok")
	})
	ask := func() int {
		t.Helper()
		if status, text := b.ask(map[string]any{"message": "go on", "stream": false, "useTools": false}); status != 200 {
			t.Fatal(status, text)
		}
		return len(b.up.Requests())
	}
	again := func() {
		t.Helper()
		if err := b.store.Sessions().Delete(t.Context(), b.tenant.ID, owner, strings.ToLower(session)); err != nil {
			t.Fatal(err)
		}
		later := conversation(8, 600)
		for i := range later {
			later[i].At = later[i].At.Add(2 * time.Hour)
		}
		if err := b.store.Sessions().Append(t.Context(), b.tenant.ID, owner, strings.ToLower(session), later, storage.Keep{}); err != nil {
			t.Fatal(err)
		}
	}
	b.say(10, 600)
	if ask() != 2 {
		t.Fatal("nothing was summed up")
	}
	again()
	n := ask()
	for _, m := range b.up.Requests()[2].Chat.Messages {
		if strings.Contains(m.Text(), "c4nary") {
			t.Error("a summary outlived its session")
		}
	}
	if err := chat.Forget(t.Context(), b.store.Cache(), b.tenant.ID, strings.ToLower(session)); err != nil {
		t.Fatal(err)
	}
	if ask() != n+2 {
		t.Error("what was forgotten is remembered")
	}
}
