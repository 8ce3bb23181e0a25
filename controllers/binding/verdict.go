package binding

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

const (
	// atOnce is when the next step of several is due.
	atOnce = time.Millisecond
	// slow is how often is tried what a person must mend; a change of the spec or of the
	// account wakes the binding before.
	slow = 5 * time.Minute
	// firstRetry and slow bound the back-off of what may mend itself.
	firstRetry = 2 * time.Second
)

// verdict is what a pass found.
type verdict struct {
	ready, stalled bool
	// unchanged leaves the conditions as they are: what was true before still is.
	unchanged bool
	reason    string
	message   string
	// after is when to look again, failed that the time doubles from one to the next.
	after  time.Duration
	failed bool
}

func ready(reason, message string, after time.Duration) *verdict {
	return &verdict{ready: true, reason: reason, message: message, after: after}
}

func wait(reason, message string, after time.Duration) *verdict {
	return &verdict{reason: reason, message: message, after: after}
}

func stall(reason, message string) *verdict {
	return &verdict{stalled: true, reason: reason, message: message, after: slow}
}

func retry(reason, message string, after time.Duration) *verdict {
	return &verdict{reason: reason, message: message, after: after, failed: true}
}

func (v *verdict) mark(b *v1alpha1.CloudflareBinding) {
	switch m := b.Marks(); {
	case v.unchanged:
	case v.ready:
		m.Ready(v.message)
		m.True(v1alpha1.ConditionReady, v.reason, v.message)
	case v.stalled:
		m.Stalled(v.reason, v.message)
	default:
		m.Reconciling(v.reason, v.message)
	}
}

// explain gives an error the words of a condition; nil if it has none, which is so for
// the API server's, that the queue retries.
func (p *pass) explain(err error) *verdict {
	var problem *account.Problem
	var failed *cloudflare.Error
	var immutable *cloudflare.ImmutableError
	switch {
	case errors.As(err, &problem):
		return wait(problem.Reason, problem.Message, within(problem.After))
	case errors.Is(err, account.ErrPaused):
		return p.paused()
	case errors.Is(err, account.ErrDryRun):
		return wait(v1alpha1.ReasonDryRun, fmt.Sprintf("dry run: something would be changed; set spec.actuation of CloudflareAccount %s to Reconciling to have it done", accountKey(p.b)), slow)
	case errors.As(err, &immutable):
		return stall(v1alpha1.ReasonImmutable, p.wayOut(immutable))
	case errors.As(err, &failed):
		v := p.explainCall(failed)
		// A look that failed says nothing about what is there.
		v.unchanged = p.poll && v.failed
		return v
	}
	return nil
}

func within(after time.Duration) time.Duration {
	if after <= 0 {
		return slow
	}
	return after
}

// paused leaves alone what serves.
func (p *pass) paused() *verdict {
	v := wait(v1alpha1.ReasonPaused, fmt.Sprintf("CloudflareAccount %s is paused: nothing is called; set its spec.actuation to Reconciling", accountKey(p.b)), slow)
	v.unchanged = settled(p.b)
	return v
}

func (p *pass) explainCall(e *cloudflare.Error) *verdict {
	ref := fmt.Sprintf("CloudflareAccount %s", accountKey(p.b))
	switch {
	case errors.Is(e, cloudflare.ErrRateLimited):
		return retry(v1alpha1.ReasonRateLimited, fmt.Sprintf("%s has used up its API budget or Cloudflare's; it goes on by itself", ref), e.After)
	case errors.Is(e, cloudflare.ErrUnauthorized):
		return wait(v1alpha1.ReasonTokenInvalid, fmt.Sprintf("%s: Cloudflare refuses the API token of %s; put one that is active into its Secret", e.Op, ref), slow)
	case errors.Is(e, cloudflare.ErrWrongAccount):
		return wait(v1alpha1.ReasonWrongAccount, fmt.Sprintf("%s: the API token of %s can't reach account %s; correct spec.accountID, or use a token of that account", e.Op, ref, p.b.Status.AccountID), slow)
	case errors.Is(e, cloudflare.ErrForbidden):
		return wait(v1alpha1.ReasonPermissionMissing, fmt.Sprintf("%s: the API token of %s lacks a permission; give it %s", e.Op, ref, oneOf(e.Missing, p.kind())), slow)
	case errors.Is(e, cloudflare.ErrQuota):
		return wait(v1alpha1.ReasonQuotaExceeded, p.quotaExceeded(), slow)
	case errors.Is(e, cloudflare.ErrNotEmpty):
		return wait(v1alpha1.ReasonDeleting, fmt.Sprintf("bucket %q still holds objects, and the operator empties none; empty it, or set spec.deletionPolicy to Retain to leave it", p.b.Status.ID), slow)
	case errors.Is(e, cloudflare.ErrInvalid):
		return stall(v1alpha1.ReasonRefusedByAPI, steady(e)+"; change the spec")
	case errors.Is(e, cloudflare.ErrNameTaken):
		return stall(v1alpha1.ReasonNameTaken, steady(e)+"; choose another spec.name, or adopt what is there with spec.adoption")
	}
	return retry(v1alpha1.ReasonCloudflareUnavailable, fmt.Sprintf("%s: Cloudflare doesn't answer as it should; it is tried again by itself", e.Op), e.After)
}

// steady is an error in the same words each time: the request's id is in the log.
func steady(err error) string {
	var failed *cloudflare.Error
	if !errors.As(err, &failed) {
		return err.Error()
	}
	same := *failed
	same.RequestID = ""
	return same.Error()
}

func oneOf(permissions []string, kind cloudflare.Kind) string {
	if len(permissions) == 0 {
		permissions = cloudflare.PermissionsTo(kind, true)
	}
	return `"` + strings.Join(permissions, `" or "`) + `"`
}

// quotaExceeded names the numbers where the account knows them.
func (p *pass) quotaExceeded() string {
	holds := "as many things of type " + string(p.b.Spec.Type) + " as it may"
	if p.account.Account != nil {
		for _, q := range p.account.Account.Status.Quotas {
			if q.Type == p.b.Spec.Type && q.Limit != nil {
				holds = fmt.Sprintf("%d of at most %d things of type %s", q.Used, *q.Limit, q.Type)
			}
		}
	}
	out := fmt.Sprintf("Cloudflare account %s holds %s; delete some, or have Cloudflare raise the limit", p.b.Status.AccountID, holds)
	if p.b.Spec.Type == v1alpha1.BindingAIGateway {
		out += "; Tenants need no gateway of their own with gateway.mode: Shared"
	}
	return out
}

// backoff doubles the wait of bindings whose passes fail.
type backoff struct {
	mu    sync.Mutex
	fails map[types.NamespacedName]int
}

func (b *backoff) lengthen(key types.NamespacedName, v *verdict) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !v.failed {
		delete(b.fails, key)
		return v.after
	}
	if b.fails == nil {
		b.fails = map[types.NamespacedName]int{}
	}
	b.fails[key]++
	return max(v.after, min(slow, firstRetry<<min(b.fails[key]-1, 10)))
}

func (b *backoff) forget(key types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.fails, key)
}

// again asks for another look, later by up to a fifth, so that bindings don't march in
// step. Slow looks are of low priority: what people change goes first.
func (r *Reconciler) again(after time.Duration) reconcile.Result {
	if after <= 0 {
		return reconcile.Result{}
	}
	result := reconcile.Result{RequeueAfter: after + r.upTo(after/5)}
	if after >= time.Minute {
		result.Priority = new(handler.LowPriority)
	}
	return result
}

// upTo is a time from 0 to d by chance; without chance, 0.
func (r *Reconciler) upTo(d time.Duration) time.Duration {
	var b [8]byte
	if _, err := io.ReadFull(r.Random, b[:]); err != nil {
		return 0
	}
	return time.Duration(binary.LittleEndian.Uint64(b[:]) % uint64(d+1))
}
