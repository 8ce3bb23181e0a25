package tenant

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/apply"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// applyObjects writes the children. A volume that can't grow holds up nothing else: it
// stays as large as it is, and the verdict says why.
func (r *Reconciler) applyObjects(ctx context.Context, owner apply.Owner, in *resources.Inputs, objects []resources.Object) (apply.Result, *verdict, error) {
	result, err := apply.All(ctx, r.Client, owner, objects...)
	why := refusedGrowth(in, err)
	if why == "" {
		return result, nil, err
	}
	asked := in.Effective.Persistence.Size
	kept := *in
	kept.Effective.Persistence = in.Effective.Persistence.DeepCopy()
	kept.Effective.Persistence.Size = in.Claim.Size
	if objects, err = resources.All(kept); err != nil {
		return result, nil, err
	}
	rest, err := apply.All(ctx, r.Client, owner, objects...)
	result.Changes = append(result.Changes, rest.Changes...)
	return result, wait(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonChildRefused, fmt.Sprintf(
		"the volume stays at %s and doesn't grow to %s: %s; all else is as the spec says", in.Claim.Size.String(), asked.String(), why), pollMissing), err
}

// refusedGrowth says why the claim isn't made larger; empty if that isn't what the error
// is about.
func refusedGrowth(in *resources.Inputs, err error) string {
	if err == nil || in.Claim == nil || in.Effective.Persistence == nil || in.Claim.Size.Cmp(in.Effective.Persistence.Size) >= 0 {
		return ""
	}
	var refused *apply.RefusedChange
	if errors.As(err, &refused) && refused.Kind == "PersistentVolumeClaim" {
		// Its own words hold a comparison that no two servers spell alike.
		return "only a claim that is bound to a disk can grow"
	}
	var status apierrors.APIStatus
	if !apierrors.IsForbidden(err) || !errors.As(err, &status) || status.Status().Details == nil || status.Status().Details.Kind != "persistentvolumeclaims" {
		return ""
	}
	return steady(status.Status().Message)
}
