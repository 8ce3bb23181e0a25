package account

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// GatewayName is the CloudflareBinding of the AI Gateway that an account's Tenants share.
func GatewayName(account string) string { return account + "-gateway" }

// defaultGateway is made by Cloudflare at the first call of Workers AI, and again when it
// is deleted: it is never the operator's.
const defaultGateway = "default"

// gateway sees to the one AI Gateway that Tenants share, if some do and the spec names
// none. An account may have 10 to 20. Once made it stays until the account goes: its
// settings, its logs and what it caches are worth more than its place.
func (r *Reconciler) gateway(ctx context.Context, a *v1alpha1.CloudflareAccount, used usage) (*verdict, error) {
	if a.Spec.GatewayID != "" {
		a.Status.GatewayID = a.Spec.GatewayID
		return nil, nil
	}
	b, err := r.gatewayBinding(ctx, a)
	if err != nil {
		return nil, err
	}
	if b == nil {
		a.Status.GatewayID = ""
		wanted, err := r.sharedGatewayWanted(ctx, a, used)
		if !wanted || err != nil {
			return nil, err
		}
		return r.createGateway(ctx, a)
	}
	if !metav1.IsControlledBy(b, a) {
		a.Status.GatewayID = ""
		return conflicting(b), nil
	}
	if b.Status.ID != defaultGateway && b.DeletionTimestamp == nil {
		a.Status.GatewayID = b.Status.ID
	}
	return nil, nil
}

func (r *Reconciler) createGateway(ctx context.Context, a *v1alpha1.CloudflareAccount) (*verdict, error) {
	b := &v1alpha1.CloudflareBinding{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: a.Namespace, Name: GatewayName(a.Name),
			Labels: map[string]string{"app.kubernetes.io/managed-by": "crispy-enigma"},
		},
		Spec: v1alpha1.CloudflareBindingSpec{
			Type:       v1alpha1.BindingAIGateway,
			AccountRef: v1alpha1.AccountReference{Name: a.Name},
			// It holds nobody's data, and there is room for few.
			DeletionPolicy: v1alpha1.DeletionDelete,
		},
	}
	if err := controllerutil.SetControllerReference(a, b, r.Client.Scheme()); err != nil {
		return nil, fmt.Errorf("owning the shared gateway's binding: %w", err)
	}
	err := r.Client.Create(ctx, b)
	switch {
	case apierrors.IsInvalid(err):
		message := fmt.Sprintf("CloudflareBinding %s for the shared AI Gateway is refused by the API server; give the account a shorter name, or a gateway of your own in spec.gatewayID", b.Name)
		return &verdict{stalled: true, reason: v1alpha1.ReasonChildRefused, message: message}, nil
	case apierrors.IsAlreadyExists(err):
		return nil, nil // its event comes
	case err != nil:
		return nil, fmt.Errorf("making the shared gateway's binding: %w", err)
	}
	r.Recorder.Eventf(a, nil, corev1.EventTypeNormal, "SharedGatewayWanted", actionReconcile,
		"CloudflareBinding %s makes the AI Gateway that the account's Tenants share", b.Name)
	return nil, nil
}

// gatewayBinding is the binding of the shared gateway's name, whosever it is; nil if there
// is none.
func (r *Reconciler) gatewayBinding(ctx context.Context, a *v1alpha1.CloudflareAccount) (*v1alpha1.CloudflareBinding, error) {
	b := &v1alpha1.CloudflareBinding{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: GatewayName(a.Name)}, b)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the shared gateway's binding: %w", err)
	}
	return b, nil
}

func conflicting(b *v1alpha1.CloudflareBinding) *verdict {
	return &verdict{stalled: true, reason: v1alpha1.ReasonChildConflict, message: fmt.Sprintf(
		"CloudflareBinding %s has the name of the shared AI Gateway's and isn't controlled by this account; delete or rename it, or name its gateway in spec.gatewayID", b.Name)}
}

// sharedGatewayWanted tells whether a Tenant that may use the account shares its gateway.
func (r *Reconciler) sharedGatewayWanted(ctx context.Context, a *v1alpha1.CloudflareAccount, used usage) (bool, error) {
	asked := map[string]bool{}
	for i := range used.tenants {
		t := &used.tenants[i]
		g := t.Spec.Upstream.Gateway
		if g != nil && g.Mode == v1alpha1.GatewayDedicated || asked[t.Namespace] || t.DeletionTimestamp != nil {
			continue
		}
		asked[t.Namespace] = true
		allowed, err := Allows(a, t.Namespace, func() (map[string]string, error) { return r.labelsOf(ctx, t.Namespace) })
		if allowed || err != nil {
			return allowed, err
		}
	}
	return false, nil
}

func (r *Reconciler) labelsOf(ctx context.Context, namespace string) (map[string]string, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := r.Live.Get(ctx, client.ObjectKey{Name: namespace}, ns); err != nil {
		return nil, fmt.Errorf("reading namespace %s: %w", namespace, err)
	}
	return ns.Labels, nil
}
