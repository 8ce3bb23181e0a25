package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func TestASessionIsDeletedWithItsSummary(t *testing.T) {
	t.Parallel()
	id, err := tenancy.NewID("acme", "o/n/development/acme")
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New(memory.Options{})
	t.Cleanup(func() { _ = store.Close(t.Context()) })
	const session, key = "3f0e8a52-1c6b-4f7e-9d0a-5b1f2c3d4e5f", "chat-summary:3f0e8a52-1c6b-4f7e-9d0a-5b1f2c3d4e5f"
	if err := store.Cache().Put(t.Context(), id, key, []byte(`{"text":"c4nary"}`), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := server.Forgetful(store).Delete(t.Context(), id, storage.Owner{Caller: "a"}, session); err != nil {
		t.Fatal(err)
	}
	if value, _, err := store.Cache().Get(t.Context(), id, key); err != nil || strings.Contains(string(value), "c4nary") {
		t.Errorf("%d bytes are left, %v", len(value), err)
	}
}
