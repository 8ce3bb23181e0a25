package chat_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/chat"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// panics is a driver that panics after some tokens, or at once if there are none.
type panics struct{ tokens []string }

func (p panics) Complete(context.Context, tenancy.ID, ai.ChatRequest) (ai.Answer, error) {
	panic("c4nary")
}

func (p panics) Stream(context.Context, tenancy.ID, ai.ChatRequest) (ai.Stream, error) {
	if p.tokens == nil {
		panic("c4nary")
	}
	return &panicStream{p.tokens}, nil
}

type panicStream struct{ tokens []string }

func (s *panicStream) Next() (ai.Chunk, error) {
	text := s.tokens[0] // the last call is out of range
	s.tokens = s.tokens[1:]
	return ai.Chunk{Text: text}, nil
}

func (s *panicStream) Model() string { return "big" }
func (s *panicStream) Close() error  { return nil }

func TestADriverThatPanicsFailsOneRequest(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		driver ai.Chatter
		stream string
		status int
		want   []string
		out    int64 // tokens billed, at least
	}{
		"whole":        {panics{}, "false", 500, []string{`"code":"internal"`}, 0},
		"opening":      {panics{}, "true", 500, []string{`"code":"internal"`}, 0},
		"in midstream": {panics{[]string{"a ", "b"}}, "true", 200, []string{`"content":"b"`, "event: error", `"code":"internal"`, `{"done":true,"error":"internal","usage":{"modelId":"big"`}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant := newTenant(t, nil)
			directory, err := tenancy.NewDirectory(tenant)
			if err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			logger := slog.New(slog.NewTextHandler(&log, nil))
			store := memory.New(memory.Options{})
			door := httpapi.NewDoor(directory, httpapi.Options{Logger: logger, Translate: chat.Translate})
			chat.New(needs(tc.driver, store, logger, nil)).Mount(door)
			srv := httptest.NewServer(door)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/chat", strings.NewReader(`{"sessionId":"`+session+`","message":"c4nary","stream":`+tc.stream+`}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("x-tenant-id", "acme")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			srv.Close() // the log is complete
			if err != nil || resp.StatusCode != tc.status {
				t.Errorf("status %d, %v: %s", resp.StatusCode, err, text)
			}
			for _, want := range tc.want {
				if !strings.Contains(string(text), want) {
					t.Errorf("no %s in %s", want, text)
				}
			}
			if strings.Contains(log.String(), "c4nary") || !strings.Contains(log.String(), "panic") {
				t.Errorf("the log: %s", &log)
			}
			now := time.Now()
			buckets, err := store.Usage().Sum(t.Context(), tenant.ID, now.Add(-time.Hour), now.Add(time.Hour))
			if err != nil || len(buckets) != 1 || buckets[0].Outcome != "error" || buckets[0].TokensOut < tc.out {
				t.Errorf("recorded %+v, %v", buckets, err)
			}
		})
	}
}
