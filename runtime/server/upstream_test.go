package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// usage sums what the store has recorded, by outcome.
func usage(t *testing.T, s storage.Store) (calls map[string]int64, in, out int64) {
	t.Helper()
	id, err := tenancy.NewID("acme", "o/n/development/acme")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	buckets, err := s.Usage().Sum(context.Background(), id, now.Add(-time.Hour), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	calls = map[string]int64{}
	for _, b := range buckets {
		calls[b.Outcome] += b.Calls
		in += b.TokensIn
		out += b.TokensOut
	}
	return calls, in, out
}

func TestAnUpstreamsRefusalBecomesAnAnswer(t *testing.T) {
	t.Parallel()
	const secret = `{"error":{"message":"c4nary: your key sk-c4nary is wrong","code":"x"}}`
	for name, tc := range map[string]struct {
		up         aifake.Answer
		status     int
		code       string
		retryAfter string
	}{
		"unauthorized":          {aifake.Refuses(401, secret), 502, "ai_error", ""},
		"forbidden":             {aifake.Refuses(403, secret), 502, "ai_error", ""},
		"rate limited":          {aifake.Refuses(429, secret, "Retry-After", "7"), 429, "ai_rate_limited", "7"},
		"rate limited, no word": {aifake.Refuses(429, secret), 429, "ai_rate_limited", "5"},
		"out of money":          {aifake.Refuses(402, secret), 503, "ai_quota_exceeded", ""},
		"down":                  {aifake.Refuses(500, secret), 502, "ai_error", ""},
		"busy":                  {aifake.Refuses(503, secret, "Retry-After", "3"), 503, "ai_error", "3"},
		"too long":              {aifake.Refuses(400, `{"error":{"message":"c4nary","code":"context_length_exceeded"}}`), 400, "context_too_long", ""},
		"no such model":         {aifake.Refuses(404, `{"error":{"message":"model 'c4nary' not found","code":"model_not_found"}}`), 502, "ai_error", ""},
		"HTML":                  {aifake.Sends("text/html", "<html>c4nary</html>"), 502, "ai_error", ""},
		"nonsense":              {aifake.Sends("application/json", `{"choices":7`), 502, "ai_error", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memory.New(memory.Options{})
			b := newBed(t, aifake.New(t, tc.up), setup{store: s})
			for _, stream := range []bool{false, true} {
				resp := b.open(chat("c4nary", "stream", stream))
				text, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(text), "c4nary") {
					t.Errorf("the upstream's text reached the client: %s", text)
				}
				if resp.StatusCode == 200 { // accepted, then found to be nonsense
					events, err := readEvents(bytes.NewReader(text))
					if sum := sum(t, events); err != nil || sum.failed != tc.code {
						t.Errorf("stream: %s, want %s (%v)", sum.failed, tc.code, err)
					}
					continue
				}
				got := answer{resp.StatusCode, resp.Header, text}
				if got.status != tc.status || got.code() != tc.code || got.header.Get("Retry-After") != tc.retryAfter {
					t.Errorf("stream %v: %d %s Retry-After %q, want %d %s %q", stream, got.status, text, got.header.Get("Retry-After"), tc.status, tc.code, tc.retryAfter)
				}
			}
			if got := b.history(keyMain, sessionA); len(got) != 0 {
				t.Errorf("a failure before the first token left %v", got)
			}
			if calls, _, _ := usage(t, s); calls["error"]+calls["truncated"] != 2 {
				t.Errorf("recorded %v, want 2 failed calls", calls)
			}
			if st := b.status(); st.Usage.RequestsToday != 2 {
				t.Errorf("status: %+v", st)
			}
		})
	}
}

func TestAModelThatTheClientNamedAndNobodyHas(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Refuses(404, `{"error":{"message":"model not found","code":"model_not_found"}}`)), setup{cfg: func(c *tenantconfig.Config) { c.Models.Fallbacks = nil }})
	for _, stream := range []bool{false, true} {
		if a := b.do(chat("x", "modelId", "nonesuch", "stream", stream)); a.status != 404 || a.code() != "model_not_found" {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

func TestTheNextModelAnswers(t *testing.T) {
	t.Parallel()
	up := aifake.New(t)
	up.Script(func(r *aifake.Request) aifake.Answer {
		if r.Chat.Model == "big" {
			return aifake.Refuses(500, "")
		}
		return aifake.Says("from ", "the small c4nary")
	})
	b := newBed(t, up, setup{})
	a := b.do(chat("c4nary", "stream", false))
	if a.status != 200 || a.header.Get("x-model-id") != "small" {
		t.Errorf("%d %s from %q", a.status, a.body, a.header.Get("x-model-id"))
	}
	if s := b.stream(chat("c4nary")); s.text != "from the small c4nary" || s.done.Usage.ModelID != "small" {
		t.Errorf("%+v", s)
	}
	if st := b.status(); st.Model.State != "failing" || st.Model.Reason != "unavailable" {
		t.Errorf("status of the model that failed: %+v", st.Model)
	}
	if m := b.scrape(); !strings.Contains(m, `enigma_upstream_failures_total{gen_ai_request_model="big",kind="unavailable"} 2`) {
		t.Error("the metrics don't tell of the failures")
	}
}

func TestNoFallbackInMidStream(t *testing.T) {
	t.Parallel()
	up := aifake.New(t)
	whole := len(aStream(t, "a", "b", "c"))
	up.Script(func(r *aifake.Request) aifake.Answer { return aifake.Says("a", "b", "c").CutAfter(whole / 2) })
	b := newBed(t, up, setup{})
	if s := b.stream(chat("c4nary")); s.failed != "ai_truncated" || s.tokens == 0 {
		t.Errorf("%+v", s)
	}
	if n := len(up.Requests()); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// aStream is the bytes that the fake sends for these tokens.
func aStream(t *testing.T, tokens ...string) []byte {
	t.Helper()
	up := aifake.New(t, aifake.Says(tokens...))
	body := `{"model":"big","messages":[{"role":"user","content":"x"}],"max_tokens":5,"stream":true,"stream_options":{"include_usage":true}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, up.URL+"/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %s %v", resp.StatusCode, text, err)
	}
	return text
}

// A recorded stream is cut after each of its bytes: what came is shown, kept as
// partial and billed, and the end says so.
func TestAStreamCutAtEveryByte(t *testing.T) {
	t.Parallel()
	tokens := []string{"Hé", "llo ", "世界"}
	whole := aStream(t, tokens...)
	up := aifake.New(t)
	s := memory.New(memory.Options{})
	b := newBed(t, up, setup{store: s, cfg: func(c *tenantconfig.Config) { c.Models.Fallbacks = nil }})
	var wantCalls int64
	var tokensOut, before int64
	for cut := 0; cut <= len(whole); cut++ {
		said, complete := saidBy(t, whole[:cut])
		up.Answer(aifake.Says(tokens...).CutAfter(cut))
		got := b.stream(chat("c4nary", "sessionId", fmt.Sprintf("%08x-1c6b-4f7e-9d0a-5b1f2c3d4e5f", cut)))
		if got.text != said {
			t.Fatalf("cut after %d bytes: text %q, want %q", cut, got.text, said)
		}
		wantFailed := "ai_truncated"
		if complete {
			wantFailed = ""
		}
		if got.failed != wantFailed {
			t.Fatalf("cut after %d bytes: error %q, want %q", cut, got.failed, wantFailed)
		}
		wantCalls++
		before = tokensOut
		calls, _, out := usage(t, s)
		tokensOut = out
		if calls["ok"]+calls["truncated"] != wantCalls || out-before != int64(got.done.Usage.TokensOut) || said != "" && out == before {
			t.Fatalf("cut after %d bytes: recorded %v and %d tokens, told %+v", cut, calls, out-before, got.done.Usage)
		}
		kept := b.history(keyMain, fmt.Sprintf("%08x-1c6b-4f7e-9d0a-5b1f2c3d4e5f", cut))
		if said == "" && len(kept) != 0 || said != "" && (len(kept) != 2 || kept[0].Content != said || kept[0].Partial == complete) {
			t.Fatalf("cut after %d bytes: kept %+v", cut, kept)
		}
	}
}

// saidBy reads the fake's frames: the tokens in whole events, and whether a finish
// reason is among them.
func saidBy(t *testing.T, b []byte) (text string, complete bool) {
	t.Helper()
	frames := strings.Split(string(b), "\n\n")
	for _, frame := range frames[:len(frames)-1] {
		var chunk struct {
			Choices []struct {
				Delta  struct{ Content string }
				Finish *string `json:"finish_reason"`
			}
		}
		data := strings.TrimPrefix(frame, "data: ")
		if data == "[DONE]" {
			return text, true
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			t.Fatalf("frame %q: %v", frame, err)
		}
		for _, c := range chunk.Choices {
			text += c.Delta.Content
			complete = complete || c.Finish != nil
		}
	}
	return text, complete
}

func TestTheUpstreamIsCanceledWithTheClient(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		up   aifake.Answer
		read int // tokens to read before leaving
		kept bool
	}{
		"before the status": {aifake.Hangs(), 0, false},
		"after a token":     {aifake.Says("c4nary ", "more").PauseAt(1, make(chan struct{})), 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memory.New(memory.Options{})
			up := aifake.New(t, tc.up)
			b := newBed(t, up, setup{store: s})
			ctx, leave := context.WithCancel(t.Context())
			c := chat("c4nary")
			c.ctx = ctx
			responded := make(chan struct{})
			go func() {
				defer close(responded)
				resp, err := b.try(c)
				if err != nil {
					return
				}
				defer func() { _ = resp.Body.Close() }()
				if tc.read > 0 {
					_, _ = resp.Body.Read(make([]byte, 10))
				}
				responded <- struct{}{}
				_, _ = io.Copy(io.Discard, resp.Body)
			}()
			r := up.Await(1)
			if r == nil {
				t.Fatal("no call upstream")
			}
			if tc.read > 0 {
				<-responded
			}
			left := time.Now()
			leave()
			<-r.Canceled()
			if took := r.CanceledAt().Sub(left); took > 100*time.Millisecond {
				t.Errorf("the upstream was canceled after %v", took)
			}
			b.eventually("the call to be recorded", func() bool { calls, _, _ := usage(t, s); return calls["canceled"] == 1 })
			_, in, out := usage(t, s)
			if in == 0 || tc.kept && out == 0 {
				t.Errorf("billed %d and %d tokens", in, out)
			}
			b.eventually("the history", func() bool { return len(b.history(keyMain, sessionA)) == 2 == tc.kept })
			if kept := b.history(keyMain, sessionA); tc.kept && (!kept[0].Partial || kept[0].Content != "c4nary ") {
				t.Errorf("kept %+v", kept)
			}
			<-responded
		})
	}
}

// A status that takes long doesn't keep the headers back for more than two seconds; a
// refusal that comes then is an event.
func TestHeadersGoOutAfterTwoSeconds(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	b := newBed(t, aifake.New(t, aifake.Refuses(429, "", "Retry-After", "7").After(gate)), setup{cfg: func(c *tenantconfig.Config) { c.Models.Fallbacks = nil }})
	began := time.Now()
	resp := b.open(chat("c4nary"))
	defer func() { _ = resp.Body.Close() }()
	if took := time.Since(began); resp.StatusCode != 200 || took < 1900*time.Millisecond || took > 4*time.Second {
		t.Errorf("status %d after %v", resp.StatusCode, took)
	}
	close(gate)
	events, err := readEvents(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	s := sum(t, events)
	if s.failed != "ai_rate_limited" || s.errorEvent.RetryAfterMs != 7000 || s.done.Usage.TotalTokens != 0 {
		t.Errorf("%+v", s)
	}
	if got := b.history(keyMain, sessionA); len(got) != 0 {
		t.Errorf("kept %v", got)
	}
}

// What the upstream has generated is what was recorded, whatever came between.
func TestTheLedgersAgree(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Options{})
	up := aifake.New(t, aifake.Says("a ", "c4nary ", "of ", "four"))
	b := newBed(t, up, setup{store: s})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() { b.do(chat("c4nary", "stream", i%2 == 0)) })
	}
	wg.Wait()
	var wantIn, wantOut int64
	for _, e := range up.Ledger() {
		wantIn += int64(e.In)
		wantOut += int64(e.Out)
	}
	calls, in, out := usage(t, s)
	if calls["ok"] != 40 || in != wantIn || out != wantOut {
		t.Errorf("recorded %v, %d in, %d out; the upstream says %d in, %d out", calls, in, out, wantIn, wantOut)
	}
	st := b.status()
	if d := cmp.Diff(tenantconfig.UsageStatus{TokensToday: in + out, TokensThisMonth: in + out, MicroUSDMonth: in + 2*out, RequestsToday: 40}, st.Usage); d != "" {
		t.Error(d)
	}
	if got := b.history(keyMain, sessionA); len(got) != 50 {
		t.Errorf("a page of %d messages, want 50 of 80", len(got))
	}
}
