package matrix

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// ErrCrashed is what every call ends with once the operator is dead.
var ErrCrashed = errors.New("the operator is dead")

// Fault is what goes wrong at a point.
type Fault string

// Faults. None is the empty one.
const (
	CrashBefore Fault = "crash before"
	CrashAfter  Fault = "crash after"
	// Fail answers with a server's error and does nothing.
	Fail Fault = "error"
	// TimeoutAfter has its effect and answers that nobody knows.
	TimeoutAfter Fault = "time-out after"
	// Limit answers 429, Refuse that the token is unknown; API writes are left alone.
	Limit  Fault = "429"
	Refuse Fault = "token revoked"
)

// Faults are those that every point is tried with.
var Faults = []Fault{CrashBefore, CrashAfter, Fail, TimeoutAfter}

// Gate is what every call and write of one operator's incarnation passes.
type Gate struct {
	mu     sync.Mutex
	points []string
	faults int
	dead   bool
	// choose says what goes wrong at a point; nil for nothing.
	choose func(n int, what string) Fault
	// around is called before and after each point that isn't cut off.
	around func(n int, after bool)
	// turn waits until the operator may go on, where several take turns.
	turn func()
}

// Arm begins to count anew, and breaks what choose says.
func (g *Gate) Arm(choose func(n int, what string) Fault, around func(n int, after bool)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.points, g.choose, g.around = nil, choose, around
}

// Points that were passed, in order.
func (g *Gate) Points() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.points...)
}

// Dead tells whether the operator crashed.
func (g *Gate) Dead() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dead
}

// Faults that came so far.
func (g *Gate) Faults() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.faults
}

// errs are the words in which a fault is told.
type errs struct{ fail, timeout, limit, refuse error }

func (g *Gate) pass(what string, e errs, do func() error) error {
	if g.turn != nil {
		g.turn()
	}
	n, fault, around, err := g.enter(what)
	if err != nil {
		return err
	}
	switch fault {
	case CrashBefore:
		return ErrCrashed
	case Fail:
		return e.fail
	case Limit:
		if e.limit != nil {
			return e.limit
		}
	case Refuse:
		if e.refuse != nil {
			return e.refuse
		}
	}
	around(n, false)
	err = do()
	around(n, true)
	switch fault {
	case CrashAfter:
		return ErrCrashed
	case TimeoutAfter:
		return e.timeout
	}
	return err
}

func (g *Gate) enter(what string) (n int, fault Fault, around func(int, bool), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead {
		return 0, "", nil, ErrCrashed
	}
	n, around = len(g.points), g.around
	g.points = append(g.points, what)
	if around == nil {
		around = func(int, bool) {}
	}
	if g.choose != nil {
		fault = g.choose(n, what)
	}
	if fault != "" {
		g.faults++
	}
	g.dead = fault == CrashBefore || fault == CrashAfter
	return n, fault, around, nil
}

// account is Cloudflare behind the gate.
type account struct {
	cloudflare.Account
	g *Gate
}

func outside(op string, uncertain bool) errs {
	e := func(meaning error) error { return &cloudflare.Error{Op: op, Meaning: meaning} }
	out := errs{fail: e(cloudflare.ErrUnavailable), timeout: e(cloudflare.ErrUnavailable), limit: &cloudflare.Error{Op: op, Meaning: cloudflare.ErrRateLimited, After: 30 * time.Second}, refuse: e(cloudflare.ErrUnauthorized)}
	if uncertain {
		out.timeout = e(cloudflare.ErrUncertain)
	}
	return out
}

func (a account) Get(ctx context.Context, kind cloudflare.Kind, id string) (t cloudflare.Thing, err error) {
	op := cloudflare.Op(cloudflare.OpGet, kind)
	err = a.g.pass(op, outside(op, false), func() error { t, err = a.Account.Get(ctx, kind, id); return err })
	return t, err
}

func (a account) Find(ctx context.Context, kind cloudflare.Kind, name string) (t []cloudflare.Thing, err error) {
	op := cloudflare.Op(cloudflare.OpFind, kind)
	err = a.g.pass(op, outside(op, false), func() error { t, err = a.Account.Find(ctx, kind, name); return err })
	return t, err
}

func (a account) Do(ctx context.Context, s cloudflare.Step) (t cloudflare.Thing, err error) {
	op := cloudflare.Op(s.Verb, s.Kind)
	err = a.g.pass(op, outside(op, true), func() error { t, err = a.Account.Do(ctx, s); return err })
	if err != nil {
		return cloudflare.Thing{}, err
	}
	return t, nil
}

// inside are the API server's words.
var inside = errs{
	fail:    apierrors.NewInternalError(errors.New("etcdserver: request timed out")),
	timeout: apierrors.NewTimeoutError("the request was cut off", 1),
}

// client passes an operator's writes through the gate. Reads fail once it is dead.
func (g *Gate) client(c client.WithWatch) client.WithWatch {
	write := func(verb string, o client.Object, do func() error) error {
		return g.pass(fmt.Sprintf("%s %s", verb, name(o)), inside, do)
	}
	return interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if g.Dead() {
				return ErrCrashed
			}
			return c.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			if g.Dead() {
				return ErrCrashed
			}
			return c.List(ctx, l, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return write("create", o, func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return write("update", o, func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return write("patch", o, func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return write("delete", o, func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return write("patch "+sub+" of", o, func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
}
