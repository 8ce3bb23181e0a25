#include "textflag.h"

// Rows are read one after the other, as the processor's own prefetcher expects, and four
// sums are added up at once; what is left over goes one by one. Prefetching 4 KiB ahead,
// into the second level, takes the pauses at the ends of pages; beyond the rows it is
// without effect.
#define AHEAD 4096

// VNNIROW sums the products of the row at R8 and the query and goes on to the next row:
// unsigned bytes times signed ones, four products to a 32-bit sum.
#define VNNIROW(SUM, part) \
	VPXORQ SUM, SUM, SUM \
	XORQ AX, AX \
part: \
	VMOVDQU64 (R8)(AX*1), Z5 \
	PREFETCHT1 AHEAD(R8)(AX*1) \
	VPDPBUSD (SI)(AX*1), Z5, SUM \
	ADDQ $64, AX \
	CMPQ AX, CX \
	JLT  part \
	ADDQ CX, R8

// AVX2ROW does the same with bytes widened to 16 bits, since sums of two products of
// bytes don't fit there.
#define AVX2ROW(SUM, part) \
	VPXOR SUM, SUM, SUM \
	XORQ AX, AX \
part: \
	VPMOVZXBW (R8)(AX*1), Y5 \
	VPMOVSXBW (SI)(AX*1), Y6 \
	VPMOVZXBW 16(R8)(AX*1), Y7 \
	VPMOVSXBW 16(SI)(AX*1), Y8 \
	VPMADDWD Y5, Y6, Y5 \
	VPMADDWD Y7, Y8, Y7 \
	VPADDD Y5, SUM, SUM \
	VPADDD Y7, SUM, SUM \
	VPMOVZXBW 32(R8)(AX*1), Y5 \
	VPMOVSXBW 32(SI)(AX*1), Y6 \
	VPMOVZXBW 48(R8)(AX*1), Y7 \
	VPMOVSXBW 48(SI)(AX*1), Y8 \
	PREFETCHT1 AHEAD(R8)(AX*1) \
	VPMADDWD Y5, Y6, Y5 \
	VPMADDWD Y7, Y8, Y7 \
	VPADDD Y5, SUM, SUM \
	VPADDD Y7, SUM, SUM \
	ADDQ $64, AX \
	CMPQ AX, CX \
	JLT  part \
	ADDQ CX, R8

// func dotsVNNI(query *int8, rows *byte, stride, n int, out *int32)
TEXT ·dotsVNNI(SB), NOSPLIT, $0-40
	MOVQ query+0(FP), SI
	MOVQ rows+8(FP), R8
	MOVQ stride+16(FP), CX
	MOVQ n+24(FP), BX
	MOVQ out+32(FP), DX

four:
	CMPQ BX, $4
	JLT  one
	VNNIROW(Z0, part0)
	VNNIROW(Z1, part1)
	VNNIROW(Z2, part2)
	VNNIROW(Z3, part3)

	VEXTRACTI64X4 $1, Z0, Y4
	VEXTRACTI64X4 $1, Z1, Y5
	VEXTRACTI64X4 $1, Z2, Y6
	VEXTRACTI64X4 $1, Z3, Y7
	VPADDD Y4, Y0, Y0
	VPADDD Y5, Y1, Y1
	VPADDD Y6, Y2, Y2
	VPADDD Y7, Y3, Y3
	VPHADDD Y1, Y0, Y0
	VPHADDD Y3, Y2, Y2
	VPHADDD Y2, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDD X1, X0, X0
	VMOVDQU X0, (DX)
	ADDQ $16, DX
	SUBQ $4, BX
	JMP  four

one:
	TESTQ BX, BX
	JLE  done
	VNNIROW(Z0, single)

	VEXTRACTI64X4 $1, Z0, Y4
	VPADDD Y4, Y0, Y0
	VPHADDD Y0, Y0, Y0
	VPHADDD Y0, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDD X1, X0, X0
	VMOVD X0, (DX)
	ADDQ $4, DX
	DECQ BX
	JMP  one

done:
	VZEROUPPER
	RET

// func dotsAVX2(query *int8, rows *byte, stride, n int, out *int32)
TEXT ·dotsAVX2(SB), NOSPLIT, $0-40
	MOVQ query+0(FP), SI
	MOVQ rows+8(FP), R8
	MOVQ stride+16(FP), CX
	MOVQ n+24(FP), BX
	MOVQ out+32(FP), DX

four:
	CMPQ BX, $4
	JLT  one
	AVX2ROW(Y0, part0)
	AVX2ROW(Y1, part1)
	AVX2ROW(Y2, part2)
	AVX2ROW(Y3, part3)

	VPHADDD Y1, Y0, Y0
	VPHADDD Y3, Y2, Y2
	VPHADDD Y2, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDD X1, X0, X0
	VMOVDQU X0, (DX)
	ADDQ $16, DX
	SUBQ $4, BX
	JMP  four

one:
	TESTQ BX, BX
	JLE  done
	AVX2ROW(Y0, single)

	VPHADDD Y0, Y0, Y0
	VPHADDD Y0, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDD X1, X0, X0
	VMOVD X0, (DX)
	ADDQ $4, DX
	DECQ BX
	JMP  one

done:
	VZEROUPPER
	RET
