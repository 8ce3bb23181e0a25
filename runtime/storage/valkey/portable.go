package valkey

import (
	"context"
	"encoding/binary"
	"strconv"
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

// A dump begins so many sessions in one round trip, and reads so many messages of each in
// one: the longest session must not hold the server up, nor take longer than a call may.
const (
	dumpAtOnce   = 16
	dumpMessages = 250
)

// dump gives one tenant's records from a position on.
type dump struct {
	s     *Store
	ctx   context.Context
	t     tenancy.ID
	n     *names
	yield func(storage.Record, string) error
}

func (p portable) Dump(ctx context.Context, t tenancy.ID, from string, yield func(storage.Record, string) error) error {
	if err := p.s.admit(ctx, t); err != nil {
		return err
	}
	d := &dump{p.s, ctx, t, p.s.namesOf(t), yield}
	return storage.DumpFrom(t, from, d.sessions, d.budgets, d.usage, d.audit, d.documents)
}

func (d *dump) give(r storage.Record, part byte, place string) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	return d.yield(r, storage.PartPosition(d.t, part, []byte(place)))
}

// sessions go by their names: a place is one.
func (d *dump) sessions(begin []byte) error {
	for place := string(begin); ; {
		from := "-"
		if place != "" {
			from = "(" + place
		}
		members, err := d.s.membersOf(d.ctx, d.n, d.n.key("sessionnames"), from, "+", dumpAtOnce)
		if err != nil || len(members) == 0 {
			return err
		}
		which := make([]name, len(members))
		for i, m := range members {
			if which[i], err = parseName(m); err != nil {
				return err
			}
		}
		found, err := d.s.read(d.ctx, d.n, which, storage.Page{Limit: dumpMessages})
		if err != nil {
			return err
		}
		for i, f := range found {
			place = members[i]
			if f, err = d.whole(f); err != nil {
				return err
			}
			if !f.there {
				continue // run out, or deleted meanwhile
			}
			r := storage.SessionRecord{Caller: f.caller, ID: f.id, Created: f.created, Messages: make([]storage.Message, len(f.messages))}
			for j, m := range f.messages {
				r.Messages[len(r.Messages)-1-j] = m
			}
			if err := d.give(storage.Record{Session: &r}, partSessions, place); err != nil {
				return err
			}
		}
	}
}

// whole reads the rest of a session, which isn't there if it was deleted meanwhile.
func (d *dump) whole(f stored) (stored, error) {
	for more := f; f.there && len(more.messages) == dumpMessages; {
		oldest := f.messages[len(f.messages)-1].At
		found, err := d.s.read(d.ctx, d.n, []name{f.name}, storage.Page{Limit: dumpMessages, Before: oldest})
		if err != nil {
			return f, err
		}
		more = found[0]
		f.there = more.there && more.seq == f.seq
		f.messages = append(f.messages, more.messages...)
	}
	return f, nil
}

// budgets go by their names, a hundred at a time.
func (d *dump) budgets(begin []byte) error {
	place := string(begin)
	names, err := d.s.budgetNames(d.ctx, d.n)
	if err != nil {
		return err
	}
	for len(names) > 0 {
		some := names[:min(atOnce, len(names))]
		names = names[len(some):]
		if place != "" && some[len(some)-1] <= place {
			continue
		}
		rows, err := d.s.budgetRows(d.ctx, d.n, some)
		if err != nil {
			return err
		}
		for i, r := range rows {
			if !r.there || place != "" && some[i] <= place {
				continue
			}
			b := storage.BudgetRecord{Name: some[i], Used: total(r.used, r.reserved), Until: r.until}
			if err := d.give(storage.Record{Budget: &b}, partBudgets, some[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dump) usage(begin []byte) error {
	after, resumed := ledger.ParseBucketPlace(begin)
	from := "-inf"
	if resumed {
		from = hourOf(after.Minute)
	}
	hours, err := d.s.hours(d.ctx, d.n, from, "+inf")
	if err != nil {
		return err
	}
	for _, h := range hours {
		buckets, err := d.s.buckets(d.ctx, d.n, []string{h})
		if err != nil {
			return err
		}
		ledger.SortBuckets(buckets)
		for _, b := range buckets {
			if resumed && ledger.CompareBuckets(b, after) <= 0 {
				continue
			}
			if err := d.give(storage.Record{Usage: &b}, partUsage, string(ledger.BucketPlace(b))); err != nil {
				return err
			}
		}
	}
	return nil
}

// audit goes by time and number, oldest first: a place is both.
func (d *dump) audit(begin []byte) error {
	key := d.n.audit()[0]
	from, last := "-inf", ""
	if place := string(begin); len(place) == 16 {
		from, last = strconv.FormatInt(number(place), 10), place
	}
	for skip := 0; ; {
		reply, err := d.s.do(d.ctx, d.n, []string{key},
			[]string{"ZRANGE", key, from, "+inf", "BYSCORE", "LIMIT", strconv.Itoa(skip), strconv.Itoa(atOnce), "WITHSCORES"})
		if err != nil {
			return err
		}
		rows, err := reply[0].ToArray()
		if err != nil {
			return unreadable(err)
		}
		for i := 0; i < len(rows); i += 2 {
			member, err := d.s.value(d.n, &rows[i])
			if err != nil {
				return err
			}
			at, err := rows[i+1].AsInt64()
			if err != nil || len(member) < 8 {
				return unreadable(errShort)
			}
			// The server counts what it skips: only those of one time are skipped.
			if score := strconv.FormatInt(at, 10); score != from {
				from, skip = score, 0
			}
			skip++
			here := string(binary.BigEndian.AppendUint64(nil, uint64(at))) + member[:8]
			if here <= last {
				continue
			}
			r, err := readAudit(at, member)
			if err != nil {
				return err
			}
			if err := d.give(storage.Record{Audit: &r}, partAudit, here); err != nil {
				return err
			}
		}
		if len(rows) < 2*atOnce {
			return nil
		}
	}
}

// Erase goes on where an earlier one was cut off: each step removes what it names, then
// the name.
func (p portable) Erase(ctx context.Context, t tenancy.ID) (int, error) {
	if err := p.s.admit(ctx, t); err != nil {
		return 0, err
	}
	n := p.s.namesOf(t)
	removed, err := p.s.removeSessions(ctx, n, "")
	if err != nil {
		return removed, err
	}
	for _, index := range []string{"windowlogs", "cache"} {
		if err := p.s.unlinkListed(ctx, n, n.key(index)); err != nil {
			return removed, err
		}
	}
	if err := p.s.eraseDocuments(ctx, t, n); err != nil {
		return removed, err
	}
	if err := p.s.eraseJobs(ctx, n); err != nil {
		return removed, err
	}
	names, err := p.s.budgetNames(ctx, n)
	if err != nil {
		return removed, err
	}
	hours, err := p.s.hours(ctx, n, "-inf", "+inf")
	if err != nil {
		return removed, err
	}
	keys := append([]string{n.key("audit"), n.key("budgets"), n.key("usage"), n.key("sessionnames"), n.key("number")}, n.windowKeys...)
	for _, name := range names {
		keys = append(keys, n.key("budget", name))
	}
	for _, h := range hours {
		keys = append(keys, n.hour(h)[1])
	}
	// The indexes go last.
	for len(keys) > 0 {
		some := keys[max(0, len(keys)-atOnce):]
		keys = keys[:len(keys)-len(some)]
		if _, err := p.s.do(ctx, n, some, append([]string{"UNLINK"}, some...)); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// total never wraps: what can't be counted stays at the most that can.
func total(a, b int64) int64 {
	if sum := a + b; sum >= 0 {
		return sum
	}
	return 1<<63 - 1
}

func milliText(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
