package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// perTenant is how many bindings a tenant has: an index with two metadata indexes, a KV
// namespace, a bucket and an API token.
const perTenant = 4

const (
	// effectsPerTenant are the calls that make them.
	effectsPerTenant = 6
	// callsPerTenant are the necessary ones: one more reads the metadata indexes, which
	// Cloudflare makes after it has answered and which must be there before a vector is.
	callsPerTenant = effectsPerTenant + 1
)

// world is the cluster's side.
type world struct {
	size
	config *rest.Config
	client client.Client
	cloud  *cloud
}

func newWorld(s size, config *rest.Config, c *cloud) (*world, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	cl, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	return &world{size: s, config: config, client: cl, cloud: c}, nil
}

func (w *world) bindings() int { return w.accounts * w.tenants * perTenant }

func namespace(account int) string { return fmt.Sprintf("account-%d", account) }

// create makes all objects while no operator runs.
func (w *world) create(ctx context.Context) error {
	for i := range w.accounts {
		if err := w.createAccount(ctx, i); err != nil {
			return err
		}
	}
	const workers = 16
	work, failed := make(chan *v1alpha1.CloudflareBinding), make(chan error, workers)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for b := range work {
				if err := w.client.Create(ctx, b); err != nil {
					failed <- err
					cancel()
					return
				}
			}
		})
	}
	// As tenants come: those of all accounts mixed.
feed:
	for t := range w.tenants {
		for i := range w.accounts {
			for _, b := range w.bindingsOf(i, t) {
				select {
				case work <- b:
				case <-ctx.Done():
					break feed
				}
			}
		}
	}
	close(work)
	group.Wait()
	select {
	case err := <-failed:
		return fmt.Errorf("creating a binding: %w", err)
	default:
		return ctx.Err()
	}
}

func (w *world) createAccount(ctx context.Context, i int) error {
	meta := metav1.ObjectMeta{Namespace: namespace(i), Name: "cf"}
	a := &v1alpha1.CloudflareAccount{ObjectMeta: meta, Spec: v1alpha1.CloudflareAccountSpec{
		AccountID: w.cloud.ids[i], APIEndpoint: w.cloud.url,
		Credentials: v1alpha1.AccountCredentials{SecretRef: v1alpha1.SecretKeyReference{Name: "cf"}},
		APIBudget: v1alpha1.APIBudget{
			Requests: 1200, Window: &metav1.Duration{Duration: w.scaled(5 * time.Minute)}, ReservePercent: new(int32(0)),
		},
	}}
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: meta.Namespace}},
		&corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"token": w.cloud.tokens[i]}},
		a,
	} {
		if err := w.client.Create(ctx, o); err != nil {
			return fmt.Errorf("creating account %d: %w", i, err)
		}
	}
	return nil
}

func (w *world) bindingsOf(account, tenant int) []*v1alpha1.CloudflareBinding {
	named := func(role string, spec v1alpha1.CloudflareBindingSpec) *v1alpha1.CloudflareBinding {
		spec.AccountRef.Name = "cf"
		spec.PollInterval = &metav1.Duration{Duration: w.scaled(10 * time.Minute)}
		name := fmt.Sprintf("tenant-t%03d", tenant)
		return &v1alpha1.CloudflareBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace(account), Name: name + "-" + role}, Spec: spec}
	}
	return []*v1alpha1.CloudflareBinding{
		named("token", v1alpha1.CloudflareBindingSpec{Type: v1alpha1.BindingAPIToken, APIToken: &v1alpha1.APITokenSettings{
			Permissions: []string{"Workers AI Read", "AI Gateway Run", "Vectorize Read"},
		}}),
		named("vectors", v1alpha1.CloudflareBindingSpec{Type: v1alpha1.BindingVectorize, Vectorize: &v1alpha1.VectorizeSettings{
			Dimensions: 1024, MetadataIndexes: []v1alpha1.MetadataIndex{{Property: "lang"}, {Property: "source"}},
		}}),
		named("export", v1alpha1.CloudflareBindingSpec{Type: v1alpha1.BindingKV}),
		named("originals", v1alpha1.CloudflareBindingSpec{Type: v1alpha1.BindingR2, R2: &v1alpha1.R2Settings{}}),
	}
}

// ready counts the bindings that are Ready, and gives the buckets' by name.
func (w *world) ready(ctx context.Context) (n int, buckets map[client.ObjectKey]string, waiting string, err error) {
	buckets = map[client.ObjectKey]string{}
	for i := range w.accounts {
		var list v1alpha1.CloudflareBindingList
		if err := w.client.List(ctx, &list, client.InNamespace(namespace(i))); err != nil {
			return 0, nil, "", fmt.Errorf("listing the bindings: %w", err)
		}
		for j := range list.Items {
			b := &list.Items[j]
			c := b.Marks().Get(v1alpha1.ConditionReady)
			if c == nil || c.Status != metav1.ConditionTrue {
				waiting = fmt.Sprintf("%s/%s: %+v", b.Namespace, b.Name, c)
				continue
			}
			n++
			if b.Spec.Type == v1alpha1.BindingR2 {
				buckets[client.ObjectKeyFromObject(b)] = b.Status.ID
			}
		}
	}
	return n, buckets, waiting, nil
}
