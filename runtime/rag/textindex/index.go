package textindex

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Index finds passages by their words. Its zero value is not ready; use New.
type Index struct {
	vocabulary map[string]uint32 // term → its number
	lists      []list            // by term number
	forms      map[string]form   // words seen lately

	// A passage has a row: rows only grow, so that a list is appended to, until dead
	// ones are many and compact numbers them anew.
	rows     map[uint32]uint32 // id → row
	ids      []uint32          // by row
	lengths  []uint32          // words, by row; deadRow for one that is gone
	passages [][]byte          // by row: what it holds, as (term gap, count) varints
	words    uint64            // of all live passages

	bytes   int
	scan    scanner
	numbers []uint32
	packed  []byte
}

// form has the numbers of a word's terms, noTerm for none.
type form struct{ stem, exact uint32 }

// list is where a term occurs.
type list struct {
	term string
	data []byte // (row gap, count) varints, rows ascending; dead rows too
	last uint32 // row
	live uint32 // passages
}

const (
	deadRow = ^uint32(0)
	noTerm  = ^uint32(0)
	// maxForms bounds the words whose term is remembered.
	maxForms = 1 << 16
	// What a term, a form and a row take beside their bytes, maps and slack included.
	termBytes, formBytes, rowBytes = 112, 56, 96
)

// New gives an empty index.
func New() *Index {
	return &Index{vocabulary: map[string]uint32{}, forms: map[string]form{}, rows: map[uint32]uint32{}}
}

// Add takes a passage in under an id that the caller chooses; the one that had it is
// replaced. Each further text, such as a title, counts as if the passage held it.
func (x *Index) Add(id uint32, text string, more ...string) {
	x.Remove(id)
	x.numbers = x.numbers[:0]
	length := x.collect(text)
	for _, m := range more {
		length += x.collect(m)
	}
	slices.Sort(x.numbers)

	row := uint32(len(x.ids))
	x.packed = x.packed[:0]
	var before uint32
	for i := 0; i < len(x.numbers); {
		number, start := x.numbers[i], i
		for i < len(x.numbers) && x.numbers[i] == number {
			i++
		}
		count := uint64(i - start)
		x.packed = binary.AppendUvarint(x.packed, uint64(number-before))
		x.packed = binary.AppendUvarint(x.packed, count)
		before = number
		x.append(number, row, count)
	}
	x.place(id, length, slices.Clone(x.packed))
}

// place makes the passage's row.
func (x *Index) place(id, length uint32, packed []byte) {
	x.rows[id] = uint32(len(x.ids))
	x.ids = append(x.ids, id)
	x.lengths = append(x.lengths, length)
	x.passages = append(x.passages, packed)
	x.words += uint64(length)
	x.bytes += rowBytes + cap(packed)
}

// append notes a term's occurrence in a row that comes after all of its list.
func (x *Index) append(number, row uint32, count uint64) {
	l := &x.lists[number]
	before := cap(l.data)
	l.data = binary.AppendUvarint(l.data, uint64(row-l.last))
	l.data = binary.AppendUvarint(l.data, count)
	l.last = row
	l.live++
	x.bytes += cap(l.data) - before
}

// collect adds the numbers of a text's terms, and gives its length in words.
func (x *Index) collect(text string) (length uint32) {
	x.scan.scan(text, func(word []byte, kind wordKind) {
		f, known := x.forms[string(word)]
		if !known {
			f = x.learn(string(word))
		}
		if f.stem == noTerm {
			return
		}
		x.numbers = append(x.numbers, f.stem)
		if f.exact != noTerm {
			x.numbers = append(x.numbers, f.exact)
		}
		if kind == plain {
			length++
		}
	})
	return length
}

// learn gives the numbers of a word's terms, new ones if need be.
func (x *Index) learn(word string) form {
	f := form{noTerm, noTerm}
	if stem := term(word); stem != "" {
		f.stem = x.number(stem)
		if e := exactTerm(word, stem); e != "" {
			f.exact = x.number(e)
		}
	}
	if len(x.forms) >= maxForms {
		clear(x.forms)
		x.bytes -= maxForms * formBytes
	}
	x.forms[word] = f
	x.bytes += formBytes
	return f
}

func (x *Index) number(t string) uint32 {
	number, known := x.vocabulary[t]
	if !known {
		number = uint32(len(x.lists))
		t = strings.Clone(t)
		x.vocabulary[t] = number
		x.lists = append(x.lists, list{term: t})
		x.bytes += termBytes + len(t)
	}
	return number
}

// Remove takes a passage out; an unknown id is none. Once in a while it cleans the
// whole index, which takes a microsecond or two for each passage in it.
func (x *Index) Remove(id uint32) {
	row, ok := x.rows[id]
	if !ok {
		return
	}
	for number := range counts(x.passages[row]) {
		x.lists[number].live--
	}
	x.words -= uint64(x.lengths[row])
	x.bytes -= cap(x.passages[row])
	x.passages[row] = nil
	x.lengths[row] = deadRow
	delete(x.rows, id)
	if dead := len(x.ids) - len(x.rows); dead > 1000 && dead > len(x.rows)/2 {
		x.compact()
	}
}

// compact makes the index anew of its live passages, in their order.
func (x *Index) compact() {
	fresh := New()
	for row, packed := range x.passages {
		if x.lengths[row] == deadRow {
			continue
		}
		at := uint32(len(fresh.ids))
		fresh.numbers = fresh.numbers[:0]
		for number, count := range counts(packed) {
			now := fresh.number(x.lists[number].term)
			fresh.append(now, at, uint64(count))
			fresh.numbers = append(fresh.numbers, now, count)
		}
		fresh.place(x.ids[row], x.lengths[row], fresh.pack())
	}
	*x = *fresh
}

// pack writes the (term, count) pairs of numbers as a passage has them.
func (x *Index) pack() []byte {
	type pair struct{ number, count uint32 }
	pairs := make([]pair, 0, len(x.numbers)/2)
	for i := 0; i < len(x.numbers); i += 2 {
		pairs = append(pairs, pair{x.numbers[i], x.numbers[i+1]})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return int(a.number) - int(b.number) })
	x.packed = x.packed[:0]
	var before uint32
	for _, p := range pairs {
		x.packed = binary.AppendUvarint(x.packed, uint64(p.number-before))
		x.packed = binary.AppendUvarint(x.packed, uint64(p.count))
		before = p.number
	}
	return slices.Clone(x.packed)
}

// counts reads (key gap, count) varints.
func counts(packed []byte) func(yield func(key, count uint32) bool) {
	return func(yield func(uint32, uint32) bool) {
		var key uint32
		for i := 0; i < len(packed); {
			gap, n := binary.Uvarint(packed[i:])
			i += n
			count, n := binary.Uvarint(packed[i:])
			i += n
			key += uint32(gap)
			if !yield(key, uint32(count)) {
				return
			}
		}
	}
}

// Len is the number of passages.
func (x *Index) Len() int { return len(x.rows) }

// Bytes estimates the memory that the index holds.
func (x *Index) Bytes() int { return x.bytes }
