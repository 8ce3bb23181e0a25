package storage

import (
	"context"
	"errors"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Bounds of Jobs.
const (
	// MaxOpenJobs is how many jobs of a tenant may wait or run, MaxOpenBytes what their
	// payloads have together.
	MaxOpenJobs  = 1000
	MaxOpenBytes = 256 << 20
	// MaxPayload of one job.
	MaxPayload = 64 << 20
	// JobsKept is how long a job that ended can be read.
	JobsKept = 7 * 24 * time.Hour
)

var (
	// ErrTooManyJobs: MaxOpenJobs or MaxOpenBytes is reached.
	ErrTooManyJobs = errors.New("too many jobs are open")
	// ErrBadJob: a job beyond the bounds, or of an id that is taken.
	ErrBadJob = errors.New("a job that can't be kept")
	// ErrLeaseLost: the job ended, or another worker has it.
	ErrLeaseLost = errors.New("the job isn't this worker's any more")
)

// States of a Job.
const (
	JobQueued  = "queued"
	JobRunning = "running"
	JobDone    = "done"
	JobFailed  = "failed"
)

// Job is work that outlives its request and its process.
type Job struct {
	// ID is a UUID that the caller made.
	ID string `json:"id"`
	// Kind says who does it, for example "ingest".
	Kind string `json:"kind"`
	// Caller is tenancy.Caller.ID() of who asked.
	Caller string `json:"caller"`
	// State is one of those above.
	State string `json:"state"`
	// Attempts counts how often a worker has begun it.
	Attempts int `json:"attempts"`
	// Note is what the worker keeps to go on from, and what readers are told: JSON of at
	// most 64 KiB.
	Note []byte `json:"note,omitempty"`
	// Created and Updated have millisecond resolution.
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// LeaseUntil is when a running job may be begun by another worker. The store sets it.
	LeaseUntil time.Time `json:"leaseUntil,omitzero"`
}

// Ended tells whether nothing will be done any more.
func (j Job) Ended() bool { return j.State == JobDone || j.State == JobFailed }

// Jobs is a queue. A job is done at least once: a worker that dies leaves a lease that
// runs out.
type Jobs interface {
	// Add queues a job with its payload; durable when it returns. ErrTooManyJobs,
	// ErrBadJob.
	Add(ctx context.Context, t tenancy.ID, j Job, payload []byte) error
	// Take gives worker the job that has waited longest, queued or with a lease that ran
	// out before now, of one of the kinds, and leases it until the given time. false if
	// there is none. No two workers get one.
	Take(ctx context.Context, t tenancy.ID, worker string, kinds []string, now, until time.Time) (Job, bool, error)
	// Payload of a job that hasn't ended; nil if it has none or has ended.
	Payload(ctx context.Context, t tenancy.ID, id string) ([]byte, error)
	// Update keeps j.State and j.Note and, while it runs, prolongs the lease to until.
	// ErrLeaseLost unless worker has it. A job that is put back to JobQueued waits again;
	// one that has ended loses its payload.
	Update(ctx context.Context, t tenancy.ID, worker string, j Job, now, until time.Time) error
	// Job gives a job, and whether there is one. Those that ended before JobsKept may be
	// gone.
	Job(ctx context.Context, t tenancy.ID, id string) (Job, bool, error)
	// Open counts the jobs that haven't ended.
	Open(ctx context.Context, t tenancy.ID) (int, error)
}
