package testenv

import (
	"context"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// ErrCrashed is what every call ends with once the operator is dead.
var ErrCrashed = errors.New("the operator is dead")

// Fault is what goes wrong at one API write.
type Fault string

// Faults.
const (
	// CrashBefore kills the operator before the write.
	CrashBefore Fault = "crash before"
	// CrashAfter kills it after the write, before it hears of it.
	CrashAfter Fault = "crash after"
	// FailBefore answers with a server error and doesn't write.
	FailBefore Fault = "error"
	// TimeoutAfter writes and answers with a timeout.
	TimeoutAfter Fault = "timeout after"
)

// Faults are all of them.
var Faults = []Fault{CrashBefore, CrashAfter, FailBefore, TimeoutAfter}

// Gate numbers the API writes of one incarnation of the operator and breaks one.
type Gate struct {
	mu     sync.Mutex
	writes []string
	fault  Fault
	at     int
	dead   bool
	fired  bool
}

// Break lets write number n (from 0, counted from the Gate's making) end with a fault.
func (g *Gate) Break(n int, fault Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault, g.at = fault, n
}

// Writes tells what was written, in order.
func (g *Gate) Writes() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.writes...)
}

// Fired tells whether the fault came.
func (g *Gate) Fired() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fired
}

// Dead tells whether the operator crashed.
func (g *Gate) Dead() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dead
}

func (g *Gate) read() error {
	if g.Dead() {
		return ErrCrashed
	}
	return nil
}

// write runs one write through the gate.
func (g *Gate) write(what string, do func() error) error {
	fault, err := g.enter(what)
	if err != nil {
		return err
	}
	switch fault {
	case CrashBefore:
		return ErrCrashed
	case FailBefore:
		return apierrors.NewInternalError(errors.New("etcdserver: request timed out"))
	}
	err = do()
	switch fault {
	case CrashAfter:
		return ErrCrashed
	case TimeoutAfter:
		return apierrors.NewTimeoutError("the request was cut off", 1)
	}
	return err
}

func (g *Gate) enter(what string) (Fault, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead {
		return "", ErrCrashed
	}
	n := len(g.writes)
	g.writes = append(g.writes, what)
	if g.fault == "" || n != g.at {
		return "", nil
	}
	g.fired = true
	g.dead = g.fault == CrashBefore || g.fault == CrashAfter
	return g.fault, nil
}

// Client passes every call of a client through the gate.
func (g *Gate) Client(c client.WithWatch) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if err := g.read(); err != nil {
				return err
			}
			return c.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			if err := g.read(); err != nil {
				return err
			}
			return c.List(ctx, l, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return g.write("create "+kindOf(o), func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return g.write("update "+kindOf(o), func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return g.write("patch "+kindOf(o), func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return g.write("apply "+kindOf(o), func() error { return c.Apply(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return g.write("delete "+kindOf(o), func() error { return c.Delete(ctx, o, opts...) })
		},
		DeleteAllOf: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteAllOfOption) error {
			return g.write("delete all "+kindOf(o), func() error { return c.DeleteAllOf(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return g.write("patch "+kindOf(o)+"/"+sub, func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return g.write("update "+kindOf(o)+"/"+sub, func() error { return c.SubResource(sub).Update(ctx, o, opts...) })
		},
	})
}

// kindOf names an object for people.
func kindOf(o any) string {
	if named, ok := o.(interface{ GetKind() *string }); ok && named.GetKind() != nil {
		return *named.GetKind()
	}
	if named, ok := o.(interface{ GetKind() string }); ok && named.GetKind() != "" {
		return named.GetKind()
	}
	return fmt.Sprintf("%T", o)
}
