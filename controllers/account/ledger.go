package account

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// ledger is what is remembered of an account, copied.
type ledger struct {
	// permissions of the token by name; nil if they can't be read.
	permissions []string
	// forbidden and full are what Cloudflare refused last time, by what it speaks for.
	forbidden, full map[scope]hold
	totals          map[cloudflare.Kind]int
	// observedAt is when the kind that waits longest was listed last; zero if none was.
	observedAt time.Time
}

func (d *Directory) ledger(key client.ObjectKey) ledger {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entry(key)
	l := ledger{permissions: e.verified.token.Permissions, forbidden: map[scope]hold{}, full: map[scope]hold{}, totals: map[cloudflare.Kind]int{}}
	for s, h := range e.holds {
		if errors.Is(h.err, cloudflare.ErrQuota) {
			l.full[s] = *h
		} else {
			l.forbidden[s] = *h
		}
	}
	for kind, listed := range e.lists {
		l.totals[kind] = listed.total
		if l.observedAt.IsZero() || listed.Begun.Before(l.observedAt) {
			l.observedAt = listed.Begun
		}
	}
	return l
}

// takeRecovered tells once that something works again.
func (d *Directory) takeRecovered(key client.ObjectKey) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entry(key)
	recovered := e.recovered
	e.recovered = false
	return recovered
}

// countOwned counts what the operator made or adopted.
func countOwned(a *v1alpha1.CloudflareAccount, used usage) {
	owned := &v1alpha1.AccountOwned{}
	for i := range used.bindings {
		if b := &used.bindings[i]; b.Status.ID != "" {
			if owned.ByType == nil {
				owned.ByType = map[v1alpha1.BindingType]int32{}
			}
			owned.ByType[b.Spec.Type]++
			owned.Total++
		}
	}
	a.Status.Owned = owned
}

// needs are the permissions that what is asked of the account takes, by Cloudflare's
// name.
func needs(a *v1alpha1.CloudflareAccount, used usage) []string {
	var out []string
	for _, kind := range kindsOf(used.bindings) {
		out = append(out, cloudflare.PermissionsTo(kind, true)[0])
	}
	if a.Spec.TenantTokens == v1alpha1.TokensShare && len(used.tenants) > 0 {
		out = append(out, "AI Gateway Run", "Workers AI Read")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// lacks are those of the needs that the token hasn't got: all of them where Cloudflare
// tells, else those for whose want a call was refused.
func lacks(l ledger, needed []string) []string {
	var out []string
	for _, name := range needed {
		if l.permissions != nil && !slices.ContainsFunc(implying(name), func(p string) bool { return slices.Contains(l.permissions, p) }) {
			out = append(out, name)
		}
	}
	for s, h := range l.forbidden {
		// Who reads a kind here writes it too, and needs to be told once.
		name := cloudflare.PermissionsTo(s.kind, true)[0]
		if s.act != looking && len(h.err.Missing) > 0 && !slices.Contains(h.err.Missing, name) {
			name = h.err.Missing[0]
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// implying are the permissions that are as good as one.
func implying(name string) []string {
	if group, read := strings.CutSuffix(name, " Read"); read {
		return []string{name, group + " Write"}
	}
	return []string{name}
}

func relatePermissions(a *v1alpha1.CloudflareAccount, used usage, l ledger) *verdict {
	missing := lacks(l, needs(a, used))
	a.Status.MissingPermissions = missing
	if len(missing) == 0 {
		message := "no call was refused for want of a permission"
		if l.permissions != nil {
			message = "the token has every permission that is asked of it"
		}
		a.Marks().True(v1alpha1.ConditionPermissionsReady, v1alpha1.ReasonPermissionsComplete, message)
		return nil
	}
	message := fmt.Sprintf("the token lacks %s; add it to the token in Cloudflare's dashboard, under Manage Account > API Tokens", strings.Join(missing, ", "))
	a.Marks().False(v1alpha1.ConditionPermissionsReady, v1alpha1.ReasonPermissionMissing, message)
	return &verdict{stalled: true, reason: v1alpha1.ReasonPermissionMissing, message: message}
}

// limits are how many things Cloudflare lets an account have, where that doesn't depend on
// what the account pays (developers.cloudflare.com, limits of each product, 2026).
var limits = map[cloudflare.Kind]int32{cloudflare.KV: 1000, cloudflare.R2: 1_000_000, cloudflare.APIToken: 500}

func relateQuotas(a *v1alpha1.CloudflareAccount, l ledger) *verdict {
	var full []string
	a.Status.Quotas = nil
	for _, kind := range cloudflare.Kinds {
		total, listed := l.totals[kind]
		h, refused := l.full[scope{kind, making}]
		if refused {
			full = append(full, string(kind))
		}
		if !listed {
			continue
		}
		q := v1alpha1.AccountQuota{Type: v1alpha1.BindingType(kind), Used: int32(total)}
		switch {
		case limits[kind] != 0:
			q.Limit = new(limits[kind])
		case refused && h.used > 0:
			q.Limit = new(int32(h.used))
		}
		a.Status.Quotas = append(a.Status.Quotas, q)
	}
	if !l.observedAt.IsZero() {
		a.Status.ObservedAt = new(metav1.NewTime(l.observedAt))
	}
	if len(full) == 0 {
		a.Marks().True(v1alpha1.ConditionQuotaOK, v1alpha1.ReasonWithinQuota, "nothing was refused because the account is full")
		return nil
	}
	message := fmt.Sprintf("Cloudflare lets the account have no more things of type %s; delete some that nobody needs or ask Cloudflare for more", strings.Join(full, ", "))
	if slices.Contains(full, string(cloudflare.AIGateway)) {
		message += "; Tenants can do without an AI Gateway of their own, with spec.upstream.gateway.mode: Shared"
	}
	a.Marks().False(v1alpha1.ConditionQuotaOK, v1alpha1.ReasonQuotaExceeded, message)
	return &verdict{reason: v1alpha1.ReasonQuotaExceeded, message: message}
}
