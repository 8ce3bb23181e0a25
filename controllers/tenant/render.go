package tenant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// Rendering is a Tenant to be rendered without a cluster.
type Rendering struct {
	Tenant *v1alpha1.Tenant
	// Class in force; nil for the built-in defaults.
	Class *v1alpha1.TenantClass
	// OwnerID is the mark in the storage identity.
	OwnerID string
	// Reader finds the Secrets and the account that the Tenant names.
	Reader client.Reader
	// StatusToken and Keys are kept from an earlier rendering; empty ones are generated.
	StatusToken string
	Keys        map[string]string
	// StateDir replaces the directory of persistent state; empty keeps the pod's.
	StateDir string
	Random   io.Reader
	Now      time.Time
}

// Rendered is what the Tenant's runtime reads.
type Rendered struct {
	// Files by name: the document and the secrets beside it.
	Files map[string][]byte
	// Keys that were generated or kept, in clear, by name.
	Keys map[string]string
	// Lacks is the sentence that ToolsReady would hold about a missing secret; empty if
	// none is.
	Lacks string
}

// Render makes what the operator would mount into the Tenant's pod. It asks the same
// questions first, and its error is the sentence that a condition would hold.
func Render(ctx context.Context, rendering Rendering) (*Rendered, error) {
	r := &Reconciler{Client: readOnly{Reader: rendering.Reader}, Live: rendering.Reader, Random: rendering.Random}
	t := rendering.Tenant
	o := &observed{
		tenant:    t,
		class:     rendering.Class,
		effective: v1alpha1.EffectiveOf(t, rendering.Class),
		claims:    claims{hosts: t.Spec.Exposure.Hosts},
	}
	if rendering.Class == nil {
		o.missingClass = className(t)
	}
	if failed := firstFailure(o); failed != nil {
		return nil, errors.New(failed.message)
	}
	found, missing, err := r.readCredentials(ctx, o)
	if missing != nil {
		return nil, errors.New(missing.message)
	}
	if err != nil {
		return nil, err
	}
	if err := r.bindNamed(ctx, t, &found); err != nil {
		return nil, err
	}
	for _, s := range found.state {
		if !s.own {
			return nil, fmt.Errorf("%s: it is the operator that makes the login, in a cluster; without one, name a Secret in secretRef", s.field)
		}
		s.login = s.pods(s.address.URL(), nil)
	}
	in := &resources.Inputs{
		Tenant: t, Class: o.class, Effective: o.effective, Operator: resources.Operator{OwnerID: rendering.OwnerID},
		Hosts: o.claims.hosts,
		Keys:  found.referenced, StatusToken: rendering.StatusToken, Now: rendering.Now,
	}
	found.into(in)
	if _, err := r.generate(in, kept(in.Effective.Keys, rendering)); err != nil {
		return nil, err
	}
	rendered, err := files(in, rendering.StateDir)
	if err == nil && found.toolsLack != nil {
		rendered.Lacks = found.toolsLack.message
	}
	return rendered, err
}

func kept(keys []v1alpha1.APIKey, rendering Rendering) map[string]resources.GeneratedKey {
	out := map[string]resources.GeneratedKey{}
	for _, k := range keys {
		out[k.Name] = resources.GeneratedKey{Value: rendering.Keys[k.Name], Revision: k.Revision, CreatedAt: rendering.Now}
	}
	return out
}

func files(in *resources.Inputs, stateDir string) (*Rendered, error) {
	document, err := resources.Config(*in)
	if err != nil {
		return nil, err
	}
	if stateDir != "" && document.State.Path != "" {
		document.State.Path = stateDir
		if broken := tenantconfig.Validate(document); len(broken) > 0 {
			return nil, broken
		}
	}
	b, err := tenantconfig.Marshal(document)
	if err != nil {
		return nil, err
	}
	out := &Rendered{Keys: map[string]string{}, Files: map[string][]byte{
		tenantconfig.DocumentFile:    b,
		tenantconfig.StatusTokenFile: []byte(in.StatusToken),
	}}
	if file := document.Upstream.CredentialsFile; file != "" {
		out.Files[file] = []byte(in.UpstreamToken)
	}
	if file := document.Cloudflare.CredentialsFile; file != "" {
		out.Files[file] = []byte(in.CloudflareToken)
	}
	for name, value := range in.ToolSecrets {
		out.Files[name] = []byte(value)
	}
	for name, b := range resources.StateFiles(*in) {
		out.Files[name] = b
	}
	for name, key := range in.Generated {
		out.Keys[name] = key.Value
	}
	return out, nil
}

// readOnly is a client that can only read; rendering writes nothing.
type readOnly struct {
	client.Client
	client.Reader
}

func (r readOnly) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	return r.Reader.Get(ctx, key, object, opts...)
}

func (r readOnly) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return r.Reader.List(ctx, list, opts...)
}
