package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// RunControllerManager runs the real kube-controller-manager, and plays the node for the
// pods that it makes: each runs and is ready as soon as it is seen. It ends with stop,
// which waits for both.
func (c *Cluster) RunControllerManager(dir string) (stop func() error, err error) {
	user, err := c.server.AddUser(envtest.User{Name: "controller-manager", Groups: []string{"system:masters"}})
	if err != nil {
		return nil, fmt.Errorf("making the controller manager's user: %w", err)
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		return nil, fmt.Errorf("writing the controller manager's kubeconfig: %w", err)
	}
	path := filepath.Join(dir, "controller-manager.kubeconfig")
	if err := os.WriteFile(path, kubeconfig, 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(filepath.Clean(dir), "controller-manager.log"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	process := exec.CommandContext(ctx, filepath.Join(c.server.Assets, "kube-controller-manager"),
		"--kubeconfig="+path, "--authentication-kubeconfig="+path, "--authorization-kubeconfig="+path,
		"--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0",
		"--kube-api-qps=500", "--kube-api-burst=1000",
		"--controllers=deployment-controller,replicaset-controller,garbage-collector-controller,namespace-controller,serviceaccount-controller,persistentvolumeclaim-protection-controller")
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("starting the controller manager: %w", err)
	}
	node := make(chan error, 1)
	go func() { node <- c.playNode(ctx) }()
	return func() error {
		cancel()
		_ = process.Wait() // killed on purpose
		return errors.Join(<-node, log.Close())
	}, nil
}

// playNode makes every pod run as soon as it is there, and lets deleted ones go.
func (c *Cluster) playNode(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := c.watchPods(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("playing the node: %w", err)
		}
	}
	return nil
}

func (c *Cluster) watchPods(ctx context.Context) error {
	pods, err := c.Client.Watch(ctx, &corev1.PodList{})
	if err != nil {
		return err
	}
	defer pods.Stop()
	for event := range pods.ResultChan() {
		p, ok := event.Object.(*corev1.Pod)
		if !ok || event.Type == watch.Deleted {
			continue
		}
		switch {
		case p.DeletionTimestamp != nil:
			err = c.Client.Delete(ctx, p, client.GracePeriodSeconds(0))
		case p.Status.PodIP == "":
			RunPod(p)
			err = c.Client.Status().Update(ctx, p)
		}
		if client.IgnoreNotFound(err) != nil && ctx.Err() == nil {
			// The pod changed meanwhile: its next event comes.
			continue
		}
	}
	return nil
}

// RunPod writes into a pod's status what a kubelet would once it runs and is ready.
func RunPod(p *corev1.Pod) {
	now := metav1.NewTime(time.Now())
	p.Status.Phase = corev1.PodRunning
	p.Status.PodIP = "192.0.2.10"
	p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
	p.Status.StartTime = &now
	p.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: now},
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now},
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: resources.Container, Image: p.Spec.Containers[0].Image, Ready: true, Started: new(true),
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
	}}
}
