package sse

import (
	"bytes"
	"errors"
	"io"
)

const (
	// MaxEvent is the most data of one event, in bytes. Other lines may be about as
	// long before they are refused.
	MaxEvent = 1 << 20
	// Most events of a token stream are some 200 bytes: one read takes many.
	firstBuffer = 4 << 10
	// keepBuffer is what a reader holds on to after a large event.
	keepBuffer = 64 << 10
)

// ErrTooLarge ends a stream with an event over MaxEvent.
var ErrTooLarge = errors.New("server-sent event exceeds 1 MiB")

// Event is one event. Its slices are valid until the next call of Next.
type Event struct {
	// Name is the event field, empty for a plain message.
	Name []byte
	// Data is all data lines joined by LF.
	Data []byte
	// Unterminated marks what lay before the stream's end without the blank line
	// that ends an event. It may be cut anywhere: trust it only if it makes sense.
	Unterminated bool
}

// Reader takes events from a byte stream. It is used by one goroutine.
type Reader struct {
	src io.Reader
	buf []byte
	// buf[pos:end] is read but not yet looked at; scanned bytes of it hold no line end.
	pos, end, scanned int
	err               error
	started           bool
	// skipLF: the last line ended in CR, so a LF that follows belongs to it.
	skipLF bool

	// The event in the making: its first data line lies in buf[dataAt:dataEnd],
	// and moves to joined when a second one comes.
	lines           int
	dataAt, dataEnd int
	joined          []byte
	name            []byte
}

// NewReader reads events from src.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Next waits for the next event that has data. io.EOF is the stream's end; any
// other error is the source's, or ErrTooLarge.
func (r *Reader) Next() (Event, error) {
	r.reset()
	for {
		line, ok := r.line()
		if !ok {
			if r.err != nil {
				return r.last()
			}
			if err := r.fill(); err != nil {
				return Event{}, err
			}
			continue
		}
		if len(line) > 0 {
			if err := r.field(line); err != nil {
				return Event{}, err
			}
			continue
		}
		if r.lines > 0 {
			return r.event(), nil
		}
		r.name = r.name[:0]
	}
}

func (r *Reader) reset() {
	r.lines, r.joined, r.name = 0, r.joined[:0], r.name[:0]
	if r.pos == r.end {
		r.pos, r.end, r.scanned = 0, 0, 0
		if len(r.buf) > keepBuffer {
			r.buf = nil
		}
		if cap(r.joined) > keepBuffer {
			r.joined = nil
		}
	}
}

func (r *Reader) event() Event {
	e := Event{Name: r.name, Data: r.joined}
	if r.lines == 1 {
		e.Data = r.buf[r.dataAt:r.dataEnd]
	}
	return e
}

// last hands out what the stream left unfinished, once.
func (r *Reader) last() (Event, error) {
	rest := r.buf[r.pos:r.end]
	r.pos, r.scanned = r.end, 0
	if !errors.Is(r.err, io.EOF) {
		return Event{}, r.err
	}
	if len(rest) > 0 {
		if err := r.field(rest); err != nil {
			return Event{}, err
		}
	}
	if r.lines == 0 {
		return Event{}, io.EOF
	}
	e := r.event()
	e.Unterminated = true
	return e, nil
}

// line takes the next line, without its end, if it is all there.
func (r *Reader) line() ([]byte, bool) {
	if r.skipLF && r.pos < r.end {
		r.skipLF = false
		if r.buf[r.pos] == '\n' {
			r.pos++
		}
	}
	from := r.pos + r.scanned
	n := bytes.IndexByte(r.buf[from:r.end], '\n')
	stop := r.end
	if n >= 0 {
		stop = from + n
	}
	if cr := bytes.IndexByte(r.buf[from:stop], '\r'); cr >= 0 {
		stop, n = from+cr, cr
		r.skipLF = true
	}
	if n < 0 {
		r.scanned = r.end - r.pos
		return nil, false
	}
	line := r.buf[r.pos:stop]
	r.pos, r.scanned = stop+1, 0
	if !r.started {
		r.started = true
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	return line, true
}

// field takes in one line that isn't empty. Line lies in r.buf and ends before r.pos.
func (r *Reader) field(line []byte) error {
	if !r.started {
		r.started = true
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	name, value := line, []byte(nil)
	if i := bytes.IndexByte(line, ':'); i >= 0 {
		name, value = line[:i], line[i+1:]
		if len(value) > 0 && value[0] == ' ' {
			value = value[1:]
		}
	}
	switch string(name) {
	case "data":
		return r.data(value)
	case "event":
		r.name = append(r.name[:0], value...)
	}
	return nil
}

func (r *Reader) data(value []byte) error {
	if len(r.joined)+1+len(value) > MaxEvent {
		return ErrTooLarge
	}
	r.lines++
	if r.lines == 1 {
		// cap counts from the slice's start to the buffer's end, so this is where
		// the value lies.
		r.dataAt = cap(r.buf) - cap(value)
		if value == nil {
			r.dataAt = r.pos
		}
		r.dataEnd = r.dataAt + len(value)
		return nil
	}
	if r.lines == 2 {
		r.joined = append(r.joined[:0], r.buf[r.dataAt:r.dataEnd]...)
	}
	r.joined = append(append(r.joined, '\n'), value...)
	return nil
}

// fill reads once, after making room: the first data line and the open line stay.
func (r *Reader) fill() error {
	keep := r.pos
	if r.lines == 1 {
		keep = r.dataAt
	}
	if r.end == len(r.buf) {
		if r.end-keep > MaxEvent {
			return ErrTooLarge
		}
		r.makeRoom(keep)
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	r.err = err
	if n > 0 && err != nil && !errors.Is(err, io.EOF) {
		// What came before a broken connection is still good; the error comes again.
		r.src, r.err = failed{err}, nil
	}
	return nil
}

func (r *Reader) makeRoom(keep int) {
	to := r.buf
	if keep < len(r.buf)/2 || keep == 0 {
		to = make([]byte, max(firstBuffer, 2*len(r.buf)))
	}
	copy(to, r.buf[keep:r.end])
	r.buf = to
	r.pos, r.end = r.pos-keep, r.end-keep
	if r.lines == 1 {
		r.dataAt, r.dataEnd = r.dataAt-keep, r.dataEnd-keep
	}
}

type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }
