package storagetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

var windowChecks = []Check{
	{"Take/exact against every span", takesExact},
	{"Take/at once: never more than the limit", takesAtOnce},
	{"Take/all windows or none", takesAllOrNone},
	{"Take/waiting RetryAfter gets in", retryAfterIsHonest},
	{"Take/without a bound", takeUnbounded},
	{"Take/a changed document is taken up", takeChangedLimit},
	{"Return/as if it had never been", returnTake},
}

func take(t rapid.TB, s storage.Store, key string, windows []storage.Window, now time.Time) storage.Taken {
	t.Helper()
	got, err := s.Windows().Take(context.Background(), tenant(t, "a"), key, windows, now)
	must(t, "Take", err)
	return got
}

// modelWindow is the contract said slowly: the time of each take that still counts.
type modelWindow struct {
	storage.Window
	takes []time.Time
}

// look returns the time at which a take at now counts, and forgets the takes that
// don't count any more then.
func (m *modelWindow) look(now time.Time) time.Time {
	at := now
	if len(m.takes) > 0 {
		switch last := m.takes[len(m.takes)-1]; {
		case last.Sub(now) > m.Length:
			for i := range m.takes {
				m.takes[i] = now
			}
		case last.After(now):
			at = last
		}
	}
	m.takes = slices.DeleteFunc(m.takes, func(take time.Time) bool { return at.Sub(take) >= m.Length })
	return at
}

// takesExact compares each answer with the model and so covers both sides: no span
// holds too many, none is refused while there is room.
func takesExact(t rapid.TB, s storage.Store) {
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		key := fmt.Sprint("key", run)
		windows := make([]storage.Window, rapid.IntRange(1, 2).Draw(t, "windows"))
		model := make([]*modelWindow, len(windows))
		for i := range windows {
			windows[i] = storage.Window{
				Name:   fmt.Sprint("w", i),
				Limit:  rapid.IntRange(1, 6).Draw(t, "limit"),
				Length: time.Duration(rapid.IntRange(1, 8).Draw(t, "length")) * time.Second,
			}
			model[i] = &modelWindow{Window: windows[i]}
		}
		now := epoch
		for range rapid.IntRange(1, 60).Draw(t, "takes") {
			now = now.Add(rapid.SampledFrom([]time.Duration{
				0, 0, 1, time.Millisecond, time.Second / 2, time.Second, time.Second - 1,
				windows[0].Length, windows[0].Length - 1, -time.Millisecond, -20 * time.Second,
			}).Draw(t, "later by"))
			want := modelTake(model, now)
			same(t, fmt.Sprintf("take at %v", now.Sub(epoch)), take(t, s, key, windows, now), want)
			if !want.OK && rapid.Bool().Draw(t, "wait") {
				now = now.Add(want.RetryAfter)
				if got := take(t, s, key, windows, now); !got.OK {
					t.Fatalf("refused after waiting %v: %+v", want.RetryAfter, got)
				}
				modelTake(model, now)
			}
		}
	})
}

func modelTake(model []*modelWindow, now time.Time) storage.Taken {
	var refused storage.Taken
	ok := true
	for _, m := range model {
		m.look(now)
		if over := len(m.takes) - m.Limit; over >= 0 {
			if wait := m.takes[over].Add(m.Length).Sub(now); ok || wait > refused.RetryAfter {
				refused = storage.Taken{Tightest: m.Name, RetryAfter: wait, Reset: m.takes[len(m.takes)-1].Add(m.Length).Sub(now)}
			}
			ok = false
		}
	}
	if !ok {
		return refused
	}
	taken := storage.Taken{OK: true, Remaining: math.MaxInt}
	for _, m := range model {
		at := m.look(now)
		m.takes = append(m.takes, at)
		left, reset := m.Limit-len(m.takes), at.Add(m.Length).Sub(now)
		if left < taken.Remaining || left == taken.Remaining && reset > taken.Reset {
			taken.Tightest, taken.Remaining, taken.Reset = m.Name, left, reset
		}
	}
	return taken
}

func takesAtOnce(t rapid.TB, s storage.Store) {
	windows := []storage.Window{{Name: "long", Limit: 50, Length: time.Minute}, {Name: "burst", Limit: 20, Length: time.Second}}
	for round, want := range []int64{20, 20, 10, 0} {
		now := epoch.Add(time.Duration(round) * time.Second)
		var got atomic.Int64
		together(64, func(int) {
			taken, err := s.Windows().Take(context.Background(), tenant(t, "a"), "key", windows, now)
			if err != nil {
				t.Errorf("Take: %v", err)
			}
			if taken.OK {
				got.Add(1)
			}
		})
		if got.Load() != want {
			t.Fatalf("round %d: %d of 64 got in, want %d", round, got.Load(), want)
		}
	}
}

func takesAllOrNone(t rapid.TB, s storage.Store) {
	long := storage.Window{Name: "long", Limit: 3, Length: time.Minute}
	burst := storage.Window{Name: "burst", Limit: 1, Length: time.Second}
	take(t, s, "key", []storage.Window{long, burst}, epoch)
	for range 10 {
		if got := take(t, s, "key", []storage.Window{long, burst}, epoch); got.OK {
			t.Fatalf("burst of 1 let a second in: %+v", got)
		}
	}
	same(t, "after ten refusals", take(t, s, "key", []storage.Window{long}, epoch),
		storage.Taken{OK: true, Tightest: "long", Remaining: 1, Reset: time.Minute})
}

func retryAfterIsHonest(t rapid.TB, s storage.Store) {
	windows := []storage.Window{{Name: "long", Limit: 5, Length: 7 * time.Second}, {Name: "burst", Limit: 2, Length: 1500 * time.Millisecond}}
	now, refusals := epoch, 0
	for i := range 200 {
		got := take(t, s, "key", windows, now)
		if got.OK {
			now = now.Add(time.Duration(i%7) * 100 * time.Millisecond)
			continue
		}
		refusals++
		if got.RetryAfter <= 0 {
			t.Fatalf("refused without a wait: %+v", got)
		}
		if early := take(t, s, "key", windows, now.Add(got.RetryAfter-1)); early.OK {
			t.Fatalf("let in before RetryAfter %v", got.RetryAfter)
		}
		now = now.Add(got.RetryAfter)
		if again := take(t, s, "key", windows, now); !again.OK {
			t.Fatalf("waited %v and was refused: %+v", got.RetryAfter, again)
		}
	}
	if refusals < 20 {
		t.Fatalf("only %d refusals were tried", refusals)
	}
}

func takeUnbounded(t rapid.TB, s storage.Store) {
	want := storage.Taken{OK: true, Remaining: math.MaxInt}
	for _, windows := range [][]storage.Window{
		nil,
		{{Name: "long", Limit: 0, Length: time.Minute}},
		{{Name: "long", Limit: -1, Length: time.Minute}, {Name: "burst", Limit: 1, Length: 0}},
	} {
		for range 3 {
			same(t, "unbounded", take(t, s, "key", windows, epoch), want)
		}
	}
}

func takeChangedLimit(t rapid.TB, s storage.Store) {
	window := func(limit int) []storage.Window {
		return []storage.Window{{Name: "long", Limit: limit, Length: time.Minute}}
	}
	for i := range 4 {
		take(t, s, "key", window(4), epoch.Add(time.Duration(i)*time.Second))
	}
	now := epoch.Add(10 * time.Second)
	same(t, "lowered", take(t, s, "key", window(2), now),
		storage.Taken{Tightest: "long", RetryAfter: 52 * time.Second, Reset: 53 * time.Second})
	same(t, "raised", take(t, s, "key", window(6), now),
		storage.Taken{OK: true, Tightest: "long", Remaining: 1, Reset: time.Minute})
}

func returnTake(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	windows := []storage.Window{{Name: "long", Limit: 3, Length: time.Minute}, {Name: "burst", Limit: 2, Length: 10 * time.Second}}
	giveBack := func(at time.Time) {
		must(t, "Return", s.Windows().Return(ctx, id, "key", windows, at))
	}
	giveBack(epoch)
	take(t, s, "key", windows, epoch)
	take(t, s, "key", windows, epoch.Add(time.Second))
	giveBack(epoch)
	same(t, "take after a return", take(t, s, "key", windows, epoch.Add(2*time.Second)),
		storage.Taken{OK: true, Tightest: "burst", Remaining: 0, Reset: 10 * time.Second})
	same(t, "refused", take(t, s, "key", windows, epoch.Add(3*time.Second)),
		storage.Taken{Tightest: "burst", RetryAfter: 8 * time.Second, Reset: 9 * time.Second})
	giveBack(epoch.Add(time.Second))
	giveBack(epoch.Add(2 * time.Second))
	giveBack(epoch.Add(2 * time.Second))
	same(t, "all returned", take(t, s, "key", windows, epoch.Add(3*time.Second)),
		storage.Taken{OK: true, Tightest: "burst", Remaining: 1, Reset: 10 * time.Second})
}
