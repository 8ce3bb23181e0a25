package memory

import "sync"

// idleList orders the sessions of all tenants by their last append and counts their
// bytes. It is the only thing that tenants share.
type idleList struct {
	max            int64
	mu             sync.Mutex
	newest, oldest *session
	bytes          int64
}

// touch makes s the newest, at the given size.
func (l *idleList) touch(s *session, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes += bytes - s.charged
	s.charged = bytes
	if l.newest == s {
		return
	}
	l.unlink(s)
	s.isListed = true
	s.older = l.newest
	if l.newest != nil {
		l.newest.newer = s
	} else {
		l.oldest = s
	}
	l.newest = s
}

// remove forgets s and its bytes.
func (l *idleList) remove(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes -= s.charged
	s.charged = 0
	l.unlink(s)
}

// overdue takes the oldest session off the list if there are too many bytes, but
// never spared. The caller removes it.
func (l *idleList) overdue(spared *session) *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	victim := l.oldest
	if l.bytes <= l.max || victim == nil || victim == spared {
		return nil
	}
	l.bytes -= victim.charged
	victim.charged = 0
	l.unlink(victim)
	return victim
}

func (l *idleList) lists(s *session) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.isListed
}

func (l *idleList) unlink(s *session) {
	if !s.isListed {
		return
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		l.newest = s.older
	}
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		l.oldest = s.newer
	}
	s.newer, s.older, s.isListed = nil, nil, false
}
