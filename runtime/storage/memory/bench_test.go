package memory_test

import (
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
)

func BenchmarkChat(b *testing.B) { storagetest.BenchmarkChat(b, memory.New(memory.Options{})) }
