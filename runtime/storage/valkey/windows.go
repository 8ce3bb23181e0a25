package valkey

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// windowSlack is how long a window's record outlives it, for replicas whose clocks
// differ.
const windowSlack = time.Minute

type windows struct{ s *Store }

func (w windows) Take(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (storage.Taken, error) {
	if err := w.s.admit(ctx, t); err != nil {
		return storage.Taken{}, err
	}
	bounding, keys, args := w.s.arguments(t, key, windows, now)
	if len(bounding) == 0 {
		return storage.Taken{OK: true, Remaining: math.MaxInt}, nil
	}
	for _, b := range bounding {
		// A length beyond a century is as good as one: distances of times stay exact.
		ttl := min(b.Length, 100*365*24*time.Hour)/time.Millisecond + windowSlack/time.Millisecond + 1
		args = append(args, strconv.Itoa(b.Limit), strconv.FormatInt(int64(b.Length), 10), strconv.FormatInt(int64(ttl), 10))
	}
	reply, err := w.s.run(ctx, w.s.namesOf(t), takeScript, keys, args...)
	if err != nil {
		return storage.Taken{}, err
	}
	numbers := make([]int64, len(reply))
	for i := range reply {
		if numbers[i], err = reply[i].AsInt64(); err != nil {
			return storage.Taken{}, unreadable(err)
		}
	}
	return taken(bounding, numbers), nil
}

// taken reads the script's numbers: which window refuses, if one does, and either for
// how long or, for each window, how many takes it had and by how much now was late.
func taken(windows []storage.Window, numbers []int64) storage.Taken {
	if by := numbers[0]; by > 0 {
		return storage.Taken{Tightest: windows[by-1].Name, RetryAfter: time.Duration(numbers[1]), Reset: time.Duration(numbers[2])}
	}
	t := storage.Taken{OK: true, Remaining: math.MaxInt}
	for i, w := range windows {
		left, reset := w.Limit-int(numbers[1+2*i])-1, w.Length+time.Duration(numbers[2+2*i])
		if left < t.Remaining || left == t.Remaining && reset > t.Reset {
			t.Remaining, t.Reset, t.Tightest = left, reset, w.Name
		}
	}
	return t
}

func (w windows) Return(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, at time.Time) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	bounding, keys, args := w.s.arguments(t, key, windows, at)
	if len(bounding) == 0 {
		return nil
	}
	return w.s.owed(ctx, w.s.namesOf(t), returnScript, keys[1:], args...)
}

// arguments leaves out windows without a bound.
func (s *Store) arguments(t tenancy.ID, key string, windows []storage.Window, at time.Time) (bounding []storage.Window, keys, args []string) {
	n := s.namesOf(t)
	keys = append(make([]string, 0, 1+len(windows)), n.key("windows"))
	for _, w := range windows {
		if w.Limit > 0 && w.Length > 0 {
			bounding = append(bounding, w)
			keys = append(keys, n.key("window", key, w.Name))
		}
	}
	second := min(max(0, at.Unix()), math.MaxUint32)
	return bounding, keys, append(make([]string, 0, 3+3*len(windows)), n.mark, strconv.FormatInt(second, 10), strconv.Itoa(at.Nanosecond()))
}
