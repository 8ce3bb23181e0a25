package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type jobs struct {
	now func() time.Time
	// max bounds the bytes of all tenants' payloads.
	max int64

	mu     sync.Mutex
	made   int64
	bytes  int64
	queues map[string]*queue
}

// queue is one tenant's jobs.
type queue struct {
	jobs  map[string]*queued
	open  int
	bytes int
}

type queued struct {
	storage.Job
	// seq orders those that wait.
	seq     int64
	worker  string
	payload []byte
}

func newJobs(now func() time.Time, most int64) *jobs {
	return &jobs{now: now, max: most, queues: map[string]*queue{}}
}

func (j *jobs) queue(t tenancy.ID) *queue {
	q := j.queues[t.Identity()]
	if q == nil {
		q = &queue{jobs: map[string]*queued{}}
		j.queues[t.Identity()] = q
	}
	return q
}

func (j *jobs) Add(ctx context.Context, t tenancy.ID, job storage.Job, payload []byte) error {
	if err := admit(ctx, t); err != nil {
		return err
	}
	if err := storage.CheckJob(job, payload); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	q := j.queue(t)
	q.forget(j.now())
	if q.jobs[job.ID] != nil {
		return fmt.Errorf("%w: its id is taken", storage.ErrBadJob)
	}
	size := len(payload)
	if q.open >= storage.MaxOpenJobs || q.bytes+size > storage.MaxOpenBytes || size > 0 && j.bytes+int64(size) > j.max {
		return storage.ErrTooManyJobs
	}
	j.made++
	at := millis(job.Created)
	q.jobs[job.ID] = &queued{seq: j.made, payload: bytes.Clone(payload), Job: storage.Job{
		ID: job.ID, Kind: job.Kind, Caller: job.Caller, State: storage.JobQueued, Note: bytes.Clone(job.Note), Created: at, Updated: at,
	}}
	q.open++
	j.hold(q, size)
	return nil
}

// hold counts bytes of payloads, fewer if they are negative.
func (j *jobs) hold(q *queue, bytes int) {
	q.bytes += bytes
	j.bytes += int64(bytes)
}

// forget drops jobs that ended long ago.
func (q *queue) forget(now time.Time) {
	for id, have := range q.jobs {
		if have.Ended() && now.Sub(have.Updated) > storage.JobsKept {
			delete(q.jobs, id)
		}
	}
}

func (j *jobs) Take(ctx context.Context, t tenancy.ID, worker string, kinds []string, now, until time.Time) (storage.Job, bool, error) {
	if err := admit(ctx, t); err != nil {
		return storage.Job{}, false, err
	}
	if worker == "" {
		return storage.Job{}, false, fmt.Errorf("%w: a worker has a name", storage.ErrBadJob)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var first *queued
	for _, have := range j.queue(t).jobs {
		if have.waits(now) && slices.Contains(kinds, have.Kind) && (first == nil || have.seq < first.seq) {
			first = have
		}
	}
	if first == nil {
		return storage.Job{}, false, nil
	}
	first.worker, first.State, first.Updated, first.LeaseUntil = worker, storage.JobRunning, millis(now), millis(until)
	first.Attempts++
	return first.told(), true, nil
}

func (h *queued) waits(now time.Time) bool {
	return h.State == storage.JobQueued || h.State == storage.JobRunning && h.LeaseUntil.Before(now)
}

func (h *queued) told() storage.Job {
	told := h.Job
	told.Note = bytes.Clone(told.Note)
	return told
}

func (j *jobs) Payload(ctx context.Context, t tenancy.ID, id string) ([]byte, error) {
	if err := admit(ctx, t); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	have := j.queue(t).jobs[id]
	if have == nil {
		return nil, nil
	}
	return bytes.Clone(have.payload), nil
}

func (j *jobs) Update(ctx context.Context, t tenancy.ID, worker string, job storage.Job, now, until time.Time) error {
	if err := admit(ctx, t); err != nil {
		return err
	}
	if err := storage.CheckJobUpdate(job); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	q := j.queue(t)
	have := q.jobs[job.ID]
	if have == nil || have.State != storage.JobRunning || have.worker != worker {
		return storage.ErrLeaseLost
	}
	have.State, have.Note, have.Updated, have.LeaseUntil = job.State, bytes.Clone(job.Note), millis(now), millis(until)
	if have.State == storage.JobRunning {
		return nil
	}
	have.worker, have.LeaseUntil = "", time.Time{}
	if have.Ended() {
		q.open--
		j.hold(q, -len(have.payload))
		have.payload = nil
		return nil
	}
	j.made++
	have.seq = j.made
	return nil
}

func (j *jobs) Job(ctx context.Context, t tenancy.ID, id string) (storage.Job, bool, error) {
	if err := admit(ctx, t); err != nil {
		return storage.Job{}, false, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	have := j.queue(t).jobs[id]
	if have == nil {
		return storage.Job{}, false, nil
	}
	return have.told(), true, nil
}

func (j *jobs) Open(ctx context.Context, t tenancy.ID) (int, error) {
	if err := admit(ctx, t); err != nil {
		return 0, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.queue(t).open, nil
}

func (j *jobs) erase(t tenancy.ID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if q := j.queues[t.Identity()]; q != nil {
		j.hold(q, -q.bytes)
		delete(j.queues, t.Identity())
	}
}
