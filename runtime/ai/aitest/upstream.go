package aitest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
)

// The upstream holds each token back until the one before has arrived.
func tokensComeAtOnce(t *testing.T, h Harness) {
	gates := []chan struct{}{make(chan struct{}), make(chan struct{})}
	chatter, _ := h.New(t, aifake.Says("one", "two", "three").PauseAt(1, gates[0]).PauseAt(2, gates[1]))
	s, err := chatter.Stream(t.Context(), Tenant(t), h.request())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for i, want := range []string{"one", "two", "three"} {
		c, err := s.Next()
		if err != nil || c.Text != want {
			t.Fatalf("chunk %d is %q, %v", i, c.Text, err)
		}
		if i < len(gates) {
			close(gates[i])
		}
	}
	if _, _, err := Collect(s); err != nil {
		t.Error(err)
	}
}

// cancelWithin is the promise; the upstream is on loopback. A busy machine may be late
// by itself, so the best of a few attempts counts: a driver that waits for something
// is late every time.
const (
	cancelWithin = 100 * time.Millisecond
	attempts     = 3
)

func cancelReachesUpstream(t *testing.T, h Harness) {
	never := make(chan struct{})
	for name, answer := range map[string]aifake.Answer{
		"before the headers": aifake.Hangs(),
		"before the token":   aifake.Says("x").PauseAt(0, never),
		"in mid-stream":      aifake.Says("x", "y").PauseAt(1, never),
	} {
		inTime(t, name, func() time.Duration { return cancelStream(t, h, answer) })
	}
	inTime(t, "a whole answer", func() time.Duration { return cancelWhole(t, h) })
}

func cancelStream(t *testing.T, h Harness, answer aifake.Answer) time.Duration {
	return cancelCall(t, h, answer, func(ctx context.Context, chatter ai.Chatter) error {
		s, err := chatter.Stream(ctx, Tenant(t), h.request())
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }()
		_, _, err = Collect(s)
		return err
	})
}

func cancelWhole(t *testing.T, h Harness) time.Duration {
	return cancelCall(t, h, aifake.Hangs(), func(ctx context.Context, chatter ai.Chatter) error {
		_, err := chatter.Complete(ctx, Tenant(t), h.request())
		return err
	})
}

func cancelCall(t *testing.T, h Harness, answer aifake.Answer, call func(context.Context, ai.Chatter) error) time.Duration {
	t.Helper()
	chatter, up := h.New(t, answer)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- call(ctx, chatter) }()
	r := up.Await(1)
	if r == nil {
		t.Fatal("no call came")
	}
	start := time.Now()
	cancel()
	wantKind(t, <-ended, ai.KindCanceled)
	return gone(t, r, start)
}

func closeReachesUpstream(t *testing.T, h Harness) {
	inTime(t, "closing", func() time.Duration {
		chatter, up := h.New(t, aifake.Says("x", "y").PauseAt(1, make(chan struct{})))
		s, err := chatter.Stream(t.Context(), Tenant(t), h.request())
		if err != nil {
			t.Fatal(err)
		}
		if c, err := s.Next(); err != nil || c.Text != "x" {
			t.Fatal(c, err)
		}
		start := time.Now()
		_ = s.Close()
		return gone(t, up.Requests()[0], start)
	})
}

func inTime(t *testing.T, name string, measure func() time.Duration) {
	t.Helper()
	var took time.Duration
	for range attempts {
		if took = measure(); took <= cancelWithin {
			return
		}
	}
	t.Errorf("%s: the upstream noticed after %v, %d times too late", name, took, attempts)
}

// gone waits until the upstream notices that the client went away.
func gone(t *testing.T, r *aifake.Request, start time.Time) time.Duration {
	t.Helper()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case <-r.Canceled():
		return r.CanceledAt().Sub(start)
	case <-limit.C:
		t.Fatal("the upstream was never told")
		return 0
	}
}

func requestIsComplete(t *testing.T, h Harness) {
	chatter, up := h.New(t, aifake.Says("x"))
	req := h.request()
	warm := 0.3
	req.Temperature, req.TraceID = &warm, "trace-1"
	if _, err := chatter.Complete(t.Context(), Tenant(t), req); err != nil {
		t.Fatal(err)
	}
	s, err := chatter.Stream(t.Context(), Tenant(t), req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if _, _, err := Collect(s); err != nil {
		t.Fatal(err)
	}
	for i, r := range up.Requests() {
		c := r.Chat
		if *c.MaxTokens != 200 || *c.Temperature != warm || c.Model != h.Model || len(c.Messages) != 2 || *c.Messages[1].Content != prompt {
			t.Errorf("the body is %s", r.Body)
		}
		if stream := i == 1; c.Stream != stream || stream && !c.StreamOptions.IncludeUsage {
			t.Errorf("call %d: stream %v, %+v", i, c.Stream, c.StreamOptions)
		}
		if got := r.Header.Get("Authorization"); got != "Bearer "+Canary {
			t.Errorf("call %d isn't authorized as configured", i)
		}
	}
}

func failures(t *testing.T, h Harness) {
	body := `{"error":{"message":"` + refusal + ` ` + Canary + `"}}`
	for status, want := range map[int]ai.Kind{
		400: ai.KindBadRequest, 401: ai.KindUnauthorized, 402: ai.KindQuota, 403: ai.KindUnauthorized,
		413: ai.KindTooLong, 429: ai.KindRateLimited, 500: ai.KindUnavailable, 503: ai.KindUnavailable,
	} {
		chatter, _ := h.New(t, aifake.Refuses(status, body, "Retry-After", "9"))
		_, err := chatter.Complete(t.Context(), Tenant(t), h.request())
		wantKind(t, err, want)
		s, err := chatter.Stream(t.Context(), Tenant(t), h.request())
		if err == nil {
			_ = s.Close()
		}
		wantKind(t, err, want)
	}
}

func truncation(t *testing.T, h Harness) {
	chatter, _ := h.New(t, aifake.Says("one", "two").WithoutDone().WithoutUsage().Finish(""))
	s, err := chatter.Stream(t.Context(), Tenant(t), h.request())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	text, _, err := Collect(s)
	wantKind(t, err, ai.KindTruncated)
	if text != "onetwo" {
		t.Errorf("the text is %q", text)
	}
}

func billing(t *testing.T, h Harness) {
	chatter, up := h.New(t, aifake.Says(strings.Split("a b c d e", " ")...))
	var in, out int
	for range 5 {
		s, err := chatter.Stream(t.Context(), Tenant(t), h.request())
		if err != nil {
			t.Fatal(err)
		}
		_, usage, err := Collect(s)
		if err != nil || usage == nil {
			t.Fatal(usage, err)
		}
		in, out = in+usage.In, out+usage.Out
		_ = s.Close()
	}
	for _, e := range up.Ledger() {
		in, out = in-e.In, out-e.Out
	}
	if in != 0 || out != 0 {
		t.Errorf("billed %d and %d tokens more than the upstream's book has", in, out)
	}
}
