package move

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// maxLine bounds one record, in bytes.
const maxLine = 256 << 20

// What a snapshot is refused for.
var (
	// ErrNoSnapshot: it doesn't begin as one.
	ErrNoSnapshot = errors.New("this is no snapshot")
	// ErrNewer: a newer program has written it.
	ErrNewer = errors.New("the snapshot is of a newer version; use the program that wrote it, or a newer one")
	// ErrForeign: it is another tenant's.
	ErrForeign = errors.New("the snapshot is another tenant's")
	// ErrDamaged: it isn't as it was written.
	ErrDamaged = errors.New("the snapshot is damaged")
	// ErrTruncated: its end is missing.
	ErrTruncated = errors.New("the snapshot is cut off before its end")
)

// Taking says how a snapshot is taken in.
type Taking struct {
	// As takes in another tenant's snapshot if it is the id of the tenant that takes it.
	As string
	// Skip leaves this many records out that an earlier try has taken in.
	Skip int64
	Pace Pace
}

// Check reads a snapshot through, and tells whether it is whole and whose it is not.
func Check(r io.Reader, t tenancy.ID, as string) (Counts, error) {
	return read(r, t, as, func(storage.Record) error { return nil })
}

// CheckFirst is Check for what is read again from where it stands. A pipe, which can't
// be, is let pass unread.
func CheckFirst(r io.ReadSeeker, t tenancy.ID, as string) error {
	at, ok := place(r)
	if !ok {
		return nil
	}
	if _, err := Check(r, t, as); err != nil {
		return err
	}
	if _, err := r.Seek(at, io.SeekStart); err != nil {
		return fmt.Errorf("reading the snapshot again: %w", err)
	}
	return nil
}

func place(r io.Seeker) (at int64, ok bool) {
	at, err := r.Seek(0, io.SeekCurrent)
	return at, err == nil
}

// Restore takes a snapshot in. What is there already is replaced; what the snapshot
// hasn't got stays. A reader that can seek is checked whole before anything is taken in.
// The counts are of what is in the store, also if an error ended it.
func Restore(ctx context.Context, r io.Reader, to storage.Portable, t tenancy.ID, o Taking) (Counts, error) {
	if seeker, ok := r.(io.ReadSeeker); ok {
		if err := CheckFirst(seeker, t, o.As); err != nil {
			return Counts{}, err
		}
	}
	l := &loader{to: to, tenant: t, pace: &o.Pace, loaded: func(Counts, string) error { return nil }}
	skipped := int64(0)
	_, err := read(r, t, o.As, func(r storage.Record) error {
		if skipped < o.Skip {
			skipped++
			l.counts.add(r)
			l.done = l.counts
			return nil
		}
		return l.add(ctx, r, "")
	})
	if err == nil || errors.Is(err, ErrTruncated) {
		// What came before the cut is as good as any.
		err = errors.Join(err, l.flush(ctx))
	}
	return l.done, err
}

// read gives each record and checks the whole against its trailer.
func read(from io.Reader, t tenancy.ID, as string, take func(storage.Record) error) (Counts, error) {
	var counts Counts
	r := &lineReader{from: bufio.NewReaderSize(from, 64<<10), sum: sha256.New()}
	if err := r.header(t, as); err != nil {
		return counts, err
	}
	for {
		before := hex.EncodeToString(r.sum.Sum(nil))
		text, err := r.next()
		if errors.Is(err, io.EOF) {
			return counts, fmt.Errorf("%w: after %d records", ErrTruncated, counts.Records())
		}
		if err != nil {
			return counts, err
		}
		var l line
		if err := decode(text, &l); err != nil {
			return counts, fmt.Errorf("%w: record %d can't be read", ErrDamaged, counts.Records()+1)
		}
		if l.Trailer != nil {
			if l.Trailer.SHA256 != before || l.Trailer.Counts != counts || l.Record != (storage.Record{}) {
				return counts, fmt.Errorf("%w: its records aren't those that its last line tells of", ErrDamaged)
			}
			return counts, r.end()
		}
		if err := l.Record.Validate(); err != nil {
			return counts, fmt.Errorf("%w: record %d: %w", ErrDamaged, counts.Records()+1, err)
		}
		counts.add(l.Record)
		if err := take(l.Record); err != nil {
			return counts, err
		}
	}
}

// decode refuses fields that this version doesn't know. Its error isn't passed on: it may
// quote what was said.
func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

type lineReader struct {
	from *bufio.Reader
	sum  hash.Hash
}

// next is a whole line; io.EOF is the end, also within a line.
func (r *lineReader) next() ([]byte, error) {
	var text []byte
	for {
		part, err := r.from.ReadSlice('\n')
		text = append(text, part...)
		switch {
		case err == nil:
			r.sum.Write(text)
			return text, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			if !errors.Is(err, io.EOF) {
				err = fmt.Errorf("reading the snapshot: %w", err)
			}
			return nil, err
		case len(text) > maxLine:
			return nil, fmt.Errorf("%w: a line is longer than %d bytes", ErrDamaged, maxLine)
		}
	}
}

func (r *lineReader) header(t tenancy.ID, as string) error {
	text, err := r.next()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	// A later version may tell more here.
	var h header
	if err != nil || json.Unmarshal(text, &h) != nil || h.Format != format || h.Version < 1 {
		return ErrNoSnapshot
	}
	if h.Version > version {
		return fmt.Errorf("%w: it has version %d, this program reads %d", ErrNewer, h.Version, version)
	}
	if h.Identity != t.Identity() && as != t.String() {
		return fmt.Errorf("%w: it is of %q, this is %q; if it shall go in all the same, add -as %s", ErrForeign, h.Identity, t.Identity(), t)
	}
	return nil
}

// end refuses what follows the trailer.
func (r *lineReader) end() error {
	switch _, err := r.from.ReadByte(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("reading the snapshot: %w", err)
	default:
		return fmt.Errorf("%w: something follows its last line", ErrDamaged)
	}
}
