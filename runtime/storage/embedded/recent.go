package embedded

import (
	"slices"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

const (
	// recentBytes bounds what all recent sessions take, about.
	recentBytes = 4 << 20
	// recentMessages is how many messages of one are kept, recentSessionBytes how
	// much of them: a chat asks for fewer.
	recentMessages     = 64
	recentSessionBytes = 64 << 10
	// messageBytes and sessionBytes are what one takes beside its text.
	messageBytes = 96
	sessionBytes = 256
)

// recent holds the end of the sessions that began in this process and were in use
// lately, so that a conversation that goes on reads no file. It holds only what is
// committed, in the order of the commits: the writer tells it before it tells the
// callers. After a commit of unknown outcome it is empty.
type recent struct {
	mu sync.Mutex
	// young becomes old when it is full, and what was old is let go; what is in use
	// moves to young.
	young, old map[recentName]*recentSession
	bytes      int // of young
}

// recentName is a struct, so no names can spell those of another.
type recentName struct{ tenant, caller, session string }

type recentSession struct {
	id, next int64
	// messages are oldest first. whole tells that the file has none before them.
	messages []storage.Message
	whole    bool
	bytes    int
}

func newRecent() *recent { return &recent{young: map[recentName]*recentSession{}} }

// find needs the lock. What it finds is young.
func (r *recent) find(n recentName) *recentSession {
	if s := r.young[n]; s != nil {
		return s
	}
	s := r.old[n]
	if s != nil {
		delete(r.old, n)
		r.young[n] = s
		r.grow(s.bytes)
	}
	return s
}

func (r *recent) grow(bytes int) {
	if r.bytes += bytes; r.bytes > recentBytes/2 {
		r.old, r.young, r.bytes = r.young, map[recentName]*recentSession{}, 0
	}
}

// appended takes over an append that was committed.
func (r *recent) appended(n recentName, a appended) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.find(n)
	before := a.next - int64(len(a.messages))
	if s == nil || s.id != a.session || s.next != before {
		if before > a.first {
			// It isn't known what came before.
			r.drop(n)
			return
		}
		r.drop(n)
		s = &recentSession{id: a.session, whole: true, bytes: sessionBytes}
		r.young[n] = s
		r.grow(s.bytes)
	}
	s.next = a.next
	grown := s.append(a.messages, int(a.next-a.first))
	r.grow(grown)
}

// append returns by how much the session grew. At most kept messages are in the file.
func (s *recentSession) append(msgs []storage.Message, kept int) (grown int) {
	before := s.bytes
	for _, m := range msgs {
		s.messages = append(s.messages, m)
		s.bytes += messageBytes + len(m.Content)
	}
	s.forget(len(s.messages) - kept)
	excess := len(s.messages) - recentMessages
	for left, n := s.bytes, 0; n < len(s.messages) && left > recentSessionBytes; n++ {
		left -= messageBytes + len(s.messages[n].Content)
		excess = max(excess, n+1)
	}
	if excess > 0 {
		s.whole = false
		s.forget(excess)
	}
	return s.bytes - before
}

// forget drops the n oldest messages.
func (s *recentSession) forget(n int) {
	if n <= 0 {
		return
	}
	for _, m := range s.messages[:n] {
		s.bytes -= messageBytes + len(m.Content)
	}
	s.messages = slices.Delete(s.messages, 0, n)
}

// history is a page of a session; ok is false if the file must be asked.
func (r *recent) history(n recentName, page storage.Page) (found []storage.Message, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.find(n)
	if s == nil {
		return nil, false
	}
	found = make([]storage.Message, 0, min(page.Limit, len(s.messages)))
	for _, m := range slices.Backward(s.messages) {
		if len(found) == page.Limit {
			return found, true
		}
		if page.Before.IsZero() || m.At.Before(page.Before) {
			found = append(found, m)
		}
	}
	return found, s.whole || len(found) == page.Limit
}

// dropped forgets sessions whose deletion was committed.
func (r *recent) dropped(ids []int64) {
	if len(ids) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, generation := range []map[recentName]*recentSession{r.young, r.old} {
		for n, s := range generation {
			if slices.Contains(ids, s.id) {
				r.drop(n)
			}
		}
	}
}

// drop needs the lock.
func (r *recent) drop(n recentName) {
	if s := r.young[n]; s != nil {
		r.bytes -= s.bytes
		delete(r.young, n)
	}
	delete(r.old, n)
}

func (r *recent) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.young, r.old, r.bytes = map[recentName]*recentSession{}, nil, 0
}

// appended is what an append left in the file.
type appended struct {
	session, first, next int64
	messages             []storage.Message
}

// stored is how messages lie in the file: their times in whole milliseconds, moved.
func stored(msgs []storage.Message, move int64) []storage.Message {
	kept := slices.Clone(msgs)
	for i := range kept {
		kept[i].At = time.UnixMilli(kept[i].At.UnixMilli() + move).UTC()
	}
	return kept
}
