package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/hack/cluster/forward"
)

// serviceRef names one port of a Service.
type serviceRef struct {
	Namespace, Name string
	Port            string // number or name
}

func (r serviceRef) String() string { return r.Namespace + "/" + r.Name + ":" + r.Port }

func parseService(text string) (serviceRef, error) {
	path, port, hasPort := strings.Cut(text, ":")
	namespace, name, hasName := strings.Cut(path, "/")
	if !hasPort || !hasName || namespace == "" || name == "" || port == "" || strings.Contains(name, "/") {
		return serviceRef{}, fmt.Errorf("%q is not NAMESPACE/NAME:PORT", text)
	}
	return serviceRef{Namespace: namespace, Name: name, Port: port}, nil
}

// forward opens, once for each Service, a listener on the host that leads to it. The Service is looked up anew for
// each connection, so it may be deleted and made again; that it exists now is checked, to tell of a wrong name.
func (h *host) forward(ctx context.Context, ref serviceRef) (string, error) {
	if _, err := h.clusterAddress(ctx, ref); err != nil {
		return "", err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if url := h.services[ref.String()]; url != "" {
		return url, nil
	}
	background := context.WithoutCancel(ctx) // the forward outlives the request
	listener, err := listenStable(background, h.place.stablePort(ref.String()))
	if err != nil {
		return "", err
	}
	go forward.Serve(background, listener, func(ctx context.Context) (net.Conn, error) {
		address, err := h.clusterAddress(ctx, ref)
		if err != nil {
			return nil, err
		}
		return h.dialService(ctx, address)
	}, report)
	url := "http://" + listener.Addr().String()
	h.services[ref.String()] = url
	return url, nil
}

// settling is how long a Service may refuse after its pods are Ready: kube-proxy learns of them a moment later.
const settling = 3 * time.Second

func (h *host) dialService(ctx context.Context, address string) (net.Conn, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(settling); ; {
		conn, err := h.inside.Dial(ctx, address)
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(deadline) {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

func (h *host) clusterAddress(ctx context.Context, ref serviceRef) (string, error) {
	service, err := h.client.CoreV1().Services(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("looking up service %s: %w", ref, err)
	}
	return addressOf(service, ref)
}

func addressOf(service *corev1.Service, ref serviceRef) (string, error) {
	if service.Spec.ClusterIP == "" || service.Spec.ClusterIP == corev1.ClusterIPNone {
		return "", fmt.Errorf("service %s is headless: it has no address to forward to", ref)
	}
	var known []string
	for _, port := range service.Spec.Ports {
		number := strconv.Itoa(int(port.Port))
		if port.Protocol != "" && port.Protocol != corev1.ProtocolTCP {
			continue
		}
		if ref.Port == number || ref.Port == port.Name {
			return net.JoinHostPort(service.Spec.ClusterIP, number), nil
		}
		known = append(known, strings.TrimSuffix(number+" "+port.Name, " "))
	}
	return "", fmt.Errorf("service %s has no TCP port %s; it has: %s", ref, ref.Port, strings.Join(known, ", "))
}

// state is what `status` wants to know of the host's side.
type state struct {
	Services map[string]string
	Outbound []exit
}

func (h *host) state(_ context.Context, _ struct{}) (state, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := state{Services: map[string]string{}, Outbound: append([]exit(nil), h.outbound...)}
	for service, url := range h.services {
		s.Services[service] = url
	}
	return s, nil
}
