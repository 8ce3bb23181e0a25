package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
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

// auditList is no caller's ID: those begin with what made the caller known.
const auditList = "\x00audit"

// cursorMark is how many bytes at the end of a cursor bind it to its owner.
const cursorMark = 8

// Cursor spells a position for the list of t and o. It is bound to both: under
// another tenant or owner it is an unknown one. It is no secret and opens nothing.
func Cursor(t tenancy.ID, o Owner, p Position) string {
	b := binary.AppendVarint(binary.AppendVarint(nil, p.Updated.UnixMilli()), p.Seq)
	return base64.RawURLEncoding.EncodeToString(append(b, cursorMarkOf(t, o, b)...))
}

// ParseCursor reads what Cursor wrote for the same tenant and owner; all else is
// ErrBadCursor.
func ParseCursor(t tenancy.ID, o Owner, cursor string) (Position, error) {
	place, mark, err := cutCursor(cursor)
	if err != nil {
		return Position{}, err
	}
	updated, n := binary.Varint(place)
	if n <= 0 {
		return Position{}, ErrBadCursor
	}
	seq, m := binary.Varint(place[n:])
	if m <= 0 || n+m != len(place) || !bytes.Equal(mark, cursorMarkOf(t, o, place)) {
		return Position{}, ErrBadCursor
	}
	return Position{Updated: time.UnixMilli(updated).UTC(), Seq: seq}, nil
}

// AuditCursor spells a position in the audit records of t, for Audit.Records. It is
// bound to t as Cursor's is.
func AuditCursor(t tenancy.ID, p Position) string {
	return Cursor(t, Owner{Caller: auditList}, p)
}

// ParseAuditCursor reads what AuditCursor wrote for the same tenant; all else is
// ErrBadCursor.
func ParseAuditCursor(t tenancy.ID, cursor string) (Position, error) {
	return ParseCursor(t, Owner{Caller: auditList}, cursor)
}

// DocCursor spells the place after a document in the list of t's documents. It is bound
// to t as Cursor's is.
func DocCursor(t tenancy.ID, doc string) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte(doc), docMarkOf(t, doc)...))
}

// ParseDocCursor reads what DocCursor wrote for the same tenant; all else is
// ErrBadCursor.
func ParseDocCursor(t tenancy.ID, cursor string) (doc string, err error) {
	place, mark, err := cutCursor(cursor)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(mark, docMarkOf(t, string(place))) {
		return "", ErrBadCursor
	}
	return string(place), nil
}

// DumpPosition spells where a Dump of t stands; place is the driver's own. Like a
// cursor it is bound to t.
func DumpPosition(t tenancy.ID, place []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(slices.Clip(place), dumpMarkOf(t, place)...))
}

// ParseDumpPosition reads what DumpPosition wrote for the same tenant; all else is
// ErrBadCursor.
func ParseDumpPosition(t tenancy.ID, position string) ([]byte, error) {
	place, mark, err := cutCursor(position)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(mark, dumpMarkOf(t, place)) {
		return nil, ErrBadCursor
	}
	return place, nil
}

// DumpFrom calls the parts of a dump in their order, from the part on that a position of
// PartPosition names. That one begins behind the place, the others with no place.
func DumpFrom(t tenancy.ID, position string, parts ...func(place []byte) error) error {
	first, place := 0, []byte(nil)
	if position != "" {
		b, err := ParseDumpPosition(t, position)
		if err != nil {
			return err
		}
		if len(b) == 0 || int(b[0]) >= len(parts) {
			return ErrBadCursor
		}
		first, place = int(b[0]), b[1:]
	}
	for _, give := range parts[first:] {
		if err := give(place); err != nil {
			return err
		}
		place = nil
	}
	return nil
}

// PartPosition is the position behind a place in a part, which are counted from 0.
func PartPosition(t tenancy.ID, part byte, place []byte) string {
	return DumpPosition(t, append([]byte{part}, place...))
}

func cutCursor(cursor string) (place, mark []byte, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) < cursorMark {
		return nil, nil, ErrBadCursor
	}
	return b[:len(b)-cursorMark], b[len(b)-cursorMark:], nil
}

func docMarkOf(t tenancy.ID, doc string) []byte {
	sum := sha256.Sum256([]byte(Key(t, "documents", doc)))
	return sum[:cursorMark]
}

func dumpMarkOf(t tenancy.ID, place []byte) []byte {
	sum := sha256.Sum256([]byte(Key(t, "dump", string(place))))
	return sum[:cursorMark]
}

func cursorMarkOf(t tenancy.ID, o Owner, place []byte) []byte {
	whose := "caller"
	if o.All {
		whose = "all"
	}
	sum := sha256.Sum256([]byte(Key(t, whose, o.Caller, string(place))))
	return sum[:cursorMark]
}
