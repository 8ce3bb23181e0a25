package netpol

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// retry is the pause after a ruleset that the kernel did not take.
const retry = time.Second

// Enforce keeps the rules in step with the API server until ctx ends. load puts a rendered script into force; report
// is told of each failure, after which the load is tried again.
func Enforce(ctx context.Context, client kubernetes.Interface, load func(context.Context, string) error, report func(error)) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, namespaces := factory.Core().V1().Pods(), factory.Core().V1().Namespaces()
	policies := factory.Networking().V1().NetworkPolicies()
	changed := make(chan struct{}, 1)
	touch := func() {
		select {
		case changed <- struct{}{}:
		default: // one pending wake-up covers any number of changes
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { touch() }, UpdateFunc: func(any, any) { touch() }, DeleteFunc: func(any) { touch() }}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watching for network policies: %w", err)
		}
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("watching for network policies: no list of %s: %w", kind, ctx.Err())
		}
	}
	gather := func() (World, error) {
		spaces, errSpaces := namespaces.Lister().List(labels.Everything())
		all, errPods := pods.Lister().List(labels.Everything())
		rules, errRules := policies.Lister().List(labels.Everything())
		world := World{Pods: all, Namespaces: map[string]labels.Set{}, Policies: rules}
		for _, space := range spaces {
			world.Namespaces[space.Name] = space.Labels
		}
		return world, errors.Join(errSpaces, errPods, errRules)
	}
	touch()
	return follow(ctx, changed, gather, load, report)
}

func follow(ctx context.Context, changed <-chan struct{}, gather func() (World, error), load func(context.Context, string) error, report func(error)) error {
	inForce := ""
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-again.C:
		}
		world, err := gather()
		if err == nil {
			script := Render(world)
			if script == inForce {
				continue
			}
			if err = load(ctx, script); err == nil {
				inForce = script
				continue
			}
		}
		report(err)
		again.Reset(retry)
	}
}

// Load gives a script to nft, which applies all of it or nothing.
func Load(ctx context.Context, script string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("loading network policies: nft: %w: %s", err, strings.TrimSpace(string(said)))
	}
	return nil
}
