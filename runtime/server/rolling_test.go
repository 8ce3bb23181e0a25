package server_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// rollStreams is how many streams are open while two servers are replaced: 100, or what
// the environment says.
func rollStreams(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("ENIGMA_ROLL_STREAMS"))
	if err != nil {
		return 100
	}
	return n
}

// service sends requests to servers that are ready, as a Kubernetes Service does: it
// hears of a change a moment later.
type service struct {
	mu    sync.Mutex
	ready []*bed
	turn  int
}

func (s *service) pick() *bed {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn++
	return s.ready[s.turn%len(s.ready)]
}

func (s *service) set(beds ...*bed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = beds
}

// Two servers on one store are replaced one after the other, under steady requests and
// open streams: no request fails, each stream has its end, and each message is kept.
func TestARollingUpdateLosesNothing(t *testing.T) {
	t.Parallel()
	n := rollStreams(t)
	const lameDuck, workers = 400 * time.Millisecond, 4
	// A stream goes on when the server that it is on has begun to stop.
	gates := []chan struct{}{make(chan struct{}), make(chan struct{})}
	up := aifake.New(t)
	up.Script(func(r *aifake.Request) aifake.Answer {
		said := *r.Chat.Messages[len(r.Chat.Messages)-1].Content
		for i, gate := range gates {
			if strings.HasPrefix(said, fmt.Sprint("c4nary stream ", i)) {
				return aifake.Says("c4nary ", "one ", "two").PauseAt(1, gate)
			}
		}
		return aifake.Says("to ", said)
	})
	state := valkeyServer(t)
	s := state.setup(func(c *tenantconfig.Config) {
		c.Limits.Tokens = tenantconfig.TokenLimits{Daily: 1 << 40}
		c.Server.DrainSeconds = 60
	})
	s.options = func(o *server.Options) { o.LameDuck = lameDuck }
	old := []*bed{newBed(t, up, s), newBed(t, up, s)}
	var balancer service
	balancer.set(old...)

	var streams sync.WaitGroup
	var opened sync.WaitGroup
	atOnce := make(chan struct{}, 32)
	for i := range n {
		opened.Add(1)
		streams.Go(func() {
			b := old[i%2]
			atOnce <- struct{}{}
			resp, err := b.try(chat(fmt.Sprintf("c4nary stream %d", i%2), "sessionId", sessionOf(i)))
			<-atOnce
			opened.Done()
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("stream %d: %v, %v", i, resp, err)
				return
			}
			events, err := readEvents(resp.Body)
			_ = resp.Body.Close()
			if got := sum(t, events); err != nil || got.failed != "" || got.text != "c4nary one two" {
				t.Errorf("stream %d: %+v, %v", i, got, err)
			}
		})
	}
	opened.Wait()

	steady, enough := context.WithCancel(t.Context())
	var asked, failed atomic.Int64
	var requests sync.WaitGroup
	for w := range workers {
		requests.Go(func() {
			for i := 0; steady.Err() == nil; i++ {
				c := chat(fmt.Sprint("c4nary ", i), "stream", i%2 == 0, "sessionId", sessionOf(1<<20+w*8+i%8))
				resp, err := balancer.pick().try(c)
				asked.Add(1)
				if err != nil || resp.StatusCode != http.StatusOK {
					failed.Add(1)
					t.Errorf("request %d of %d: %v, %v", i, w, resp, err)
				}
				if err != nil {
					continue
				}
				if i%2 == 0 {
					if events, err := readEvents(resp.Body); err != nil || sum(t, events).failed != "" {
						failed.Add(1)
					}
				}
				_ = resp.Body.Close()
			}
		})
	}
	fresh := make([]*bed, len(old))
	for i, b := range old {
		fresh[i] = newBed(t, up, s)
		b.stop()
		b.eventually("readyz to tell", func() bool { return b.do(call{method: http.MethodGet, url: b.ops + "/readyz"}).status == 503 })
		balancer.set(fresh[0], []*bed{old[1], fresh[1]}[i])
		b.eventually("new requests to be refused", func() bool {
			return b.do(call{method: http.MethodGet, path: "/health", key: keyMain}).status == 503
		})
		close(gates[i])
		if err := <-b.ended; err != nil {
			t.Error(err)
		}
		b.ended <- nil
	}
	enough()
	requests.Wait()
	streams.Wait()

	store, err := server.OpenStore(t.Context(), fresh[0].load(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	var messages, orphans int64
	err = store.Portable().Dump(t.Context(), fresh[0].load().ID, "", func(r storage.Record, _ string) error {
		if r.Session == nil {
			return nil
		}
		for i, m := range r.Session.Messages {
			messages++
			if (i%2 == 0) != (m.Role == storage.RoleUser) {
				orphans++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(context.Background()); err != nil {
		t.Error(err)
	}
	var used int64
	for _, e := range up.Ledger() {
		used += int64(e.In + e.Out)
	}
	want := 2 * (int64(n) + asked.Load())
	t.Logf("%d streams, %d requests: %d failed, %d messages of %d kept", n, asked.Load(), failed.Load(), messages, want)
	if messages != want || orphans != 0 || failed.Load() != 0 || asked.Load() < 50 {
		t.Errorf("%d messages of %d are kept, %d out of order, %d of %d requests failed", messages, want, orphans, failed.Load(), asked.Load())
	}
	if got := fresh[1].status().Usage.TokensToday; got != used {
		t.Errorf("%d tokens are booked, the upstream counted %d", got, used)
	}
}
