package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/apply"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// built is what the workload phase has put in place.
type built struct {
	// digest of the document that the pods shall serve.
	digest string
	// statusToken that the pods know the operator by.
	statusToken string
	// nextChange is when the document changes by time alone; zero for never.
	nextChange time.Time
	// generation of the Deployment, if this pass wrote it.
	generation int64
	// volume says why the volume isn't what the spec asks for; nil if it is.
	volume *verdict
	// toolsLack says which secret of a tool is missing; nil if none is.
	toolsLack *verdict
}

// applyChildren makes the Tenant's children what they should be.
func (r *Reconciler) applyChildren(ctx context.Context, o *observed, found credentials) (*built, *verdict, error) {
	in, err := r.inputs(ctx, o, found)
	if err != nil {
		return nil, nil, err
	}
	secrets, err := r.readOwnSecrets(ctx, o.tenant)
	if err != nil {
		return nil, refusal(err), unexplained(err)
	}
	rotated, err := r.withSecrets(in, secrets)
	if err != nil {
		return nil, nil, err
	}
	document, err := resources.Config(*in)
	if err != nil {
		return nil, refusal(err), unexplained(err)
	}
	objects, err := resources.All(*in)
	if err != nil {
		return nil, refusal(err), unexplained(err)
	}
	// Only now: a Tenant that is refused anyhow gets no keys.
	if err := r.createKeys(ctx, in); err != nil {
		return nil, refusal(err), unexplained(err)
	}
	if in.KeysVersion != "" && secrets.keys == nil {
		if objects, err = resources.All(*in); err != nil {
			return nil, refusal(err), unexplained(err)
		}
	}
	result, volume, err := r.applyObjects(ctx, r.owner(o, in, secrets), in, objects)
	if in.KeysVersion != "" && secrets.keys == nil {
		made := apply.Change{Verb: apply.Created, Kind: "Secret", Name: resources.NamesOf(o.tenant.Name).Keys}
		result.Changes = append([]apply.Change{made}, result.Changes...)
	}
	digest := tenantconfig.DigestOf(document)
	r.report(ctx, o.tenant, digest, result)
	if apierrors.IsNotFound(err) {
		r.Gateway.Doubt() // of all kinds only its kinds come and go
	}
	if err != nil {
		return nil, refusal(err), unexplained(err)
	}
	r.announceRotation(o.tenant, rotated)
	o.tenant.Status.ConfigDigest = digest
	o.tenant.Status.Image = resources.Image(*in)
	return &built{
		digest:      o.tenant.Status.ConfigDigest,
		statusToken: in.StatusToken,
		nextChange:  resources.NextChange(*in, document),
		generation:  deploymentWritten(result),
		volume:      volume,
		toolsLack:   found.toolsLack,
	}, nil, nil
}

func deploymentWritten(result apply.Result) int64 {
	var generation int64
	for _, c := range result.Changes {
		if c.Kind == "Deployment" {
			generation = max(generation, c.Generation)
		}
	}
	return generation
}

func (r *Reconciler) inputs(ctx context.Context, o *observed, found credentials) (*resources.Inputs, error) {
	in := &resources.Inputs{
		Tenant:    o.tenant,
		Class:     o.class,
		Effective: o.effective,
		Operator:  r.Operator,
		Cluster:   o.capabilities,
		Hosts:     o.claims.hosts,
		Keys:      found.referenced,
		Now:       r.Clock.Now(),
	}
	found.into(in)
	if o.effective.Persistence != nil {
		claim, err := r.claim(ctx, o.tenant)
		if err != nil {
			return nil, err
		}
		in.Claim = claimOf(claim)
	}
	deployment, err := r.deployment(ctx, o.tenant)
	if err != nil {
		return nil, err
	}
	if deployment != nil {
		in.Replicas = deployment.Spec.Replicas
	}
	return in, nil
}

// claimOf is what a live claim can't change any more.
func claimOf(c *corev1.PersistentVolumeClaim) *resources.Claim {
	if c == nil {
		return nil
	}
	return &resources.Claim{Size: *c.Spec.Resources.Requests.Storage(), StorageClassName: c.Spec.StorageClassName}
}

func (r *Reconciler) deployment(ctx context.Context, t *v1alpha1.Tenant) (*appsv1.Deployment, error) {
	deployment := &appsv1.Deployment{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: resources.NamesOf(t.Name).Base}, deployment)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Deployment: %w", err)
	}
	return deployment, nil
}

// stopPods scales the Deployment to zero without knowing what else it should be.
func (r *Reconciler) stopPods(ctx context.Context, t *v1alpha1.Tenant) error {
	deployment, err := r.deployment(ctx, t)
	if err != nil || deployment == nil || !metav1.IsControlledBy(deployment, t) {
		return err
	}
	if n := deployment.Spec.Replicas; n != nil && *n == 0 {
		return nil
	}
	stopped := deployment.DeepCopy()
	stopped.Spec.Replicas = new(int32(0))
	err = r.Client.Patch(ctx, stopped, client.MergeFrom(deployment), client.FieldOwner(apply.FieldOwner))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("stopping the pods of a suspended tenant: %w", err)
	}
	return nil
}

// owner prunes the kinds of which something may be left. Secrets and HTTPRoutes are
// listed past the cache: only where the one that a Tenant may have isn't wanted.
func (r *Reconciler) owner(o *observed, in *resources.Inputs, have ownSecrets) apply.Owner {
	keysLeft := have.keys != nil && len(in.Generated) == 0
	routeWanted := o.tenant.Spec.Exposure.Gateway != nil && len(in.Hosts) > 0
	return apply.Owner{
		Object:      o.tenant,
		Inventory:   resources.Inventory(o.tenant.Name),
		IdentityKey: resources.StorageIdentity,
		Prune: slices.DeleteFunc(resources.Kinds(o.capabilities), func(k schema.GroupVersionKind) bool {
			return k.Kind == "Secret" && !keysLeft || k.Kind == "HTTPRoute" && routeWanted
		}),
		Live: r.Live,
	}
}

// report tells of what was written for the document of a digest, in the log and as
// metrics.
func (r *Reconciler) report(ctx context.Context, t *v1alpha1.Tenant, digest string, result apply.Result) {
	for _, change := range result.Changes {
		level := 0
		if change.Verb == apply.Migrated { // what the child is hasn't changed
			level = 1
		}
		log.FromContext(ctx).V(level).Info("child "+change.Verb, "kind", change.Kind, "child", change.Name, "fields", change.Fields)
		r.Metrics.childWritten(change.Kind, change.Verb)
	}
	r.announceChanges(t, digest, result)
}

// refusal is the verdict that an error of building or applying children explains; nil
// for one that a retry may mend.
func refusal(err error) *verdict {
	var (
		document *resources.DocumentError
		patch    *resources.PodPatchError
		foreign  *apply.ForeignObject
		refused  *apply.RefusedChange
	)
	switch {
	case errors.As(err, &document):
		return stall(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonDocumentRefused, document.Error())
	case errors.As(err, &patch):
		return stall(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonPodPatchRefused, patch.Error())
	case errors.As(err, &foreign) && foreign.Leaving:
		return wait(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonChildConflict, foreign.Error(), pollMissing)
	case errors.As(err, &foreign):
		return stall(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonChildConflict, foreign.Error())
	case errors.As(err, &refused):
		return stall(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonChildRefused, refused.Error())
	case errors.Is(err, apply.ErrNamespaceTerminating):
		return wait(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonNamespaceDeleting, "the namespace is being deleted, and the tenant with it", pollSettled)
	case apierrors.IsForbidden(err):
		// A quota, an admission policy or missing rights: each ends without our doing.
		return wait(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonChildRefused, "the API server refuses: "+err.Error(), pollRollout)
	}
	return nil
}

// unexplained is an error that no verdict stands for.
func unexplained(err error) error {
	if refusal(err) != nil {
		return nil
	}
	return err
}

// namespaceGoes tells whether a namespace that was seen to be terminating still is:
// nothing is written into it then.
func (r *Reconciler) namespaceGoes(ctx context.Context, t *v1alpha1.Tenant) (bool, error) {
	c := t.Condition(v1alpha1.ConditionReconciling)
	if c == nil || c.Reason != v1alpha1.ReasonNamespaceDeleting {
		return false, nil
	}
	ns, err := r.namespace(ctx, t.Namespace)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return err == nil && ns.DeletionTimestamp != nil, err
}
