package aitest

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Canary is the credential that a driver under test must use, if it uses any.
const Canary = "c4nary-credential-93a1"

// prompt and refusal must never stand in an error.
const (
	prompt  = "c4nary-prompt: the launch is on 4 May. When is the launch?"
	refusal = "c4nary-refusal"
)

// Harness makes drivers to be tested.
type Harness struct {
	// Model that the driver is asked for.
	Model string
	// New makes a driver over an upstream that gives these answers. The upstream is
	// nil if the driver asks nobody.
	New func(t *testing.T, answers ...aifake.Answer) (ai.Chatter, *aifake.Server)
}

// Run tests one driver. The caller's TestMain should look for leaked goroutines.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Harness){
		"a stream says what the whole answer says": streamEqualsWhole,
		"usage is told or marked as an estimate":   usageIsKnown,
		"senseless requests are refused":           senselessIsRefused,
		"an ended context ends the call":           endedContext,
		"a closed stream stays closed":             closedStream,
		"calls at once keep apart":                 concurrentCalls,
		"tools are called, or refused as such":     toolsAreKnown,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, h) })
	}
	if _, up := h.New(t); up == nil {
		return
	}
	for name, test := range map[string]func(*testing.T, Harness){
		"tokens come as they are written":         tokensComeAtOnce,
		"cancelling reaches the upstream":         cancelReachesUpstream,
		"closing reaches the upstream":            closeReachesUpstream,
		"the request is complete":                 requestIsComplete,
		"failures have their kinds, no secrets":   failures,
		"truncation is no success":                truncation,
		"billing agrees with the upstream's book": billing,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, h) })
	}
}

// Tenant is the tenant that the suite asks for.
func Tenant(t testing.TB) tenancy.ID {
	t.Helper()
	id, err := tenancy.NewID("acme", "owner/ns/production/acme")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (h Harness) request() ai.ChatRequest {
	return ai.ChatRequest{Model: h.Model, MaxTokens: 200, Messages: []ai.Message{
		{Role: ai.RoleSystem, Content: "Answer briefly."}, {Role: ai.RoleUser, Content: prompt},
	}}
}

// Collect reads a stream to its end: the text, and the last usage, nil if none came.
func Collect(s ai.Stream) (text string, usage *ai.Usage, err error) {
	for {
		c, err := s.Next()
		if errors.Is(err, io.EOF) {
			return text, usage, nil
		}
		if err != nil {
			return text, usage, err
		}
		text += c.Text
		if c.Usage != nil {
			usage = c.Usage
		}
	}
}

func kindOf(err error) ai.Kind {
	var e *ai.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func wantKind(t *testing.T, err error, want ai.Kind) {
	t.Helper()
	if kindOf(err) != want {
		t.Errorf("the error is %v, want %q", err, want)
	}
	if err != nil && strings.Contains(err.Error(), "c4nary") {
		t.Errorf("the error tells a secret: %v", err)
	}
}

func streamEqualsWhole(t *testing.T, h Harness) {
	chatter, _ := h.New(t, aifake.Says("Grüße", ", ", "世界", "! ", "😀"))
	whole, err := chatter.Complete(t.Context(), Tenant(t), h.request())
	if err != nil {
		t.Fatal(err)
	}
	s, err := chatter.Stream(t.Context(), Tenant(t), h.request())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	text, _, err := Collect(s)
	if err != nil || text != whole.Text || text == "" || !utf8.ValidString(text) {
		t.Errorf("the stream says %q (%v), the answer %q", text, err, whole.Text)
	}
	if s.Model() != h.Model || whole.Model != h.Model || whole.Finish != "stop" {
		t.Errorf("model %q and %q, finish %q", s.Model(), whole.Model, whole.Finish)
	}
	if _, err := s.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end comes %v", err)
	}
}

func usageIsKnown(t *testing.T, h Harness) {
	for _, answer := range []aifake.Answer{aifake.Says("a", "b"), aifake.Says("a", "b").WithoutUsage()} {
		chatter, up := h.New(t, answer)
		whole, err := chatter.Complete(t.Context(), Tenant(t), h.request())
		if err != nil {
			t.Fatal(err)
		}
		told := up != nil && up.Ledger()[0].Told
		if whole.Usage.In < 1 || whole.Usage.Out < 1 || whole.Usage.Estimated == told {
			t.Errorf("usage %+v, told: %v", whole.Usage, told)
		}
	}
}

// toolsAreKnown: a driver without an upstream has none; others give the calls whole.
func toolsAreKnown(t *testing.T, h Harness) {
	call := aifake.Call{ID: "1", Name: "look", Arguments: `{"where":"here"}`}
	chatter, up := h.New(t, aifake.Calls(call).CallsInPieces(3))
	req := h.request()
	req.Tools = []ai.Tool{{Name: "look", Parameters: []byte(`{"type":"object"}`)}}
	whole, err := chatter.Complete(t.Context(), Tenant(t), req)
	if up == nil {
		wantKind(t, err, ai.KindNoTools)
		return
	}
	if err != nil || whole.Finish != "tool_calls" || len(whole.ToolCalls) != 1 || whole.ToolCalls[0] != (ai.ToolCall{ID: "1", Name: "look", Arguments: call.Arguments}) {
		t.Errorf("%+v, %v", whole, err)
	}
	s, err := chatter.Stream(t.Context(), Tenant(t), req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var calls []ai.ToolCall
	for {
		c, err := s.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
		calls = append(calls, c.ToolCalls...)
	}
	if len(calls) != 1 || calls[0] != whole.ToolCalls[0] {
		t.Errorf("the stream calls %+v", calls)
	}
}

func senselessIsRefused(t *testing.T, h Harness) {
	chatter, up := h.New(t, aifake.Says("x"))
	for name, bend := range map[string]func(*ai.ChatRequest, *tenancy.ID){
		"no tenant":     func(_ *ai.ChatRequest, id *tenancy.ID) { *id = tenancy.ID{} },
		"no messages":   func(r *ai.ChatRequest, _ *tenancy.ID) { r.Messages = nil },
		"no max tokens": func(r *ai.ChatRequest, _ *tenancy.ID) { r.MaxTokens = 0 },
	} {
		id, req := Tenant(t), h.request()
		bend(&req, &id)
		_, err := chatter.Complete(t.Context(), id, req)
		if kindOf(err) != ai.KindBadRequest {
			t.Errorf("%s: Complete says %v", name, err)
		}
		if _, err = chatter.Stream(t.Context(), id, req); kindOf(err) != ai.KindBadRequest {
			t.Errorf("%s: Stream says %v", name, err)
		}
	}
	if up != nil && len(up.Requests()) > 0 {
		t.Error("the upstream was asked")
	}
}

func endedContext(t *testing.T, h Harness) {
	chatter, _ := h.New(t, aifake.Says("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := chatter.Complete(ctx, Tenant(t), h.request())
	wantKind(t, err, ai.KindCanceled)
	_, err = chatter.Stream(ctx, Tenant(t), h.request())
	wantKind(t, err, ai.KindCanceled)

	ctx, cancel = context.WithCancel(t.Context())
	s, err := chatter.Stream(ctx, Tenant(t), h.request())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, _, err = Collect(s)
	wantKind(t, err, ai.KindCanceled)
	_ = s.Close()

	ctx, cancel = context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err = chatter.Complete(ctx, Tenant(t), h.request())
	wantKind(t, err, ai.KindTimeout)
}

func closedStream(t *testing.T, h Harness) {
	chatter, _ := h.New(t, aifake.Says("x").PauseAt(0, make(chan struct{})))
	s, err := chatter.Stream(t.Context(), Tenant(t), h.request())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err = s.Next()
	wantKind(t, err, ai.KindCanceled)
}

func concurrentCalls(t *testing.T, h Harness) {
	chatter, up := h.New(t)
	if up != nil {
		up.Script(func(r *aifake.Request) aifake.Answer {
			word, _, _ := strings.Cut(*r.Chat.Messages[0].Content, " ")
			return aifake.Says(word, " is", " the word.")
		})
	}
	const callers = 16
	wrong := make(chan string, callers)
	for i := range callers {
		go func() {
			word := "word" + strconv.Itoa(i)
			req := h.request()
			req.Messages = []ai.Message{{Role: ai.RoleUser, Content: word + " is the word. What is the word?"}}
			s, err := chatter.Stream(t.Context(), Tenant(t), req)
			if err != nil {
				wrong <- err.Error()
				return
			}
			defer func() { _ = s.Close() }()
			text, _, err := Collect(s)
			if err != nil || !strings.Contains(text, word+" is the word.") {
				wrong <- text
				return
			}
			wrong <- ""
		}()
	}
	for range callers {
		if w := <-wrong; w != "" {
			t.Errorf("a caller got %q", w)
		}
	}
}
