package memory

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/ledger"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type portable struct{ s *Store }

// Parts of a dump, in their order; a position is a part and a place in it.
const (
	partSessions = iota
	partBudgets
	partUsage
	partAudit
	partDocuments
)

// dump gives one tenant's records from a position on.
type dump struct {
	s     *Store
	ctx   context.Context
	t     tenancy.ID
	yield func(storage.Record, string) error
}

func (p portable) Dump(ctx context.Context, t tenancy.ID, from string, yield func(storage.Record, string) error) error {
	if err := admit(ctx, t); err != nil {
		return err
	}
	d := &dump{p.s, ctx, t, yield}
	return storage.DumpFrom(t, from, d.sessions, d.budgets, d.usage, d.audit, d.documents)
}

func (d *dump) give(r storage.Record, part byte, place []byte) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	return d.yield(r, storage.PartPosition(d.t, part, place))
}

// number is the place after a record with a number; 0 is the beginning.
func number(place []byte) int64 {
	n, _ := binary.Varint(place)
	return n
}

func (d *dump) sessions(place []byte) error {
	sh := d.s.sessions.shelf(d.t)
	for _, s := range sh.madeAfter(number(place)) {
		r := s.record()
		if r == nil {
			continue // deleted meanwhile
		}
		if err := d.give(storage.Record{Session: r}, partSessions, binary.AppendVarint(nil, s.seq)); err != nil {
			return err
		}
	}
	return nil
}

func (d *dump) budgets(place []byte) error {
	for _, b := range d.s.budgets.ledger.All(d.t) {
		if place != nil && b.Name <= string(place) {
			continue
		}
		r := b.Record()
		if err := d.give(storage.Record{Budget: &r}, partBudgets, []byte(b.Name)); err != nil {
			return err
		}
	}
	return nil
}

func (d *dump) usage(place []byte) error {
	after, ok := ledger.ParseBucketPlace(place)
	for _, b := range d.s.usage.ledger.Sum(d.t, time.Time{}, endOfTime) {
		if ok && ledger.CompareBuckets(b, after) <= 0 {
			continue
		}
		if err := d.give(storage.Record{Usage: &b}, partUsage, ledger.BucketPlace(b)); err != nil {
			return err
		}
	}
	return nil
}

func (d *dump) documents(place []byte) error {
	return storage.DumpDocuments(d.ctx, d.s.docs, d.t, place, func(r storage.Record, next []byte) error {
		return d.give(r, partDocuments, next)
	})
}

var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

func (d *dump) audit(place []byte) error {
	for _, a := range d.s.audit.after(d.t, number(place)) {
		if err := d.give(storage.Record{Audit: &a.AuditRecord}, partAudit, binary.AppendVarint(nil, a.seq)); err != nil {
			return err
		}
	}
	return nil
}

func (p portable) Load(ctx context.Context, t tenancy.ID, records []storage.Record) error {
	if err := admit(ctx, t); err != nil {
		return err
	}
	if err := storage.ValidateAll(records); err != nil {
		return err
	}
	// Documents alone can be refused: they come first.
	if err := p.s.docs.load(t, records); err != nil {
		return err
	}
	for _, r := range records {
		switch {
		case r.Session != nil:
			p.s.sessions.load(t, *r.Session)
		case r.Budget != nil:
			p.s.budgets.ledger.Put(t, *r.Budget)
		case r.Usage != nil:
			p.s.usage.ledger.Put(t, *r.Usage)
		case r.Audit != nil:
			p.s.audit.load(t, *r.Audit)
		}
	}
	return nil
}

func (p portable) Erase(ctx context.Context, t tenancy.ID) (int, error) {
	if err := admit(ctx, t); err != nil {
		return 0, err
	}
	p.s.windows.ledger.Erase(t)
	p.s.budgets.ledger.Erase(t)
	p.s.usage.ledger.Erase(t)
	p.s.cache.ledger.Clear(t)
	p.s.audit.erase(t)
	p.s.docs.erase(t)
	p.s.jobs.erase(t)
	return p.s.sessions.erase(t), nil
}

// madeAfter are the shelf's sessions with a greater number, in the order of numbers.
func (sh *shelf) madeAfter(seq int64) []*session {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var found []*session
	for _, s := range sh.sessions {
		if s.seq > seq {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *session) int { return cmp.Compare(a.seq, b.seq) })
	return found
}

// record is the session as it moves, nil if it has gone.
func (s *session) record() *storage.SessionRecord {
	s.shelf.mu.Lock()
	defer s.shelf.mu.Unlock()
	if s.shelf.sessions[s.name] != s {
		return nil
	}
	return &storage.SessionRecord{Caller: s.caller, ID: s.id, Created: s.created, Messages: slices.Clone(s.messages)}
}

// load replaces a session by a whole one.
func (s *sessions) load(t tenancy.ID, r storage.SessionRecord) {
	sh := s.shelf(t)
	sh.mu.Lock()
	n := name{r.Caller, r.ID}
	if old := sh.sessions[n]; old != nil {
		s.remove(old)
	}
	made := &session{shelf: sh, name: n, seq: s.made.Add(1), created: millis(r.Created), updated: millis(r.Messages[0].At)}
	sh.sessions[n] = made
	s.idle.touch(made, made.append(r.Messages, storage.Keep{}, s.idle.max))
	sh.mu.Unlock()
	s.makeRoom(made)
}

// erase removes all sessions of t and tells how many there were.
func (s *sessions) erase(t tenancy.ID) int {
	sh := s.shelf(t)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n := len(sh.sessions)
	for _, have := range sh.sessions {
		s.remove(have)
	}
	return n
}
