package tenant

import (
	"fmt"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// describe writes into the status what follows from the spec and its class alone.
func describe(o *observed) {
	t, status := o.tenant, &o.tenant.Status
	status.TenantID = o.effective.TenantID
	status.Model = o.effective.Chat
	status.Class = ""
	if o.class != nil {
		status.Class = o.class.Name
	}
	status.Endpoint = endpoint(t, o.claims.hosts)
	status.KeysSecret = ""
	for _, key := range o.effective.Keys {
		if key.SecretRef == nil {
			status.KeysSecret = resources.NamesOf(t.Name).Keys
		}
	}
	if o.missingClass != "" {
		// Where data is kept isn't decided by a class that may still come.
		return
	}
	status.State, status.StateDriver = o.effective.StateKind(), o.effective.State.Driver
	switch {
	case o.effective.State.Moving:
		status.StateDriver = v1alpha1.DriverEmbedded
		t.MarkTrue(v1alpha1.ConditionStatePersistent, v1alpha1.ReasonMovingState, movingMessage(o))
	case status.State == v1alpha1.StateShared:
		t.MarkTrue(v1alpha1.ConditionStatePersistent, v1alpha1.ReasonShared, "sessions, limits and usage are kept on a "+status.StateDriver+" server")
	case status.State == v1alpha1.StatePersistent:
		t.MarkTrue(v1alpha1.ConditionStatePersistent, v1alpha1.ReasonPersistent, "sessions, limits and usage are kept on a volume")
	default:
		t.MarkFalse(v1alpha1.ConditionStatePersistent, v1alpha1.ReasonEphemeral, "sessions, limits and usage are kept in the pod's memory and lost with it")
	}
}

// endpoint is the address that clients use: the first host if the API is exposed, else
// the Service.
func endpoint(t *v1alpha1.Tenant, hosts []string) string {
	exposed := t.Spec.Exposure.Gateway != nil || t.Spec.Exposure.IngressClassName != nil
	if exposed && len(hosts) > 0 {
		return "https://" + hosts[0]
	}
	return fmt.Sprintf("http://%s.%s.svc", resources.NamesOf(t.Name).Base, t.Namespace)
}
