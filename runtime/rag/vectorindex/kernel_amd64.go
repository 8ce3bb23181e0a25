package vectorindex

import "golang.org/x/sys/cpu"

// variants that run on this processor, fastest first.
func variants() []variant {
	var out []variant
	// The system must save the wide registers too; cpu has asked it.
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VNNI {
		out = append(out, variant{"avx512-vnni", wide(dotsVNNI)})
	}
	if cpu.X86.HasAVX2 {
		out = append(out, variant{"avx2", wide(dotsAVX2)})
	}
	return append(out, variant{"portable", portable})
}

// wide makes a kernel of an assembly function, which trusts its arguments: the bounds
// are checked here.
func wide(dots func(query *int8, rows *byte, stride, n int, out *int32)) kernel {
	return func(query []int8, rows []byte, out []int32) {
		if len(out) == 0 || len(query) == 0 || len(query)%alignment != 0 {
			portable(query, rows, out)
			return
		}
		rows = rows[:len(out)*len(query)]
		dots(&query[0], &rows[0], len(query), len(out), &out[0])
	}
}

// dotsVNNI is a kernel for n rows of stride bytes, a multiple of 64.
//
//go:noescape
func dotsVNNI(query *int8, rows *byte, stride, n int, out *int32)

// dotsAVX2 is a kernel for n rows of stride bytes, a multiple of 64.
//
//go:noescape
func dotsAVX2(query *int8, rows *byte, stride, n int, out *int32)
