package storagetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var jobTenantChecks = []Check{
	{"Tenants/the same job of each is its own", jobsApart},
	{"Tenants/jobs in any interleaving against a model", jobsModelled},
	{"Context/an ended one changes no job", jobsEnded},
	{"Context/jobs of no tenant are refused", jobsNoTenant},
	{"Erase/all jobs of one tenant", eraseJobs},
}

func jobsApart(t rapid.TB, s storage.Store) {
	ctx := context.Background()
	for _, sep := range separators {
		tenants, _, _ := spelling(sep)
		for _, identity := range tenants {
			id := tenant(t, sep+"/"+identity)
			if _, ok := takeJob(t, s, id, "w", clock(0), clock(1)); ok {
				t.Fatalf("tenant %q takes another's job", identity)
			}
			wantOpen(t, s, id, 0)
			wantPayload(t, s, id, jobID(0), "")
			must(t, "Add", s.Jobs().Add(ctx, id, jobOf(0), []byte(identity)))
		}
		for _, identity := range tenants {
			id := tenant(t, sep+"/"+identity)
			wantPayload(t, s, id, jobID(0), identity)
			j, ok := takeJob(t, s, id, "w", clock(0), clock(1))
			if !ok || j.Attempts != 1 {
				t.Fatalf("tenant %q: got %+v, there %v", identity, j, ok)
			}
			j.State = storage.JobDone
			must(t, "Update", s.Jobs().Update(ctx, id, "w", j, clock(0), clock(1)))
			wantOpen(t, s, id, 0)
		}
	}
}

func jobCalls(ctx context.Context, s storage.Store, id tenancy.ID) map[string]func() error {
	j, done := s.Jobs(), jobOf(0)
	done.State = storage.JobDone
	return map[string]func() error{
		"Add":     func() error { return j.Add(ctx, id, jobOf(7), []byte("p")) },
		"Take":    func() error { _, _, err := j.Take(ctx, id, "x", []string{"ingest"}, clock(50), clock(51)); return err },
		"Payload": func() error { _, err := j.Payload(ctx, id, jobID(0)); return err },
		"Update":  func() error { return j.Update(ctx, id, "w", done, clock(0), clock(1)) },
		"Job":     func() error { _, _, err := j.Job(ctx, id, jobID(0)); return err },
		"Open":    func() error { _, err := j.Open(ctx, id); return err },
	}
}

func jobsEnded(t rapid.TB, s storage.Store) {
	id := tenant(t, "a")
	addJob(t, s, id, 0)
	taken, _ := takeJob(t, s, id, "w", clock(0), clock(1))
	queued := addJob(t, s, id, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, call := range jobCalls(ctx, s, id) {
		wantErr(t, name, call(), context.Canceled)
	}
	wantJob(t, s, id, taken)
	wantJob(t, s, id, queued)
	wantOpen(t, s, id, 2)
}

func jobsNoTenant(t rapid.TB, s storage.Store) {
	for name, call := range jobCalls(context.Background(), s, tenancy.ID{}) {
		wantErr(t, name, call(), storage.ErrNoTenant)
	}
}

func eraseJobs(t rapid.TB, s storage.Store) {
	ctx, a, others := context.Background(), tenant(t, "a"), []tenancy.ID{tenant(t, "a:"), tenant(t, "*"), tenant(t, "%")}
	for _, id := range append(others, a) {
		for n := range 3 {
			addJob(t, s, id, n)
		}
		j, _ := takeJob(t, s, id, "w", clock(0), clock(1))
		j.State = storage.JobDone
		must(t, "Update", s.Jobs().Update(ctx, id, "w", j, clock(0), clock(1)))
	}
	running, _ := takeJob(t, s, a, "w", clock(0), clock(1))
	// One that has just ended may have left much that a store is still about to delete.
	must(t, "Add", s.Jobs().Add(ctx, a, jobOf(3), make([]byte, 6<<20)))
	takeJob(t, s, a, "w", clock(0), clock(1))
	large, _ := takeJob(t, s, a, "w", clock(0), clock(1))
	large.State = storage.JobDone
	must(t, "Update", s.Jobs().Update(ctx, a, "w", large, clock(0), clock(1)))
	for range 2 {
		_, err := s.Portable().Erase(ctx, a)
		must(t, "Erase", err)
		wantOpen(t, s, a, 0)
		for n := range 4 {
			if _, there, err := s.Jobs().Job(ctx, a, jobID(n)); there || err != nil {
				t.Fatalf("job %d: there %v, error %v", n, there, err)
			}
			wantPayload(t, s, a, jobID(n), "")
		}
	}
	wantErr(t, "Update of an erased one", s.Jobs().Update(ctx, a, "w", running, clock(0), clock(1)), storage.ErrLeaseLost)
	for _, id := range others {
		wantOpen(t, s, id, 2)
		wantPayload(t, s, id, jobID(2), "payload 2")
	}
	addJob(t, s, a, 0)
	wantOpen(t, s, a, 1)
}

// queueModel is what a right store would hold of one tenant, in the order of waiting.
type queueModel struct {
	id      tenancy.ID
	waiting []string
	jobs    map[string]*modelJob
}

type modelJob struct {
	storage.Job
	worker, payload string
}

// jobsModelled drives the queues of tenants whose names spell each other through one store
// and compares everything that can be read with the model.
func jobsModelled(t rapid.TB, s storage.Store) {
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		tenants, _, _ := spelling(rapid.SampledFrom(separators).Draw(t, "separator"))
		var queues []*queueModel
		for _, identity := range tenants[:3] {
			queues = append(queues, &queueModel{id: tenant(t, fmt.Sprint(run, "/", identity)), jobs: map[string]*modelJob{}})
		}
		now := 0
		one := func(do func(*rapid.T, storage.Store, *queueModel, int)) func(*rapid.T) {
			return func(t *rapid.T) {
				now += rapid.IntRange(0, 2).Draw(t, "later")
				do(t, s, rapid.SampledFrom(queues).Draw(t, "queue"), now)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": one(modelAdd), "take": one(modelTakeJob), "update": one(modelUpdate),
			"": func(t *rapid.T) {
				for _, q := range queues {
					q.compare(t, s)
				}
			},
		})
	})
}

func modelAdd(t *rapid.T, s storage.Store, q *queueModel, now int) {
	n := rapid.IntRange(0, 8).Draw(t, "job")
	j := jobOf(n)
	j.Kind = rapid.SampledFrom([]string{"k", "l"}).Draw(t, "kind")
	payload := q.id.Identity() + rapid.StringN(0, 5, -1).Draw(t, "payload")
	err := s.Jobs().Add(context.Background(), q.id, j, []byte(payload))
	if q.jobs[j.ID] != nil {
		wantErr(t, "Add", err, storage.ErrBadJob)
		return
	}
	must(t, "Add", err)
	j.State, j.Updated = storage.JobQueued, j.Created
	q.jobs[j.ID] = &modelJob{Job: j, payload: payload}
	q.waiting = append(q.waiting, j.ID)
}

func modelTakeJob(t *rapid.T, s storage.Store, q *queueModel, now int) {
	worker := rapid.SampledFrom([]string{"w", "w2"}).Draw(t, "worker")
	kinds := rapid.SampledFrom([][]string{{"k"}, {"l"}, {"k", "l"}}).Draw(t, "kinds")
	lease := rapid.IntRange(0, 4).Draw(t, "lease")
	got, ok, err := s.Jobs().Take(context.Background(), q.id, worker, kinds, clock(now), clock(now+lease))
	must(t, "Take", err)
	for _, id := range q.waiting {
		j := q.jobs[id]
		if j.Ended() || !slices.Contains(kinds, j.Kind) || j.State == storage.JobRunning && !j.LeaseUntil.Before(clock(now)) {
			continue
		}
		j.State, j.worker, j.Updated, j.LeaseUntil = storage.JobRunning, worker, clock(now), clock(now+lease)
		j.Attempts++
		if !ok {
			t.Fatalf("Take gives none, want %+v", j.Job)
		}
		sameDocuments(t, "taken", got, j.Job)
		return
	}
	if ok {
		t.Fatalf("Take gives %+v, want none", got)
	}
}

func modelUpdate(t *rapid.T, s storage.Store, q *queueModel, now int) {
	worker := rapid.SampledFrom([]string{"w", "w2"}).Draw(t, "worker")
	id := jobID(rapid.IntRange(0, 8).Draw(t, "job"))
	u := storage.Job{
		ID: id, State: rapid.SampledFrom([]string{storage.JobRunning, storage.JobQueued, storage.JobDone, storage.JobFailed}).Draw(t, "state"),
		Note: fmt.Append(nil, rapid.IntRange(0, 99).Draw(t, "note")),
	}
	err := s.Jobs().Update(context.Background(), q.id, worker, u, clock(now), clock(now+2))
	j := q.jobs[id]
	if j == nil || j.State != storage.JobRunning || j.worker != worker {
		wantErr(t, "Update", err, storage.ErrLeaseLost)
		return
	}
	must(t, "Update", err)
	j.State, j.Note, j.Updated, j.LeaseUntil = u.State, u.Note, clock(now), clock(now+2)
	if j.State == storage.JobRunning {
		return
	}
	j.worker, j.LeaseUntil = "", time.Time{}
	q.waiting = slices.DeleteFunc(q.waiting, func(w string) bool { return w == id })
	if j.State == storage.JobQueued {
		q.waiting = append(q.waiting, id)
	} else {
		j.payload = ""
	}
}

func (q *queueModel) compare(t *rapid.T, s storage.Store) {
	wantOpen(t, s, q.id, len(q.waiting))
	for id, j := range q.jobs {
		wantJob(t, s, q.id, j.Job)
		wantPayload(t, s, q.id, id, j.payload)
	}
}
