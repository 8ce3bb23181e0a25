package rag

import (
	"context"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// QueueReembed is what a worker does for a tenant when it starts.
func QueueReembed(ctx context.Context, f *Feature, t *tenancy.Tenant) error {
	return f.queueReembed(ctx, t)
}

// Hurry makes a feature's worker wait for nothing long.
func Hurry(f *Feature) {
	f.pauses = pauses{poll: 20 * time.Millisecond, try: time.Millisecond, visible: time.Millisecond}
}
