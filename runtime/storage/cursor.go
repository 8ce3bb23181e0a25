package storage

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Position is a place in a list of sessions: latest update first, and among equal
// updates the one made last first.
type Position struct {
	// Updated has millisecond resolution.
	Updated time.Time
	// Seq orders sessions by their making; unique in one store.
	Seq int64
}

// Before tells whether p is listed before q.
func (p Position) Before(q Position) bool {
	if c := p.Updated.Compare(q.Updated); c != 0 {
		return c > 0
	}
	return p.Seq > q.Seq
}

const (
	cursorPlace = 16
	cursorMark  = 8
)

// Cursor spells a position for the list of t and o. It is bound to both: under
// another tenant or owner it is an unknown one. It is no secret and opens nothing.
func Cursor(t tenancy.ID, o Owner, p Position) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.Updated.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(p.Seq))
	return base64.RawURLEncoding.EncodeToString(append(b, cursorMarkOf(t, o, b)...))
}

// ParseCursor reads what Cursor wrote for the same tenant and owner; all else is
// ErrBadCursor.
func ParseCursor(t tenancy.ID, o Owner, cursor string) (Position, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) != cursorPlace+cursorMark {
		return Position{}, ErrBadCursor
	}
	if string(b[cursorPlace:]) != string(cursorMarkOf(t, o, b[:cursorPlace])) {
		return Position{}, ErrBadCursor
	}
	return Position{
		Updated: time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC(),
		Seq:     int64(binary.BigEndian.Uint64(b[8:])),
	}, nil
}

func cursorMarkOf(t tenancy.ID, o Owner, place []byte) []byte {
	whose := "caller"
	if o.All {
		whose = "all"
	}
	sum := sha256.Sum256([]byte(Key(t, whose, o.Caller, string(place))))
	return sum[:cursorMark]
}
