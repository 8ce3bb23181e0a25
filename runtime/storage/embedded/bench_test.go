package embedded_test

import (
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
)

func BenchmarkChat(b *testing.B) {
	storagetest.BenchmarkChat(b, open(b, b.TempDir(), embedded.Options{}))
}
