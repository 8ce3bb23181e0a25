package storagetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// JobChecks are all promises of storage.Jobs.
func JobChecks() []Check { return slices.Concat(jobChecks, jobTenantChecks) }

// RunJobs runs every check against a store of its own. open closes the store when its
// test ends.
func RunJobs(t *testing.T, open func(t *testing.T) storage.Store) {
	for _, c := range JobChecks() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.Run(t, open(t))
		})
	}
}

var jobChecks = []Check{
	{"Add/what is read is what was added", addWhole},
	{"Add/what can't be kept is refused", addRefused},
	{"Add/no more than may be open", addMost},
	{"Add/no more bytes than may be open", addMostBytes},
	{"Take/what has waited longest, of the kinds asked for", takeInOrder},
	{"Take/a lease holds until it has run out", takeLease},
	{"Take/at once: no two workers get one", takeAtOnce},
	{"Update/only of who has it", updateOnlyOwn},
	{"Update/put back, it waits behind all others", updateQueued},
	{"Update/ended, it stays to be read, without its payload", updateEnded},
	{"Update/what can't be kept is refused", updateRefused},
}

// jobID is the same for the same number.
func jobID(n int) string { return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, n)).String() }

func jobOf(n int) storage.Job {
	return storage.Job{ID: jobID(n), Kind: "ingest", Caller: fmt.Sprint("key:", n), Note: fmt.Appendf(nil, `{"n":%d}`, n), Created: epoch.Add(time.Duration(n) * time.Second)}
}

// clock is the i-th minute.
func clock(i int) time.Time { return epoch.Add(time.Duration(i) * time.Minute) }

func addJob(t rapid.TB, s storage.Store, id tenancy.ID, n int) storage.Job {
	t.Helper()
	must(t, "Add", s.Jobs().Add(context.Background(), id, jobOf(n), fmt.Append(nil, "payload ", n)))
	j := jobOf(n)
	j.State, j.Updated = storage.JobQueued, j.Created
	return j
}

func takeJob(t rapid.TB, s storage.Store, id tenancy.ID, worker string, now, until time.Time) (storage.Job, bool) {
	t.Helper()
	j, ok, err := s.Jobs().Take(context.Background(), id, worker, []string{"ingest"}, now, until)
	must(t, "Take", err)
	return j, ok
}

func wantJob(t rapid.TB, s storage.Store, id tenancy.ID, want storage.Job) {
	t.Helper()
	got, there, err := s.Jobs().Job(context.Background(), id, want.ID)
	must(t, "Job", err)
	if !there {
		t.Fatalf("job %s isn't there", want.ID)
	}
	sameDocuments(t, "job", got, want)
}

func wantPayload(t rapid.TB, s storage.Store, id tenancy.ID, job, want string) {
	t.Helper()
	got, err := s.Jobs().Payload(context.Background(), id, job)
	must(t, "Payload", err)
	if string(got) != want {
		t.Fatalf("payload of %s: got %d bytes, want %d", job, len(got), len(want))
	}
}

func wantOpen(t rapid.TB, s storage.Store, id tenancy.ID, want int) {
	t.Helper()
	got, err := s.Jobs().Open(context.Background(), id)
	must(t, "Open", err)
	if got != want {
		t.Fatalf("open jobs: got %d, want %d", got, want)
	}
}

func addWhole(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	wantOpen(t, s, id, 0)
	large := strings.Repeat("0123456789abcde\n", 5<<20/16) + "end"
	for n, payload := range []string{"", "\x00\xff", large} {
		j := jobOf(n)
		j.Kind, j.Caller = "ü 'k'", "key:\"'%"
		j.Note = []byte(`{"a":"` + strings.Repeat("x", storage.MaxNote-8) + `"}`)
		j.Created = j.Created.Add(123 * time.Millisecond)
		sent := []byte(payload)
		must(t, "Add", s.Jobs().Add(ctx, id, j, sent))
		clear(sent)
		want := j
		want.State, want.Updated = storage.JobQueued, j.Created
		wantJob(t, s, id, want)
		wantPayload(t, s, id, j.ID, payload)
		wantOpen(t, s, id, n+1)
	}
	// What isn't Add's is the store's own.
	j := jobOf(9)
	j.State, j.Attempts, j.Updated, j.LeaseUntil, j.Note = storage.JobDone, 7, clock(3), clock(4), nil
	must(t, "Add", s.Jobs().Add(ctx, id, j, nil))
	wantJob(t, s, id, storage.Job{ID: j.ID, Kind: j.Kind, Caller: j.Caller, State: storage.JobQueued, Created: j.Created, Updated: j.Created})
	if _, there, err := s.Jobs().Job(ctx, id, jobID(10)); there || err != nil {
		t.Errorf("an unknown job: there %v, error %v", there, err)
	}
	wantPayload(t, s, id, jobID(10), "")
}

func addRefused(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	kept := addJob(t, s, id, 0)
	for what, change := range map[string]func(*storage.Job){
		"an id that is taken":    func(j *storage.Job) { j.ID = jobID(0) },
		"no id":                  func(j *storage.Job) { j.ID = "" },
		"an id that is no UUID":  func(j *storage.Job) { j.ID = "../../etc/passwd" },
		"one in upper case":      func(j *storage.Job) { j.ID = strings.ToUpper(j.ID) },
		"no kind":                func(j *storage.Job) { j.Kind = "" },
		"a kind too long":        func(j *storage.Job) { j.Kind = strings.Repeat("k", storage.MaxKindBytes+1) },
		"a caller not UTF-8":     func(j *storage.Job) { j.Caller = "\xff" },
		"a note that isn't JSON": func(j *storage.Job) { j.Note = []byte("{") },
		"a note too long":        func(j *storage.Job) { j.Note = []byte(`"` + strings.Repeat("x", storage.MaxNote) + `"`) },
		"no time":                func(j *storage.Job) { j.Created = time.Time{} },
	} {
		j := jobOf(1)
		change(&j)
		wantErr(t, what, s.Jobs().Add(ctx, id, j, []byte("other")), storage.ErrBadJob)
	}
	wantErr(t, "a payload too long", s.Jobs().Add(ctx, id, jobOf(1), make([]byte, storage.MaxPayload+1)), storage.ErrBadJob)
	wantOpen(t, s, id, 1)
	wantJob(t, s, id, kept)
	wantPayload(t, s, id, kept.ID, "payload 0")
}

func addMost(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	var errs sync.Map
	together(10, func(w int) {
		for i := range storage.MaxOpenJobs/10 + 2 {
			n := w*1000 + i
			if err := s.Jobs().Add(ctx, id, jobOf(n), []byte("p")); err != nil {
				errs.Store(n, err)
			}
		}
	})
	refused := 0
	errs.Range(func(_, err any) bool {
		refused++
		wantErr(t, "Add", err.(error), storage.ErrTooManyJobs)
		return true
	})
	if refused != 20 {
		t.Errorf("%d were refused, want 20", refused)
	}
	wantOpen(t, s, id, storage.MaxOpenJobs)
	must(t, "another tenant's", s.Jobs().Add(ctx, tenant(t, "b"), jobOf(1), nil))
	j, _ := takeJob(t, s, id, "w", clock(0), clock(1))
	j.State = storage.JobFailed
	must(t, "Update", s.Jobs().Update(ctx, id, "w", j, clock(0), clock(1)))
	must(t, "Add when there is room", s.Jobs().Add(ctx, id, jobOf(100_000), nil))
	wantErr(t, "Add", s.Jobs().Add(ctx, id, jobOf(100_001), nil), storage.ErrTooManyJobs)
}

func addMostBytes(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	payload := make([]byte, storage.MaxPayload)
	for n := range storage.MaxOpenBytes / storage.MaxPayload {
		payload[0] = byte(n)
		must(t, "Add", s.Jobs().Add(ctx, id, jobOf(n), payload))
	}
	wantErr(t, "a byte more", s.Jobs().Add(ctx, id, jobOf(9), []byte("x")), storage.ErrTooManyJobs)
	must(t, "without payload", s.Jobs().Add(ctx, id, jobOf(10), nil))
	j, _ := takeJob(t, s, id, "w", clock(0), clock(1))
	got, err := s.Jobs().Payload(ctx, id, j.ID)
	if err != nil || len(got) != storage.MaxPayload || got[0] != 0 || got[len(got)-1] != 0 {
		t.Errorf("got %d bytes, error %v", len(got), err)
	}
	j.State = storage.JobDone
	must(t, "Update", s.Jobs().Update(ctx, id, "w", j, clock(0), clock(1)))
	must(t, "Add when there is room", s.Jobs().Add(ctx, id, jobOf(11), []byte("x")))
}

func takeInOrder(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	if _, ok := takeJob(t, s, id, "w", clock(0), clock(1)); ok {
		t.Fatalf("there is a job before there is one")
	}
	// The order is that of adding, whatever the callers' clocks say.
	order := []int{3, 1, 4, 0, 2}
	for _, n := range order {
		j := jobOf(n)
		j.Kind = []string{"even", "odd"}[n%2]
		must(t, "Add", s.Jobs().Add(ctx, id, j, nil))
	}
	for _, kinds := range [][]string{nil, {}, {"other"}, {"EVEN", "eve", "even'"}} {
		if j, ok, err := s.Jobs().Take(ctx, id, "w", kinds, clock(0), clock(1)); ok || err != nil {
			t.Fatalf("of kinds %v: got %+v, error %v", kinds, j, err)
		}
	}
	take := func(want int, kinds ...string) {
		t.Helper()
		j, ok, err := s.Jobs().Take(ctx, id, "w", kinds, clock(0), clock(1))
		must(t, "Take", err)
		if !ok || j.ID != jobID(want) || j.State != storage.JobRunning || j.Attempts != 1 || !j.LeaseUntil.Equal(clock(1)) || !j.Updated.Equal(clock(0)) {
			t.Fatalf("of %v: got %+v, there %v, want job %d", kinds, j, ok, want)
		}
		wantJob(t, s, id, j)
	}
	take(4, "even")
	take(3, "even", "odd")
	take(1, "other", "odd")
	take(0, "even")
	take(2, "odd", "even")
	if j, ok, err := s.Jobs().Take(ctx, id, "w", []string{"odd", "even"}, clock(0), clock(1)); ok || err != nil {
		t.Fatalf("all are taken: got %+v, error %v", j, err)
	}
	_, _, err := s.Jobs().Take(ctx, id, "", []string{"odd"}, clock(9), clock(10))
	wantErr(t, "a worker without name", err, storage.ErrBadJob)
	wantOpen(t, s, id, 5)
}

func takeLease(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	addJob(t, s, id, 0)
	first, _ := takeJob(t, s, id, "w1", clock(0), clock(10))
	addJob(t, s, id, 1)
	second, _ := takeJob(t, s, id, "w1", clock(0), clock(5))
	for _, at := range []int{1, 4, 5} {
		if j, ok := takeJob(t, s, id, "w2", clock(at), clock(at+1)); ok {
			t.Fatalf("at minute %d, leased until minute 5: got %+v", at, j)
		}
	}
	first.Note = []byte(`{"half":true}`)
	must(t, "prolonging", s.Jobs().Update(ctx, id, "w1", first, clock(4), clock(20)))
	addJob(t, s, id, 2)
	got, ok := takeJob(t, s, id, "w2", clock(5).Add(time.Millisecond), clock(15))
	if !ok || got.ID != second.ID || got.Attempts != 2 {
		t.Fatalf("after the lease: got %+v, there %v, want job 1 at its second attempt", got, ok)
	}
	wantErr(t, "Update by who lost it", s.Jobs().Update(ctx, id, "w1", second, clock(6), clock(16)), storage.ErrLeaseLost)
	wantPayload(t, s, id, got.ID, "payload 1")
	wantJob(t, s, id, got)
	if got, _ := takeJob(t, s, id, "w2", clock(12), clock(30)); got.ID != jobID(2) {
		t.Fatalf("got %+v, want job 2: the first lease was prolonged", got)
	}
	// By now two leases ran out; the job that was added first comes first.
	got, ok = takeJob(t, s, id, "w3", clock(21), clock(30))
	if !ok || got.ID != first.ID || got.Attempts != 2 || string(got.Note) != `{"half":true}` {
		t.Fatalf("got %+v, there %v, want job 0 with what was noted", got, ok)
	}
	// A lease that ran out is still its worker's while nobody took it.
	late, _ := takeJob(t, s, id, "w4", clock(100), clock(101))
	must(t, "Update after the lease", s.Jobs().Update(ctx, id, "w4", late, clock(110), clock(120)))
	if got, ok := takeJob(t, s, id, "w5", clock(111), clock(112)); ok && got.ID == late.ID {
		t.Fatalf("got %+v, which was prolonged", got)
	}
}

func takeAtOnce(t rapid.TB, s storage.Store) {
	const jobs, workers = 60, 6
	ctx, id := context.Background(), tenant(t, "a")
	for n := range jobs {
		addJob(t, s, id, n)
	}
	var taken sync.Map
	var left sync.WaitGroup
	left.Add(jobs)
	together(workers, func(w int) {
		worker := fmt.Sprint("w", w)
		for {
			j, ok, err := s.Jobs().Take(ctx, id, worker, []string{"ingest"}, clock(0), clock(1))
			if err != nil {
				t.Errorf("Take: %v", err)
				return
			}
			if !ok {
				return
			}
			if other, twice := taken.LoadOrStore(j.ID, worker); twice || j.Attempts != 1 {
				t.Errorf("%s got %+v, which %v has", worker, j, other)
				return
			}
			j.State = storage.JobDone
			if err := s.Jobs().Update(ctx, id, worker, j, clock(0), clock(1)); err != nil {
				t.Errorf("Update: %v", err)
			}
			left.Done()
		}
	})
	wantOpen(t, s, id, 0)
	for n := range jobs {
		if _, ok := taken.Load(jobID(n)); !ok {
			t.Fatalf("job %d was never taken", n)
		}
	}
}

func updateOnlyOwn(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	queued := addJob(t, s, id, 0)
	running := queued
	running.State = storage.JobRunning
	wantErr(t, "Update of a queued one", s.Jobs().Update(ctx, id, "w", running, clock(0), clock(1)), storage.ErrLeaseLost)
	wantErr(t, "Update of an unknown one", s.Jobs().Update(ctx, id, "w", func() storage.Job { j := jobOf(1); j.State = storage.JobDone; return j }(), clock(0), clock(1)), storage.ErrLeaseLost)
	wantJob(t, s, id, queued)
	taken, _ := takeJob(t, s, id, "w", clock(0), clock(1))
	for _, other := range []string{"w2", "W", "", "w'"} {
		done := taken
		done.State = storage.JobDone
		wantErr(t, fmt.Sprintf("Update by %q", other), s.Jobs().Update(ctx, id, other, done, clock(0), clock(1)), storage.ErrLeaseLost)
	}
	wantErr(t, "Update of another tenant's", s.Jobs().Update(ctx, tenant(t, "b"), "w", taken, clock(0), clock(1)), storage.ErrLeaseLost)
	wantJob(t, s, id, taken)
	// What is the store's own stays.
	bent := taken
	bent.Kind, bent.Caller, bent.Attempts, bent.Created = "other", "other", 9, clock(5)
	must(t, "Update", s.Jobs().Update(ctx, id, "w", bent, clock(2), clock(3)))
	taken.Updated, taken.LeaseUntil = clock(2), clock(3)
	wantJob(t, s, id, taken)
}

func updateQueued(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	for n := range 3 {
		addJob(t, s, id, n)
	}
	j, _ := takeJob(t, s, id, "w", clock(0), clock(10))
	j.State, j.Note = storage.JobQueued, []byte(`{"again":1}`)
	must(t, "Update", s.Jobs().Update(ctx, id, "w", j, clock(1), clock(11)))
	want := jobOf(0)
	want.State, want.Attempts, want.Note, want.Updated = storage.JobQueued, 1, j.Note, clock(1)
	wantJob(t, s, id, want)
	wantErr(t, "Update once more", s.Jobs().Update(ctx, id, "w", j, clock(1), clock(11)), storage.ErrLeaseLost)
	wantOpen(t, s, id, 3)
	for _, n := range []int{1, 2, 0} {
		got, ok := takeJob(t, s, id, "w", clock(2), clock(10))
		if !ok || got.ID != jobID(n) {
			t.Fatalf("got %+v, want job %d", got, n)
		}
		wantPayload(t, s, id, got.ID, fmt.Sprint("payload ", n))
	}
}

func updateEnded(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	for n, state := range []string{storage.JobDone, storage.JobFailed} {
		addJob(t, s, id, n)
		j, _ := takeJob(t, s, id, "w", clock(0), clock(10))
		j.State, j.Note = state, []byte(`"the end"`)
		must(t, "Update", s.Jobs().Update(ctx, id, "w", j, clock(1), clock(11)))
		want := jobOf(n)
		want.State, want.Attempts, want.Note, want.Updated = state, 1, j.Note, clock(1)
		wantJob(t, s, id, want)
		wantPayload(t, s, id, j.ID, "")
		wantOpen(t, s, id, 0)
		wantErr(t, "Update of what ended", s.Jobs().Update(ctx, id, "w", j, clock(1), clock(11)), storage.ErrLeaseLost)
		if got, ok := takeJob(t, s, id, "w", clock(100), clock(101)); ok {
			t.Fatalf("what ended is taken: %+v", got)
		}
		wantErr(t, "its id again", s.Jobs().Add(ctx, id, jobOf(n), nil), storage.ErrBadJob)
	}
}

func updateRefused(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	addJob(t, s, id, 0)
	taken, _ := takeJob(t, s, id, "w", clock(0), clock(1))
	for what, change := range map[string]func(*storage.Job){
		"no state":               func(j *storage.Job) { j.State = "" },
		"an unknown state":       func(j *storage.Job) { j.State = "paused" },
		"a note that isn't JSON": func(j *storage.Job) { j.Note = []byte("}") },
		"a note too long":        func(j *storage.Job) { j.Note = []byte(`"` + strings.Repeat("x", storage.MaxNote) + `"`) },
	} {
		j := taken
		change(&j)
		wantErr(t, what, s.Jobs().Update(ctx, id, "w", j, clock(0), clock(1)), storage.ErrBadJob)
	}
	wantJob(t, s, id, taken)
}
