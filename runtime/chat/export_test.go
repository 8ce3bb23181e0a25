package chat

import (
	"context"
	"net/http"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Ask is the handler without the door.
func (f *Feature) Ask(ctx context.Context, t *tenancy.Tenant, c tenancy.Caller, r Request) error {
	_, err := f.chat(ctx, httpapi.Call{Tenant: t, Caller: c, TraceID: "trace", Out: http.Header{}}, r)
	return err
}
