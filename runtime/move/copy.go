package move

import (
	"context"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Copy moves a tenant from a store that nothing else writes to another that nothing else
// writes either, until the journal says that it is done. It returns at once if it was.
// The counts are of all its runs.
func Copy(ctx context.Context, from, to storage.Portable, t tenancy.ID, j *Journal, pace Pace) (Counts, error) {
	if j.Done {
		return j.Counts, nil
	}
	// A volume that can't be written must be told before anything is moved.
	if err := j.save(j.Position, j.Counts, false); err != nil {
		return j.Counts, err
	}
	l := &loader{
		to: to, tenant: t, pace: &pace, counts: j.Counts, done: j.Counts,
		loaded: func(c Counts, last string) error { return j.save(last, c, false) },
	}
	err := dump(ctx, from, t, j.Position, &pace, func(r storage.Record, next string) error { return l.add(ctx, r, next) })
	if err == nil {
		err = l.flush(ctx)
	}
	if err != nil {
		return l.done, err
	}
	return l.done, j.save(j.Position, l.done, true)
}
