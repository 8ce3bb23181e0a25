package valkey_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// swapper stands between the driver and a server, and exchanges two answers of one
// connection now and then, as a client that has lost step would.
type swapper struct {
	net.Listener
	every   atomic.Int64 // 0 = never
	swapped atomic.Int64
	conns   sync.WaitGroup
}

func newSwapper(t *testing.T, upstream string) *swapper {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &swapper{Listener: l}
	t.Cleanup(func() {
		_ = l.Close()
		p.conns.Wait()
	})
	p.conns.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", upstream)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.conns.Go(func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			})
			p.conns.Go(func() {
				p.answers(client, bufio.NewReader(server))
				_ = client.Close()
			})
		}
	})
	return p
}

func (p *swapper) answers(to io.Writer, from *bufio.Reader) {
	for n := int64(1); ; n++ {
		answer, err := readAnswer(from)
		if err != nil {
			return
		}
		if every := p.every.Load(); every > 0 && n%every == 0 {
			next, err := readAnswer(from)
			if err != nil {
				return
			}
			p.swapped.Add(1)
			answer = append(next, answer...)
		}
		if _, err := to.Write(answer); err != nil {
			return
		}
	}
}

// readAnswer reads one answer of the protocol whole.
func readAnswer(from *bufio.Reader) ([]byte, error) {
	line, err := from.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	n, counted := 0, strings.IndexByte("$=!*~>%", line[0]) >= 0
	if counted {
		if n, err = strconv.Atoi(string(bytes.TrimSpace(line[1:]))); err != nil || n < 0 {
			return line, err
		}
	}
	switch line[0] {
	case '$', '=', '!':
		text := make([]byte, n+2)
		_, err = io.ReadFull(from, text)
		return append(line, text...), err
	case '%':
		n *= 2
	}
	for range n {
		part, err := readAnswer(from)
		if err != nil {
			return nil, err
		}
		line = append(line, part...)
	}
	return line, nil
}

// TestASwappedAnswerIsNeverGiven reads two tenants' sessions at once over a way that
// swaps answers.
func TestASwappedAnswerIsNeverGiven(t *testing.T) {
	t.Parallel()
	const readers, reads = 16, 400
	r := servers.Redis(t, servers.RedisOptions{})
	p := newSwapper(t, r.Addr)
	s := open(t, valkey.Options{URL: fmt.Sprintf("redis://%s:%s@%s", allTenants(t, r), password, p.Addr())})
	o, page := storage.Owner{Caller: "x"}, storage.Page{Limit: 5}
	text := func(i int) string { return fmt.Sprintf("c4nary of tenant %d, session %d", i%2, i) }
	for i := range readers {
		m := storage.Message{Role: storage.RoleUser, Content: text(i), At: time.Now()}
		if err := s.Sessions().Append(t.Context(), tenant(t, fmt.Sprint("t", i%2)), o, fmt.Sprint("s", i), []storage.Message{m}, storage.Keep{}); err != nil {
			t.Fatal(err)
		}
	}
	p.every.Store(97)
	var foreign, right atomic.Int64
	var workers sync.WaitGroup
	for i := range readers {
		id := tenant(t, fmt.Sprint("t", i%2))
		workers.Go(func() {
			for range reads {
				got, err := s.Sessions().History(t.Context(), id, o, fmt.Sprint("s", i), page)
				switch {
				case errors.Is(err, valkey.ErrForeign):
					foreign.Add(1)
				case errors.Is(err, storage.ErrUnavailable):
				case err != nil:
					t.Errorf("got %v", err)
				case len(got) != 1 || got[0].Content != text(i):
					t.Errorf("reader %d was given another's answer", i)
				default:
					right.Add(1)
				}
			}
		})
	}
	workers.Wait()
	if p.swapped.Load() == 0 || foreign.Load() == 0 || right.Load() < readers*reads/2 {
		t.Errorf("%d swaps, %d refused, %d right: the test shows little", p.swapped.Load(), foreign.Load(), right.Load())
	}
	p.every.Store(0)
	soon(t, "every answer to be right", time.Second, func() bool {
		_, err := s.Sessions().History(t.Context(), tenant(t, "t0"), o, "s0", page)
		return err == nil
	})
	t.Logf("%d swaps, %d refused, %d right", p.swapped.Load(), foreign.Load(), right.Load())
}

// TestAValueOfAnotherTenantIsNeverGiven puts a neighbour's values under a tenant's keys.
func TestAValueOfAnotherTenantIsNeverGiven(t *testing.T) {
	t.Parallel()
	r, id, neighbour := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme"), tenant(t, "owner/neighbour")
	s := open(t, valkey.Options{URL: r.URL(allTenants(t, r), password)})
	for _, i := range []int{0, 1} {
		if err := everything(t.Context(), s, []tenancy.ID{id, neighbour}[i]); err != nil {
			t.Fatal(err)
		}
	}
	from, to := prefix(neighbour), prefix(id)
	listed := r.Do(t, "KEYS", from+"*")
	keys, err := listed.AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		r.Do(t, "COPY", key, to+strings.TrimPrefix(key, from), "REPLACE")
	}
	ctx, o, now := t.Context(), storage.Owner{Caller: "key:x"}, time.Now()
	limits := []storage.Limit{{Name: "day", Until: now.Add(time.Hour)}}
	for what, call := range map[string]func() error{
		"History": func() error { _, err := s.Sessions().History(ctx, id, o, "s", storage.Page{Limit: 5}); return err },
		"Append": func() error {
			return s.Sessions().Append(ctx, id, o, "s", []storage.Message{{Role: "user", At: now}}, storage.Keep{})
		},
		"List":   func() error { _, _, err := s.Sessions().List(ctx, id, o, 5, ""); return err },
		"Delete": func() error { return s.Sessions().Delete(ctx, id, o, "s") },
		"Take": func() error {
			_, err := s.Windows().Take(ctx, id, "key:x", []storage.Window{{Name: "long", Limit: 9, Length: time.Minute}}, now)
			return err
		},
		"Reserve": func() error { _, err := s.Budgets().Reserve(ctx, id, limits, []int64{1}); return err },
		"Spent":   func() error { _, _, err := s.Budgets().Spent(ctx, id, []string{"day"}); return err },
		"Sum":     func() error { _, err := s.Usage().Sum(ctx, id, now.Add(-time.Hour), now.Add(time.Hour)); return err },
		"Get":     func() error { _, _, err := s.Cache().Get(ctx, id, "k"); return err },
		"Records": func() error {
			_, _, err := s.Audit().Records(ctx, id, now.Add(-time.Hour), now.Add(time.Hour), 5, "")
			return err
		},
		"Dump": func() error { return s.Portable().Dump(ctx, id, "", func(storage.Record, string) error { return nil }) },
	} {
		// The call before it has dropped the connection, which may be found out only now.
		var err error
		soon(t, what+" to be answered", 2*time.Second, func() bool {
			err = call()
			return !errors.Is(err, storage.ErrUnavailable)
		})
		if !errors.Is(err, valkey.ErrForeign) {
			t.Errorf("%s: got %v, want %v", what, err, valkey.ErrForeign)
		}
	}
}
