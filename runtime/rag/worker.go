package rag

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// leaseTime is how long a job of a worker that died waits, renewLease how often one
	// that lives says so.
	leaseTime  = time.Minute
	renewLease = leaseTime / 3
	// maxTries is how often a job is tried for causes that may pass, and how many workers
	// may die of it.
	maxTries = 5
	// firstPause between two tries; each next one is four times as long, up to maxPause.
	firstPause = time.Second
	maxPause   = 30 * time.Second
)

var (
	errCanceled = &httpapi.Error{Status: 409, Code: "canceled", Message: "the job was canceled; nothing was changed"}
	errCrashed  = &httpapi.Error{Status: 500, Code: "job_crashed", Message: "workers died of this document several times; split it, or send its text"}
)

// running is a job that this worker has.
type running struct {
	f      *Feature
	tenant *tenancy.Tenant
	// stop ends the work when the lease is lost or the job canceled.
	stop context.CancelCauseFunc

	job storage.Job
	// mu is held while note is changed or written down; the work alone changes it.
	mu   sync.Mutex
	note note
}

// work does one job of a tenant if there is one, and tells whether there was.
func (f *Feature) work(ctx context.Context, t *tenancy.Tenant) bool {
	now := f.Now()
	j, there, err := f.Jobs.Take(ctx, t.ID, f.Worker, []string{kindIngest, kindSweep, kindReembed}, now, now.Add(leaseTime))
	if err != nil {
		if ctx.Err() == nil {
			f.Logger.Warn("jobs can't be taken; trying again", "tenant", t.ID.String(), "error", err)
		}
		return false
	}
	if !there {
		return false
	}
	f.counts.add("running", 1)
	defer f.counts.add("running", -1)
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &running{f: f, tenant: t, stop: stop, job: j, note: noteOf(j)}
	var renewing sync.WaitGroup
	renewing.Go(func() { r.renew(working) })
	err = r.try(working)
	cause := context.Cause(working)
	stop(nil)
	renewing.Wait()
	if err != nil && cause != nil && !lasting(err) {
		err = cause
	}
	r.end(ctx, err)
	return true
}

// try does the job, again after a pause for causes that may pass: whatever else waits
// would meet the same upstream and the same store.
func (r *running) try(ctx context.Context) error {
	if r.job.Attempts-r.note.Returned > maxTries {
		return errCrashed
	}
	pause := r.f.pauses.try
	for tries := 1; ; tries++ {
		err := r.once(ctx)
		if err == nil || tries == maxTries || errors.Is(err, errMakesWay) || ctx.Err() != nil || lasting(err) {
			return err
		}
		r.f.Logger.Warn("a job failed; trying again", "tenant", r.tenant.ID.String(), "job", r.job.ID, "try", tries, "error", err)
		wait := pause
		if e, ok := errors.AsType[*httpapi.Error](told(err)); ok {
			wait = min(max(wait, e.RetryAfter), 2*maxPause)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause = min(4*pause, maxPause)
	}
}

func (r *running) once(ctx context.Context) (err error) {
	defer recovered("doing a job", &err)
	if err := r.heard(ctx); err != nil && !r.note.Published {
		return err
	}
	switch r.job.Kind {
	case kindSweep:
		return r.sweep(ctx)
	case kindReembed:
		return r.reembed(ctx)
	}
	return r.ingest(ctx)
}

// heard gives errCanceled once somebody has canceled the job.
func (r *running) heard(ctx context.Context) error {
	_, canceled, err := r.f.Cache.Get(ctx, r.tenant.ID, canceledKey(r.job.ID))
	if err != nil {
		return fmt.Errorf("asking whether a job was canceled: %w", err)
	}
	if canceled {
		return errCanceled
	}
	return nil
}

// keep writes down how far the job is, before what comes next is done.
func (r *running) keep(ctx context.Context, change func(*note)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.note)
	if err := r.heard(ctx); err != nil && !r.note.Published {
		return err
	}
	return r.update(ctx, storage.JobRunning)
}

// update needs the lock.
func (r *running) update(ctx context.Context, state string) error {
	text, err := json.Marshal(r.note)
	if err != nil {
		return fmt.Errorf("writing a job's note: %w", err)
	}
	j := r.job
	j.State, j.Note = state, text
	now := r.f.Now()
	if err := r.f.Jobs.Update(ctx, r.tenant.ID, r.f.Worker, j, now, now.Add(leaseTime)); err != nil {
		return fmt.Errorf("noting a job's progress: %w", err)
	}
	return nil
}

// renew prolongs the lease until ctx ends. A lost lease ends the work: another worker is
// at it.
func (r *running) renew(ctx context.Context) {
	tick := time.NewTicker(renewLease)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := r.keep(ctx, func(*note) {})
		if errors.Is(err, storage.ErrLeaseLost) || errors.Is(err, errCanceled) {
			r.stop(err)
			return
		}
	}
}

// end says what became of the job. ctx is the worker's.
func (r *running) end(ctx context.Context, err error) {
	after, done := afterwards(ctx)
	defer done()
	r.mu.Lock()
	defer r.mu.Unlock()
	state := storage.JobDone
	switch {
	case errors.Is(err, storage.ErrLeaseLost):
		return
	case errors.Is(err, errMakesWay), err != nil && ctx.Err() != nil && !lasting(err):
		state = storage.JobQueued
		r.note.Returned++
	case err != nil:
		state = r.failed(after, err)
	}
	if state != storage.JobQueued {
		r.note.Phase = ""
	}
	r.count(state)
	if err := r.update(after, state); err != nil && !errors.Is(err, storage.ErrLeaseLost) {
		r.f.Logger.Warn("the end of a job isn't noted: it will be done again", "tenant", r.tenant.ID.String(), "job", r.job.ID, "error", err)
	}
}

// failed gives the state of a job that an error ended. A document that is found by then was
// taken in: a cancel came too late, or what comes after the publication failed.
func (r *running) failed(ctx context.Context, err error) string {
	log := r.f.Logger.With("tenant", r.tenant.ID.String(), "job", r.job.ID, "kind", r.job.Kind)
	published, unknown := r.published(ctx)
	if published {
		if swept := r.clean(ctx); swept != nil {
			log.Warn("vectors of the version before stay in the index; nobody is given them", "error", swept)
		}
		return storage.JobDone
	}
	r.note.Failure = failureOf(err)
	if unknown == nil {
		r.abandon(ctx)
	}
	log.Warn("a job failed", "code", r.note.Failure.Code, "error", err)
	return storage.JobFailed
}

func (r *running) count(state string) {
	if r.job.Kind != kindIngest {
		return
	}
	switch state {
	case storage.JobDone:
		r.f.counts.ingests("ingested")
	case storage.JobFailed:
		r.f.counts.ingests("failed")
	}
}

// failureOf is what may be told of an error.
func failureOf(err error) *jobFailed {
	if e, ok := errors.AsType[*httpapi.Error](told(err)); ok {
		return &jobFailed{Code: e.Code, Message: e.Message}
	}
	if _, ok := errors.AsType[*ai.Error](err); ok {
		return &jobFailed{Code: "ai_error", Message: "the embedding model failed; ingest the document again later"}
	}
	if errors.Is(err, storage.ErrUnavailable) {
		return &jobFailed{Code: "unavailable", Message: "the store couldn't be reached; ingest the document again"}
	}
	return &jobFailed{Code: "internal", Message: "something went wrong on our side; ingest the document again, and report the job's id if it stays"}
}

// recovered is deferred, and turns a panic into *err. The panic's own text is left out
// unless the Go runtime wrote it: it could hold a document's text.
func recovered(doing string, err *error) {
	v := recover()
	if v == nil {
		return
	}
	what := fmt.Sprintf("%T", v)
	if trap, ok := v.(runtime.Error); ok {
		what = trap.Error()
	}
	*err = fmt.Errorf("%s: panic: %s\n%s", doing, what, debug.Stack())
}
