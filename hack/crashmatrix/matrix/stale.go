package matrix

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// name of an object's kind, for people.
func name(o client.Object) string {
	t := fmt.Sprintf("%T", o)
	return t[strings.LastIndex(t, ".")+1:]
}

// history keeps every version of the objects that are written through it: what a cache
// that lags may still show.
type history struct {
	mu       sync.Mutex
	versions map[string][]client.Object // nil: not there
}

func (h *history) key(o client.Object, key client.ObjectKey) string {
	return name(o) + " " + key.String()
}

// recording notes what each write through the client leads to.
func (h *history) recording(c client.WithWatch) client.WithWatch {
	note := func(ctx context.Context, c client.Client, o client.Object, err error) error {
		if err != nil {
			return err
		}
		key := client.ObjectKeyFromObject(o)
		now := o.DeepCopyObject().(client.Object)
		switch err := c.Get(ctx, key, now); {
		case apierrors.IsNotFound(err):
			now = nil
		case err != nil:
			return err
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		at := h.key(o, key)
		if len(h.versions[at]) == 0 {
			h.versions[at] = []client.Object{nil}
		}
		h.versions[at] = append(h.versions[at], now)
		return nil
	}
	return interceptor.NewClient(c, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return note(ctx, c, o, c.Create(ctx, o, opts...))
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return note(ctx, c, o, c.Update(ctx, o, opts...))
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return note(ctx, c, o, c.Patch(ctx, o, p, opts...))
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return note(ctx, c, o, c.Delete(ctx, o, opts...))
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return note(ctx, c, o, c.SubResource(sub).Patch(ctx, o, p, opts...))
		},
	})
}

// had tells whether a binding's status ever named the thing.
func (h *history) had(id string) bool {
	return h.ever(func(s v1alpha1.CloudflareBindingStatus) bool { return s.ID == id })
}

// replaced tells whether a thing was ever one that had been replaced, or was to replace
// another.
func (h *history) replaced(id string) bool {
	return h.ever(func(s v1alpha1.CloudflareBindingStatus) bool {
		return s.Next != nil && s.Next.ID == id || slices.ContainsFunc(s.Old, func(o v1alpha1.OldThing) bool { return o.ID == id })
	})
}

func (h *history) ever(is func(v1alpha1.CloudflareBindingStatus) bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, versions := range h.versions {
		for _, o := range versions {
			if b, ok := o.(*v1alpha1.CloudflareBinding); ok && is(b.Status) {
				return true
			}
		}
	}
	return false
}

// cached is a client whose Gets lag by as many versions as lag says, but never go back.
func (h *history) cached(c client.WithWatch, lag func() int) client.WithWatch {
	var mu sync.Mutex
	cursors := map[string]int{}
	return interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			// Whether it is dead is asked of the gate below.
			if err := c.Get(ctx, key, o.DeepCopyObject().(client.Object)); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
			h.mu.Lock()
			at := h.key(o, key)
			versions := h.versions[at]
			h.mu.Unlock()
			if len(versions) == 0 {
				return c.Get(ctx, key, o, opts...)
			}
			mu.Lock()
			cursors[at] = max(cursors[at], len(versions)-1-lag(), 0)
			shown := versions[cursors[at]]
			mu.Unlock()
			if shown == nil {
				return apierrors.NewNotFound(schema.GroupResource{Resource: name(o)}, key.Name)
			}
			return assign(o, shown)
		},
	})
}
