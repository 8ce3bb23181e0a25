//go:build race

package extract

// defaultMemory under the race detector, whose shadow memory is four times the PDF
// engine's own.
const defaultMemory = 2 << 30
