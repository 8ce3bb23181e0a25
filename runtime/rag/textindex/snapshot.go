package textindex

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// Counts is a copy of how often terms occur in passages, for learning from: it stays as
// it is while the index goes on.
type Counts struct {
	// Terms by column, in alphabetical order.
	Terms []string
	// Passages is how many the index had when the copy was made; Rows are those copied.
	Passages int

	starts  []uint32 // by row, and the end
	columns []uint16
	counts  []uint8 // at most 255
}

// Rows is how many passages were copied.
func (c *Counts) Rows() int { return len(c.starts) - 1 }

// Row gives a passage's columns, ascending, and the count in each (at most 255). Both
// are to be read only.
func (c *Counts) Row(i int) (columns []uint16, counts []uint8) {
	from, to := c.starts[i], c.starts[i+1]
	return c.columns[from:to], c.counts[from:to]
}

// MaxColumns is the most terms that Counts holds.
const MaxColumns = 1 << 16

// Snapshot is what an index holds at one time. It stays as it is while the index goes
// on, and may be used without a lock.
type Snapshot struct {
	terms    []string // by number
	live     []uint32 // by number
	ids      []uint32
	passages [][]byte // of ids
}

// Snapshot copies no passage, so it is made in some milliseconds. While it is in use,
// what is removed from the index stays in memory.
func (x *Index) Snapshot() *Snapshot {
	s := &Snapshot{
		terms: make([]string, len(x.lists)), live: make([]uint32, len(x.lists)),
		ids: make([]uint32, 0, len(x.rows)), passages: make([][]byte, 0, len(x.rows)),
	}
	for number := range x.lists {
		s.terms[number], s.live[number] = x.lists[number].term, x.lists[number].live
	}
	for row, packed := range x.passages {
		if x.lengths[row] != deadRow {
			s.ids = append(s.ids, x.ids[row])
			s.passages = append(s.passages, packed)
		}
	}
	return s
}

// Counts copies at most maxRows passages, evenly taken by id, and of their terms those
// that at least two passages of the index have, at most maxTerms (and MaxColumns): the
// most frequent ones. The same passages give the same copy. It takes 3 bytes an
// occurrence, and some seconds of 100,000 passages: don't hold a lock.
func (s *Snapshot) Counts(maxRows, maxTerms int) *Counts {
	c := &Counts{Passages: len(s.ids), starts: []uint32{0}}
	column := s.columns(c, min(maxTerms, MaxColumns))
	var entries []uint32 // column above 8 bits of count: they sort as columns
	for _, at := range s.sample(maxRows) {
		entries = entries[:0]
		for number, count := range counts(s.passages[at]) {
			if column := column[number]; column >= 0 {
				entries = append(entries, uint32(column)<<8|min(count, math.MaxUint8))
			}
		}
		slices.Sort(entries)
		for _, e := range entries {
			c.columns = append(c.columns, uint16(e>>8))
			c.counts = append(c.counts, uint8(e))
		}
		c.starts = append(c.starts, uint32(len(c.columns)))
	}
	return c
}

// columns chooses the terms, and gives the column of each term's number, -1 for none.
func (s *Snapshot) columns(c *Counts, most int) []int32 {
	var chosen []uint32
	for number, live := range s.live {
		if live >= 2 && !strings.HasPrefix(s.terms[number], exact) {
			chosen = append(chosen, uint32(number))
		}
	}
	byTerm := func(a, b uint32) int { return cmp.Compare(s.terms[a], s.terms[b]) }
	if len(chosen) > most {
		slices.SortFunc(chosen, func(a, b uint32) int {
			return cmp.Or(cmp.Compare(s.live[b], s.live[a]), byTerm(a, b))
		})
		chosen = chosen[:max(most, 0)]
	}
	slices.SortFunc(chosen, byTerm)
	column := slices.Repeat([]int32{-1}, len(s.terms))
	for at, number := range chosen {
		column[number] = int32(at)
		c.Terms = append(c.Terms, s.terms[number])
	}
	return column
}

// sample gives the places of at most so many passages, in the order of their ids.
func (s *Snapshot) sample(most int) []int {
	places := make([]int, len(s.ids))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int { return cmp.Compare(s.ids[a], s.ids[b]) })
	if len(places) <= most {
		return places
	}
	for i := range max(most, 0) {
		places[i] = places[i*len(places)/most]
	}
	return places[:max(most, 0)]
}
