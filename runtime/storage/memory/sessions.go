package memory

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// sessions holds one shelf a tenant. A lock of a shelf may be held while the idle
// list's is taken, never the other way round.
type sessions struct {
	mu      sync.RWMutex
	shelves map[string]*shelf
	made    atomic.Int64
	idle    idleList
}

// shelf holds the sessions of one tenant.
type shelf struct {
	mu       sync.Mutex
	sessions map[name]*session
}

// name is a struct, so no caller and id can spell those of another.
type name struct{ caller, id string }

func newSessions(maxBytes int64) *sessions {
	return &sessions{shelves: map[string]*shelf{}, idle: idleList{max: maxBytes}}
}

func (s *sessions) shelf(t tenancy.ID) *shelf {
	s.mu.RLock()
	sh := s.shelves[t.Identity()]
	s.mu.RUnlock()
	if sh != nil {
		return sh
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh = s.shelves[t.Identity()]; sh == nil {
		sh = &shelf{sessions: map[name]*session{}}
		s.shelves[t.Identity()] = sh
	}
	return sh
}

func (s *sessions) Append(ctx context.Context, t tenancy.ID, o storage.Owner, id string, msgs []storage.Message, keep storage.Keep) error {
	if err := admit(ctx, t); err != nil {
		return err
	}
	if len(msgs) == 0 {
		return nil
	}
	sh := s.shelf(t)
	sh.mu.Lock()
	n := name{o.Caller, id}
	have := sh.sessions[n]
	if have == nil {
		have = &session{shelf: sh, name: n, seq: s.made.Add(1), created: millis(msgs[0].At), updated: millis(msgs[0].At)}
		sh.sessions[n] = have
	}
	grown := have.append(msgs, keep, s.idle.max)
	s.idle.touch(have, grown)
	sh.mu.Unlock()
	s.makeRoom(have)
	return nil
}

// makeRoom drops the sessions idle for longest while there are too many bytes, but
// never spared.
func (s *sessions) makeRoom(spared *session) {
	for {
		victim := s.idle.overdue(spared)
		if victim == nil {
			return
		}
		s.evict(victim)
	}
}

// evict drops a session that was taken off the idle list, unless it was appended to
// meanwhile.
func (s *sessions) evict(victim *session) {
	victim.shelf.mu.Lock()
	defer victim.shelf.mu.Unlock()
	if !s.idle.lists(victim) {
		s.remove(victim)
	}
}

// remove needs the shelf's lock.
func (s *sessions) remove(have *session) {
	if have.shelf.sessions[have.name] == have {
		delete(have.shelf.sessions, have.name)
		s.idle.remove(have)
	}
}

func (s *sessions) History(ctx context.Context, t tenancy.ID, o storage.Owner, id string, page storage.Page) ([]storage.Message, error) {
	if err := admit(ctx, t); err != nil {
		return nil, err
	}
	if page.Limit < 1 {
		return nil, storage.ErrBadLimit
	}
	sh := s.shelf(t)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	have := sh.sessions[name{o.Caller, id}]
	if have == nil && o.All {
		for _, other := range sh.sessions {
			if other.id == id && (have == nil || other.position().Before(have.position())) {
				have = other
			}
		}
	}
	if have == nil {
		return nil, nil
	}
	return have.history(page), nil
}

func (s *sessions) Delete(ctx context.Context, t tenancy.ID, o storage.Owner, id string) error {
	if err := admit(ctx, t); err != nil {
		return err
	}
	sh := s.shelf(t)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !o.All {
		if have := sh.sessions[name{o.Caller, id}]; have != nil {
			s.remove(have)
		}
		return nil
	}
	for n, have := range sh.sessions {
		if n.id == id {
			s.remove(have)
		}
	}
	return nil
}

func (s *sessions) List(ctx context.Context, t tenancy.ID, o storage.Owner, limit int, cursor string) ([]storage.SessionInfo, string, error) {
	if err := admit(ctx, t); err != nil {
		return nil, "", err
	}
	if limit < 1 {
		return nil, "", storage.ErrBadLimit
	}
	var after storage.Position
	if cursor != "" {
		var err error
		if after, err = storage.ParseCursor(t, o, cursor); err != nil {
			return nil, "", err
		}
	}
	found := s.shelf(t).after(o, after, cursor != "")
	if len(found) <= limit {
		return infos(found), "", nil
	}
	return infos(found[:limit]), storage.Cursor(t, o, found[limit-1].at), nil
}

type listed struct {
	at   storage.Position
	info storage.SessionInfo
}

// after returns the owner's sessions in the order of a list, those up to a position
// left out.
func (sh *shelf) after(o storage.Owner, after storage.Position, cut bool) []listed {
	var found []listed
	sh.mu.Lock()
	for n, have := range sh.sessions {
		if (o.All || n.caller == o.Caller) && (!cut || after.Before(have.position())) {
			found = append(found, listed{have.position(), have.info()})
		}
	}
	sh.mu.Unlock()
	slices.SortFunc(found, func(a, b listed) int {
		if a.at.Before(b.at) {
			return -1
		}
		return 1
	})
	return found
}

func infos(found []listed) []storage.SessionInfo {
	all := make([]storage.SessionInfo, len(found))
	for i, f := range found {
		all[i] = f.info
	}
	return all
}

func (s *sessions) Expire(ctx context.Context, t tenancy.ID, before time.Time) (int, error) {
	if err := admit(ctx, t); err != nil {
		return 0, err
	}
	sh := s.shelf(t)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	removed := 0
	for _, have := range sh.sessions {
		if have.updated.Before(before) {
			s.remove(have)
			removed++
		}
	}
	return removed, nil
}
