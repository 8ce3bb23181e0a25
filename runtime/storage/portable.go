package storage

import (
	"context"
	"encoding/binary"
	"math"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Record is one thing of a tenant in the form in which it moves between stores, and in
// which a snapshot holds it. Exactly one field is set.
type Record struct {
	Session *SessionRecord `json:"session,omitempty"`
	Budget  *BudgetRecord  `json:"budget,omitempty"`
	Usage   *UsageBucket   `json:"usage,omitempty"`
	Audit   *AuditRecord   `json:"audit,omitempty"`
	// A document comes after all of its passages.
	Passages *PassagesRecord `json:"passages,omitempty"`
	Document *Document       `json:"document,omitempty"`
}

// Validate refuses, as ErrBadRecord, what no store has dumped: not exactly one thing, a
// session without messages or with times that don't rise by a millisecond or more, a
// number below 0.
func (r Record) Validate() error {
	set, ok := 0, true
	if s := r.Session; s != nil {
		set, ok = set+1, ok && s.whole()
	}
	if b := r.Budget; b != nil {
		set, ok = set+1, ok && b.Used >= 0
	}
	if u := r.Usage; u != nil {
		set++
		ok = ok && min(u.Calls, u.TokensIn, u.TokensOut, u.MicroUSD, int64(u.Latency)) >= 0 && u.Minute.Equal(u.Minute.Truncate(time.Minute))
	}
	if r.Audit != nil {
		set++
	}
	if p := r.Passages; p != nil {
		set, ok = set+1, ok && p.whole()
	}
	if r.Document != nil {
		set, ok = set+1, ok && CheckDocument(*r.Document) == nil
	}
	if set != 1 || !ok {
		return ErrBadRecord
	}
	return nil
}

// ValidateAll refuses records if one of them is to be refused.
func ValidateAll(records []Record) error {
	for _, r := range records {
		if err := r.Validate(); err != nil {
			return err
		}
	}
	return nil
}

func (s *SessionRecord) whole() bool {
	for i := 1; i < len(s.Messages); i++ {
		if s.Messages[i].At.UnixMilli() <= s.Messages[i-1].At.UnixMilli() {
			return false
		}
	}
	return len(s.Messages) > 0
}

// SessionRecord is one whole session.
type SessionRecord struct {
	// Caller is whose session it is.
	Caller  string    `json:"caller"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	// Messages, oldest first.
	Messages []Message `json:"messages"`
}

// BudgetRecord is one budget's counter. What was reserved and not settled is part of
// Used: the process that would settle it has gone.
type BudgetRecord struct {
	Name  string    `json:"name"`
	Used  int64     `json:"used"`
	Until time.Time `json:"until"`
}

// PassagesBytes is how much text and vectors a Dump puts into one PassagesRecord, about.
const PassagesBytes = 1 << 20

// PassagesRecord is a part of a published document, with its vectors.
type PassagesRecord struct {
	Doc string `json:"doc"`
	// Version in the store that it comes from.
	Version  int64           `json:"version"`
	Passages []PassageRecord `json:"passages"`
}

// PassageRecord is a Passage whose vector is PackVector's, a third of what JSON's numbers
// take.
type PassageRecord struct {
	N        int      `json:"n"`
	Text     string   `json:"text"`
	Headings []string `json:"headings,omitempty"`
	Page     int      `json:"page,omitempty"`
	Vector   []byte   `json:"vector,omitempty"`
}

// NewPassagesRecord makes a record of passages.
func NewPassagesRecord(doc string, version int64, passages []Passage) *PassagesRecord {
	r := &PassagesRecord{Doc: doc, Version: version, Passages: make([]PassageRecord, len(passages))}
	for i, p := range passages {
		r.Passages[i] = PassageRecord{p.N, p.Text, p.Headings, p.Page, PackVector(p.Vector)}
	}
	return r
}

// Unpack gives the passages; ErrBadRecord if a vector isn't one.
func (r *PassagesRecord) Unpack() ([]Passage, error) {
	passages := make([]Passage, len(r.Passages))
	for i, p := range r.Passages {
		v, ok := UnpackVector(p.Vector)
		if !ok {
			return nil, ErrBadRecord
		}
		passages[i] = Passage{p.N, p.Text, p.Headings, p.Page, v}
	}
	return passages, nil
}

func (r *PassagesRecord) whole() bool {
	passages, err := r.Unpack()
	return err == nil && len(passages) > 0 && CheckStaged(r.Doc, r.Version, passages) == nil
}

// PackVector spells a vector as little-endian float32 numbers; nil for none.
func PackVector(v []float32) []byte {
	if len(v) == 0 {
		return nil
	}
	b := make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
	}
	return b
}

// UnpackVector reads what PackVector wrote, and tells whether it was.
func UnpackVector(b []byte) ([]float32, bool) {
	if len(b) == 0 || len(b)%4 != 0 {
		return nil, len(b) == 0
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v, true
}

// Portable moves what a tenant has into and out of a store. Rate windows and caches
// aren't moved: they are worth nothing a minute later; nor are jobs, since the processes
// that do them end first, and removals of documents.
type Portable interface {
	// Dump gives each record of t once, in an order that stays the same, and with it the
	// position after it: a Dump from there gives the rest. "" is the beginning; a position
	// that wasn't made for t is ErrBadCursor. What is written while it runs may be missed.
	// An error of yield ends it and is returned as it is.
	Dump(ctx context.Context, t tenancy.ID, from string, yield func(r Record, next string) error) error
	// Load takes records in, all or none of one call. A record that is there already is
	// replaced, so that loading twice is loading once; audit records are the same if they
	// are equal. A record that fails Validate is ErrBadRecord, and nothing is taken in.
	Load(ctx context.Context, t tenancy.ID, records []Record) error
	// Erase removes all that t has, on every replica, and tells how many sessions there
	// were. It is done again without harm, and doesn't wait for what runs beside it.
	Erase(ctx context.Context, t tenancy.ID) (sessions int, err error)
}
