package vectorindex

// Variants of the kernel that run on this machine, by name.
func Variants() map[string]func(query []int8, rows []byte, out []int32) {
	all := map[string]func([]int8, []byte, []int32){}
	for _, v := range variants() {
		all[v.name] = v.dots
	}
	return all
}

// Portable is the kernel that says what the others must give.
var Portable = portable

// NewWith makes an index that scans with the named variant.
func NewWith(name string, dims int) (*Index, error) {
	return newIndex(dims, Variants()[name])
}
