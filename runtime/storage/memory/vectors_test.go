package memory_test

import (
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
)

func TestVectors(t *testing.T) {
	t.Parallel()
	storagetest.RunVectors(t, func(*testing.T) storagetest.VectorBed {
		return storagetest.VectorBed{Vectors: memory.NewVectors(storagetest.VectorShape)}
	})
}

func TestObjects(t *testing.T) {
	t.Parallel()
	storagetest.RunObjects(t, func(*testing.T) storage.Objects { return memory.NewObjects() })
}
