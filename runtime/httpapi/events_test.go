package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// recorder is a ResponseWriter that writes down the order of what is done to it.
type recorder struct {
	mu      sync.Mutex
	header  http.Header
	steps   []string
	body    strings.Builder
	until   time.Time
	failing error
}

func newRecorder() *recorder { return &recorder{header: http.Header{}} }

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) note(step string) { r.steps = append(r.steps, step) }

func (r *recorder) WriteHeader(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(fmt.Sprint("status ", status))
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing != nil {
		return 0, r.failing
	}
	r.note("write")
	return r.body.Write(p)
}

func (r *recorder) FlushError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note("flush")
	return r.failing
}

func (r *recorder) SetWriteDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note("deadline")
	r.until = t
	return nil
}

func (r *recorder) SetReadDeadline(time.Time) error { return nil }

func (r *recorder) written() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.body.String()
}

// serve runs one stream against a recorder.
func serve(t testing.TB, rec http.ResponseWriter, opts httpapi.Options, run func(context.Context, *httpapi.EventWriter)) {
	dir, err := tenancy.NewDirectory(newTenant(t, "open"))
	if err != nil {
		t.Fatal(err)
	}
	door := httpapi.NewDoor(dir, opts)
	httpapi.Handle(door, "GET", "/stream", httpapi.Route{}, func(context.Context, httpapi.Call, struct{}) (httpapi.Answer, error) {
		return httpapi.Answer{Stream: run}, nil
	})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/stream", nil)
	r.Header.Set("X-Tenant-Id", "open")
	r.Header.Set("X-Trace-Id", "t")
	door.ServeHTTP(rec, r)
}

// TestEveryWriteHasItsTime: whatever came before it, a write may stand still for the
// timeout, less a thirty-second.
func TestEveryWriteHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 32 * time.Second
		rec := newRecorder()
		serve(t, rec, httpapi.Options{WriteTimeout: timeout, Ping: time.Hour}, func(_ context.Context, w *httpapi.EventWriter) {
			for _, pause := range []time.Duration{0, time.Millisecond, 999 * time.Millisecond, time.Second - 1, 1, time.Second, time.Minute, 0} {
				time.Sleep(pause)
				w.Data([]byte("1"))
				if left := time.Until(rec.until); left <= timeout-time.Second || left > timeout {
					t.Errorf("a write %s after the last has %s, want %s", pause, left, timeout)
				}
			}
		})
		if left := time.Until(rec.until); left != timeout {
			t.Errorf("the end of the body has %s, want %s", left, timeout)
		}
	})
}

func TestEveryEventIsOneWrite(t *testing.T) {
	rec := newRecorder()
	serve(t, rec, httpapi.Options{}, func(_ context.Context, w *httpapi.EventWriter) {
		w.Data([]byte(`{"a":1}`))
		w.Event("done", map[string]any{"done": true, "html": "<b>"})
		w.Named("named", []byte("two\r\nlines\n"))
		w.Comment("note\nid: 1")
		w.Event("x\ndata: y", 1)
	})
	want := "data: {\"a\":1}\n\n" + "event: done\ndata: {\"done\":true,\"html\":\"<b>\"}\n\n" +
		"event: named\ndata: two\ndata: lines\ndata: \n\n" + ": note\n\n" + "event: x\ndata: 1\n\n"
	if diff := cmp.Diff(want, rec.written()); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	steps := []string{"deadline", "status 200", "flush"}
	for range 5 {
		steps = append(steps, "write", "flush")
	}
	// The server writes the end of the body after the handler.
	if diff := cmp.Diff(append(steps, "deadline"), rec.steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", "X-Trace-Id": "t",
	} {
		if got := rec.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestTheLastEventHasAWholeDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		serve(t, rec, httpapi.Options{}, func(_ context.Context, w *httpapi.EventWriter) {
			time.Sleep(time.Minute) // virtual
			w.Event("done", 1)
		})
		if left := time.Until(rec.until); left != 30*time.Second {
			t.Errorf("the end of the stream has %v left", left)
		}
	})
}

func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		serve(t, rec, httpapi.Options{}, func(_ context.Context, w *httpapi.EventWriter) {
			time.Sleep(14 * time.Second)
			synctest.Wait()
			if got := rec.written(); got != "" {
				t.Errorf("after 14 s: %q", got)
			}
			time.Sleep(2 * time.Second) // before the first token too
			synctest.Wait()
			if got := rec.written(); got != ": ping\n\n" {
				t.Errorf("after 16 s: %q", got)
			}
			for range 40 { // as long as tokens come, no ping
				time.Sleep(time.Second)
				w.Data([]byte("x"))
			}
			time.Sleep(31 * time.Second)
			synctest.Wait()
		})
		want := ": ping\n\n" + strings.Repeat("data: x\n\n", 40) + ": ping\n\n: ping\n\n"
		if diff := cmp.Diff(want, rec.written()); diff != "" {
			t.Errorf("body (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if rec.written() != want {
			t.Error("a stream that ended was pinged")
		}
	})
}

// stuck is a client whose connection takes no more, until it is released.
type stuck struct {
	*recorder
	writes  chan struct{}
	release chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	s.writes <- struct{}{}
	<-s.release
	return s.recorder.Write(p)
}

func TestPingsGoBetweenEventsAndHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := &stuck{newRecorder(), make(chan struct{}, 10), make(chan struct{})}
		idle := newRecorder()
		dir, err := tenancy.NewDirectory(newTenant(t, "open"))
		if err != nil {
			t.Fatal(err)
		}
		door := httpapi.NewDoor(dir, httpapi.Options{})
		httpapi.Handle(door, "GET", "/{what}", httpapi.Route{}, func(_ context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
			return httpapi.Answer{Stream: func(_ context.Context, w *httpapi.EventWriter) {
				if c.Path("what") == "full" {
					w.Data([]byte("token"))
				}
				time.Sleep(20 * time.Second)
			}}, nil
		})
		get := func(path string, w http.ResponseWriter) {
			r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
			r.Header.Set("X-Tenant-Id", "open")
			door.ServeHTTP(w, r)
		}
		go get("/full", full)
		go get("/idle", idle)
		time.Sleep(17 * time.Second)
		synctest.Wait()
		if got := idle.written(); got != ": ping\n\n" {
			t.Errorf("the idle stream got %q", got)
		}
		if n := len(full.writes); n != 1 {
			t.Errorf("%d writes at once", n)
		}
		close(full.release)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := full.written(); !strings.HasPrefix(got, "data: token\n\n") {
			t.Errorf("the full stream got %q", got)
		}
	})
}

func TestAFailedWriteEndsTheStream(t *testing.T) {
	rec := newRecorder()
	rec.failing = &net.OpError{Op: "write", Err: errors.New("broken pipe")}
	serve(t, rec, httpapi.Options{}, func(ctx context.Context, w *httpapi.EventWriter) {
		w.Data([]byte("x"))
		<-w.Done()
		if !errors.Is(w.Err(), httpapi.ErrClientGone) || !errors.Is(context.Cause(ctx), httpapi.ErrClientGone) {
			t.Errorf("error %v, cause %v", w.Err(), context.Cause(ctx))
		}
		w.Event("done", 1)
	})
	if rec.written() != "" {
		t.Error("written after a failure")
	}
	rec = newRecorder()
	serve(t, rec, httpapi.Options{}, func(_ context.Context, w *httpapi.EventWriter) {
		w.Event("bad", func() {})
		if w.Err() == nil {
			t.Error("an event that is no JSON was taken")
		}
	})
}

func TestPanicInAStreamIsTold(t *testing.T) {
	rec := newRecorder()
	seen := httpapi.Observation{}
	serve(t, rec, httpapi.Options{Observe: func(o httpapi.Observation) { seen = o }}, func(_ context.Context, w *httpapi.EventWriter) {
		w.Data([]byte("x"))
		panic("c4nary")
	})
	got := rec.written()
	if !strings.HasPrefix(got, "data: x\n\nevent: error\ndata: {\"code\":\"internal\",") ||
		!strings.HasSuffix(got, "event: done\ndata: {\"done\":true,\"error\":\"internal\"}\n\n") || strings.Contains(got, "c4nary") {
		t.Errorf("body %q", got)
	}
	if seen.Status != 500 || seen.Code != "internal" || !seen.Stream || seen.Bytes != int64(len(got)) {
		t.Errorf("observed %+v", seen)
	}
}

// streamServer serves one stream handler on loopback.
func streamServer(t testing.TB, opts httpapi.Options, run func(context.Context, *httpapi.EventWriter)) *bench {
	b := newBench(t, opts)
	httpapi.Handle(b.door, "POST", "/stream", httpapi.Route{}, func(context.Context, httpapi.Call, chatRequest) (httpapi.Answer, error) {
		return httpapi.Answer{Stream: run}, nil
	})
	return b
}

const streamRequest = "POST /stream HTTP/1.1\r\nHost: open.example\r\nContent-Length: 15\r\n\r\n{\"message\":\"x\"}"

func (b *bench) dial() net.Conn {
	b.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(b.t.Context(), "tcp", b.server.Listener.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func TestEventsArriveOneByOne(t *testing.T) {
	turn := make(chan struct{})
	b := streamServer(t, httpapi.Options{}, func(_ context.Context, w *httpapi.EventWriter) {
		for i := range 3 {
			<-turn
			w.Event("", i)
		}
	})
	conn := b.dial()
	_, _ = io.WriteString(conn, streamRequest)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil) // headers come before any event
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewReader(res.Body)
	for i := range 3 {
		turn <- struct{}{}
		line, err := lines.ReadString('\n')
		if err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("line %q, %v", line, err)
		}
		_, _ = lines.ReadString('\n')
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) != 0 {
		t.Errorf("after the end: %q, %v", rest, err)
	}
}

func TestClientGoneIsSeenWithoutWriting(t *testing.T) {
	var goneAt instant
	began, took := make(chan struct{}), make(chan time.Duration, 1)
	b := streamServer(t, httpapi.Options{}, func(_ context.Context, w *httpapi.EventWriter) {
		close(began)
		<-w.Done()
		took <- time.Since(goneAt.load())
	})
	conn := b.dial()
	_, _ = io.WriteString(conn, streamRequest)
	<-began
	goneAt.store(time.Now())
	_ = conn.Close()
	d := <-took
	t.Logf("seen after %v", d)
	if d > time.Second { // milliseconds; a busy machine may need more
		t.Errorf("seen after %v", d)
	}
	if o := <-b.seen; o.Status != 499 || !o.Stream {
		t.Errorf("observed %+v", o)
	}
}

type instant struct {
	mu sync.Mutex
	t  time.Time
}

func (i *instant) store(t time.Time) { i.mu.Lock(); i.t = t; i.mu.Unlock() }
func (i *instant) load() time.Time   { i.mu.Lock(); defer i.mu.Unlock(); return i.t }

// discard is a ResponseWriter that costs nothing, to see what an event itself costs.
type discard struct{ header http.Header }

func (d discard) Header() http.Header              { return d.header }
func (d discard) WriteHeader(int)                  {}
func (d discard) Write(p []byte) (int, error)      { return len(p), nil }
func (d discard) FlushError() error                { return nil }
func (d discard) SetWriteDeadline(time.Time) error { return nil }
func (d discard) SetReadDeadline(time.Time) error  { return nil }

var token = []byte(`{"sessionId":"0b0f3c5e-9f5a-4d2e-8b53-6b1f0a3c9d11","role":"assistant","content":" refund","tenantId":"acme","traceId":"0b0f3c5e-9f5a-4d2e-8b53-6b1f0a3c9d11"}`)

func BenchmarkTokenOverhead(b *testing.B) {
	serve(b, discard{http.Header{}}, httpapi.Options{}, func(_ context.Context, w *httpapi.EventWriter) {
		b.ReportAllocs()
		for b.Loop() {
			w.Data(token)
		}
	})
}

// BenchmarkTokenToSocket includes net/http, the deadline and the system call.
func BenchmarkTokenToSocket(b *testing.B) {
	n := make(chan struct{})
	s := streamServer(b, httpapi.Options{}, func(_ context.Context, w *httpapi.EventWriter) {
		b.ReportAllocs()
		for b.Loop() {
			w.Data(token)
		}
		close(n)
	})
	conn := s.dial()
	_ = conn.SetDeadline(time.Time{})
	_, _ = io.WriteString(conn, streamRequest)
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	<-n
}

// BenchmarkUnary is all that the door does for a small request, without the socket.
func BenchmarkUnary(b *testing.B) {
	s := newBench(b, httpapi.Options{})
	go func() {
		for range s.seen {
		}
	}()
	body := strings.NewReader(`{"message":"How do I get a refund?"}`)
	r := httptest.NewRequestWithContext(b.Context(), "POST", "/chat", body)
	r.Header.Set("X-Api-Key", acmeKey)
	rec := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(`{"message":"How do I get a refund?"}`)
		s.door.ServeHTTP(rec, r)
	}
}
