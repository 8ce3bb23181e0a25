package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/crispy-enigma/crispy-enigma/test/e2e/stage"
)

// times is how often what a cluster does is measured.
const times = 3

// tenantYAML takes a name and a limit. Its state is ephemeral, so that no volume is
// waited for.
const tenantYAML = `apiVersion: ai.crispy-enigma.dev/v1alpha1
kind: Tenant
metadata:
  name: %s
spec:
  deletionProtection: false
  deletionPolicy: Delete
  limits:
    requests:
      perMinute: %d
  state:
    embedded:
      ephemeral: {}
`

// cluster measures on a real node: how soon a Tenant is Ready, and how soon a
// changed limit is in force.
func (b *bench) cluster(ctx context.Context) error {
	s, err := stage.Raise(ctx, stage.Options{Name: "bench", Out: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { _ = s.Strike(context.WithoutCancel(ctx)) }()
	var ready, live []time.Duration
	for i := range times {
		name := fmt.Sprintf("bench-%d", i)
		begin := time.Now()
		if err := s.Apply(ctx, "bench", fmt.Sprintf(tenantYAML, name, 1000)); err != nil {
			return err
		}
		if err := s.Ready(ctx, "bench", name, time.Minute); err != nil {
			return err
		}
		ready = append(ready, time.Since(begin))
		took, err := changed(ctx, s, name)
		if err != nil {
			return err
		}
		live = append(live, took)
	}
	b.Set("apply_to_ready_s", median(ready).Seconds())
	b.Note("apply to Ready (kubectl apply included): %v", ready)
	worst := live[0]
	for _, d := range live {
		worst = max(worst, d)
	}
	b.Set("live_change_s", worst.Seconds())
	b.Note("a changed limit in force (kubectl apply included): %v", live)
	return nil
}

// changed changes a tenant's limit and asks its API until the new one is in force.
func changed(ctx context.Context, s *stage.Stage, name string) (time.Duration, error) {
	key, err := s.Key(ctx, "bench", name, "default")
	if err != nil {
		return 0, err
	}
	url, err := s.URL(ctx, "bench", name)
	if err != nil {
		return 0, err
	}
	const limit = 1234
	begin := time.Now()
	if err := s.Apply(ctx, "bench", fmt.Sprintf(tenantYAML, name, limit)); err != nil {
		return 0, err
	}
	for time.Since(begin) < time.Minute {
		said, err := stage.Chat(ctx, url, key, "", "Is the limit in force?", io.Discard)
		if err != nil {
			return 0, err
		}
		if said.Status != http.StatusOK {
			return 0, fmt.Errorf("the tenant answered with status %d: %s", said.Status, said.Text)
		}
		if said.Header.Get("x-ratelimit-limit") == strconv.Itoa(limit) {
			return time.Since(begin), nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return 0, fmt.Errorf("the limit of tenant %s was not in force after a minute", name)
}
