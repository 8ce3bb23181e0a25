package chatwire_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/chatwire"
)

func dialer(count func(), dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		count()
		return dial(ctx, network, address)
	}
}

// pipeClient talks HTTP over a pipe to serve, so that a fake clock rules both sides.
func pipeClient(t *testing.T, serve func(w net.Conn)) *chatwire.Client {
	t.Helper()
	transport := chatwire.NewTransport(chatwire.TransportOptions{})
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer func() { _ = theirs.Close() }()
			r, err := http.ReadRequest(bufio.NewReader(theirs))
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			serve(theirs)
			_, _ = io.Copy(io.Discard, theirs) // until the client is gone
		}()
		return ours, nil
	}
	return newClient(t, "http://upstream.test/v1", chatwire.Settings{Transport: transport})
}

const headers = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

func TestUpstreamThatNeverAnswersTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := pipeClient(t, func(net.Conn) {})
		start := time.Now()
		_, err := client.Stream(t.Context(), acme(t), question())
		if kindOf(err) != ai.KindTimeout || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestSilentStreamTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := pipeClient(t, func(c net.Conn) {
			_, _ = io.WriteString(c, headers+hello)
			time.Sleep(50 * time.Second)
			_, _ = io.WriteString(c, world)
		})
		start := time.Now()
		got, err := ask(t, client)
		if kindOf(err) != ai.KindTimeout || got.Text != "Hello wörld" || time.Since(start) != 110*time.Second {
			t.Errorf("after %v: %q, %v", time.Since(start), got.Text, err)
		}
	})
}

func TestSlowStreamWithPingsIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := pipeClient(t, func(c net.Conn) {
			_, _ = io.WriteString(c, headers+hello)
			for range 120 {
				time.Sleep(15 * time.Second)
				_, _ = io.WriteString(c, ": ping\n\n")
			}
			_, _ = io.WriteString(c, world+stop+finish)
			_ = c.Close()
		})
		start := time.Now()
		got, err := ask(t, client)
		if err != nil || got.Text != "Hello wörld" || time.Since(start) < 30*time.Minute {
			t.Errorf("after %v: %q, %v", time.Since(start), got.Text, err)
		}
	})
}

func TestServerThatStaysAfterTheFinishHoldsNobodyUp(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		most time.Duration
	}{
		"after the finish reason": {hello + stop, 2 * time.Second},
		"after DONE":              {hello + stop + finish, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := pipeClient(t, func(conn net.Conn) { _, _ = io.WriteString(conn, headers+c.body) })
				start := time.Now()
				got, err := ask(t, client)
				if err != nil || got.Text != "Hello" || time.Since(start) > c.most {
					t.Errorf("after %v: %q, %v", time.Since(start), got.Text, err)
				}
			})
		})
	}
}

// The HTTP answer ends a moment after the model's: the connection is worth the wait.
func TestConnectionIsReusedAfterALateEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		transport := chatwire.NewTransport(chatwire.TransportOptions{})
		defer transport.CloseIdleConnections()
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			dials++
			ours, theirs := net.Pipe()
			go func() {
				defer func() { _ = theirs.Close() }()
				in := bufio.NewReader(theirs)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					body := hello + stop + finish
					_, _ = fmt.Fprintf(theirs, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(body), body)
					time.Sleep(10 * time.Millisecond)
					_, _ = io.WriteString(theirs, "0\r\n\r\n")
				}
			}()
			return ours, nil
		}
		client := newClient(t, "http://upstream.test/v1", chatwire.Settings{Transport: transport})
		for range 3 {
			if got, err := ask(t, client); err != nil || got.Text != "Hello" {
				t.Fatal(got, err)
			}
			synctest.Wait()
		}
		if dials != 1 {
			t.Errorf("%d connections for 3 calls, one after another", dials)
		}
	})
}

func TestAnswerThatBrokeInItsHeadersIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		client := pipeClient(t, func(c net.Conn) {
			calls.Add(1)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Ty")
			_ = c.Close()
		})
		_, err := ask(t, client)
		if kindOf(err) != ai.KindUnavailable || calls.Load() != 1 {
			t.Errorf("%d calls, %v", calls.Load(), err)
		}
	})
}

// net/http quotes the upstream's bytes in its own errors.
func TestGarbageInsteadOfHTTPIsNotQuoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := pipeClient(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 c4nary-status x\r\n\r\n") })
		_, err := ask(t, client)
		if kindOf(err) != ai.KindUnavailable {
			t.Errorf("the error is %v", err)
		}
		noCanary(t, err)
	})
}

func TestCloseEndsAWaitingNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		client := pipeClient(t, func(c net.Conn) {
			calls.Add(1)
			_, _ = io.WriteString(c, headers+hello)
		})
		s, err := client.Stream(t.Context(), acme(t), question())
		if err != nil {
			t.Fatal(err)
		}
		if c, err := s.Next(); err != nil || c.Text != "Hello" {
			t.Fatal(c, err)
		}
		ended := make(chan error)
		go func() {
			_, err := s.Next()
			ended <- err
		}()
		synctest.Wait()
		start := time.Now()
		_, _ = s.Close(), s.Close()
		if err := <-ended; kindOf(err) != ai.KindCanceled {
			t.Errorf("the error is %v", err)
		}
		if time.Since(start) > 0 {
			t.Errorf("it took %v", time.Since(start))
		}
		if _, err := s.Next(); errors.Is(err, io.EOF) || calls.Load() != 1 {
			t.Errorf("after the end: %v, %d calls", err, calls.Load())
		}
	})
}
