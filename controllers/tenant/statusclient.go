package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

const (
	// statusTimeout bounds one question to a pod, connection included.
	statusTimeout = 2 * time.Second
	// maxStatus bounds an answer, in bytes: a tenant's pod is not to be trusted.
	maxStatus = 64 << 10
)

// PodStatus asks pods over HTTP, on their metrics port.
type PodStatus struct {
	client *http.Client
	port   int
}

// NewPodStatus gives a reader of pods' status.
func NewPodStatus() *PodStatus { return newPodStatus(tenantconfig.MetricsPort) }

func newPodStatus(port int) *PodStatus {
	return &PodStatus{port: port, client: &http.Client{
		Timeout: statusTimeout,
		// Pods come and go, and are asked once a minute: no connection is worth keeping.
		// No proxy: the token is for the pod alone.
		Transport: &http.Transport{
			DisableKeepAlives:      true,
			DialContext:            (&net.Dialer{Timeout: statusTimeout}).DialContext,
			ResponseHeaderTimeout:  statusTimeout,
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("a pod's status doesn't redirect")
		},
	}}
}

// Status implements StatusReader.
func (p *PodStatus) Status(ctx context.Context, pod *corev1.Pod, token string) (*tenantconfig.Status, error) {
	address := url.URL{
		Scheme: "http",
		Host:   net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(p.port)),
		Path:   tenantconfig.StatusPath,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("asking pod %s: %w", pod.Name, err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := p.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking pod %s: %w", pod.Name, err)
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, ErrUnauthorized
	default:
		return nil, fmt.Errorf("asking pod %s: it answered %d", pod.Name, response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxStatus+1))
	if err != nil {
		return nil, fmt.Errorf("reading the status of pod %s: %w", pod.Name, err)
	}
	if len(body) > maxStatus {
		return nil, fmt.Errorf("reading the status of pod %s: it has more than %d bytes", pod.Name, maxStatus)
	}
	var status tenantconfig.Status
	if err := json.Unmarshal(body, &status); err != nil {
		return nil, fmt.Errorf("reading the status of pod %s: it isn't valid JSON", pod.Name)
	}
	return &status, nil
}
