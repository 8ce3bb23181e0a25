package tenant

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// AnnotationLetGo on a Tenant that is being deleted, with the value "true", lets it go
// though the server that its data is kept on can't be reached.
const AnnotationLetGo = "ai.crispy-enigma.dev/let-go"

// finalizeState erases what the Tenant keeps on servers, or says where it stays, and
// removes its logins: once no pod is left that writes. The verdict is what is waited for.
func (r *Reconciler) finalizeState(ctx context.Context, o *observed) (*verdict, error) {
	t := o.tenant
	servers := wantedServers(o.effective.State)
	if t.Annotations[AnnotationLetGo] == "true" {
		r.announceLetGo(t, r.tag(o))
		return nil, nil
	}
	if err := r.stopPods(ctx, t); err != nil {
		return nil, err
	}
	if pod, err := r.anyPod(ctx, t); pod != "" || err != nil {
		return wait("", v1alpha1.ReasonDeleting, fmt.Sprintf(
			"the tenant is being deleted: its data is dealt with once no pod is left, and pod %s still is", pod), pollSilent), err
	}
	for _, s := range servers {
		if s.own && o.effective.DeletionPolicy != v1alpha1.DeletionDelete {
			continue // there is nothing to do on it, and its Secret may be gone
		}
		missing, err := r.locate(ctx, o, s)
		if err != nil {
			return nil, err
		}
		if missing != nil {
			return undone(s, missing.message), nil
		}
		if waiting, err := r.leave(ctx, o, s); waiting != nil || err != nil {
			return waiting, err
		}
	}
	// Only now, so that an event tells of what has happened once.
	for _, s := range servers {
		r.announceState(o, s)
	}
	return nil, nil
}

// leave takes the Tenant off one server.
func (r *Reconciler) leave(ctx context.Context, o *observed, s *sharedServer) (*verdict, error) {
	server, err := r.server(s)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	if o.effective.DeletionPolicy == v1alpha1.DeletionDelete {
		more, err := server.Erase(limited, r.tag(o))
		if err != nil {
			return r.unleft(s, "its data can't be erased", err)
		}
		if more {
			return wait("", v1alpha1.ReasonDeleting, "the tenant is being deleted: its data is being erased from the "+s.address.Kind()+" server", pollConfig), nil
		}
	}
	if s.own {
		return nil, nil
	}
	if err := server.Expel(limited, r.tag(o)); err != nil {
		return r.unleft(s, "its login can't be removed", err)
	}
	return nil, nil
}

func (r *Reconciler) unleft(s *sharedServer, what string, err error) (*verdict, error) {
	message, known := describeLogin(s, what, err)
	if !known {
		return nil, err
	}
	return undone(s, message), nil
}

// undone says what keeps a Tenant from going, and the way out.
func undone(s *sharedServer, why string) *verdict {
	return wait("", v1alpha1.ReasonStateLoginFailed, fmt.Sprintf(
		"the tenant is being deleted, and what it has on the server of %s isn't dealt with yet: %s; it is tried again, or to leave it there: annotate the Tenant with %s=true",
		s.field, steady(why), AnnotationLetGo), pollMissing)
}

// anyPod names a pod of the Tenant that may still write, ending ones among them; empty if
// there is none. It is read live.
func (r *Reconciler) anyPod(ctx context.Context, t *v1alpha1.Tenant) (string, error) {
	var list corev1.PodList
	if err := r.Live.List(ctx, &list, client.InNamespace(t.Namespace), client.MatchingLabels(resources.Selector(t.Name))); err != nil {
		return "", fmt.Errorf("listing the pods: %w", err)
	}
	for _, p := range list.Items {
		if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			return p.Name, nil
		}
	}
	return "", nil
}

func (r *Reconciler) announceState(o *observed, s *sharedServer) {
	if s.address == nil {
		r.Recorder.Eventf(o.tenant, nil, corev1.EventTypeNormal, "StateRetained", actionDelete,
			"the data stays on the server of %s.secretRef under the tag %s; a new Tenant of the same name and id takes it up", s.field, r.tag(o))
		return
	}
	if o.effective.DeletionPolicy == v1alpha1.DeletionDelete {
		r.Recorder.Eventf(o.tenant, nil, corev1.EventTypeNormal, "StateErased", actionDelete,
			"what the tenant kept on the %s server %s is erased", s.address.Kind(), s.address.Host())
		return
	}
	r.Recorder.Eventf(o.tenant, nil, corev1.EventTypeNormal, "StateRetained", actionDelete,
		"the data stays on the %s server %s under the tag %s; a new Tenant of the same name and id takes it up", s.address.Kind(), s.address.Host(), r.tag(o))
}

func (r *Reconciler) announceLetGo(t *v1alpha1.Tenant, tag string) {
	r.Recorder.Eventf(t, nil, corev1.EventTypeWarning, "LetGo", actionDelete,
		"the tenant was let go by its annotation; its server may still hold its data and logins under the tag %s", tag)
}
