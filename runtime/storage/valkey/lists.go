package valkey

import (
	"context"
	"strconv"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func (s sessions) List(ctx context.Context, t tenancy.ID, o storage.Owner, limit int, cursor string) ([]storage.SessionInfo, string, error) {
	if err := s.s.admit(ctx, t); err != nil {
		return nil, "", err
	}
	if limit < 1 {
		return nil, "", storage.ErrBadLimit
	}
	var after *storage.Position
	if cursor != "" {
		p, err := storage.ParseCursor(t, o, cursor)
		if err != nil {
			return nil, "", err
		}
		after = &p
	}
	n := s.s.namesOf(t)
	for {
		page, err := s.s.listed(ctx, n, o, limit+1, after)
		if err != nil {
			return nil, "", err
		}
		next := ""
		if len(page) > limit {
			page = page[:limit]
			last := page[limit-1].at
			next, after = storage.Cursor(t, o, last), &last
		}
		infos, err := s.s.infos(ctx, n, page)
		// A page whose sessions have all gone meanwhile isn't the end.
		if err != nil || len(infos) > 0 || next == "" {
			return infos, next, err
		}
	}
}

// listed is one line of an index.
type listed struct {
	name
	at storage.Position
}

func (s *Store) listed(ctx context.Context, n *names, o storage.Owner, limit int, after *storage.Position) ([]listed, error) {
	index := n.key("sessionsof", o.Caller)
	if o.All {
		index = n.key("sessions")
	}
	score, seq := place(after)
	reply, err := s.run(ctx, n, pageScript, []string{index}, "0", "-inf", "+inf", score, seq, strconv.Itoa(limit))
	if err != nil {
		return nil, err
	}
	page := make([]listed, len(reply)/2)
	for i := range page {
		member, err := reply[2*i].ToString()
		if err != nil {
			return nil, unreadable(err)
		}
		updated, err := reply[2*i+1].AsInt64()
		if err != nil || len(member) < 8 {
			return nil, unreadable(errShort)
		}
		page[i] = listed{name{o.Caller, member[8:]}, storage.Position{Updated: time.UnixMilli(updated).UTC(), Seq: number(member)}}
		if o.All {
			if page[i].name, err = parseMember(member); err != nil {
				return nil, unreadable(err)
			}
		}
	}
	return page, nil
}

func place(after *storage.Position) (score, seq string) {
	if after == nil {
		return "", ""
	}
	return strconv.FormatInt(after.Updated.UnixMilli(), 10), strconv.FormatInt(after.Seq, 10)
}

// infos leaves out sessions that have gone since they were listed.
func (s *Store) infos(ctx context.Context, n *names, page []listed) ([]storage.SessionInfo, error) {
	if len(page) == 0 {
		return nil, nil
	}
	keys, commands := make([]string, len(page)), make([][]string, 0, 2*len(page))
	for i, l := range page {
		keys[i] = l.keys(n)[0]
		commands = append(commands, []string{"LINDEX", keys[i], "-1"}, []string{"LLEN", keys[i]})
	}
	reply, err := s.do(ctx, n, keys, commands...)
	if err != nil {
		return nil, err
	}
	infos := make([]storage.SessionInfo, 0, len(page))
	for i, l := range page {
		if reply[2*i].IsNil() {
			continue
		}
		head, err := s.value(n, &reply[2*i])
		if err != nil {
			return nil, err
		}
		var f stored
		if err := f.readHead(head); err != nil {
			return nil, err
		}
		rows, err := reply[2*i+1].AsInt64()
		if err != nil {
			return nil, unreadable(err)
		}
		if f.seq == l.at.Seq {
			// Updated is that of the list, whose order it explains.
			infos = append(infos, storage.SessionInfo{ID: l.id, Messages: int(rows) - 1, Created: f.created, Updated: l.at.Updated})
		}
	}
	return infos, nil
}

// callers are whose sessions of this id there are.
func (s *Store) callers(ctx context.Context, n *names, id string) ([]name, error) {
	index := n.key("sessionnames")
	// A caller's part begins with a digit.
	found, err := s.membersOf(ctx, n, index, "["+part(id), "("+part(id)+":", -1)
	if err != nil {
		return nil, err
	}
	callers := make([]name, len(found))
	for i, m := range found {
		if callers[i], err = parseName(m); err != nil {
			return nil, err
		}
	}
	return callers, nil
}

// membersOf reads an index in the order of its members' bytes; limit -1 is all.
func (s *Store) membersOf(ctx context.Context, n *names, index, from, to string, limit int) ([]string, error) {
	reply, err := s.do(ctx, n, []string{index}, []string{"ZRANGE", index, from, to, "BYLEX", "LIMIT", "0", strconv.Itoa(limit)})
	if err != nil {
		return nil, err
	}
	found, err := reply[0].AsStrSlice()
	if err != nil {
		return nil, unreadable(err)
	}
	return found, nil
}

// parseName reads a member of the index of names: id, caller.
func parseName(m string) (name, error) {
	id, rest, err := cutPart(m)
	if err != nil {
		return name{}, err
	}
	caller, _, err := cutPart(rest)
	return name{caller, id}, err
}
