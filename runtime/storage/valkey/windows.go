package valkey

import (
	"context"
	"encoding/binary"
	"math"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// windowSlack is how long a window is kept, at least, after all its takes have run out,
// for replicas whose clocks differ.
const windowSlack = time.Minute

// maxLength is the longest window whose nanoseconds a script counts exactly: 2^53 of
// them are 104 days.
const maxLength = 100 * 24 * time.Hour

type windows struct{ s *Store }

func (w windows) Take(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (storage.Taken, error) {
	if err := w.s.admit(ctx, t); err != nil {
		return storage.Taken{}, err
	}
	n := w.s.namesOf(t)
	bounding, fields := n.windows(key, windows)
	if len(bounding) == 0 {
		return storage.Taken{OK: true, Remaining: math.MaxInt}, nil
	}
	return n.takes.ask(ctx, taking{windows: bounding, fields: fields, now: now})
}

// timeBytes is a time as windows hold it: seconds, good until 2106, and nanoseconds.
func timeBytes(b []byte, t time.Time) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(min(max(0, t.Unix()), math.MaxUint32)))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

func doubleBytes(b []byte, x int64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(x)))
}

// readTaken reads the numbers of one take and tells how many they were: which window
// refuses, if one does, and either for how long or, for each window, how many takes it
// had and by how much now was late.
func readTaken(windows []storage.Window, numbers []int64) (storage.Taken, int) {
	if by := numbers[0]; by > 0 {
		return storage.Taken{Tightest: windows[by-1].Name, RetryAfter: time.Duration(numbers[1]), Reset: time.Duration(numbers[2])}, 3
	}
	t := storage.Taken{OK: true, Remaining: math.MaxInt}
	for i, w := range windows {
		left, reset := w.Limit-int(numbers[1+2*i])-1, w.Length+time.Duration(numbers[2+2*i])
		if left < t.Remaining || left == t.Remaining && reset > t.Reset {
			t.Remaining, t.Reset, t.Tightest = left, reset, w.Name
		}
	}
	return t, 1 + 2*len(windows)
}

func (w windows) Return(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, at time.Time) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	n := w.s.namesOf(t)
	bounding, fields := n.windows(key, windows)
	if len(bounding) == 0 {
		return nil
	}
	return w.s.owed(ctx, n, returnScript, n.windowKeys, append([]string{n.mark, string(timeBytes(nil, at))}, fields...)...)
}

// windows leaves out those without a bound. A longer length than
// maxLength counts as that.
func (n *names) windows(key string, windows []storage.Window) (bounding []storage.Window, fields []string) {
	bounding, fields = make([]storage.Window, 0, len(windows)), make([]string, 0, len(windows))
	for _, w := range windows {
		if w.Limit > 0 && w.Length > 0 {
			w.Length = min(w.Length, maxLength)
			bounding, fields = append(bounding, w), append(fields, part(key)+":"+part(w.Name))
		}
	}
	return bounding, fields
}
