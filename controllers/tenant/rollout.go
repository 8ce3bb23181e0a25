package tenant

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// inspect looks at what runs: the rollout, the pods' own word, the route. Each verdict
// is written into its condition; the worst becomes the Tenant's.
func (r *Reconciler) inspect(ctx context.Context, o *observed, b *built) ([]*verdict, error) {
	t := o.tenant
	var workload *verdict
	if o.effective.Replicas == 0 {
		clearRuntime(t, b.toolsLack, "the tenant has no pods")
	} else {
		pods, err := r.pods(ctx, t)
		if err != nil {
			return nil, err
		}
		deployment, err := r.deployment(ctx, t)
		if err != nil {
			return nil, err
		}
		rolled := rollout(deployment, pods)
		if deployment != nil && deployment.Generation < b.generation {
			rolled = rolling("the pods are being started")
		}
		asked, err := r.askPods(ctx, o, b, pods)
		if err != nil {
			return nil, err
		}
		workload = worst(rolled, asked)
	}
	if workload == nil {
		workload = b.volume
	}
	if workload == nil {
		t.MarkTrue(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonReady, workloadMessage(o))
	} else if workload.condition != "" {
		t.MarkFalse(workload.condition, workload.reason, workload.message)
	}
	route, err := r.route(ctx, o)
	if err != nil {
		return nil, err
	}
	return []*verdict{hostsAreFree(o), workload, route}, nil
}

func workloadMessage(o *observed) string {
	if o.effective.Replicas == 0 {
		return "no pods are asked for"
	}
	return "the pods run and serve the document that was written last"
}

func (r *Reconciler) pods(ctx context.Context, t *v1alpha1.Tenant) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := r.Client.List(ctx, &list, client.InNamespace(t.Namespace), client.MatchingLabels(resources.Selector(t.Name))); err != nil {
		return nil, fmt.Errorf("listing the pods: %w", err)
	}
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	})
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return pods, nil
}

// rollout tells why the Deployment isn't fully rolled out; nil if it is.
func rollout(d *appsv1.Deployment, pods []corev1.Pod) *verdict {
	if d == nil {
		return rolling("the Deployment isn't there yet")
	}
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	s := d.Status
	if s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == want && s.AvailableReplicas == want && s.Replicas == want {
		return nil
	}
	for i := range pods {
		if v := trouble(&pods[i]); v != nil {
			return v
		}
	}
	for _, c := range s.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return wait(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonPodRefused, "the API server refuses the pod: "+steady(c.Message), pollRollout)
		}
	}
	return rolling("the pods are being started")
}

func rolling(message string) *verdict {
	return wait(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonRollingOut, message, pollRollout)
}

// trouble is what keeps one pod from getting ready by itself; nil if it only takes time.
func trouble(p *corev1.Pod) *verdict {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			if strings.Contains(c.Message, "PersistentVolumeClaim") || strings.Contains(c.Message, "persistentvolumeclaim") {
				return wait(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonVolumePending, "the pod waits for its volume, see `kubectl describe pvc`: "+steady(c.Message), pollRollout)
			}
			return wait(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonUnschedulable, "no node takes the pod: "+steady(c.Message), pollRollout)
		}
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if v := containerTrouble(&s); v != nil {
			return v
		}
	}
	return nil
}

func containerTrouble(s *corev1.ContainerStatus) *verdict {
	if waiting := s.State.Waiting; waiting != nil {
		switch waiting.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed":
			return wait(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonImagePullFailed, fmt.Sprintf(
				"the image %s can't be pulled: %s", s.Image, pullMessage(waiting.Message)), pollRollout)
		case "RunContainerError", "CreateContainerError", "CreateContainerConfigError":
			return wait(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonPodCrashing, fmt.Sprintf(
				"the container %s doesn't start: %s", s.Name, steady(waiting.Message)), pollRollout)
		}
	}
	ended := s.State.Terminated
	if ended == nil {
		ended = s.LastTerminationState.Terminated
	}
	if s.Ready || ended == nil || ended.ExitCode == 0 {
		return nil
	}
	return wait(v1alpha1.ConditionWorkloadReady, v1alpha1.ReasonPodCrashing, crash(s.Name, ended), pollRollout)
}

// pullMessage is the kubelet's text without what changes from one attempt to the next.
func pullMessage(message string) string {
	if _, cause, ok := strings.Cut(message, "ErrImagePull: "); ok {
		message = cause
	}
	if message = steady(message); message == "" {
		message = "check its name, that the registry is reachable, and its pull secret"
	}
	return message
}

// crash tells how a container ended, in words that stay the same while it goes on.
func crash(container string, ended *corev1.ContainerStateTerminated) string {
	how := fmt.Sprintf("the container %s ended with code %d (%s)", container, ended.ExitCode, ended.Reason)
	if message := steady(ended.Message); message != "" {
		return how + ": " + message
	}
	return how + "; see its log with `kubectl logs --previous`"
}

// maxQuoted bounds foreign text in a condition, in bytes.
const maxQuoted = 512

// steady makes one line of bounded length out of foreign text.
func steady(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if len(message) > maxQuoted {
		message = strings.ToValidUTF8(message[:maxQuoted], "") + "…"
	}
	return message
}
