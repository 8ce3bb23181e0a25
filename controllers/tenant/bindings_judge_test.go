package tenant_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

func TestWhetherABindingCanBeUsed(t *testing.T) {
	owner := &v1alpha1.Tenant{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "acme"}}
	owner.Spec.Upstream.AccountRef = &v1alpha1.AccountReference{Name: "main"}
	own := resources.Use{Role: v1alpha1.RoleUsageLedger, Type: v1alpha1.BindingD1, Field: "spec.cloudflare.usageLedger"}
	named := own
	named.Ref = &v1alpha1.BindingReference{Name: "there"}
	binding := func(edit func(*v1alpha1.CloudflareBinding)) *v1alpha1.CloudflareBinding {
		b := &v1alpha1.CloudflareBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "there", Generation: 3}}
		b.Spec = v1alpha1.CloudflareBindingSpec{Type: v1alpha1.BindingD1, AccountRef: v1alpha1.AccountReference{Name: "main", Namespace: "shop"}}
		b.Status.ID, b.Status.ObservedGeneration = "id", 3
		b.Marks().Ready("it is there")
		edit(b)
		return b
	}
	for name, c := range map[string]struct {
		use     resources.Use
		binding *v1alpha1.CloudflareBinding
		written int64
		want    string
	}{
		"ready":                       {own, binding(func(*v1alpha1.CloudflareBinding) {}), 3, ""},
		"named and ready":             {named, binding(func(*v1alpha1.CloudflareBinding) {}), 0, ""},
		"not there yet":               {own, nil, 1, v1alpha1.ReasonBindingPending},
		"named and not there":         {named, nil, 0, v1alpha1.ReasonBindingNotFound},
		"of another type":             {named, binding(func(b *v1alpha1.CloudflareBinding) { b.Spec.Type = v1alpha1.BindingKV }), 0, v1alpha1.ReasonBindingMismatch},
		"in another account":          {named, binding(func(b *v1alpha1.CloudflareBinding) { b.Spec.AccountRef.Name = "other" }), 0, v1alpha1.ReasonBindingMismatch},
		"in another's account":        {named, binding(func(b *v1alpha1.CloudflareBinding) { b.Spec.AccountRef.Namespace = "platform" }), 0, v1alpha1.ReasonBindingMismatch},
		"a cache that lags":           {own, binding(func(*v1alpha1.CloudflareBinding) {}), 4, v1alpha1.ReasonBindingPending},
		"not looked at since":         {own, binding(func(b *v1alpha1.CloudflareBinding) { b.Status.ObservedGeneration = 2 }), 0, v1alpha1.ReasonBindingPending},
		"never looked at":             {own, binding(func(b *v1alpha1.CloudflareBinding) { b.Status = v1alpha1.CloudflareBindingStatus{} }), 0, v1alpha1.ReasonBindingPending},
		"being deleted":               {own, binding(func(b *v1alpha1.CloudflareBinding) { b.DeletionTimestamp = &metav1.Time{Time: time.Now()} }), 0, v1alpha1.ReasonBindingPending},
		"Ready without a thing":       {own, binding(func(b *v1alpha1.CloudflareBinding) { b.Status.ID = "" }), 0, v1alpha1.ReasonBindingPending},
		"worked on":                   {own, binding(func(b *v1alpha1.CloudflareBinding) { b.Marks().Reconciling(v1alpha1.ReasonCreating, "soon") }), 0, v1alpha1.ReasonBindingPending},
		"only a change would help it": {own, binding(func(b *v1alpha1.CloudflareBinding) { b.Marks().Stalled(v1alpha1.ReasonForeignOwner, "no") }), 0, v1alpha1.ReasonBindingPending},
	} {
		if v := tenant.Judge(c.use, owner, c.binding, c.written); v.Reason() != c.want {
			t.Errorf("%s: %q (%s), want %q", name, v.Reason(), v.Message(), c.want)
		}
	}
}

// Accounts and bindings are looked at all the time: hundreds of Tenants mustn't be woken
// by a newer date.
func TestOnlyNewsOfAnAccountOrBindingWakesTenants(t *testing.T) {
	b := &v1alpha1.CloudflareBinding{}
	b.Status.ID = "id"
	for name, c := range map[string]struct {
		edit  func(*v1alpha1.CloudflareBinding)
		wakes bool
	}{
		"looked at again":  {func(b *v1alpha1.CloudflareBinding) { b.Status.ObservedAt = &metav1.Time{Time: time.Now()} }, false},
		"resource version": {func(b *v1alpha1.CloudflareBinding) { b.ResourceVersion = "9" }, false},
		"another id":       {func(b *v1alpha1.CloudflareBinding) { b.Status.ID = "other" }, true},
		"Ready":            {func(b *v1alpha1.CloudflareBinding) { b.Marks().Ready("now") }, true},
		"a new token":      {func(b *v1alpha1.CloudflareBinding) { b.Status.Token = &v1alpha1.TokenStatus{Revision: 2} }, true},
		"a next index":     {func(b *v1alpha1.CloudflareBinding) { b.Status.Next = &v1alpha1.NextIndex{Ready: true} }, true},
		"labels by hand":   {func(b *v1alpha1.CloudflareBinding) { b.Labels = map[string]string{"a": "b"} }, true},
		"owner by hand":    {func(b *v1alpha1.CloudflareBinding) { b.OwnerReferences = []metav1.OwnerReference{{Name: "x"}} }, true},
		"being deleted":    {func(b *v1alpha1.CloudflareBinding) { b.DeletionTimestamp = &metav1.Time{Time: time.Now()} }, true},
	} {
		after := b.DeepCopy()
		c.edit(after)
		if got := tenant.BindingMatters.Update(event.UpdateEvent{ObjectOld: b, ObjectNew: after}); got != c.wakes {
			t.Errorf("a binding, %s: wakes %t", name, got)
		}
	}
	a := &v1alpha1.CloudflareAccount{}
	for name, c := range map[string]struct {
		edit  func(*v1alpha1.CloudflareAccount)
		wakes bool
	}{
		"listed again":  {func(a *v1alpha1.CloudflareAccount) { a.Status.ObservedAt = &metav1.Time{Time: time.Now()} }, false},
		"another quota": {func(a *v1alpha1.CloudflareAccount) { a.Status.Quotas = []v1alpha1.AccountQuota{{Used: 1}} }, false},
		"a gateway":     {func(a *v1alpha1.CloudflareAccount) { a.Status.GatewayID = "g" }, true},
		"a token":       {func(a *v1alpha1.CloudflareAccount) { a.Status.TokenID = "t" }, true},
		"another spec":  {func(a *v1alpha1.CloudflareAccount) { a.Generation++ }, true},
	} {
		after := a.DeepCopy()
		c.edit(after)
		if got := tenant.AccountMatters.Update(event.UpdateEvent{ObjectOld: a, ObjectNew: after}); got != c.wakes {
			t.Errorf("an account, %s: wakes %t", name, got)
		}
	}
}
