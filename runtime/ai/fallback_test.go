package ai_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aitest"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/openai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// chain asks models of a real upstream that answers each by its name.
func chain(t *testing.T, models []string, answers map[string]aifake.Answer) (ai.Chain, *aifake.Server) {
	t.Helper()
	up := aifake.New(t)
	up.Script(func(r *aifake.Request) aifake.Answer {
		a, ok := answers[r.Chat.Model]
		if !ok {
			return aifake.Refuses(404, `{"error":{"message":"model not found"}}`)
		}
		return a
	})
	d, err := openai.New(openai.Options{BaseURL: up.URL})
	if err != nil {
		t.Fatal(err)
	}
	return ai.Chain{Chatter: d, Models: models}, up
}

func request() ai.ChatRequest {
	return ai.ChatRequest{Model: "ignored", MaxTokens: 50, Messages: []ai.Message{{Role: ai.RoleUser, Content: "hi"}}}
}

const errorFrame = "data: {\"error\":{\"message\":\"x\",\"code\":500}}\n\n"

func TestChain(t *testing.T) {
	t.Parallel()
	models := []string{"first", "second", "first", "third"}
	down := aifake.Refuses(500, "")
	for name, c := range map[string]struct {
		answers map[string]aifake.Answer
		asked   []string
		model   string // that answers
		text    string
		kind    ai.Kind // of the stream's error
		passed  []string
	}{
		"the first answers":              {map[string]aifake.Answer{"first": aifake.Says("1")}, []string{"first"}, "first", "1", "", nil},
		"the second answers":             {map[string]aifake.Answer{"first": down, "second": aifake.Says("2")}, []string{"first", "second"}, "second", "2", "", []string{"first"}},
		"a repeated model is asked once": {map[string]aifake.Answer{"first": down, "third": aifake.Says("3")}, []string{"first", "second", "third"}, "third", "3", "", []string{"first", "second"}},
		"all fail, the first speaks":     {map[string]aifake.Answer{"first": aifake.Refuses(429, "", "Retry-After", "5")}, []string{"first", "second", "third"}, "", "", ai.KindRateLimited, []string{"first", "second"}},
		"a bad request is final":         {map[string]aifake.Answer{"first": aifake.Refuses(400, ""), "second": aifake.Says("2")}, []string{"first"}, "", "", ai.KindBadRequest, nil},
		"a blocked prompt is final":      {map[string]aifake.Answer{"first": aifake.Refuses(400, `{"error":{"code":"content_filter"}}`), "second": aifake.Says("2")}, []string{"first"}, "", "", ai.KindBlocked, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ch, up := chain(t, models, c.answers)
			var passed []string
			ch.Failed = func(model string, _ *ai.Error) { passed = append(passed, model) }
			whole, err := ch.Complete(t.Context(), aitest.Tenant(t), request())
			check(t, err, c.kind)
			if whole.Text != c.text || whole.Model != c.model {
				t.Errorf("%q by %q", whole.Text, whole.Model)
			}
			if diff := cmp.Diff(c.passed, passed); diff != "" {
				t.Errorf("passed over: %s", diff)
			}
			var asked []string
			for _, r := range up.Requests() {
				asked = append(asked, r.Chat.Model)
			}
			if diff := cmp.Diff(c.asked, asked); diff != "" {
				t.Errorf("asked: %s", diff)
			}
			s, err := ch.Stream(t.Context(), aitest.Tenant(t), request())
			check(t, err, c.kind)
			if err != nil {
				return
			}
			defer func() { _ = s.Close() }()
			text, _, err := aitest.Collect(s)
			if err != nil || text != c.text || s.Model() != c.model {
				t.Errorf("the stream says %q by %q, %v", text, s.Model(), err)
			}
		})
	}
}

func check(t *testing.T, err error, want ai.Kind) {
	t.Helper()
	var e *ai.Error
	if (err != nil || want != "") && (!errors.As(err, &e) || e.Kind != want) {
		t.Errorf("the error is %v, want %q", err, want)
	}
	if want == ai.KindRateLimited && e != nil && (e.RetryAfter != 5*time.Second || !strings.Contains(err.Error(), "third: ")) {
		t.Errorf("the error %v, %v lacks something", err, e.RetryAfter)
	}
}

func TestChainStreamsFallBackBeforeTheFirstTextOnly(t *testing.T) {
	t.Parallel()
	ok := aifake.Says("fine")
	empty := `data: {"choices":[{"delta":{"role":"assistant","content":""}}]}` + "\n\n"
	word := `data: {"choices":[{"delta":{"content":"half"}}]}` + "\n\n"
	for name, c := range map[string]struct {
		first aifake.Answer
		text  string
		model string
		kind  ai.Kind
	}{
		"error before any text":     {aifake.Sends("text/event-stream", empty+errorFrame), "fine", "second", ""},
		"truncated before any text": {aifake.Sends("text/event-stream", empty), "fine", "second", ""},
		"malformed before any text": {aifake.Sends("text/event-stream", "data: {oops\n\n"), "fine", "second", ""},
		"error after a word":        {aifake.Sends("text/event-stream", word+errorFrame), "half", "first", ai.KindUnavailable},
		"truncated after a word":    {aifake.Sends("text/event-stream", word), "half", "first", ai.KindTruncated},
		"complete without any text": {aifake.Sends("text/event-stream", empty+"data: [DONE]\n\n"), "", "first", ""},
		"bad request before a word": {aifake.Sends("text/event-stream", "data: {\"error\":{\"code\":400}}\n\n"), "", "first", ai.KindBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ch, _ := chain(t, []string{"first", "second"}, map[string]aifake.Answer{"first": c.first, "second": ok})
			s, err := ch.Stream(t.Context(), aitest.Tenant(t), request())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			text, _, err := aitest.Collect(s)
			check(t, err, c.kind)
			if text != c.text || s.Model() != c.model {
				t.Errorf("%q by %q", text, s.Model())
			}
			_, again := s.Next()
			if err != nil && !errors.Is(again, err) {
				t.Errorf("the error %v became %v", err, again)
			}
		})
	}
}

func TestChainStopsWhenTheCallerIsGone(t *testing.T) {
	t.Parallel()
	ch, up := chain(t, []string{"first", "second"}, map[string]aifake.Answer{"first": aifake.Hangs(), "second": aifake.Says("2")})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := ch.Complete(ctx, aitest.Tenant(t), request())
		ended <- err
	}()
	if up.Await(1) == nil {
		t.Fatal("no call came")
	}
	cancel()
	check(t, <-ended, ai.KindCanceled)

	// A stream whose model fails just when its caller gives up asks nobody else.
	gate := make(chan struct{})
	ch, up = chain(t, []string{"first", "second"}, map[string]aifake.Answer{"first": aifake.Says("x").PauseAt(0, gate), "second": aifake.Says("2")})
	s, err := ch.Stream(t.Context(), aitest.Tenant(t), request())
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	_, _, err = aitest.Collect(s)
	check(t, err, ai.KindCanceled)
	close(gate)
	if n := len(up.Requests()); n != 1 {
		t.Errorf("%d models were asked", n)
	}
}

// A deadline looks like an upstream's timeout, after which another model is asked.
func TestChainStopsAtTheDeadline(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]aifake.Answer{"before the headers": aifake.Hangs(), "before the text": aifake.Says("x").PauseAt(0, make(chan struct{}))} {
		ch, up := chain(t, []string{"first", "second"}, map[string]aifake.Answer{"first": first, "second": aifake.Says("2")})
		ch.Failed = func(model string, _ *ai.Error) { t.Errorf("%s: %s was passed over", name, model) }
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		s, err := ch.Stream(ctx, aitest.Tenant(t), request())
		if err == nil {
			_, _, err = aitest.Collect(s)
			_ = s.Close()
		}
		cancel()
		check(t, err, ai.KindTimeout)
		if n := len(up.Requests()); n != 1 {
			t.Errorf("%s: %d models were asked", name, n)
		}
	}
}

func TestChainWithoutModels(t *testing.T) {
	t.Parallel()
	ch, _ := chain(t, nil, nil)
	_, err := ch.Complete(t.Context(), aitest.Tenant(t), request())
	check(t, err, ai.KindBadRequest)
}
