package vectorindex

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// MaxDimensions of a vector: sums of products of more could overflow 32 bits.
const MaxDimensions = 1 << 15

const (
	// slabRows is how many rows grow at once. An index that grows copies none of them.
	slabRows = 1024
	// wordRows share one word of a bitmap: they are scanned or skipped together.
	wordRows = 64
	// scanAll is how many rows of a word must be wanted for all of it to be read in one
	// go: single rows cost a call each.
	scanAll = 12
	// alignment of a row in bytes: kernels read whole registers.
	alignment = 64
	// offset is added to each number of a row, since kernels multiply unsigned rows by
	// a signed query.
	offset = 128
)

// ErrVector: a vector of another length, with numbers that aren't finite, or without
// direction.
var ErrVector = errors.New("a vector that can't be kept")

// Index keeps the directions of vectors in numbered slots. Any number of goroutines may
// read it, or one may change it: the caller holds a lock.
type Index struct {
	dims   int
	stride int
	dots   kernel
	slabs  []*slab
	length int
}

// slab is a run of rows.
type slab struct {
	rows  []byte
	scale [slabRows]float32
	live  [slabRows / wordRows]uint64
}

// Hit is a slot that a scan found.
type Hit struct {
	Slot uint32
	// Score is the cosine similarity.
	Score float32
}

// New returns an empty index of vectors of dims numbers, 1 to MaxDimensions.
func New(dims int) (*Index, error) {
	return newIndex(dims, fastest())
}

func newIndex(dims int, dots kernel) (*Index, error) {
	if dims < 1 || dims > MaxDimensions {
		return nil, fmt.Errorf("a vector has 1 to %d dimensions, not %d", MaxDimensions, dims)
	}
	return &Index{dims: dims, stride: (dims + alignment - 1) / alignment * alignment, dots: dots}, nil
}

// Dimensions of a vector.
func (x *Index) Dimensions() int { return x.dims }

// Len counts the slots in use.
func (x *Index) Len() int { return x.length }

// Bytes is the memory that the index holds.
func (x *Index) Bytes() int {
	const perRow = 4
	return len(x.slabs) * (slabRows*(x.stride+perRow) + slabRows/8)
}

// Set keeps the direction of v in a slot, in place of what was there. Slots should be
// dense: memory is held up to the highest one. ErrVector changes nothing.
func (x *Index) Set(slot uint32, v []float32) error {
	if len(v) != x.dims {
		return fmt.Errorf("%w: it has %d numbers, not %d", ErrVector, len(v), x.dims)
	}
	norm, most, err := measure(v)
	if err != nil {
		return err
	}
	for int(slot/slabRows) >= len(x.slabs) {
		x.slabs = append(x.slabs, &slab{rows: make([]byte, slabRows*x.stride)})
	}
	s, at := x.slabs[slot/slabRows], int(slot%slabRows)
	row := s.rows[at*x.stride : at*x.stride+x.dims]
	steps := 127 / float64(most)
	for i, f := range v {
		row[i] = byte(offset + int(quantise(f, steps)))
	}
	// What a step of the row is worth once its vector has length 1.
	s.scale[at] = float32(float64(most) / 127 / norm)
	if bit := uint64(1) << (at % wordRows); s.live[at/wordRows]&bit == 0 {
		s.live[at/wordRows] |= bit
		x.length++
	}
	return nil
}

// Remove forgets a slot; one that isn't in use is no error.
func (x *Index) Remove(slot uint32) {
	if int(slot/slabRows) >= len(x.slabs) {
		return
	}
	s, at := x.slabs[slot/slabRows], slot%slabRows
	if bit := uint64(1) << (at % wordRows); s.live[at/wordRows]&bit != 0 {
		s.live[at/wordRows] &^= bit
		x.length--
	}
}

// Has tells whether a slot is in use.
func (x *Index) Has(slot uint32) bool {
	if int(slot/slabRows) >= len(x.slabs) {
		return false
	}
	at := slot % slabRows
	return x.slabs[slot/slabRows].live[at/wordRows]>>(at%wordRows)&1 == 1
}

// Scan gives the k slots nearest to q, best first, those of equal score by slot. With
// keep only slots whose bit is set there are found (slot 0 is the lowest bit of the first
// word; words that are missing are 0); nil keeps all.
func (x *Index) Scan(q []float32, k int, keep []uint64) ([]Hit, error) {
	query, err := x.prepare(q)
	if err != nil {
		return nil, err
	}
	best := newTop(min(k, x.length))
	if best.size == 0 {
		return nil, nil
	}
	var sums [wordRows]int32
	for n, s := range x.slabs {
		for w, want := range s.live {
			word := n*(slabRows/wordRows) + w
			if keep != nil {
				if word >= len(keep) {
					return best.sorted(query.scale), nil
				}
				want &= keep[word]
			}
			if want == 0 {
				continue
			}
			if bits.OnesCount64(want) >= scanAll {
				x.dots(query.row, s.rows[w*wordRows*x.stride:(w+1)*wordRows*x.stride], sums[:])
			} else {
				for rest := want; rest != 0; rest &= rest - 1 {
					i := bits.TrailingZeros64(rest)
					at := (w*wordRows + i) * x.stride
					x.dots(query.row, s.rows[at:at+x.stride], sums[i:i+1])
				}
			}
			scales := s.scale[w*wordRows : (w+1)*wordRows]
			for ; want != 0; want &= want - 1 {
				i := bits.TrailingZeros64(want)
				// Slots come in order, so one that is no better than the worst comes
				// after it.
				if score := float32(sums[i]-query.shift) * scales[i]; score > best.worst {
					best.push(Hit{Slot: uint32(word*wordRows + i), Score: score})
				}
			}
		}
	}
	return best.sorted(query.scale), nil
}

// Score gives the cosine of q and each of slots, 0 for those not in use.
func (x *Index) Score(q []float32, slots []uint32) ([]float32, error) {
	query, err := x.prepare(q)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(slots))
	var sum [1]int32
	for i, slot := range slots {
		if !x.Has(slot) {
			continue
		}
		s, at := x.slabs[slot/slabRows], int(slot%slabRows)
		x.dots(query.row, s.rows[at*x.stride:(at+1)*x.stride], sum[:])
		out[i] = float32(sum[0]-query.shift) * s.scale[at] * query.scale
	}
	return out, nil
}

// query is a vector in the form that kernels take.
type query struct {
	row   []int8
	scale float32
	// shift is what the rows' offset adds to a sum.
	shift int32
}

func (x *Index) prepare(q []float32) (query, error) {
	if len(q) != x.dims {
		return query{}, fmt.Errorf("%w: it has %d numbers, not %d", ErrVector, len(q), x.dims)
	}
	norm, most, err := measure(q)
	if err != nil {
		return query{}, err
	}
	out := query{row: make([]int8, x.stride), scale: float32(float64(most) / 127 / norm)}
	steps := 127 / float64(most)
	for i, f := range q {
		out.row[i] = quantise(f, steps)
		out.shift += offset * int32(out.row[i])
	}
	return out, nil
}

// measure gives the length of v and its largest number by amount.
func measure(v []float32) (norm float64, most float32, err error) {
	var squares float64
	for _, f := range v {
		squares += float64(f) * float64(f)
		most = max(most, f, -f)
	}
	norm = math.Sqrt(squares)
	if !(norm > 0) || math.IsInf(norm, 0) {
		return 0, 0, fmt.Errorf("%w: it must be finite and not all zero", ErrVector)
	}
	return norm, most, nil
}

// quantise rounds f to whole steps, of which 127 make the largest number of its vector.
func quantise(f float32, steps float64) int8 {
	// The conversion keeps the product from being fused with the sum: all processors
	// round alike.
	return int8(math.Floor(float64(float64(f)*steps) + 0.5))
}
