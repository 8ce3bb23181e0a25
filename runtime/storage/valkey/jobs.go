package valkey

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	valkeygo "github.com/valkey-io/valkey-go"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// pieceBytes is how long a piece of a payload is.
	pieceBytes = 1 << 20
	// sentFor is how long pieces live whose job was never added.
	sentFor = "600000"
)

// What jobadd.lua refuses beside too much.
const (
	refusedTaken = 1
	refusedMany  = 2
	refusedLate  = 3
)

var (
	jobAddScript    = load("jobadd")
	jobTakeScript   = load("jobtake")
	jobUpdateScript = load("jobupdate")
)

type jobs struct{ s *Store }

func (n *names) jobKeys(id string) []string {
	return []string{n.key("queue"), n.key("jobs"), n.key("endedjobs"), n.key("job", id)}
}

// Add sends the payload first, under names that are nobody's yet.
func (j jobs) Add(ctx context.Context, t tenancy.ID, add storage.Job, payload []byte) error {
	if err := j.s.admit(ctx, t); err != nil {
		return err
	}
	if err := storage.CheckJob(add, payload); err != nil {
		return err
	}
	n := j.s.namesOf(t)
	keys, size := n.jobKeys(add.ID), len(payload)
	at := n.key("payload", uuid.NewString()) + ":"
	for piece := 0; len(payload) > 0; piece++ {
		some := payload[:min(len(payload), pieceBytes)]
		payload = payload[len(some):]
		key := at + strconv.Itoa(piece)
		if _, err := j.s.do(ctx, n, []string{key}, []string{"SET", key, string(some), "PX", sentFor}); err != nil {
			return err
		}
		keys = append(keys, key)
	}
	reply, err := j.s.run(ctx, n, jobAddScript, keys, n.mark, add.ID, add.Kind, add.Caller, string(add.Note), milliText(add.Created),
		strconv.Itoa(size), strconv.Itoa(storage.MaxOpenJobs), strconv.Itoa(storage.MaxOpenBytes), at)
	if err != nil {
		return err
	}
	refused, err := code(&reply[0])
	switch {
	case err != nil:
		return err
	case refused == refusedTaken:
		return fmt.Errorf("%w: its id is taken", storage.ErrBadJob)
	case refused == refusedMany:
		return storage.ErrTooManyJobs
	case refused == refusedLate:
		return unavailable(ReasonTimeout)
	}
	return nil
}

// readJob reads the fields that the scripts give.
func (s *Store) readJob(n *names, id string, m *valkeygo.ValkeyMessage) (j storage.Job, there bool, err error) {
	rows, err := m.ToArray()
	if err != nil || len(rows) != 9 {
		return j, false, unreadable(errShort)
	}
	if rows[0].IsNil() {
		return j, false, nil
	}
	fields, err := m.AsStrSlice()
	if err != nil {
		return j, false, unreadable(err)
	}
	if fields[0] != n.mark {
		return j, false, s.foreign()
	}
	j.ID, j.Kind, j.Caller, j.State = id, fields[1], fields[2], fields[3]
	if fields[5] != "" {
		j.Note = []byte(fields[5])
	}
	var times [3]int64
	for i := range times {
		if times[i], err = strconv.ParseInt(fields[6+i], 10, 64); err != nil {
			return j, false, unreadable(err)
		}
	}
	if j.Attempts, err = strconv.Atoi(fields[4]); err != nil {
		return j, false, unreadable(err)
	}
	j.Created, j.Updated = time.UnixMilli(times[0]).UTC(), time.UnixMilli(times[1]).UTC()
	if j.State == storage.JobRunning {
		j.LeaseUntil = time.UnixMilli(times[2]).UTC()
	}
	return j, true, nil
}

func (j jobs) Take(ctx context.Context, t tenancy.ID, worker string, kinds []string, now, until time.Time) (storage.Job, bool, error) {
	if err := j.s.admit(ctx, t); err != nil {
		return storage.Job{}, false, err
	}
	if worker == "" {
		return storage.Job{}, false, fmt.Errorf("%w: a worker has a name", storage.ErrBadJob)
	}
	n := j.s.namesOf(t)
	args := append([]string{n.mark, n.prefix + "job:", worker, milliText(now), strconv.FormatInt(firstMilli(now), 10), milliText(until)}, kinds...)
	reply, err := j.s.run(ctx, n, jobTakeScript, []string{n.key("jobs")}, args...)
	if err != nil || len(reply) < 2 {
		return storage.Job{}, false, err
	}
	id, err := reply[0].ToString()
	if err != nil {
		return storage.Job{}, false, unreadable(err)
	}
	return j.s.readJob(n, id, &reply[1])
}

// Payload reads a piece a round trip, and nothing of a job that ends meanwhile.
func (j jobs) Payload(ctx context.Context, t tenancy.ID, id string) ([]byte, error) {
	if err := j.s.admit(ctx, t); err != nil {
		return nil, err
	}
	n := j.s.namesOf(t)
	key := n.key("job", id)
	reply, err := j.s.do(ctx, n, []string{key}, []string{"HMGET", key, "tenant", "at", "pieces", "size"})
	if err != nil {
		return nil, err
	}
	rows, err := reply[0].ToArray()
	if err != nil || len(rows) != 4 {
		return nil, unreadable(errShort)
	}
	if rows[0].IsNil() {
		return nil, nil
	}
	fields, err := reply[0].AsStrSlice()
	if err != nil {
		return nil, unreadable(err)
	}
	if fields[0] != n.mark {
		return nil, j.s.foreign()
	}
	pieces, err := strconv.Atoi(fields[2])
	if err != nil {
		return nil, unreadable(err)
	}
	var payload []byte
	for piece := range pieces {
		key := fields[1] + strconv.Itoa(piece)
		reply, err := j.s.do(ctx, n, []string{key}, []string{"GET", key})
		if err != nil || reply[0].IsNil() {
			return nil, err
		}
		some, err := reply[0].ToString()
		if err != nil {
			return nil, unreadable(err)
		}
		payload = append(payload, some...)
	}
	return payload, nil
}

// jobTTL keeps an ended job a little longer than is promised: clocks differ.
var jobTTL = strconv.FormatInt((storage.JobsKept + time.Hour).Milliseconds(), 10)

func (j jobs) Update(ctx context.Context, t tenancy.ID, worker string, u storage.Job, now, until time.Time) error {
	if err := j.s.admit(ctx, t); err != nil {
		return err
	}
	if err := storage.CheckJobUpdate(u); err != nil {
		return err
	}
	n, ends := j.s.namesOf(t), "0"
	if u.Ended() {
		ends = "1"
	}
	reply, err := j.s.run(ctx, n, jobUpdateScript, n.jobKeys(u.ID), n.mark, u.ID, worker, u.State, string(u.Note), milliText(now), milliText(until), ends, jobTTL)
	if err != nil {
		return err
	}
	mine, err := code(&reply[0])
	if err == nil && mine == 0 {
		err = storage.ErrLeaseLost
	}
	return err
}

func (j jobs) Job(ctx context.Context, t tenancy.ID, id string) (storage.Job, bool, error) {
	if err := j.s.admit(ctx, t); err != nil {
		return storage.Job{}, false, err
	}
	n := j.s.namesOf(t)
	key := n.key("job", id)
	reply, err := j.s.do(ctx, n, []string{key},
		[]string{"HMGET", key, "tenant", "kind", "caller", "state", "attempts", "note", "created", "updated", "lease"})
	if err != nil {
		return storage.Job{}, false, err
	}
	return j.s.readJob(n, id, &reply[0])
}

func (j jobs) Open(ctx context.Context, t tenancy.ID) (int, error) {
	if err := j.s.admit(ctx, t); err != nil {
		return 0, err
	}
	n := j.s.namesOf(t)
	reply, err := j.s.do(ctx, n, []string{n.key("jobs")}, []string{"ZCARD", n.key("jobs")})
	if err != nil {
		return 0, err
	}
	open, err := code(&reply[0])
	return int(open), err
}
