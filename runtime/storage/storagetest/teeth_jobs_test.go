package storagetest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// TestJobTeeth plants stores that each break one promise of jobs.
func TestJobTeeth(t *testing.T) {
	t.Parallel()
	for _, m := range []struct {
		breaks, check string
		plant         func(storage.Store) storage.Store
	}{
		{"a payload is cut", "Add/what is read", adds(func(_ *storage.Job, p []byte) []byte { return p[:min(len(p), 1<<20)] })},
		{"a note is lost", "Add/what is read", adds(func(j *storage.Job, p []byte) []byte { j.Note = nil; return p })},
		{"a taken id replaces", "Add/what can't", addsOver},
		{"any number may be open", "Add/no more than", addsMore},
		{"any number of bytes may be open", "Add/no more bytes", addsMore},
		{"the kind doesn't matter", "Take/what has waited", takesAll},
		{"a lease is worth nothing", "Take/a lease holds", takesLeased},
		{"a lease ends a moment late", "Take/a lease holds", takesLate},
		{"looked up, then taken", "Take/at once", takesTwice},
		{"whoever asks may update", "Update/only of who", updatesAny},
		{"put back, it comes first", "Update/put back", requeuesFirst},
		{"a payload stays", "Update/ended", keepsPayload},
		{"any state is kept", "Update/what can't", updatesAnything},
		{"one queue for all tenants", "Tenants/the same job", oneQueue},
		{"one queue for all tenants", "Tenants/jobs in any", oneQueue},
		{"put back, it comes first", "Tenants/jobs in any", requeuesFirst},
		{"an erasure leaves jobs", "Erase/all jobs", keepsDocuments},
	} {
		t.Run(m.breaks+" - "+m.check, func(t *testing.T) {
			t.Parallel()
			checks := storagetest.JobChecks()
			i := slices.IndexFunc(checks, func(c storagetest.Check) bool { return strings.HasPrefix(c.Name, m.check) })
			if i < 0 {
				t.Fatalf("no check is called %q", m.check)
			}
			bites(t, checks[i].Name, func(tb rapid.TB, right bool) {
				s := storage.Store(memory.New(memory.Options{}))
				if !right {
					s = m.plant(s)
				}
				checks[i].Run(tb, s)
			})
		})
	}
}

// jobsBy is a queue with some methods done wrong.
type jobsBy struct {
	storage.Jobs
	add     func(context.Context, tenancy.ID, storage.Job, []byte) error
	take    func(context.Context, tenancy.ID, string, []string, time.Time, time.Time) (storage.Job, bool, error)
	payload func(context.Context, tenancy.ID, string) ([]byte, error)
	update  func(context.Context, tenancy.ID, string, storage.Job, time.Time, time.Time) error
}

func (j jobsBy) Add(ctx context.Context, t tenancy.ID, job storage.Job, payload []byte) error {
	if j.add == nil {
		return j.Jobs.Add(ctx, t, job, payload)
	}
	return j.add(ctx, t, job, payload)
}

func (j jobsBy) Take(ctx context.Context, t tenancy.ID, worker string, kinds []string, now, until time.Time) (storage.Job, bool, error) {
	if j.take == nil {
		return j.Jobs.Take(ctx, t, worker, kinds, now, until)
	}
	return j.take(ctx, t, worker, kinds, now, until)
}

func (j jobsBy) Payload(ctx context.Context, t tenancy.ID, id string) ([]byte, error) {
	if j.payload == nil {
		return j.Jobs.Payload(ctx, t, id)
	}
	return j.payload(ctx, t, id)
}

func (j jobsBy) Update(ctx context.Context, t tenancy.ID, worker string, job storage.Job, now, until time.Time) error {
	if j.update == nil {
		return j.Jobs.Update(ctx, t, worker, job, now, until)
	}
	return j.update(ctx, t, worker, job, now, until)
}

func bendJobs(how func(in storage.Jobs, out *jobsBy)) func(storage.Store) storage.Store {
	return func(s storage.Store) storage.Store {
		p := plant(s)
		out := jobsBy{Jobs: s.Jobs()}
		how(s.Jobs(), &out)
		p.jobs = out
		return p
	}
}

func adds(change func(*storage.Job, []byte) []byte) func(storage.Store) storage.Store {
	return bendJobs(func(in storage.Jobs, out *jobsBy) {
		out.add = func(ctx context.Context, t tenancy.ID, j storage.Job, payload []byte) error {
			payload = change(&j, payload)
			return in.Add(ctx, t, j, payload)
		}
	})
}

var addsOver = bendJobs(func(in storage.Jobs, out *jobsBy) {
	out.add = func(ctx context.Context, t tenancy.ID, j storage.Job, payload []byte) error {
		err := in.Add(ctx, t, j, payload)
		if _, there, _ := in.Job(ctx, t, j.ID); there {
			return nil
		}
		return err
	}
})

var addsMore = bendJobs(func(in storage.Jobs, out *jobsBy) {
	out.add = func(ctx context.Context, t tenancy.ID, j storage.Job, payload []byte) error {
		err := in.Add(ctx, t, j, payload)
		if errors.Is(err, storage.ErrTooManyJobs) {
			return nil
		}
		return err
	}
})

var takesAll = bendJobs(func(in storage.Jobs, out *jobsBy) {
	out.take = func(ctx context.Context, t tenancy.ID, worker string, _ []string, now, until time.Time) (storage.Job, bool, error) {
		return in.Take(ctx, t, worker, []string{"even", "odd"}, now, until)
	}
})

var takesLeased = bendJobs(func(in storage.Jobs, out *jobsBy) {
	out.take = func(ctx context.Context, t tenancy.ID, worker string, kinds []string, now, _ time.Time) (storage.Job, bool, error) {
		return in.Take(ctx, t, worker, kinds, now, now.Add(-time.Second))
	}
})

var takesLate = bendJobs(func(in storage.Jobs, out *jobsBy) {
	out.take = func(ctx context.Context, t tenancy.ID, worker string, kinds []string, now, until time.Time) (storage.Job, bool, error) {
		return in.Take(ctx, t, worker, kinds, now.Add(-time.Second), until)
	}
})

// takesTwice gives what was taken last to the next who asks as well.
func takesTwice(s storage.Store) storage.Store {
	return bendJobs(func(in storage.Jobs, out *jobsBy) {
		var mu sync.Mutex
		var last *storage.Job
		out.take = func(ctx context.Context, t tenancy.ID, worker string, kinds []string, now, until time.Time) (storage.Job, bool, error) {
			mu.Lock()
			defer mu.Unlock()
			if last != nil {
				j := *last
				last = nil
				return j, true, nil
			}
			j, ok, err := in.Take(ctx, t, worker, kinds, now, until)
			if ok {
				last = &j
			}
			return j, ok, err
		}
	})(s)
}

func updatesAny(s storage.Store) storage.Store {
	return bendJobs(func(in storage.Jobs, out *jobsBy) {
		out.update = func(ctx context.Context, t tenancy.ID, worker string, j storage.Job, now, until time.Time) error {
			if err := in.Update(ctx, t, worker, j, now, until); !errors.Is(err, storage.ErrLeaseLost) {
				return err
			}
			return in.Update(ctx, t, "w", j, now, until)
		}
	})(s)
}

// requeuesFirst leaves what is put back in its place: a lease that ran out at once.
var requeuesFirst = bendJobs(func(in storage.Jobs, out *jobsBy) {
	out.update = func(ctx context.Context, t tenancy.ID, worker string, j storage.Job, now, until time.Time) error {
		if j.State == storage.JobQueued {
			j.State, until = storage.JobRunning, now.Add(-time.Hour)
		}
		return in.Update(ctx, t, worker, j, now, until)
	}
})

func keepsPayload(s storage.Store) storage.Store {
	return bendJobs(func(in storage.Jobs, out *jobsBy) {
		var kept sync.Map
		out.add = func(ctx context.Context, t tenancy.ID, j storage.Job, payload []byte) error {
			err := in.Add(ctx, t, j, payload)
			if err == nil {
				kept.Store(j.ID, payload)
			}
			return err
		}
		out.payload = func(ctx context.Context, t tenancy.ID, id string) ([]byte, error) {
			if p, ok := kept.Load(id); ok {
				return p.([]byte), nil
			}
			return in.Payload(ctx, t, id)
		}
	})(s)
}

var updatesAnything = bendJobs(func(in storage.Jobs, out *jobsBy) {
	out.update = func(ctx context.Context, t tenancy.ID, worker string, j storage.Job, now, until time.Time) error {
		err := in.Update(ctx, t, worker, j, now, until)
		if errors.Is(err, storage.ErrBadJob) {
			return nil
		}
		return err
	}
})

// oneQueue keeps each tenant's jobs where they belong, and takes them from another's too.
func oneQueue(s storage.Store) storage.Store {
	return bendJobs(func(in storage.Jobs, out *jobsBy) {
		var mu sync.Mutex
		var tenants []tenancy.ID
		out.add = func(ctx context.Context, t tenancy.ID, j storage.Job, payload []byte) error {
			mu.Lock()
			if !slices.Contains(tenants, t) {
				tenants = append(tenants, t)
			}
			mu.Unlock()
			return in.Add(ctx, t, j, payload)
		}
		out.take = func(ctx context.Context, t tenancy.ID, worker string, kinds []string, now, until time.Time) (storage.Job, bool, error) {
			j, ok, err := in.Take(ctx, t, worker, kinds, now, until)
			mu.Lock()
			defer mu.Unlock()
			for _, other := range tenants {
				if ok || err != nil {
					break
				}
				j, ok, err = in.Take(ctx, other, worker, kinds, now, until)
			}
			return j, ok, err
		}
	})(s)
}
