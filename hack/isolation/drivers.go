package main

import (
	"context"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// driver starts what a driver needs, and ends it when t ends.
type driver struct {
	name  string
	start func(t testing.TB) storagetest.Isolation
}

var drivers = []driver{
	{"memory", func(testing.TB) storagetest.Isolation {
		return shared(memory.New(memory.Options{MaxBytes: 1 << 30}))
	}},
	{"embedded", func(t testing.TB) storagetest.Isolation {
		s, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		closeAfter(t, s)
		return shared(s)
	}},
}

// shared is one store that serves all tenants.
func shared(s storage.Store) storagetest.Isolation {
	return storagetest.Isolation{Open: func(context.Context, tenancy.ID) ([]storage.Store, error) {
		return []storage.Store{s}, nil
	}}
}

func closeAfter(t testing.TB, s storage.Store) {
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
}
