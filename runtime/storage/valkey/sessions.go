package valkey

import (
	"context"
	"encoding/binary"
	"strconv"
	"time"

	valkeygo "github.com/valkey-io/valkey-go"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// atOnce is how many sessions one round trip reads or removes, so that none holds the
// server up.
const atOnce = 100

type sessions struct{ s *Store }

// name is one session of a tenant.
type name struct{ caller, id string }

// keys are those of drop.lua; append.lua has the counter behind them.
func (n name) keys(t *names) []string {
	return []string{t.key("session", n.caller, n.id), t.key("sessions"), t.key("sessionsof", n.caller), t.key("sessionnames")}
}

func (n name) arguments(t *names) []string {
	return []string{t.mark, part(n.caller), part(n.id), n.id}
}

func (s sessions) Append(ctx context.Context, t tenancy.ID, o storage.Owner, id string, msgs []storage.Message, keep storage.Keep) error {
	if err := s.s.admit(ctx, t); err != nil {
		return err
	}
	if len(msgs) == 0 {
		return nil
	}
	n, which := s.s.namesOf(t), name{o.Caller, id}
	args := append(which.arguments(n), strconv.Itoa(max(0, keep.MaxMessages)), strconv.FormatInt(max(0, keep.Retention.Milliseconds()), 10))
	for _, m := range msgs {
		args = append(args, strconv.FormatInt(m.At.UnixMilli(), 10), encode(m))
	}
	_, err := s.s.run(ctx, n, appendScript, append(which.keys(n), n.key("number")), args...)
	return err
}

func (s sessions) History(ctx context.Context, t tenancy.ID, o storage.Owner, id string, page storage.Page) ([]storage.Message, error) {
	if err := s.s.admit(ctx, t); err != nil {
		return nil, err
	}
	if page.Limit < 1 {
		return nil, storage.ErrBadLimit
	}
	n := s.s.namesOf(t)
	found, err := s.s.read(ctx, n, []name{{o.Caller, id}}, page)
	if err != nil || found[0].there || !o.All {
		return found[0].messages, err
	}
	callers, err := s.s.callers(ctx, n, id)
	if err != nil || len(callers) == 0 {
		return nil, err
	}
	if found, err = s.s.read(ctx, n, callers, page); err != nil {
		return nil, err
	}
	latest := found[0]
	for _, f := range found[1:] {
		if f.there && (!latest.there || f.position().Before(latest.position())) {
			latest = f
		}
	}
	return latest.messages, nil
}

func (s sessions) Delete(ctx context.Context, t tenancy.ID, o storage.Owner, id string) error {
	if err := s.s.admit(ctx, t); err != nil {
		return err
	}
	n, which := s.s.namesOf(t), []name{{o.Caller, id}}
	if o.All {
		var err error
		if which, err = s.s.callers(ctx, n, id); err != nil || len(which) == 0 {
			return err
		}
	}
	calls := make([]call, len(which))
	for i, w := range which {
		calls[i] = call{w.keys(n), append(w.arguments(n), "", "")}
	}
	_, err := s.s.runAll(ctx, n, dropScript, calls)
	return err
}

// Expire removes a hundred a round trip, each only if it is still as old as the list
// said.
func (s sessions) Expire(ctx context.Context, t tenancy.ID, before time.Time) (int, error) {
	if err := s.s.admit(ctx, t); err != nil {
		return 0, err
	}
	return s.s.removeSessions(ctx, s.s.namesOf(t), strconv.FormatInt(firstMilli(before), 10))
}

// removeSessions removes those updated before a millisecond; "" removes all.
func (s *Store) removeSessions(ctx context.Context, n *names, before string) (removed int, err error) {
	edge := "+inf"
	if before != "" {
		edge = "(" + before
	}
	for {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		reply, err := s.do(ctx, n, []string{n.key("sessions")},
			[]string{"ZRANGE", n.key("sessions"), "-inf", edge, "BYSCORE", "LIMIT", "0", strconv.Itoa(atOnce)})
		if err != nil {
			return removed, err
		}
		members, err := reply[0].AsStrSlice()
		if err != nil {
			return removed, unreadable(err)
		}
		calls := make([]call, len(members))
		for i, m := range members {
			which, err := parseMember(m)
			if err != nil {
				return removed, unreadable(err)
			}
			calls[i] = call{which.keys(n), append(which.arguments(n), m[:8], before)}
		}
		if len(calls) == 0 {
			return removed, nil
		}
		replies, err := s.runAll(ctx, n, dropScript, calls)
		if err != nil {
			return removed, err
		}
		for _, r := range replies {
			gone, err := r[0].AsInt64()
			if err != nil {
				return removed, unreadable(err)
			}
			removed += int(gone)
		}
	}
}

// stored is a session as it was read.
type stored struct {
	name
	there            bool
	seq              int64
	created, updated time.Time
	// messages are newest first.
	messages []storage.Message
}

func (s stored) position() storage.Position {
	return storage.Position{Updated: s.updated, Seq: s.seq}
}

// read reads sessions in one round trip.
func (s *Store) read(ctx context.Context, n *names, which []name, page storage.Page) ([]stored, error) {
	before := ""
	if !page.Before.IsZero() {
		before = strconv.FormatInt(firstMilli(page.Before), 10)
	}
	calls := make([]call, len(which))
	for i, w := range which {
		calls[i] = call{w.keys(n)[:1], []string{strconv.Itoa(page.Limit), before}}
	}
	found := make([]stored, len(which))
	replies, err := s.runAll(ctx, n, historyScript, calls)
	if err != nil {
		return found, err
	}
	for i, w := range which {
		if found[i], err = s.session(n, w, replies[i]); err != nil {
			return found, err
		}
	}
	return found, nil
}

func (s *Store) session(n *names, which name, reply []valkeygo.ValkeyMessage) (stored, error) {
	if len(reply) == 0 {
		return stored{name: which}, nil
	}
	head, err := s.value(n, &reply[0])
	if err != nil {
		return stored{}, err
	}
	f := stored{name: which, there: true}
	if err := f.readHead(head); err != nil {
		return stored{}, err
	}
	f.messages = make([]storage.Message, len(reply)-1)
	for i := range f.messages {
		row, err := reply[i+1].ToString()
		if err != nil {
			return stored{}, unreadable(err)
		}
		if f.messages[i], err = decode(row); err != nil {
			return stored{}, err
		}
	}
	return f, nil
}

func (s *stored) readHead(head string) error {
	if len(head) != 24 {
		return unreadable(errShort)
	}
	s.seq, s.created, s.updated = number(head), milli(head[8:]), milli(head[16:])
	return nil
}

// number reads 8 bytes as the scripts write them.
func number(b string) int64 { return int64(binary.BigEndian.Uint64([]byte(b[:8]))) }

func milli(b string) time.Time { return time.UnixMilli(number(b)).UTC() }

// firstMilli is the first whole millisecond that isn't before t.
func firstMilli(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }
