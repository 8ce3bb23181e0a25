package valkey

import (
	"context"
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	valkeygo "github.com/valkey-io/valkey-go"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/ledger"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// loadTimeout bounds the script of a Load: one session may be tens of megabytes, which no
// request waits for.
const loadTimeout = 10 * time.Second

// loading is one Load: the commands that take the records in, which run as one script.
type loading struct {
	n        *names
	keys     []string
	commands [][]string
	// next is the number of the next thing that has one.
	next int64
}

// Load reads what is there, then writes all in one script. It is for a tenant that
// nothing else writes meanwhile: an append between the two would be replaced.
func (p portable) Load(ctx context.Context, t tenancy.ID, records []storage.Record) error {
	if err := p.s.admit(ctx, t); err != nil {
		return err
	}
	if err := storage.ValidateAll(records); err != nil {
		return err
	}
	if len(records) == 0 {
		return nil
	}
	n := p.s.namesOf(t)
	if err := p.s.stageLoaded(ctx, n, records); err != nil {
		return err
	}
	heads, equals, err := p.s.present(ctx, n, records)
	if err != nil {
		return err
	}
	reply, err := p.s.do(ctx, n, []string{n.key("number")}, []string{"INCRBY", n.key("number"), strconv.Itoa(len(records))})
	if err != nil {
		return err
	}
	last, err := reply[0].AsInt64()
	if err != nil {
		return unreadable(err)
	}
	l := &loading{n: n, next: last - int64(len(records)) + 1}
	for i, r := range records {
		switch {
		case r.Session != nil:
			l.session(*r.Session, heads[i])
		case r.Budget != nil:
			l.budget(*r.Budget)
		case r.Usage != nil:
			l.usage(*r.Usage)
		case r.Audit != nil:
			l.audit(*r.Audit, equals)
		}
	}
	if len(l.commands) > 0 {
		if _, err = p.s.runAllWithin(ctx, loadTimeout, n, callScript, []call{{l.keys, words(l.commands)}}); err != nil {
			return err
		}
	}
	return p.s.publishLoaded(ctx, n, records, false)
}

// present reads the heads of the sessions that are there already, and the audit records
// of the same times.
func (s *Store) present(ctx context.Context, n *names, records []storage.Record) (heads []string, equals map[string]bool, err error) {
	var keys []string
	commands := make([][]string, len(records))
	for i, r := range records {
		commands[i] = []string{"EXISTS", n.key("number")} // what needs no look takes a place all the same
		if r.Session != nil {
			key := name{r.Session.Caller, r.Session.ID}.keys(n)[0]
			keys, commands[i] = append(keys, key), []string{"LINDEX", key, "-1"}
		}
		if r.Audit != nil {
			at := milliText(r.Audit.At)
			keys, commands[i] = append(keys, n.audit()[0]), []string{"ZRANGE", n.audit()[0], at, at, "BYSCORE"}
		}
	}
	keys = append(keys, n.key("number"))
	reply, err := s.do(ctx, n, slices.Compact(keys), commands...)
	if err != nil {
		return nil, nil, err
	}
	heads, equals = make([]string, len(records)), map[string]bool{}
	for i, r := range records {
		if r.Session != nil && !reply[i].IsNil() {
			if heads[i], err = s.value(n, &reply[i]); err != nil {
				return nil, nil, err
			}
		}
		if r.Audit != nil {
			if err := s.collect(n, milliText(r.Audit.At), &reply[i], equals); err != nil {
				return nil, nil, err
			}
		}
	}
	return heads, equals, nil
}

// collect notes audit records by their time and text.
func (s *Store) collect(n *names, at string, members *valkeygo.ValkeyMessage, equals map[string]bool) error {
	rows, err := members.ToArray()
	if err != nil {
		return unreadable(err)
	}
	for i := range rows {
		member, err := s.value(n, &rows[i])
		if err != nil {
			return err
		}
		if len(member) < 8 {
			return unreadable(errShort)
		}
		equals[at+member[8:]] = true
	}
	return nil
}

func (l *loading) do(key string, command ...string) {
	l.keys = append(l.keys, key)
	l.commands = append(l.commands, slices.Insert(command, 1, key))
}

func (l *loading) number() string {
	l.next++
	return string(binary.BigEndian.AppendUint64(nil, uint64(l.next-1)))
}

// session replaces the one of the same name. Its number, if it has one, it keeps: the
// indexes name it by that.
func (l *loading) session(r storage.SessionRecord, head string) {
	which := name{r.Caller, r.ID}
	keys := which.keys(l.n)
	seq := l.number()
	if len(head) == 24 {
		seq = head[:8]
	}
	updated := r.Messages[len(r.Messages)-1].At
	rows := make([]string, 0, len(r.Messages)+1)
	for _, m := range r.Messages {
		rows = append(rows, millis(m.At.UnixMilli())+encode(m))
	}
	rows = append(rows, l.n.mark+seq+millis(r.Created.UnixMilli())+millis(updated.UnixMilli()))
	l.do(keys[0], "UNLINK")
	for some := range slices.Chunk(rows, 1000) {
		l.do(keys[0], append([]string{"RPUSH"}, some...)...)
	}
	l.do(keys[1], "ZADD", milliText(updated), seq+part(r.Caller)+part(r.ID))
	l.do(keys[2], "ZADD", milliText(updated), seq+r.ID)
	l.do(keys[3], "ZADD", "0", part(r.ID)+part(r.Caller))
	// What is loaded has no time to live until it is appended to; nor have its indexes.
	for _, k := range keys[1:] {
		l.do(k, "PERSIST")
	}
}

func millis(ms int64) string { return string(binary.BigEndian.AppendUint64(nil, uint64(ms))) }

func (l *loading) budget(r storage.BudgetRecord) {
	end, key, index := gone(r.Until), l.n.key("budget", r.Name), l.n.key("budgets")
	value := l.n.mark + strconv.FormatInt(r.Used, 10) + " 0 " + end
	if end == "0" {
		l.do(key, "SET", value)
		l.do(index, "ZADD", "+inf", r.Name)
	} else {
		l.do(key, "SET", value, "PXAT", end)
		l.do(index, "ZADD", end, r.Name)
	}
	l.do(index, "PERSIST")
}

func (l *loading) usage(b storage.UsageBucket) {
	hour := hourOf(b.Minute)
	keys := l.n.hour(hour)
	l.do(keys[0], "ZADD", hour, hour)
	l.do(keys[0], "PEXPIRE", usageTTL)
	l.do(keys[1], "HSET", "tenant", l.n.mark, string(ledger.BucketPlace(b)), sumsOf(b))
	l.do(keys[1], "PEXPIRE", usageTTL)
}

// audit adds a record unless there is an equal one.
func (l *loading) audit(r storage.AuditRecord, equals map[string]bool) {
	at, text := milliText(r.At), auditText(r)
	if equals[at+text] {
		return
	}
	equals[at+text] = true
	l.do(l.n.audit()[0], "ZADD", at, l.n.mark+l.number()+text)
	l.do(l.n.audit()[0], "PEXPIRE", auditTTL)
}
