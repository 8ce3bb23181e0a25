package fakecloudflare_test

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

func script(f fake, fault fakecloudflare.Fault) {
	f.t.Helper()
	if err := f.s.Script(fault); err != nil {
		f.t.Fatal(err)
	}
}

const makeNamespace = "workers-kv-namespace-create-a-namespace"

// A call can fail before or after it did what it was for, and the client can't tell.
func TestFaultsBeforeAndAfterTheEffect(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault fakecloudflare.Fault
		made  int
		check func(f fake)
	}{
		"error before":       {fakecloudflare.Fault{Status: 500}, 0, func(f fake) { f.want(500, 10001, "POST", kv, map[string]string{"title": "x"}) }},
		"error after":        {fakecloudflare.Fault{Status: 504, After: true, Body: fakecloudflare.BodyHTML}, 1, wantHTML},
		"cut before":         {fakecloudflare.Fault{Cut: true}, 0, wantNoAnswer},
		"cut after":          {fakecloudflare.Fault{Cut: true, After: true}, 1, wantNoAnswer},
		"time-out before":    {fakecloudflare.Fault{Hang: true}, 0, wantTimeout},
		"time-out after":     {fakecloudflare.Fault{Hang: true, After: true}, 1, wantTimeout},
		"answer truncated":   {fakecloudflare.Fault{Truncate: 10}, 1, wantHalf},
		"throttled":          {fakecloudflare.Fault{Status: 429, RetryAfter: 7 * time.Second}, 0, wantRetryAfter},
		"200 that failed":    {fakecloudflare.Fault{Status: 200, Body: fakecloudflare.BodyEnvelope(1234, "no")}, 0, func(f fake) { f.want(200, 1234, "POST", kv, map[string]string{"title": "x"}) }},
		"slow":               {fakecloudflare.Fault{Delay: time.Millisecond}, 1, func(f fake) { namespace(f, "x") }},
		"in the gateway's":   {fakecloudflare.Fault{Status: 401, Body: fakecloudflare.BodyGateway(2009, "Unauthorized")}, 0, wantBody(`"error":[{"code":2009`)},
		"in the binding's":   {fakecloudflare.Fault{Status: 429, Body: fakecloudflare.BodyBinding(3036, "used up")}, 0, wantBody(`"internalCode":3036`)},
		"in OpenAI's":        {fakecloudflare.Fault{Status: 400, Body: fakecloudflare.BodyOpenAI("x", "y")}, 0, wantBody(`"error":{"message":"y"`)},
		"of another's token": {fakecloudflare.Fault{Status: 500, Token: "somebody"}, 1, func(f fake) { namespace(f, "x") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, fakecloudflare.Options{})
			c.fault.Operation = makeNamespace
			script(f, c.fault)
			c.check(f)
			if n := f.s.State(account).Count("kv"); n != c.made {
				t.Errorf("%d namespaces were made, want %d", n, c.made)
			}
			log := f.s.Log()
			last := log[len(log)-1]
			if (last.Effect == "create") != (c.made == 1) {
				t.Errorf("the log says %q", last.Effect)
			}
			if wantFault := c.fault.Token == "" && c.fault.Delay == 0; (last.Fault != "") != wantFault {
				t.Errorf("the log's fault is %q", last.Fault)
			}
			// Once is once.
			f.s.Heal()
			namespace(f, "afterwards")
		})
	}
}

func wantHTML(f fake) {
	r := f.call("POST", kv, map[string]string{"title": "x"})
	if r.status != 504 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") || !strings.Contains(r.raw, "<html>") {
		f.t.Errorf("answered %d %s", r.status, r.raw)
	}
}

func wantNoAnswer(f fake) {
	resp, err := f.send("POST", kv, map[string]string{"title": "x"})
	if err == nil {
		resp.Body.Close()
		f.t.Errorf("answered %d", resp.StatusCode)
	}
}

func wantHalf(f fake) {
	resp, err := f.send("POST", kv, map[string]string{"title": "x"})
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err == nil || len(b) != 10 {
		f.t.Errorf("%d bytes came, then %v", len(b), err)
	}
}

func wantRetryAfter(f fake) {
	r := f.want(429, 10001, "POST", kv, map[string]string{"title": "x"})
	if r.header.Get("Retry-After") != "7" {
		f.t.Errorf("Retry-After: %s", r.header.Get("Retry-After"))
	}
}

func wantBody(part string) func(fake) {
	return func(f fake) {
		if r := f.call("POST", kv, map[string]string{"title": "x"}); !strings.Contains(r.raw, part) {
			f.t.Errorf("answered %s", r.raw)
		}
	}
}

// wantTimeout gives up as soon as the server has the call and what it does is done.
func wantTimeout(f fake) {
	ctx, cancel := context.WithCancel(f.t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		r, err := newRequest(ctx, f, "POST", kv, `{"title":"x"}`)
		if err == nil {
			err = r()
		}
		done <- err
	}()
	if _, err := f.s.Await(ctx, func(e fakecloudflare.Entry) bool { return e.Fault == "hang" }); err != nil {
		f.t.Fatal(err)
	}
	cancel()
	if err := <-done; err == nil {
		f.t.Error("the call was answered")
	}
}

func TestTheNthCallFails(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	script(f, fakecloudflare.Fault{Method: "GET", Path: ".*/namespaces", Nth: 2, Times: 2, Status: 503})
	for n, want := range []int{200, 503, 503, 200} {
		if r := f.call("GET", kv, nil); r.status != want {
			t.Errorf("call %d: %d, want %d", n+1, r.status, want)
		}
	}
	script(f, fakecloudflare.Fault{Operation: "workers-kv.*", Account: account, Times: -1, Status: 502})
	for range 3 {
		f.want(502, 10001, "GET", kv, nil)
	}
	f.want(200, 0, "GET", d1, nil)
	f.s.Heal()
	f.want(200, 0, "GET", kv, nil)
	if err := f.s.Script(fakecloudflare.Fault{Path: "("}); err == nil {
		t.Error("a pattern that is none was taken")
	}
}

func TestATestDecidesOnEachCall(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	var crashed atomic.Int32
	f.s.OnCall(func(c fakecloudflare.Call) *fakecloudflare.Fault {
		if c.Operation == makeNamespace && strings.Contains(string(c.Body), "doomed") && c.Kind == "kv" && c.Token != "" {
			return &fakecloudflare.Fault{Cut: true, After: true, Do: func() { crashed.Add(1) }}
		}
		return nil
	})
	namespace(f, "fine")
	if resp, err := f.send("POST", kv, map[string]string{"title": "doomed"}); err == nil {
		resp.Body.Close()
		t.Error("the doomed call was answered")
	}
	if crashed.Load() != 1 || f.s.State(account).Count("kv") != 2 {
		t.Errorf("crashed %d times, %d namespaces", crashed.Load(), f.s.State(account).Count("kv"))
	}
	f.s.OnCall(nil)
	namespace(f, "doomed no more")
}

func TestAHeldCallWaitsForItsGate(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	gate := make(chan struct{})
	script(f, fakecloudflare.Fault{Operation: makeNamespace, Gate: gate})
	done := make(chan reply, 1)
	go func() { done <- f.call("POST", kv, map[string]string{"title": "held"}) }()
	f.want(200, 0, "GET", kv, nil) // others pass
	select {
	case <-done:
		t.Fatal("the call wasn't held")
	default:
	}
	close(gate)
	if r := <-done; r.status != 200 {
		t.Errorf("answered %d", r.status)
	}
}
