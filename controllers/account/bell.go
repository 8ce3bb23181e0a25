package account

import (
	"context"
	"sync"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// bell wakes the objects of one controller for what no API server tells. Who is rung for
// often is woken once.
type bell struct {
	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// source is where the controller hears it. What is rung before it listens is lost: a
// controller looks at everything when it starts.
func (b *bell) source() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.queue = queue
		return nil
	})
}

// ring wakes whom something may have changed for.
func (b *bell) ring(keys ...client.ObjectKey) { b.call(handler.LowPriority, keys...) }

func (b *bell) call(priority int, keys ...client.ObjectKey) {
	b.mu.Lock()
	queue := b.queue
	b.mu.Unlock()
	for _, key := range keys {
		request := reconcile.Request{NamespacedName: key}
		switch q := queue.(type) {
		case nil:
		case priorityqueue.PriorityQueue[reconcile.Request]:
			q.AddWithOpts(priorityqueue.AddOpts{Priority: new(priority)}, request)
		default:
			q.Add(request)
		}
	}
}
