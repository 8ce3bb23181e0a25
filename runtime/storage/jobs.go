package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

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
	// MaxNote bounds a job's note, MaxKindBytes its kind.
	MaxNote      = 64 << 10
	MaxKindBytes = 64
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
	// Created is the caller's, and needed; Updated is when the store last heard of the job.
	// Both have millisecond resolution.
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// LeaseUntil is when a running job may be begun by another worker. The store sets it.
	LeaseUntil time.Time `json:"leaseUntil,omitzero"`
}

// Ended tells whether nothing will be done any more.
func (j Job) Ended() bool { return j.State == JobDone || j.State == JobFailed }

// CheckJob gives ErrBadJob for what Add can't take.
func CheckJob(j Job, payload []byte) error {
	id, err := uuid.Parse(j.ID)
	switch {
	case err != nil || id.String() != j.ID:
		return fmt.Errorf("%w: its id is a UUID in lower case", ErrBadJob)
	case j.Kind == "" || len(j.Kind) > MaxKindBytes || !utf8.ValidString(j.Kind) || strings.ContainsFunc(j.Kind, unicode.IsControl):
		return fmt.Errorf("%w: its kind is UTF-8 of 1 to %d bytes without control characters", ErrBadJob, MaxKindBytes)
	case len(j.Caller) > MaxTitleBytes || !utf8.ValidString(j.Caller):
		return fmt.Errorf("%w: its caller is UTF-8 of at most %d bytes", ErrBadJob, MaxTitleBytes)
	case len(payload) > MaxPayload:
		return fmt.Errorf("%w: its payload has more than %d bytes", ErrBadJob, MaxPayload)
	case j.Created.IsZero():
		return fmt.Errorf("%w: it needs the time of its making", ErrBadJob)
	}
	return checkNote(j.Note)
}

// CheckJobUpdate gives ErrBadJob for what Update can't take.
func CheckJobUpdate(j Job) error {
	switch j.State {
	case JobQueued, JobRunning, JobDone, JobFailed:
		return checkNote(j.Note)
	}
	return fmt.Errorf("%w: there is no such state", ErrBadJob)
}

func checkNote(note []byte) error {
	if len(note) > MaxNote || len(note) > 0 && !json.Valid(note) {
		return fmt.Errorf("%w: its note is JSON of at most %d bytes", ErrBadJob, MaxNote)
	}
	return nil
}

// Jobs is a queue. A job is done at least once: a worker that dies leaves a lease that
// runs out.
type Jobs interface {
	// Add queues a job with its payload; durable when it returns. Of j it keeps ID, Kind,
	// Caller, Note and Created. ErrTooManyJobs, ErrBadJob.
	Add(ctx context.Context, t tenancy.ID, j Job, payload []byte) error
	// Take gives worker the job that has waited longest, queued or with a lease that ran
	// out before now, of one of the kinds, and leases it until the given time. One whose
	// lease ran out waits in the place it had. false if there is none. No two workers get
	// one. A worker without a name is ErrBadJob.
	Take(ctx context.Context, t tenancy.ID, worker string, kinds []string, now, until time.Time) (Job, bool, error)
	// Payload of a job that hasn't ended; nil if it has none or has ended.
	Payload(ctx context.Context, t tenancy.ID, id string) ([]byte, error)
	// Update keeps j.State and j.Note and, while it runs, prolongs the lease to until.
	// ErrLeaseLost unless worker has it, which it does while nobody else took it, though
	// its lease ran out. A job that is put back to JobQueued waits behind all others; one
	// that has ended loses its payload. A state or note that can't be kept is ErrBadJob.
	Update(ctx context.Context, t tenancy.ID, worker string, j Job, now, until time.Time) error
	// Job gives a job, and whether there is one. Those that ended before JobsKept may be
	// gone.
	Job(ctx context.Context, t tenancy.ID, id string) (Job, bool, error)
	// Open counts the jobs that haven't ended.
	Open(ctx context.Context, t tenancy.ID) (int, error)
}
