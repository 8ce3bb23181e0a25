package chatwire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/chatwire"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	canaryKey    = "sk-c4nary-key-4711"
	canaryPrompt = "c4nary prompt about the merger"
	canaryBody   = "c4nary upstream text"
)

func acme(t testing.TB) tenancy.ID {
	t.Helper()
	id, err := tenancy.NewID("acme", "owner/ns/production/acme")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func question() ai.ChatRequest {
	return ai.ChatRequest{Model: "m", MaxTokens: 100, Messages: []ai.Message{{Role: ai.RoleUser, Content: canaryPrompt}}}
}

func newClient(t testing.TB, url string, s chatwire.Settings) *chatwire.Client {
	t.Helper()
	s.URL = url + "/chat/completions"
	if s.Credential == nil {
		s.Credential = func() string { return canaryKey }
	}
	if s.Transport == nil {
		transport := chatwire.NewTransport(chatwire.TransportOptions{})
		t.Cleanup(transport.CloseIdleConnections)
		s.Transport = transport
	}
	c, err := chatwire.NewClient(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// result is all that a stream gave.
type result struct {
	Text, Finish string
	Usage        ai.Usage
	Told         bool
}

func collect(s ai.Stream) (result, error) {
	defer func() { _ = s.Close() }()
	var r result
	for {
		c, err := s.Next()
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		r.Text += c.Text
		if c.Finish != "" {
			r.Finish += c.Finish
		}
		if c.Usage != nil {
			r.Usage, r.Told = *c.Usage, true
		}
	}
}

func ask(t testing.TB, c *chatwire.Client) (result, error) {
	t.Helper()
	s, err := c.Stream(t.Context(), acme(t), question())
	if err != nil {
		return result{}, err
	}
	return collect(s)
}

func kindOf(err error) ai.Kind {
	var e *ai.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

const (
	hello  = `data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}` + "\n\n"
	world  = `data: {"choices":[{"index":0,"delta":{"content":" wörld"}}]}` + "\n\n"
	stop   = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	usage  = `data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}` + "\n\n"
	finish = "data: [DONE]\n\n"
)

func TestStreamReadsWhatServersReallySend(t *testing.T) {
	t.Parallel()
	told := ai.Usage{In: 9, Out: 2}
	good := result{"Hello wörld", "stop", told, true}
	for name, c := range map[string]struct {
		contentType, body string
		want              result
		kind              ai.Kind
	}{
		"as it should be":            {"text/event-stream", hello + world + stop + usage + finish, good, ""},
		"without DONE":               {"text/event-stream", hello + world + stop + usage, good, ""},
		"finish alone":               {"text/event-stream", hello + world + stop, result{"Hello wörld", "stop", ai.Usage{}, false}, ""},
		"usage alone":                {"text/event-stream", hello + world + usage, result{"Hello wörld", "", told, true}, ""},
		"DONE alone":                 {"text/event-stream", hello + world + finish, result{"Hello wörld", "", ai.Usage{}, false}, ""},
		"DONE without its end":       {"text/event-stream", hello + world + "data: [DONE]", result{"Hello wörld", "", ai.Usage{}, false}, ""},
		"repeated finish, two DONE":  {"text/event-stream", hello + world + stop + stop + usage + stop + finish + finish, good, ""},
		"text after the finish":      {"text/event-stream", hello + stop + world + usage + finish, good, ""},
		"garbage after the finish":   {"text/event-stream", hello + world + stop + "data: {oops\n\n", result{"Hello wörld", "stop", ai.Usage{}, false}, ""},
		"comments and empty frames":  {"text/event-stream", ": ping\n\n" + "data:\n\n" + hello + ":\n\ndata: {}\n\n" + world + stop + usage + finish, good, ""},
		"CRLF":                       {"text/event-stream", strings.ReplaceAll(hello+world+stop+usage+finish, "\n", "\r\n"), good, ""},
		"CR":                         {"text/event-stream", strings.ReplaceAll(hello+world+stop+usage+finish, "\n", "\r"), good, ""},
		"no content type":            {"", hello + world + stop + usage + finish, good, ""},
		"bare number and null":       {"text/event-stream", `data: {"choices":[{"delta":{"content":null}}]}` + "\n\n" + `data: {"choices":[{"delta":{"content":42}}]}` + "\n\n" + stop + finish, result{"42", "stop", ai.Usage{}, false}, ""},
		"native frames":              {"text/event-stream", `data: {"response":"Hello","p":"abc"}` + "\n\n" + `data: {"response":" wörld","p":"a"}` + "\n\n" + `data: {"response":"","usage":{"prompt_tokens":9,"completion_tokens":2}}` + "\n\n" + finish, result{"Hello wörld", "", told, true}, ""},
		"JSON instead of a stream":   {"application/json", "{\n\"choices\":[{\"message\":{\"content\":\"Hello wörld\"},\"finish_reason\":\"stop\"}],\n\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n", good, ""},
		"split surrogate pair":       {"text/event-stream", `data: {"choices":[{"delta":{"content":"a\ud83d"}}]}` + "\n\n" + `data: {"choices":[{"delta":{"content":"\ude00b"}}]}` + "\n\n" + stop + finish, result{"a😀b", "stop", ai.Usage{}, false}, ""},
		"half a pair at the end":     {"text/event-stream", `data: {"choices":[{"delta":{"content":"a\ud83d"}}]}` + "\n\n" + finish, result{"a\ufffd", "", ai.Usage{}, false}, ""},
		"end without a word":         {"text/event-stream", hello + world, result{"Hello wörld", "", ai.Usage{}, false}, ai.KindTruncated},
		"nothing at all":             {"text/event-stream", "", result{}, ai.KindTruncated},
		"running usage ends nothing": {"text/event-stream", `data: {"choices":[{"delta":{"content":"Hello"}}],"usage":{"prompt_tokens":9,"completion_tokens":1}}` + "\n\n", result{"Hello", "", ai.Usage{In: 9, Out: 1}, true}, ai.KindTruncated},
		"malformed frame":            {"text/event-stream", hello + "data: {oops\n\n" + world + stop + finish, result{"Hello", "", ai.Usage{}, false}, ai.KindMalformed},
		"error frame":                {"text/event-stream", hello + `data: {"error":{"message":"` + canaryBody + `","code":500}}` + "\n\n" + finish, result{"Hello", "", ai.Usage{}, false}, ai.KindUnavailable},
		"rate limit in the stream":   {"text/event-stream", hello + `data: {"error":{"message":"x","type":"rate_limit_error","code":429}}` + "\n\n", result{"Hello", "", ai.Usage{}, false}, ai.KindRateLimited},
		"named error event":          {"text/event-stream", hello + "event: error\ndata: {\"message\":\"" + canaryBody + "\"}\n\n", result{"Hello", "", ai.Usage{}, false}, ai.KindUnavailable},
		"web page":                   {"text/html", "<html>" + canaryBody, result{}, ai.KindMalformed},
		"event without end":          {"text/event-stream", hello + "data: " + strings.Repeat("x", 3<<20), result{"Hello", "", ai.Usage{}, false}, ai.KindMalformed},
		"JSON that refuses":          {"application/json", `{"success":false,"errors":[{"code":1,"message":"` + canaryBody + `"}]}`, result{}, ai.KindUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := aifake.New(t, aifake.Sends(c.contentType, c.body))
			got, err := ask(t, newClient(t, up.URL, chatwire.Settings{}))
			if kindOf(err) != c.kind {
				t.Errorf("the error is %v, want %q", err, c.kind)
			}
			noCanary(t, err)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func noCanary(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, canary := range []string{canaryKey, canaryPrompt, "c4nary"} {
		if strings.Contains(err.Error(), canary) {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}

// A recorded stream is cut at every byte: what came before the cut is given, and
// only a cut after the finish reason may count as complete.
func TestStreamCutAtEveryByte(t *testing.T) {
	t.Parallel()
	recorded := hello + world + stop + usage + finish
	complete := len(hello + world + stop)
	up := aifake.New(t)
	client := newClient(t, up.URL, chatwire.Settings{})
	for cut := 1; cut < len(recorded); cut++ {
		for how, answer := range map[string]aifake.Answer{
			"broken": aifake.Sends("text/event-stream", recorded).CutAfter(cut),
			"ended":  aifake.Sends("text/event-stream", recorded).EndAfter(cut),
		} {
			up.Answer(answer)
			got, err := ask(t, client)
			want := ""
			switch {
			case cut >= len(hello+world)-2:
				want = "Hello wörld"
			case cut >= len(hello)-2:
				want = "Hello"
			}
			// A whole frame whose blank line is missing counts if the answer ended in
			// order, and is dropped if the connection broke.
			if how == "broken" {
				want = strings.Repeat("Hello", min(1, cut/len(hello))) + strings.Repeat(" wörld", min(1, cut/len(hello+world)))
			}
			if got.Text != want {
				t.Errorf("%s after %d bytes: the text is %q, want %q", how, cut, got.Text, want)
			}
			least := complete
			if how == "ended" {
				least -= 2
			}
			if done := err == nil; done != (cut >= least) {
				t.Errorf("%s after %d bytes of %d: the error is %v", how, cut, complete, err)
			}
			if err != nil && kindOf(err) != ai.KindTruncated {
				t.Errorf("%s after %d bytes: the error is %v, want truncated", how, cut, err)
			}
			if err == nil && got.Told != (cut >= len(hello+world+stop+usage)-map[string]int{"ended": 2}[how]) {
				t.Errorf("%s after %d bytes: usage told is %v", how, cut, got.Told)
			}
		}
	}
}

func TestStreamSplitAtEveryByte(t *testing.T) {
	t.Parallel()
	recorded := strings.ReplaceAll(hello+world+stop+usage+finish, "\n", "\r\n")
	want := result{"Hello wörld", "stop", ai.Usage{In: 9, Out: 2}, true}
	up := aifake.New(t)
	client := newClient(t, up.URL, chatwire.Settings{})
	for n := 1; n < len(recorded); n++ {
		up.Answer(aifake.Sends("text/event-stream", recorded).InPieces(n))
		got, err := ask(t, client)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("in pieces of %d bytes: %v %s", n, err, diff)
		}
	}
}

func TestRetriesAreAFewOfTheTraffic(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Drops())
	client := newClient(t, up.URL, chatwire.Settings{})
	const questions = 40
	results := make(chan error, questions)
	for range questions {
		go func() {
			_, err := client.Complete(t.Context(), acme(t), question())
			results <- err
		}()
	}
	for range questions {
		if err := <-results; kindOf(err) != ai.KindUnavailable {
			t.Errorf("the error is %v", err)
		}
	}
	// Ten in reserve and one for every ten calls.
	if n := len(up.Requests()) - questions; n < 10 || n > 14 {
		t.Errorf("%d retries for %d calls that all failed", n, questions)
	}
}

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	up := aifake.Start()
	client := newClient(t, up.URL, chatwire.Settings{})
	up.Close()
	_, err := ask(t, client)
	if kindOf(err) != ai.KindUnavailable || !strings.Contains(err.Error(), "refused") {
		t.Errorf("the error is %v", err)
	}
	noCanary(t, err)
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says("a", "b"))
	dials := 0
	transport := chatwire.NewTransport(chatwire.TransportOptions{})
	defer transport.CloseIdleConnections()
	dial := transport.DialContext
	transport.DialContext = dialer(func() { dials++ }, dial)
	client := newClient(t, up.URL, chatwire.Settings{Transport: transport})
	for range 20 {
		if _, err := ask(t, client); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Complete(t.Context(), acme(t), question()); err != nil {
			t.Fatal(err)
		}
	}
	if dials != 1 {
		t.Errorf("%d connections for 40 calls, one after another", dials)
	}
}

func TestRequestsThatMakeNoSenseAreNotSent(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says("x"))
	client := newClient(t, up.URL, chatwire.Settings{})
	for name, bend := range map[string]func(*ai.ChatRequest, *tenancy.ID){
		"no tenant":     func(_ *ai.ChatRequest, id *tenancy.ID) { *id = tenancy.ID{} },
		"no model":      func(r *ai.ChatRequest, _ *tenancy.ID) { r.Model = "" },
		"no messages":   func(r *ai.ChatRequest, _ *tenancy.ID) { r.Messages = nil },
		"no max tokens": func(r *ai.ChatRequest, _ *tenancy.ID) { r.MaxTokens = 0 },
	} {
		id, req := acme(t), question()
		bend(&req, &id)
		if _, err := client.Complete(t.Context(), id, req); kindOf(err) != ai.KindBadRequest {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	if n := len(up.Requests()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func TestBaseURLsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "ollama:11434/v1", "ftp://x/v1", "http:///v1", "http://user:" + canaryKey + "@host/v1", "http://host/v1?key=" + canaryKey + "#", "http://h\x7f/"} {
		_, err := chatwire.NewClient(chatwire.Settings{URL: url})
		if err == nil {
			t.Errorf("%q was taken", url)
		}
		noCanary(t, err)
	}
}

func TestLargeAnswersAreBounded(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Sends("application/json", `{"choices":[{"message":{"content":"`+strings.Repeat("x", 9<<20)+`"}}]}`))
	client := newClient(t, up.URL, chatwire.Settings{})
	if _, err := client.Complete(t.Context(), acme(t), question()); kindOf(err) != ai.KindMalformed || !strings.Contains(err.Error(), "exceeds 8 MiB") {
		t.Errorf("the error is %v", err)
	}
}

func TestWholeAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		kind ai.Kind
	}{
		"no JSON":            {"c4nary", ai.KindMalformed},
		"an array":           {"[]", ai.KindMalformed},
		"no choices":         {"{}", ai.KindMalformed},
		"empty choices":      {`{"choices":[]}`, ai.KindMalformed},
		"something after it": {`{"choices":[{"message":{"content":"x"}}]} {}`, ai.KindMalformed},
		"refused in 200":     {`{"error":{"message":"c4nary","code":"context_length_exceeded"}}`, ai.KindTooLong},
		"an empty answer":    {`{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}`, ""},
	} {
		up := aifake.New(t, aifake.Sends("application/json", c.body))
		_, err := newClient(t, up.URL, chatwire.Settings{}).Complete(t.Context(), acme(t), question())
		if kindOf(err) != c.kind {
			t.Errorf("%s: the error is %v, want %q", name, err, c.kind)
		}
		noCanary(t, err)
	}
}

func TestCredentialIsAskedForEachCall(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says("x"))
	n := 0
	client := newClient(t, up.URL, chatwire.Settings{Credential: func() string { n++; return fmt.Sprint("key-", n) }})
	for range 2 {
		if _, err := client.Complete(t.Context(), acme(t), question()); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range up.Requests() {
		if got, want := r.Header.Get("Authorization"), fmt.Sprint("Bearer key-", i+1); got != want {
			t.Errorf("call %d: %q, want %q", i, got, want)
		}
	}
}

func TestTraceIDTravelsIfItIsOne(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says("x"))
	client := newClient(t, up.URL, chatwire.Settings{})
	for trace, want := range map[string]string{"0af7-1": "0af7-1", "a\r\nX-Evil: 1": "", "ü": ""} {
		req := question()
		req.TraceID = trace
		if _, err := client.Complete(t.Context(), acme(t), req); err != nil {
			t.Fatal(err)
		}
		requests := up.Requests()
		if got := requests[len(requests)-1].Header.Get("X-Request-Id"); got != want {
			t.Errorf("%q became %q", trace, got)
		}
	}
}

func TestDeadlineOfTheCallerIsATimeout(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Hangs())
	client := newClient(t, up.URL, chatwire.Settings{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.Stream(ctx, acme(t), question()); kindOf(err) != ai.KindTimeout {
		t.Errorf("the error is %v", err)
	}
}
