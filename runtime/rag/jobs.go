package rag

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Kinds of jobs.
const (
	// kindIngest takes a document in.
	kindIngest = "ingest"
	// kindSweep forgets the vectors of a version that isn't found any more.
	kindSweep = "sweep"
	// kindReembed makes the vectors of a document anew with the model in force.
	kindReembed = "reembed"
)

// Phases of a job, for people.
const (
	phaseReading   = "reading"
	phaseEmbedding = "embedding"
	phaseIndexing  = "indexing"
	phaseCleaning  = "cleaning"
)

// note is what a job's worker goes on from.
type note struct {
	DocID   string `json:"docId"`
	Version int64  `json:"version,omitempty"`
	// Model and Digest of what was staged: of another text or model nothing of it counts.
	Model  string `json:"model,omitempty"`
	Digest string `json:"digest,omitempty"`
	Staged int    `json:"staged,omitempty"`
	Total  int    `json:"total,omitempty"`
	Phase  string `json:"phase,omitempty"`
	// Mutations must be visible before the version is published, one of each worker that
	// was at it.
	Mutations []storage.Mutation `json:"mutations,omitempty"`
	// Published tells that readers find the version: what is left is to forget Old.
	Published bool     `json:"published,omitempty"`
	Old       *version `json:"old,omitempty"`
	// Cursor is where the documents whose vectors are made anew go on.
	Cursor string `json:"cursor,omitempty"`
	// Returned counts how often a worker that stopped, or made way, gave the job back.
	Returned int        `json:"returned,omitempty"`
	Failure  *jobFailed `json:"failure,omitempty"`
}

// version is one that was replaced or removed.
type version struct {
	Version  int64 `json:"version"`
	Passages int   `json:"passages"`
}

// jobFailed is why a job ended without what it was for.
type jobFailed struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// progress of a job in passages.
type progress struct {
	Done  int    `json:"done"`
	Total int    `json:"total"`
	Phase string `json:"phase,omitempty"`
}

// jobInfo is what GET /ingest/jobs/{id} tells; times in milliseconds since 1970.
type jobInfo struct {
	JobID     string     `json:"jobId"`
	DocID     string     `json:"docId"`
	Status    string     `json:"status"`
	Progress  progress   `json:"progress"`
	Attempts  int        `json:"attempts"`
	Error     *jobFailed `json:"error,omitempty"`
	CreatedAt int64      `json:"createdAt"`
	UpdatedAt int64      `json:"updatedAt"`
}

// queue makes a job of a document.
func (f *Feature) queue(ctx context.Context, c httpapi.Call, m *material) (ingested, error) {
	// The version is taken now, so that of two requests the later one wins, whichever
	// worker is faster; and a removal from now on outlives this document.
	v, err := f.Documents.NextVersion(ctx, c.Tenant.ID)
	if err != nil {
		return ingested{}, fmt.Errorf("beginning a document: %w", err)
	}
	payload, err := m.payload()
	if err != nil {
		return ingested{}, fmt.Errorf("writing a job: %w", err)
	}
	if len(payload) > storage.MaxPayload {
		return ingested{}, &httpapi.Error{
			Status: http.StatusRequestEntityTooLarge, Code: "payload_too_large", Message: "the document is too large to wait for its turn; split it",
		}
	}
	id, err := f.add(ctx, c, kindIngest, note{DocID: m.DocID, Version: v}, payload)
	if err != nil {
		return ingested{}, err
	}
	done := ingested{Status: statusQueued, DocID: m.DocID, JobID: id}
	if remote(c.Tenant.Config) && !m.Async {
		done.Status = statusIndexing
	}
	return done, nil
}

// add queues a job.
func (f *Feature) add(ctx context.Context, c httpapi.Call, kind string, n note, payload []byte) (string, error) {
	id := uuid.NewString()
	return id, f.addAs(ctx, c, id, kind, n, payload)
}

func (f *Feature) addAs(ctx context.Context, c httpapi.Call, id, kind string, n note, payload []byte) error {
	text, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("writing a job: %w", err)
	}
	err = f.Jobs.Add(ctx, c.Tenant.ID, storage.Job{ID: id, Kind: kind, Caller: c.Caller.ID(), Note: text, Created: f.Now()}, payload)
	if err != nil {
		return fmt.Errorf("queueing a job: %w", err)
	}
	f.remember(ctx, c.Tenant.ID, n.DocID, id)
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return nil
}

// remember lets GET /documents/{docId} find the job. It is told as a help, not as a
// promise: the cache may forget it.
func (f *Feature) remember(ctx context.Context, t tenancy.ID, doc, job string) {
	if err := f.Cache.Put(ctx, t, "documents/job/"+doc, []byte(job), storage.JobsKept); err != nil {
		f.Logger.Warn("a document's job can't be looked up by the document", "tenant", t.String(), "error", err)
	}
}

// jobOf gives the last job of a document if it hasn't ended.
func (f *Feature) jobOf(ctx context.Context, t tenancy.ID, doc string) (string, error) {
	id, there, err := f.Cache.Get(ctx, t, "documents/job/"+doc)
	if err != nil || !there {
		return "", err
	}
	j, there, err := f.Jobs.Job(ctx, t, string(id))
	if err != nil || !there || j.Ended() {
		return "", err
	}
	return j.ID, nil
}

// job answers GET /ingest/jobs/{id}. Documents are the tenant's, and so are their jobs.
func (f *Feature) job(ctx context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	j, err := f.find(ctx, c)
	if err != nil {
		return httpapi.Answer{}, err
	}
	n := noteOf(j)
	info := jobInfo{
		JobID: j.ID, DocID: n.DocID, Status: j.State, Attempts: j.Attempts, Error: n.Failure,
		Progress:  progress{Done: n.Staged, Total: n.Total, Phase: n.Phase},
		CreatedAt: j.Created.UnixMilli(), UpdatedAt: j.Updated.UnixMilli(),
	}
	return httpapi.Answer{Data: info}, nil
}

func (f *Feature) find(ctx context.Context, c httpapi.Call) (storage.Job, error) {
	if err := enabled(c.Tenant); err != nil {
		return storage.Job{}, err
	}
	id := c.Path("id")
	if !httpapi.IsUUID(id) {
		return storage.Job{}, httpapi.Invalid("id", "must be a UUID, as POST /ingest gave it")
	}
	j, there, err := f.Jobs.Job(ctx, c.Tenant.ID, id)
	if err != nil {
		return storage.Job{}, fmt.Errorf("reading a job: %w", err)
	}
	if !there || j.Kind != kindIngest && j.Kind != kindReembed {
		return storage.Job{}, &httpapi.Error{
			Status: http.StatusNotFound, Code: "job_not_found",
			Message: "there is no such job; those that ended are kept for seven days",
		}
	}
	return j, nil
}

// cancel answers DELETE /ingest/jobs/{id}. A worker that is at it hears of it between two
// of its steps.
func (f *Feature) cancel(ctx context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	if err := mayWrite(c); err != nil {
		return httpapi.Answer{}, err
	}
	j, err := f.find(ctx, c)
	if err != nil {
		return httpapi.Answer{}, err
	}
	answer := struct {
		JobID    string `json:"jobId"`
		Canceled bool   `json:"canceled"`
	}{j.ID, !j.Ended()}
	if j.Ended() {
		return httpapi.Answer{Data: answer}, nil
	}
	if err := f.Cache.Put(ctx, c.Tenant.ID, canceledKey(j.ID), []byte("1"), storage.JobsKept); err != nil {
		return httpapi.Answer{}, fmt.Errorf("canceling a job: %w", err)
	}
	return httpapi.Answer{Status: http.StatusAccepted, Data: answer}, nil
}

func canceledKey(job string) string { return "documents/canceled/" + job }

func noteOf(j storage.Job) (n note) {
	// Whoever wrote it wrote JSON; of a build with other fields the rest is read.
	_ = json.Unmarshal(j.Note, &n)
	return n
}

// pollJobs is how often a worker looks for jobs that others queued or left.
const pollJobs = 3 * time.Second
