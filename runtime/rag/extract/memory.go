//go:build !race

package extract

// defaultMemory is Limits.Memory where it is 0.
const defaultMemory = 512 << 20
