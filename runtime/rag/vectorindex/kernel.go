package vectorindex

// kernel sets out[i] to the sum of the products of query and row i, where rows holds
// len(out) rows of len(query) numbers, a multiple of alignment.
type kernel func(query []int8, rows []byte, out []int32)

// portable needs nothing of the processor. It says what the other kernels must give.
func portable(query []int8, rows []byte, out []int32) {
	for i := range out {
		row := rows[i*len(query):][:len(query)]
		var a, b, c, d int32
		for j := 0; j+4 <= len(row); j += 4 {
			r, q := row[j:j+4:j+4], query[j:j+4:j+4]
			a += int32(r[0]) * int32(q[0])
			b += int32(r[1]) * int32(q[1])
			c += int32(r[2]) * int32(q[2])
			d += int32(r[3]) * int32(q[3])
		}
		out[i] = a + b + c + d
	}
}

// variant is a kernel with the name that tells what it needs of the processor.
type variant struct {
	name string
	dots kernel
}

// fastest is the first of those that run here.
func fastest() kernel { return variants()[0].dots }

// Kernel names what scans on this machine.
func Kernel() string { return variants()[0].name }
