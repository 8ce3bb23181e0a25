package server_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
)

// openStreams starts n streams and waits until each has its first token.
func openStreams(b *bed, n int) []*http.Response {
	b.t.Helper()
	out := make([]*http.Response, n)
	for i := range out {
		out[i] = b.open(chat("c4nary", "sessionId", strings.Repeat("abcdef01"[i%8:i%8+1], 8)+sessionA[8:]))
		if _, err := io.ReadFull(out[i].Body, make([]byte, len("data: "))); err != nil {
			b.t.Fatal(err)
		}
	}
	return out
}

func TestALiveChangeDropsNoStream(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	up := aifake.New(t)
	up.Script(func(r *aifake.Request) aifake.Answer {
		if r.Chat.Stream {
			return aifake.Says("c4nary ", "one ", "two").PauseAt(1, gate)
		}
		return aifake.Says("c4nary")
	})
	b := newBed(t, up, setup{})
	streams := openStreams(b, 20)
	b.reload(func(c *tenantconfig.Config) {
		c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 1, WindowSec: 60}
		c.Models.Chat = "new"
		c.Prompt.System = "You are new."
	})
	if a := b.do(chat("c4nary", "stream", false)); a.status != 200 || a.header.Get("x-model-id") != "new" || a.header.Get("x-ratelimit-limit") != "1" {
		t.Errorf("under the new document: %d %v", a.status, a.header)
	}
	if a := b.do(chat("c4nary", "stream", false)); a.status != 429 {
		t.Errorf("over the new limit: %d", a.status)
	}
	// A refused document changes nothing but what /status tells.
	good := b.status().ConfigDigest
	b.write(tenantconfig.DocumentFile, `{"version":1,"tenant":{"id":"acme"}}`)
	b.eventually("the refusal to be told", func() bool { return strings.Contains(b.status().ConfigError, "tenant.identity") })
	if st := b.status(); st.ConfigDigest != good {
		t.Errorf("a refused document is in force: %+v", st)
	}
	// Another upstream: open streams stay with theirs.
	other := aifake.New(t, aifake.Says("from elsewhere"))
	b.reload(func(c *tenantconfig.Config) {
		c.Upstream.BaseURL = other.URL
		c.Limits.Requests.PerMinute = 100
	})
	if a := b.do(chat("c4nary", "stream", false)); a.status != 200 || !strings.Contains(string(a.body), "from elsewhere") {
		t.Errorf("from the new upstream: %d %s", a.status, a.body)
	}
	if st := b.status(); st.ConfigError != "" || st.ActiveStreams != 20 {
		t.Errorf("status: %+v", st)
	}
	close(gate)
	for i, s := range streams {
		events, err := readEvents(s.Body)
		_ = s.Body.Close()
		if got := sum(t, events); err != nil || got.failed != "" || got.done.Usage.ModelID != "big" {
			t.Errorf("stream %d: %+v, %v", i, got, err)
		}
	}
}

func TestANewCredentialIsTakenUp(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says("c4nary"))
	up.RequireKey("c4nary-new-token")
	b := newBed(t, up, setup{})
	if a := b.do(chat("c4nary", "stream", false)); a.status != 502 {
		t.Errorf("with the old credential: %d %s", a.status, a.body)
	}
	if st := b.status(); st.Model.State != "failing" || st.Model.Reason != "unauthorized" {
		t.Errorf("status: %+v", st.Model)
	}
	b.write("upstream-token", "c4nary-new-token")
	b.eventually("the new credential to be used", func() bool { return b.do(chat("c4nary", "stream", false)).status == 200 })
}

func TestWhatNeedsARestartWaits(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("c4nary")), setup{})
	old := b.status().ConfigDigest
	b.cfg.Server.APIPort = 8081
	b.cfg.Models.Chat = "new"
	b.writeDocument()
	b.eventually("the wait to be told", func() bool { return strings.Contains(b.status().ConfigError, "restart") })
	if st := b.status(); st.ConfigDigest != old || st.Model.ID != "big" {
		t.Errorf("status: %+v", st)
	}
	if a := b.do(call{method: http.MethodGet, url: b.ops + "/readyz"}); a.status != 200 {
		t.Errorf("readyz: %d, but this pod must serve until its successor does", a.status)
	}
	if !strings.Contains(b.scrape(), `enigma_config_reloads_total{result="restart"} 1`) {
		t.Error("the metrics don't tell")
	}
}

func TestStoppingLosesNothing(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	up := aifake.New(t, aifake.Says("c4nary ", "one ", "two").PauseAt(1, gate))
	store := memory.New(memory.Options{})
	b := newBed(t, up, setup{store: store, options: func(o *server.Options) { o.LameDuck = 150 * time.Millisecond }})
	streams := openStreams(b, 20)
	b.stop()
	b.eventually("readyz to tell", func() bool { return b.do(call{method: http.MethodGet, url: b.ops + "/readyz"}).status == 503 })
	// The world doesn't know yet: new requests are served, on connections that end.
	health := call{method: http.MethodGet, path: "/health", key: keyMain}
	resp, err := b.try(health)
	if err != nil || resp.StatusCode != 200 || !resp.Close {
		t.Fatalf("while leaving: %v, %v", resp, err)
	}
	_ = resp.Body.Close()
	// Later they are refused, and open streams still go on.
	b.eventually("new requests to be refused", func() bool { return b.do(health).status == 503 })
	a := b.do(chat("c4nary"))
	trace := a.header.Get("x-trace-id")
	if a.status != 503 || a.code() != "unavailable" || a.header.Get("Retry-After") == "" || trace == "" || !strings.Contains(string(a.body), trace) {
		t.Errorf("while refusing: %d %v %s", a.status, a.header, a.body)
	}
	close(gate)
	for i, s := range streams {
		events, err := readEvents(s.Body)
		_ = s.Body.Close()
		if got := sum(t, events); err != nil || got.failed != "" || !got.done.Done {
			t.Errorf("stream %d: %+v, %v", i, got, err)
		}
	}
	if err := <-b.ended; err != nil {
		t.Error(err)
	}
	b.ended <- nil
	if calls, _, out := usage(t, store); calls["ok"] != 20 || out != 60 {
		t.Errorf("recorded %v and %d tokens, want 20 calls and 60 tokens", calls, out)
	}
}

func TestTimeToDrainIsBounded(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says("c4nary ", "never").PauseAt(1, make(chan struct{})))
	store := memory.New(memory.Options{})
	b := newBed(t, up, setup{store: store, cfg: func(c *tenantconfig.Config) { c.Server.DrainSeconds = 1 }})
	streams := openStreams(b, 20)
	stopped := time.Now()
	b.stop()
	var wg sync.WaitGroup
	for i, s := range streams {
		wg.Go(func() {
			events, err := readEvents(s.Body)
			_ = s.Body.Close()
			if got := sum(t, events); err != nil || got.failed != "unavailable" || got.errorEvent.RetryAfterMs == 0 {
				t.Errorf("stream %d: %+v, %v", i, got, err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(stopped); took < 900*time.Millisecond || took > 3*time.Second {
		t.Errorf("streams ended after %v, want 1 s", took)
	}
	if err := <-b.ended; err != nil {
		t.Error(err)
	}
	b.ended <- nil
	if calls, in, out := usage(t, store); calls["canceled"] != 20 || in == 0 || out == 0 {
		t.Errorf("recorded %v, %d and %d tokens", calls, in, out)
	}
}

// After streams that ended in every way, what they held is free again: three more
// waves open no files beyond what idle connections vary by, where a leak would leave
// three hundred. TestMain looks for goroutines. Not parallel, since other tests open
// files too.
func TestNothingIsLeftBehind(t *testing.T) {
	up := aifake.New(t)
	up.Script(func(r *aifake.Request) aifake.Answer {
		switch len(*r.Chat.Messages[len(r.Chat.Messages)-1].Content) % 4 {
		case 0:
			return aifake.Says("c4nary")
		case 1:
			return aifake.Says("c4nary ", "cut").CutAfter(100)
		case 2:
			return aifake.Refuses(500, "")
		default:
			return aifake.Says("c4nary ", "hangs").PauseAt(1, make(chan struct{}))
		}
	})
	b := newBed(t, up, setup{})
	wave := func(so int64) int {
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { b.half(i) })
		}
		wg.Wait()
		b.eventually("all calls to be recorded", func() bool { return b.status().Usage.RequestsToday == so })
		b.eventually("all streams to be closed", func() bool { return b.status().ActiveStreams == 0 })
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc/self/fd here")
		}
		return len(files)
	}
	first := wave(100)
	wave(200)
	wave(300)
	if last := wave(400); last > first+150 {
		t.Errorf("%d open files after the first wave, %d after the fourth", first, last)
	}
}

// half asks with a message of i+1 characters, and leaves a stream that hangs.
func (b *bed) half(i int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := chat(strings.Repeat("x", i+1))
	c.ctx = ctx
	resp, err := b.try(c)
	if err != nil {
		b.t.Error(err)
		return
	}
	if i%4 == 2 {
		_, _ = resp.Body.Read(make([]byte, 6))
	} else {
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	_ = resp.Body.Close()
}
