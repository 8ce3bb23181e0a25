package ledger

// ring is a queue of times that grows to what it must hold at once.
type ring struct {
	buf  []int64
	head int
	n    int
}

func (r *ring) index(i int) int {
	i += r.head
	if i >= len(r.buf) {
		i -= len(r.buf)
	}
	return i
}

func (r *ring) get(i int) int64    { return r.buf[r.index(i)] }
func (r *ring) set(i int, v int64) { r.buf[r.index(i)] = v }

func (r *ring) pop() {
	r.head = r.index(1)
	r.n--
}

// remove closes the gap from the newer side, where takes are returned.
func (r *ring) remove(i int) {
	for ; i < r.n-1; i++ {
		r.set(i, r.get(i+1))
	}
	r.n--
}

func (r *ring) push(v int64) {
	if r.n == len(r.buf) {
		grown := make([]int64, max(4, 2*r.n))
		copy(grown, r.all())
		r.buf, r.head = grown, 0
	}
	r.n++
	r.set(r.n-1, v)
}

func (r *ring) all() []int64 {
	all := make([]int64, r.n)
	k := copy(all, r.buf[r.head:min(r.head+r.n, len(r.buf))])
	copy(all[k:], r.buf[:r.n-k])
	return all
}
