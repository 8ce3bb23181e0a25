package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	pauseImage   = "localhost/pause:enigma"
	corednsImage = "localhost/coredns:enigma"
)

// corefile: names of Services, names of the ways out, and for all others "no such name" at once instead of a wait.
const corefile = `.:53 {
  ready :8181
  errors
  hosts /etc/coredns/hosts {
    ttl 5
    reload 1s
    fallthrough
  }
  kubernetes cluster.local in-addr.arpa {
    pods insecure
    fallthrough in-addr.arpa
  }
  template ANY ANY {
    rcode NXDOMAIN
  }
  cache 5
}
`

// prepareDNS writes what CoreDNS reads; its pod sees the folder itself, so a new way out counts within a second, where
// a ConfigMap takes up to a minute.
func prepareDNS(p place) error {
	if err := os.MkdirAll(p.path("dns"), 0o755); err != nil {
		return fmt.Errorf("configuring DNS: %w", err)
	}
	if err := os.WriteFile(p.path("dns", "Corefile"), []byte(corefile), 0o600); err != nil {
		return fmt.Errorf("configuring DNS: %w", err)
	}
	if err := os.Chmod(p.path("dns", "Corefile"), 0o644); err != nil {
		return fmt.Errorf("configuring DNS: %w", err)
	}
	return replaceDNSHosts(p, "")
}

func replaceDNSHosts(p place, content string) error {
	path := p.path("dns", "hosts")
	if err := replaceFile(path, []byte(content)); err != nil {
		return fmt.Errorf("configuring DNS: %w", err)
	}
	if err := os.Chmod(path, 0o644); err != nil { // CoreDNS is not root
		return fmt.Errorf("configuring DNS: %w", err)
	}
	return nil
}

// createDNS makes CoreDNS what it is in other clusters, a Deployment behind the Service kube-dns, so that policies
// which let pods reach it are put to the test.
func (n *node) createDNS(ctx context.Context) error {
	const namespace, name = "kube-system", "coredns"
	labels := map[string]string{"k8s-app": "kube-dns"}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}
	_, errAccount := n.client.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	_, errRole := n.client.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "system:coredns"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"services", "pods", "namespaces"}, Verbs: []string{"list", "watch"}},
			{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"list", "watch"}},
		},
	}, metav1.CreateOptions{})
	_, errBinding := n.client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "system:coredns"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:coredns"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: name}},
	}, metav1.CreateOptions{})
	_, errService := n.client.CoreV1().Services(namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kube-dns", Labels: labels},
		Spec: corev1.ServiceSpec{ClusterIP: dnsIP, Selector: labels, Ports: []corev1.ServicePort{
			{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP},
		}},
	}, metav1.CreateOptions{})
	_, errDeployment := n.client.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corednsPod(n.place)},
		},
	}, metav1.CreateOptions{})
	return errors.Join(existing(errAccount), existing(errRole), existing(errBinding), existing(errService), existing(errDeployment))
}

// existing forgives what an earlier try has made.
func existing(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func corednsPod(p place) corev1.PodSpec {
	directory := corev1.HostPathDirectory
	return corev1.PodSpec{
		ServiceAccountName: "coredns",
		PriorityClassName:  "system-cluster-critical",
		DNSPolicy:          corev1.DNSDefault, // not itself
		// Port 53 for a user that is not root.
		SecurityContext: &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}},
		Containers: []corev1.Container{{
			Name: "coredns", Image: corednsImage, ImagePullPolicy: corev1.PullNever,
			Args:  []string{"-conf", "/etc/coredns/Corefile"},
			Ports: []corev1.ContainerPort{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns-tcp", ContainerPort: 53, Protocol: corev1.ProtocolTCP}},
			ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
				HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8181)}}},
			SecurityContext: &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			VolumeMounts:    []corev1.VolumeMount{{Name: "config", MountPath: "/etc/coredns", ReadOnly: true}},
		}},
		Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: p.path("dns"), Type: &directory}}}},
	}
}

// awaitDNS asks through the Service, as pods do.
func (n *node) awaitDNS(ctx context.Context) error {
	err := poll(ctx, nil, func(ctx context.Context) error {
		addresses, err := lookup(ctx, dnsIP, "kubernetes.default.svc.cluster.local.")
		if err != nil {
			return err
		}
		if len(addresses) != 1 || addresses[0] != apiIP {
			return fmt.Errorf("kubernetes.default is %s, not %s", strings.Join(addresses, " "), apiIP)
		}
		return nil
	})
	if err == nil {
		return nil
	}
	logs, _ := filepath.Glob(n.place.path("podlogs", "kube-system_coredns*", "coredns", "*.log"))
	if len(logs) == 0 {
		return fmt.Errorf("CoreDNS did not start: %w\nthe last lines of %s:\n%s", err, n.place.log("kubelet"), tail(n.place.log("kubelet")))
	}
	return fmt.Errorf("CoreDNS does not answer: %w\nthe last lines of %s:\n%s", err, logs[0], tail(logs[0]))
}
