package testenv

import (
	"context"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// ExpectCreated creates a Tenant.
func (w *World) ExpectCreated(ctx context.Context, name string, options ...Option) *v1alpha1.Tenant {
	t, err := w.NewTenant(ctx, name, options...)
	gomega.ExpectWithOffset(1, err).NotTo(gomega.HaveOccurred())
	return t
}

// ExpectReconciled makes one pass that must succeed, and reads the Tenant again.
func (w *World) ExpectReconciled(ctx context.Context, t *v1alpha1.Tenant) reconcile.Result {
	result, err := w.Reconcile(ctx, t)
	gomega.ExpectWithOffset(1, err).NotTo(gomega.HaveOccurred())
	w.reload(ctx, t, 2)
	return result
}

// ExpectReady brings a Tenant to where nothing moves any more; it must be Ready there.
func (w *World) ExpectReady(ctx context.Context, t *v1alpha1.Tenant) {
	gomega.ExpectWithOffset(1, w.Settle(ctx, t)).To(gomega.Succeed())
	w.reload(ctx, t, 2)
	c := t.Condition(v1alpha1.ConditionReady)
	gomega.ExpectWithOffset(1, c).NotTo(gomega.BeNil())
	gomega.ExpectWithOffset(1, c.Status).To(gomega.Equal(metav1.ConditionTrue), "%s: %s", c.Reason, c.Message)
	w.expectKstatus(t, 2)
}

// ExpectWaiting brings a Tenant to where nothing moves; it must be Reconciling there
// for a reason.
func (w *World) ExpectWaiting(ctx context.Context, t *v1alpha1.Tenant, reason string) {
	w.expectNotReady(ctx, t, v1alpha1.ConditionReconciling, reason)
}

// ExpectStalled brings a Tenant to where nothing moves; it must be Stalled there for a
// reason.
func (w *World) ExpectStalled(ctx context.Context, t *v1alpha1.Tenant, reason string) {
	w.expectNotReady(ctx, t, v1alpha1.ConditionStalled, reason)
}

func (w *World) expectNotReady(ctx context.Context, t *v1alpha1.Tenant, condition, reason string) {
	gomega.ExpectWithOffset(2, w.Settle(ctx, t)).To(gomega.Succeed())
	w.reload(ctx, t, 3)
	c := t.Condition(condition)
	gomega.ExpectWithOffset(2, c).NotTo(gomega.BeNil(), "conditions: %+v", t.Status.Conditions)
	gomega.ExpectWithOffset(2, c.Reason).To(gomega.Equal(reason), c.Message)
	ready := t.Condition(v1alpha1.ConditionReady)
	gomega.ExpectWithOffset(2, ready.Status).To(gomega.Equal(metav1.ConditionFalse))
	gomega.ExpectWithOffset(2, ready.Reason).To(gomega.Equal(reason))
	gomega.ExpectWithOffset(2, ready.Message).To(gomega.Equal(c.Message))
	w.expectKstatus(t, 3)
}

// expectKstatus holds the rules by which kstatus reads an object: the status is about
// this generation, and no two of Ready, Reconciling and Stalled contradict each other.
func (w *World) expectKstatus(t *v1alpha1.Tenant, offset int) {
	gomega.ExpectWithOffset(offset+1, t.Status.ObservedGeneration).To(gomega.Equal(t.Generation))
	ready := t.Condition(v1alpha1.ConditionReady)
	gomega.ExpectWithOffset(offset+1, ready).NotTo(gomega.BeNil())
	reconciling, stalled := t.Condition(v1alpha1.ConditionReconciling), t.Condition(v1alpha1.ConditionStalled)
	gomega.ExpectWithOffset(offset+1, reconciling != nil && stalled != nil).To(gomega.BeFalse(), "both Reconciling and Stalled")
	for _, abnormal := range []*metav1.Condition{reconciling, stalled} {
		if abnormal != nil {
			gomega.ExpectWithOffset(offset+1, abnormal.Status).To(gomega.Equal(metav1.ConditionTrue), "abnormal conditions are True or absent")
			gomega.ExpectWithOffset(offset+1, ready.Status).To(gomega.Equal(metav1.ConditionFalse))
		}
	}
}

// ExpectNoWrites makes passes and wants no API write.
func (w *World) ExpectNoWrites(ctx context.Context, t *v1alpha1.Tenant) {
	before := len(w.Gate.Writes())
	for range 3 {
		_, err := w.Reconcile(ctx, t)
		gomega.ExpectWithOffset(1, err).NotTo(gomega.HaveOccurred())
	}
	gomega.ExpectWithOffset(1, w.Gate.Writes()[before:]).To(gomega.BeEmpty())
}

// ExpectUpdated changes a Tenant.
func (w *World) ExpectUpdated(ctx context.Context, t *v1alpha1.Tenant, change func(*v1alpha1.Tenant)) {
	w.reload(ctx, t, 2)
	change(t)
	gomega.ExpectWithOffset(1, w.Client.Update(ctx, t)).To(gomega.Succeed())
}

func (w *World) reload(ctx context.Context, t *v1alpha1.Tenant, offset int) {
	gomega.ExpectWithOffset(offset, client.IgnoreNotFound(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t))).To(gomega.Succeed())
}
