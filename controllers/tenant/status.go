package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// StatusReader asks one pod of a tenant how it is.
type StatusReader interface {
	// Status gives what the pod tells to whoever knows the token. An error holds no
	// secret.
	Status(ctx context.Context, pod *corev1.Pod, token string) (*tenantconfig.Status, error)
}

// ErrUnauthorized means that a pod doesn't know the operator's token, because it hasn't
// got the newest Secret yet.
var ErrUnauthorized = errors.New("the pod doesn't know the operator's token yet")

// askAtOnce bounds how many pods of a tenant are asked at the same time.
const askAtOnce = 8

// told is one pod's answer.
type told struct {
	pod    *corev1.Pod
	status *tenantconfig.Status
	err    error
}

// askPods asks every running pod how it is, brings the new document to those that
// haven't got it, and writes what they tell into the Tenant's conditions.
func (r *Reconciler) askPods(ctx context.Context, o *observed, b *built, pods []corev1.Pod) (*verdict, error) {
	answers := r.ask(ctx, pods, b.statusToken)
	var late []told
	var newest *told
	for i := range answers {
		a := &answers[i]
		if a.err != nil || a.status.ConfigDigest != b.digest {
			late = append(late, *a)
		}
		if a.err == nil && (newest == nil || a.status.ConfigDigest == b.digest) {
			newest = a
		}
	}
	if newest == nil {
		clearRuntime(o.tenant, b.toolsLack, "no pod has told yet")
	} else {
		r.relate(o, newest.status)
		relateStore(o, answers, newest)
		relateDocuments(o.tenant, answers, newest)
		relateTools(o.tenant, b.toolsLack, answers)
	}
	if len(late) == 0 {
		if len(answers) < int(o.effective.Replicas) {
			// The Deployment may not know yet that a pod is gone.
			return rolling("the pods haven't told yet that they serve the document"), nil
		}
		return nil, nil
	}
	v := r.lateness(ctx, o.tenant, late[0])
	for _, a := range late {
		if a.err != nil && !errors.Is(a.err, ErrUnauthorized) {
			continue // whether it has the document isn't known
		}
		if err := r.nudge(ctx, a.pod, b.digest, v.after); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (r *Reconciler) ask(ctx context.Context, pods []corev1.Pod, token string) []told {
	var answers []told
	for i := range pods {
		if p := &pods[i]; p.Status.PodIP != "" && started(p) {
			answers = append(answers, told{pod: p})
		}
	}
	var group sync.WaitGroup
	slots := make(chan struct{}, askAtOnce)
	for i := range answers {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			a := &answers[i]
			a.status, a.err = r.Runtime.Status(ctx, a.pod, token)
			r.Metrics.asked(a.err)
		})
	}
	group.Wait()
	return answers
}

// started tells whether the runtime's container is past its start-up probe.
func started(p *corev1.Pod) bool {
	for _, s := range p.Status.ContainerStatuses {
		if s.Name == resources.Container {
			return s.State.Running != nil && s.Started != nil && *s.Started
		}
	}
	return false
}

// annotationNudge changes with every attempt: the kubelet looks at a mounted Secret
// again when its pod changes, and may look before its own copy is new.
const annotationNudge = "ai.crispy-enigma.dev/config-nudged-at"

// nudge patches a pod so that its kubelet brings the newest Secret to it, once an
// interval at most: the patch itself wakes the Tenant.
func (r *Reconciler) nudge(ctx context.Context, p *corev1.Pod, digest string, interval time.Duration) error {
	now := r.Clock.Now()
	if p.Annotations[resources.AnnotationConfig] == digest {
		last, err := strconv.ParseInt(p.Annotations[annotationNudge], 10, 64)
		if since := now.Sub(time.Unix(last, 0)); err == nil && since >= 0 && since < interval {
			return nil
		}
	}
	patched := p.DeepCopy()
	metav1.SetMetaDataAnnotation(&patched.ObjectMeta, resources.AnnotationConfig, digest)
	metav1.SetMetaDataAnnotation(&patched.ObjectMeta, annotationNudge, strconv.FormatInt(now.Unix(), 10))
	err := r.Client.Patch(ctx, patched, client.MergeFrom(p))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("telling pod %s of its new document: %w", p.Name, err)
	}
	return nil
}

// lateness is the verdict about a pod that doesn't serve the document written last.
func (r *Reconciler) lateness(ctx context.Context, t *v1alpha1.Tenant, a told) *verdict {
	after := pollConfig
	if c := t.Condition(v1alpha1.ConditionWorkloadReady); c != nil && c.Status == metav1.ConditionFalse && r.Clock.Since(c.LastTransitionTime.Time) > configPatience {
		after = pollConfigSlow
	}
	condition := v1alpha1.ConditionWorkloadReady
	switch {
	case errors.Is(a.err, ErrUnauthorized):
		return wait(condition, v1alpha1.ReasonConfigNotLoaded, "the pods haven't got the newest Secret yet", after)
	case a.err != nil:
		log.FromContext(ctx).Info("pod doesn't tell its status", "pod", a.pod.Name, "error", a.err.Error())
		return wait(condition, v1alpha1.ReasonStatusUnreachable, "a pod doesn't answer the operator on its metrics port; check that no NetworkPolicy stands between them", max(after, pollSilent))
	case a.status.ConfigError != "":
		return wait(condition, v1alpha1.ReasonConfigRefused, "the pods refuse the document and serve the one before: "+steady(a.status.ConfigError), after)
	}
	return wait(condition, v1alpha1.ReasonConfigNotLoaded, "the pods don't serve the document that was written last yet", after)
}

// relate writes what a pod tells into the Tenant's conditions and usage.
func (r *Reconciler) relate(o *observed, s *tenantconfig.Status) {
	t := o.tenant
	relateModel(o, s.Model)
	relateBudget(o, s.Usage)
	usage := v1alpha1.UsageStatus{
		TokensToday:       s.Usage.TokensToday,
		TokensThisMonth:   s.Usage.TokensThisMonth,
		MicroUSDThisMonth: s.Usage.MicroUSDMonth,
	}
	if had := t.Status.Usage; had != nil {
		usage.ObservedAt = had.ObservedAt
		if usage == *had {
			// The same figures a minute later are no news.
			return
		}
	}
	usage.ObservedAt = new(metav1.NewTime(r.Clock.Now()))
	t.Status.Usage = &usage
}

// relateStore tells of the first pod that can't use its state: each may be on another node
// of a server.
func relateStore(o *observed, answers []told, newest *told) {
	store := newest.status.Store
	for _, a := range answers {
		if a.err == nil && !a.status.Store.OK && store.OK {
			store = a.status.Store
		}
	}
	t := o.tenant
	switch {
	case store.OK:
		t.MarkTrue(v1alpha1.ConditionStateStoreReachable, v1alpha1.ReasonStateStoreAnswers, "the pods read and write their state")
	case o.effective.State.Shared() && slices.Contains(storeRefuses, store.Reason):
		t.MarkFalse(v1alpha1.ConditionStateStoreReachable, v1alpha1.ReasonStateLoginFailed, "the state server doesn't take the tenant's login; it is made anew if it is the operator's, else check the Secret of spec.state")
	default:
		t.MarkFalse(v1alpha1.ConditionStateStoreReachable, v1alpha1.ReasonStateStoreFailing, "the pods can't use their state store: "+steady(store.Reason))
	}
}

// storeRefuses are the runtime's words for a login that its server doesn't take.
var storeRefuses = []string{"unauthorized", "denied"}

func relateModel(o *observed, m tenantconfig.ModelStatus) {
	t := o.tenant
	switch {
	case o.effective.Chat == v1alpha1.ExtractiveModel:
		t.MarkTrue(v1alpha1.ConditionModelReady, v1alpha1.ReasonExtractive, "the built-in model quotes sentences of the conversation; connect a model in spec.upstream")
	case m.State == "ok":
		t.MarkTrue(v1alpha1.ConditionModelReady, v1alpha1.ReasonModelAnswers, "the chat model answered when it was last asked")
	case m.State == "failing":
		t.MarkFalse(v1alpha1.ConditionModelReady, reasonOf(m.Reason), modelAdvice(m.Reason))
	default:
		t.MarkUnknown(v1alpha1.ConditionModelReady, v1alpha1.ReasonModelUnknown, "the chat model hasn't been asked yet")
	}
}

func modelAdvice(reason string) string {
	advice := "the chat model failed when it was last asked"
	if reason != "" {
		advice += " (" + steady(reason) + ")"
	}
	return advice + "; check spec.upstream, its credentials and spec.models.chat"
}

// reasonOf makes a condition's reason of the runtime's word: rate_limited becomes
// RateLimited.
func reasonOf(word string) string {
	reason := make([]byte, 0, len(word))
	upper := true
	for i := range len(word) {
		c := word[i]
		switch {
		case c >= 'a' && c <= 'z' && upper:
			reason = append(reason, c-'a'+'A')
			upper = false
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9' && len(reason) > 0:
			reason = append(reason, c)
			upper = false
		default:
			upper = true
		}
	}
	if len(reason) == 0 || len(reason) > maxReason {
		return v1alpha1.ReasonModelFailing
	}
	return string(reason)
}

// maxReason is far below what the API takes and above every word of the runtime.
const maxReason = 64

func relateBudget(o *observed, usage tenantconfig.UsageStatus) {
	t := o.tenant
	if t.Spec.Budget == nil {
		t.Unmark(v1alpha1.ConditionBudgetOK)
		return
	}
	limit := t.Spec.Budget.MonthlyUSD.ScaledValue(-6)
	if usage.MicroUSDMonth < limit {
		if model := unpriced(o); model != "" {
			t.MarkUnknown(v1alpha1.ConditionBudgetOK, v1alpha1.ReasonPriceUnknown, fmt.Sprintf(
				"calls of %q count as free of charge, since no price is known; add it to the spec.prices of the tenant's class", model))
			return
		}
		t.MarkTrue(v1alpha1.ConditionBudgetOK, v1alpha1.ReasonWithinBudget, "the month's spending is within spec.budget.monthlyUSD")
		return
	}
	effect := map[v1alpha1.BudgetAction]string{
		"Warn":     "calls are served on",
		"Throttle": "calls are throttled to a tenth of the rate limit",
	}[t.Spec.Budget.OnExceeded]
	if effect == "" {
		effect = "calls are refused until the month ends"
	}
	t.MarkFalse(v1alpha1.ConditionBudgetOK, v1alpha1.ReasonBudgetExceeded, "spec.budget.monthlyUSD is spent and "+effect+"; raise it to go on")
}

// unpriced is the first model that the tenant may call and its class has no price of;
// empty if there is none. The built-in model is free.
func unpriced(o *observed) string {
	for _, model := range slices.Concat(o.effective.Allowed, o.effective.Fallbacks) {
		priced := o.class != nil && slices.ContainsFunc(o.class.Spec.Prices, func(p v1alpha1.ModelPrice) bool { return p.Model == model })
		if !priced && model != v1alpha1.ExtractiveModel {
			return model
		}
	}
	return ""
}

// clearRuntime says that what only pods can tell isn't known.
func clearRuntime(t *v1alpha1.Tenant, toolsLack *verdict, why string) {
	clearDocuments(t, why)
	clearTools(t, toolsLack, why)
	t.MarkUnknown(v1alpha1.ConditionModelReady, v1alpha1.ReasonNotTold, why)
	t.MarkUnknown(v1alpha1.ConditionStateStoreReachable, v1alpha1.ReasonNotTold, why)
	if t.Spec.Budget == nil {
		t.Unmark(v1alpha1.ConditionBudgetOK)
	} else if t.Condition(v1alpha1.ConditionBudgetOK) == nil {
		t.MarkUnknown(v1alpha1.ConditionBudgetOK, v1alpha1.ReasonNotTold, why)
	}
}
