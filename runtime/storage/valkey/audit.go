package valkey

import (
	"context"
	"strconv"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type audit struct{ s *Store }

func (n *names) audit() []string { return []string{n.key("audit"), n.key("number")} }

func (a audit) Record(ctx context.Context, t tenancy.ID, r storage.AuditRecord) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	n := a.s.namesOf(t)
	return a.s.owed(ctx, n, recordScript, n.audit(), n.mark, strconv.FormatInt(r.At.UnixMilli(), 10), auditText(r), auditEdge(), auditTTL)
}

var auditTTL = strconv.FormatInt(storage.AuditKept.Milliseconds(), 10)

// auditEdge is the millisecond before which records have run out.
func auditEdge() string {
	return strconv.FormatInt(time.Now().Add(-storage.AuditKept).UnixMilli(), 10)
}

// auditText leaves the time out: it is the record's score.
func auditText(r storage.AuditRecord) string {
	return part(r.Caller) + part(r.Tool) + part(r.ParamsHash) + part(r.Outcome) + strconv.FormatInt(int64(r.Duration), 10)
}

func (a audit) Records(ctx context.Context, t tenancy.ID, from, to time.Time, limit int, cursor string) ([]storage.AuditRecord, string, error) {
	if err := a.s.admit(ctx, t); err != nil {
		return nil, "", err
	}
	if limit < 1 {
		return nil, "", storage.ErrBadLimit
	}
	var after *storage.Position
	if cursor != "" {
		p, err := storage.ParseAuditCursor(t, cursor)
		if err != nil {
			return nil, "", err
		}
		after = &p
	}
	n := a.s.namesOf(t)
	score, seq := place(after)
	reply, err := a.s.run(ctx, n, pageScript, n.audit()[:1], strconv.Itoa(len(n.mark)),
		strconv.FormatInt(firstMilli(from), 10), "("+strconv.FormatInt(firstMilli(to), 10), score, seq, strconv.Itoa(limit+1))
	if err != nil {
		return nil, "", err
	}
	var found []storage.AuditRecord
	next := ""
	for i := 0; i < len(reply); i += 2 {
		if len(found) == limit {
			next = storage.AuditCursor(t, *after)
			break
		}
		member, err := a.s.value(n, &reply[i])
		if err != nil {
			return nil, "", err
		}
		at, err := reply[i+1].AsInt64()
		if err != nil {
			return nil, "", unreadable(err)
		}
		r, err := readAudit(at, member)
		if err != nil {
			return nil, "", err
		}
		found, after = append(found, r), &storage.Position{Updated: r.At, Seq: number(member)}
	}
	return found, next, nil
}

// readAudit reads a record's number and text.
func readAudit(at int64, member string) (r storage.AuditRecord, err error) {
	if len(member) < 8 {
		return r, unreadable(errShort)
	}
	rest := member[8:]
	for _, to := range []*string{&r.Caller, &r.Tool, &r.ParamsHash, &r.Outcome} {
		if *to, rest, err = cutPart(rest); err != nil {
			return r, err
		}
	}
	duration, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return r, unreadable(err)
	}
	r.At, r.Duration = time.UnixMilli(at).UTC(), time.Duration(duration)
	return r, nil
}
