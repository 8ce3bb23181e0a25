package tenant_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
)

func waiting(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "runtime", Image: "img", State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
	}}
}

func ended(code int32, message string) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error", Message: message}
}

func podWith(s corev1.ContainerStatus) []corev1.Pod {
	return []corev1.Pod{{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{s}}}}
}

func unscheduled(message string) []corev1.Pod {
	return []corev1.Pod{{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message,
	}}}}}
}

func TestARolloutSaysWhatKeepsIt(t *testing.T) {
	crashed := waiting("CrashLoopBackOff", "back-off 10s restarting failed container")
	crashed.LastTerminationState.Terminated = ended(2, "auth.keys: must hold a key")
	between := corev1.ContainerStatus{Name: "runtime"}
	between.State.Terminated = ended(2, "auth.keys: must hold a key")
	for name, c := range map[string]struct {
		pods         []corev1.Pod
		reason, says string
	}{
		"nothing yet":        {nil, v1alpha1.ReasonRollingOut, "being started"},
		"pull":               {podWith(waiting("ErrImagePull", "registry says 404")), v1alpha1.ReasonImagePullFailed, "registry says 404"},
		"pull, between":      {podWith(waiting("ImagePullBackOff", `Back-off pulling image "img": ErrImagePull: registry says 404`)), v1alpha1.ReasonImagePullFailed, "can't be pulled: registry says 404"},
		"crash":              {podWith(crashed), v1alpha1.ReasonPodCrashing, "ended with code 2 (Error): auth.keys: must hold a key"},
		"crash, in the act":  {podWith(between), v1alpha1.ReasonPodCrashing, "ended with code 2 (Error): auth.keys: must hold a key"},
		"no start":           {podWith(waiting("CreateContainerConfigError", `secret "x" not found`)), v1alpha1.ReasonPodCrashing, `secret "x" not found`},
		"no node":            {unscheduled("0/1 nodes are available: insufficient memory"), v1alpha1.ReasonUnschedulable, "insufficient memory"},
		"no volume":          {unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims"), v1alpha1.ReasonVolumePending, "waits for its volume"},
		"a message too long": {unscheduled(strings.Repeat("ä", 5000)), v1alpha1.ReasonUnschedulable, "…"},
	} {
		t.Run(name, func(t *testing.T) {
			v := tenant.Rollout(&appsv1.Deployment{}, c.pods)
			if v.Reason() != c.reason || !strings.Contains(v.Message(), c.says) || len(v.Message()) > 700 {
				t.Errorf("got %s: %s\nwant %s: …%s…", v.Reason(), v.Message(), c.reason, c.says)
			}
		})
	}
}

func TestARefusedPodShowsTheServersReason(t *testing.T) {
	d := &appsv1.Deployment{Status: appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{{
		Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "exceeded quota",
	}}}}
	if v := tenant.Rollout(d, nil); v.Reason() != v1alpha1.ReasonPodRefused || !strings.Contains(v.Message(), "exceeded quota") {
		t.Errorf("got %s", v.Reason())
	}
	d.Status = appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
	if v := tenant.Rollout(d, nil); v.Reason() != "" {
		t.Errorf("a finished rollout is %s", v.Reason())
	}
	d.Status.Replicas = 2
	if v := tenant.Rollout(d, nil); v.Reason() != v1alpha1.ReasonRollingOut {
		t.Errorf("a rollout with an old pod left is %q", v.Reason())
	}
}
