package memory

import (
	"slices"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// What a message and a session cost beside their text, so that many empty ones are
// bounded too.
const (
	messageBytes = 96
	sessionBytes = 320
)

// session is guarded by its shelf's lock, but for the links of the idle list.
type session struct {
	shelf *shelf
	name
	seq              int64
	created, updated time.Time
	// messages are oldest first; the first gone of the array were dropped.
	messages []storage.Message
	bytes    int64

	newer, older *session
	isListed     bool
	charged      int64
}

// append returns the bytes that the session takes now.
func (s *session) append(msgs []storage.Message, keep storage.Keep, maxBytes int64) int64 {
	var move time.Duration
	if len(s.messages) > 0 {
		move = max(0, s.updated.Add(time.Millisecond).Sub(millis(msgs[0].At)))
	}
	for _, m := range msgs {
		m.At = millis(m.At).Add(move)
		if m.At.After(s.updated) {
			s.updated = m.At
		}
		s.messages = append(s.messages, m)
		s.bytes += bytesOf(m)
	}
	drop := 0
	if keep.MaxMessages > 0 {
		drop = max(0, len(s.messages)-keep.MaxMessages)
	}
	s.drop(drop)
	// A session that alone exceeds the bound loses its oldest messages, never those
	// of this call.
	drop = 0
	for left := s.bytes; left+s.fixed() > maxBytes && drop < len(s.messages)-len(msgs); drop++ {
		left -= bytesOf(s.messages[drop])
	}
	s.drop(drop)
	return s.bytes + s.fixed()
}

func (s *session) drop(n int) {
	if n <= 0 {
		return
	}
	for i := range n {
		s.bytes -= bytesOf(s.messages[i])
	}
	// The array's front is freed of its texts at once, of its room when it is grown.
	clear(s.messages[:n])
	s.messages = s.messages[n:]
}

func (s *session) fixed() int64 { return sessionBytes + int64(len(s.caller)+len(s.id)) }

func bytesOf(m storage.Message) int64 {
	return messageBytes + int64(len(m.Role)+len(m.Content))
}

func (s *session) history(page storage.Page) []storage.Message {
	found := make([]storage.Message, 0, min(page.Limit, len(s.messages)))
	for _, m := range slices.Backward(s.messages) {
		if len(found) == page.Limit {
			break
		}
		if page.Before.IsZero() || m.At.Before(page.Before) {
			found = append(found, m)
		}
	}
	return found
}

func (s *session) position() storage.Position {
	return storage.Position{Updated: s.updated, Seq: s.seq}
}

func (s *session) info() storage.SessionInfo {
	return storage.SessionInfo{ID: s.id, Messages: len(s.messages), Created: s.created, Updated: s.updated}
}

func millis(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }
