package server

import (
	"context"

	"github.com/crispy-enigma/crispy-enigma/runtime/chat"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// forgetful are sessions that are deleted with what chat has remembered of them.
type forgetful struct {
	storage.Sessions
	cache storage.Cache
}

// Delete forgets last: an answer that is being made meanwhile may still sum the session up.
func (f forgetful) Delete(ctx context.Context, t tenancy.ID, o storage.Owner, session string) error {
	if err := f.Sessions.Delete(ctx, t, o, session); err != nil {
		return err
	}
	return chat.Forget(ctx, f.cache, t, session)
}
