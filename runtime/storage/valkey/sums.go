package valkey

import "context"

// sum is a call whose last arguments are amounts. Two of the same place are as good as one
// of both's amounts together.
type sum struct {
	// place tells the script and its other arguments from those of other sums.
	place   string
	script  *script
	keys    []string
	args    func(amounts []int64) []string
	amounts []int64
}

// sumsAtOnce bounds how many are added up; they are fewer calls.
const sumsAtOnce = 256

// sendSums makes one call for each place.
func (s *Store) sendSums(n *names, sums []sum) []answer[struct{}] {
	first, all := map[string]int{}, make([]answer[struct{}], len(sums))
	for i, one := range sums {
		at, seen := first[one.place]
		if !seen {
			first[one.place] = i
			continue
		}
		for j, a := range one.amounts {
			sums[at].amounts[j] = total(sums[at].amounts[j], a)
		}
	}
	for _, at := range first {
		one := sums[at]
		_, all[at].err = s.run(context.Background(), n, one.script, one.keys, one.args(one.amounts)...)
	}
	for i, one := range sums {
		all[i] = all[first[one.place]]
	}
	return all
}
