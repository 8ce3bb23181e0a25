package tenant

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// observed is all that the checks decide on, read once a pass.
type observed struct {
	tenant *v1alpha1.Tenant
	// class in force; nil for the built-in defaults.
	class *v1alpha1.TenantClass
	// missingClass is the class that the Tenant names and that isn't there.
	missingClass string
	effective    v1alpha1.Effective
	claims       claims
	// namespaceLabels are read only where a selector asks for them.
	namespaceLabels map[string]string
	capabilities    resources.Capabilities
}

func (r *Reconciler) observe(ctx context.Context, t *v1alpha1.Tenant) (*observed, error) {
	o := &observed{tenant: t, capabilities: r.capabilities()}
	if err := r.observeClass(ctx, o); err != nil {
		return nil, err
	}
	if err := r.rememberState(ctx, o); err != nil {
		return nil, err
	}
	o.effective = v1alpha1.EffectiveOf(t, o.class)
	if err := r.forgetVolume(ctx, o); err != nil {
		return nil, err
	}
	var err error
	if o.claims, err = r.claimsOf(ctx, t); err != nil {
		return nil, err
	}
	if o.class != nil && len(o.class.Spec.HostSuffixes) > 0 && len(t.Spec.Exposure.Hosts) > 0 {
		if o.namespaceLabels, err = r.labelsOf(ctx, t.Namespace); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// observeClass finds the class that the Tenant names, else the oldest default, else
// none.
func (r *Reconciler) observeClass(ctx context.Context, o *observed) error {
	name := className(o.tenant)
	if r.ClassFile != nil {
		if name == "" || name == r.ClassFile.Name {
			o.class = r.ClassFile
		} else {
			o.missingClass = name
		}
		return nil
	}
	if len(r.Namespaces) > 0 {
		o.missingClass = name
		return nil
	}
	var list v1alpha1.TenantClassList
	if err := r.Client.List(ctx, &list); err != nil {
		return fmt.Errorf("listing the classes: %w", err)
	}
	for i := range list.Items {
		class := &list.Items[i]
		switch {
		case name != "" && class.Name == name,
			name == "" && class.Spec.Default && (o.class == nil || olderClass(class, o.class)):
			o.class = class
		}
	}
	if o.class == nil {
		o.missingClass = name
	}
	return nil
}

func olderClass(a, b *v1alpha1.TenantClass) bool {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.UID < b.UID
	}
	return a.CreationTimestamp.Before(&b.CreationTimestamp)
}

// rememberState restores status.state from the volume if the status was lost, so that a
// Tenant restored from a backup finds its data whatever its class says now.
func (r *Reconciler) rememberState(ctx context.Context, o *observed) error {
	t := o.tenant
	if t.Status.State != "" {
		return nil
	}
	claim, err := r.claim(ctx, t)
	if err != nil {
		return err
	}
	identity := resources.Identity(r.Operator.OwnerID, t, v1alpha1.EffectiveOf(t, o.class))
	if claim != nil && claim.Labels[resources.StorageIdentity] == resources.IdentityMark(identity) {
		t.Status.State = v1alpha1.StatePersistent
	}
	return nil
}

// forgetVolume ends a move that has nothing to move: the volume was never made, or is gone.
func (r *Reconciler) forgetVolume(ctx context.Context, o *observed) error {
	if !o.effective.State.Moving {
		return nil
	}
	claim, err := r.claim(ctx, o.tenant)
	if claim != nil || err != nil {
		return err
	}
	o.tenant.Status.State, o.tenant.Status.StateDriver = v1alpha1.StateShared, o.effective.State.Driver
	o.effective = v1alpha1.EffectiveOf(o.tenant, o.class)
	return nil
}

// claim is the volume's claim, nil if there is none. The cache doesn't show one whose
// label was removed, and what it can't change any more would be asked of it.
func (r *Reconciler) claim(ctx context.Context, t *v1alpha1.Tenant) (*corev1.PersistentVolumeClaim, error) {
	key := client.ObjectKey{Namespace: t.Namespace, Name: resources.NamesOf(t.Name).State}
	for _, reader := range []client.Reader{r.Client, r.Live} {
		claim := &corev1.PersistentVolumeClaim{}
		err := reader.Get(ctx, key, claim)
		if err == nil {
			return claim, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("reading the volume claim: %w", err)
		}
	}
	return nil, nil
}

// labelsOf reads a namespace live: labels matter to few tenants, and no watch is worth
// keeping for them.
func (r *Reconciler) labelsOf(ctx context.Context, namespace string) (map[string]string, error) {
	ns, err := r.namespace(ctx, namespace)
	if err != nil {
		return nil, err
	}
	return ns.Labels, nil
}

func (r *Reconciler) namespace(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := r.Live.Get(ctx, client.ObjectKey{Name: name}, ns); err != nil {
		return nil, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	return ns, nil
}

func (r *Reconciler) capabilities() resources.Capabilities {
	c := r.Cluster
	c.GatewayAPI = r.Gateway.Served()
	return c
}
