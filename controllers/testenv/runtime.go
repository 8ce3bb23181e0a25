package testenv

import (
	"context"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
)

// Runtime plays the runtimes of all pods: each reads the Secret that its pod mounts, as
// strictly as the real one, and tells what it found to who knows the token.
type Runtime struct {
	Client client.Reader

	mu     sync.Mutex
	frozen map[string]*corev1.Secret
	edit   func(*tenantconfig.Status)
	err    error
}

// Freeze keeps the pods of a namespace at the document they have now, as a kubelet that
// hasn't synced does.
func (r *Runtime) Freeze(ctx context.Context, pod *corev1.Pod) error {
	secret, err := r.mounted(ctx, pod)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen == nil {
		r.frozen = map[string]*corev1.Secret{}
	}
	r.frozen[pod.Namespace] = secret
	return nil
}

// Thaw ends Freeze for all pods.
func (r *Runtime) Thaw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frozen = nil
}

// Tell changes what the pods tell; nil ends it.
func (r *Runtime) Tell(edit func(*tenantconfig.Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.edit = edit
}

// Fail makes every question end with an error; nil ends it.
func (r *Runtime) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// Status implements tenant.StatusReader.
func (r *Runtime) Status(ctx context.Context, pod *corev1.Pod, token string) (*tenantconfig.Status, error) {
	r.mu.Lock()
	secret, edit, err := r.frozen[pod.Namespace], r.edit, r.err
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if secret == nil {
		if secret, err = r.mounted(ctx, pod); err != nil {
			return nil, err
		}
	}
	if token == "" || string(secret.Data[tenantconfig.StatusTokenFile]) != token {
		return nil, tenant.ErrUnauthorized
	}
	status, err := serve(secret)
	if err == nil && edit != nil {
		edit(status)
	}
	return status, err
}

// serve loads the document as the runtime does.
func serve(secret *corev1.Secret) (*tenantconfig.Status, error) {
	config, err := tenantconfig.Parse(secret.Data[tenantconfig.DocumentFile])
	if err != nil {
		return nil, err
	}
	if broken := tenantconfig.Validate(config); len(broken) > 0 {
		return nil, broken
	}
	if file := config.Upstream.CredentialsFile; file != "" && len(secret.Data[file]) == 0 {
		return nil, fmt.Errorf("the document names %s and it isn't there", file)
	}
	for _, server := range []tenantconfig.StateServer{config.State.Server, config.State.LimitsServer} {
		for _, file := range []string{server.URLFile, server.CAFile} {
			if file != "" && len(secret.Data[file]) == 0 {
				return nil, fmt.Errorf("the document names %s and it isn't there", file)
			}
		}
	}
	status := &tenantconfig.Status{
		ConfigDigest: tenantconfig.DigestOf(config),
		Build:        "test",
		Model:        tenantconfig.ModelStatus{ID: config.Models.Chat, State: "ok"},
		Store:        tenantconfig.StoreStatus{Driver: config.State.Driver, OK: true},
		Tools:        unusable(config.Tools, secret.Data),
	}
	if config.Documents.Store != "" {
		status.Index = tenantconfig.IndexStatus{Ready: true, Model: config.EmbeddingModel()}
	}
	return status, nil
}

// unusable are the tools whose secrets aren't there: they alone can't be used for it.
func unusable(t tenantconfig.Tools, files map[string][]byte) []tenantconfig.ToolStatus {
	var out []tenantconfig.ToolStatus
	lacks := func(name, file string) {
		if len(files[file]) == 0 {
			out = append(out, tenantconfig.ToolStatus{Name: name, Reason: "NoSecret", Message: "its secret is missing"})
		}
	}
	for _, tool := range t.HTTP {
		for _, h := range tool.SecretHeaders {
			lacks(tool.Name, h.ValueFile)
		}
	}
	for _, s := range t.MCP {
		if s.TokenFile != "" {
			lacks(s.Name, s.TokenFile)
		}
	}
	return out
}

// mounted is the Secret that the pod mounts.
func (r *Runtime) mounted(ctx context.Context, pod *corev1.Pod) (*corev1.Secret, error) {
	for _, v := range pod.Spec.Volumes {
		if v.Secret == nil || !strings.HasSuffix(v.Secret.SecretName, "-config") {
			continue
		}
		secret := &corev1.Secret{}
		err := r.Client.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: v.Secret.SecretName}, secret)
		return secret, err
	}
	return nil, fmt.Errorf("pod %s mounts no document", pod.Name)
}
