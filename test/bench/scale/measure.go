package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/test/bench/figures"
)

// patience is how much longer than the floor anything may take before the run is given
// up.
const patience = 3

// floor is the time that the necessary calls of one account take at its budget's rate.
func (w *world) floor() time.Duration {
	// One more reads the permission groups, by whose ids tokens are made.
	calls := w.tenants*callsPerTenant + 1
	return time.Duration(float64(calls) / 1200 * float64(w.scaled(5*time.Minute)))
}

// measureCreation waits until every binding is Ready.
func (w *world) measureCreation(ctx context.Context, p *process, r *figures.Results) error {
	from, floor := time.Now(), w.floor()
	progress("the operator makes them; the floor is %s", floor.Round(time.Second))
	deadline := from.Add(patience*floor + 30*time.Second)
	want := w.accounts * w.tenants * effectsPerTenant
	var waiting string
	for told := time.Now(); ; time.Sleep(500 * time.Millisecond) {
		made := effects(w.cloud.counted())
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			progress("%d of %d things and metadata indexes are made", made, want)
		}
		if made >= want {
			n, _, last, err := w.ready(ctx)
			if err != nil {
				return err
			}
			if n == w.bindings() {
				break
			}
			waiting = last
		}
		if err := errors.Join(ctx.Err(), p.alive()); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return errors.Join(w.cloud.complain(), fmt.Errorf("%d of %d things and metadata indexes were made within %s; waiting: %s",
				made, want, time.Since(from).Round(time.Second), waiting))
		}
	}
	wall := time.Since(from)
	r.Set("bindings_over_budget_floor", wall.Seconds()/floor.Seconds())
	counted := w.cloud.counted()
	r.Note("all Ready after %.1f s; floor %.1f s: %d necessary calls an account at %.1f calls/s", wall.Seconds(), floor.Seconds(), w.tenants*callsPerTenant+1, 1200/w.scaled(5*time.Minute).Seconds())
	r.Note("calls while they were made: %s", tell(counted))
	asked, err := requests(ctx, w.config)
	if err != nil {
		return err
	}
	r.Note("requests to the API server so far: %s", tell(asked))
	return w.cloud.complain()
}

// effects counts the calls that made something.
func effects(calls map[string]int) int {
	n := 0
	for what, count := range calls {
		if strings.HasPrefix(what, "POST ") {
			n += count
		}
	}
	return n
}

func tell(calls map[string]int) string {
	var out []string
	for _, what := range slices.Sorted(maps.Keys(calls)) {
		out = append(out, fmt.Sprintf("%s: %d", what, calls[what]))
	}
	return strings.Join(out, ", ")
}

// measureDrift edits bindings while everything is looked at again and again.
func (w *world) measureDrift(ctx context.Context, p *process, r *figures.Results) error {
	_, buckets, _, err := w.ready(ctx)
	if err != nil {
		return err
	}
	progress("looking for drift for %s, and editing", w.scaled(w.drift).Round(time.Second))
	before, from := w.cloud.counted(), time.Now()
	delays, err := w.edit(ctx, p, buckets, w.scaled(w.drift))
	if err != nil {
		return err
	}
	span := time.Since(from)
	polls := map[string]int{}
	total := 0
	for what, n := range w.cloud.counted() {
		// Buckets are read and changed one by one for edits alone: lists show all of them.
		if n -= before[what]; n > 0 && !strings.HasSuffix(what, "r2/buckets/{}") {
			polls[what] = n
			total += n
		}
	}
	budget := span.Seconds() / w.scaled(5*time.Minute).Seconds() * 1200 * float64(w.accounts)
	r.Set("drift_budget_share", float64(total)/budget)
	r.Note("%d calls to look for drift in %.0f s (%.1f min of scaled time), of a budget of %.0f: %s", total, span.Seconds(), w.stretch(span).Minutes(), budget, tell(polls))
	if err := w.noteLooks(r, from); err != nil {
		return err
	}
	slices.Sort(delays)
	r.Set("edit_p99_s", delays[(len(delays)*99-1)/100].Seconds())
	r.Note("%d edits: median %.3f s, p99 %.3f s, worst %.3f s", len(delays), delays[len(delays)/2].Seconds(), delays[(len(delays)*99-1)/100].Seconds(), delays[len(delays)-1].Seconds())
	return w.cloud.complain()
}

// noteLooks tells how old what is known ever was: of what lists show, and of metadata
// indexes.
func (w *world) noteLooks(r *figures.Results, from time.Time) error {
	w.cloud.mu.Lock()
	defer w.cloud.mu.Unlock()
	now := time.Now()
	if got, want := len(w.cloud.lists), w.accounts*perTenant; got != want {
		return fmt.Errorf("%d of %d kinds were listed", got, want)
	}
	lists := longest(w.cloud.lists, from, now)
	seen := map[string][]time.Time{}
	for name, at := range w.cloud.indexes {
		if at = slices.DeleteFunc(slices.Clone(at), func(t time.Time) bool { return t.Before(from) }); len(at) > 0 {
			seen[name] = at
		}
	}
	r.Note("between two lists of a kind: at most %.1f min of scaled time", w.stretch(lists).Minutes())
	if want := w.accounts * w.tenants; len(seen) < want {
		r.Note("metadata indexes of %d of %d indexes were read in %.1f min of scaled time: the cycle is longer", len(seen), want, w.stretch(now.Sub(from)).Minutes())
		return nil
	}
	var last time.Duration
	for _, at := range seen {
		last = max(last, at[0].Sub(from))
	}
	r.Note("metadata indexes: all %d indexes were read within %.1f min of scaled time", len(seen), w.stretch(last).Minutes())
	return nil
}

// longest gap between two times of the same, from and to included.
func longest(times map[string][]time.Time, from, to time.Time) time.Duration {
	var gap time.Duration
	for _, at := range times {
		last := from
		for _, t := range at {
			if t.After(from) {
				gap = max(gap, t.Sub(last))
				last = t
			}
		}
		gap = max(gap, to.Sub(last))
	}
	return gap
}

// edit changes buckets, two a second, each once, and tells how long each took.
func (w *world) edit(ctx context.Context, p *process, buckets map[client.ObjectKey]string, span time.Duration) ([]time.Duration, error) {
	const every = 500 * time.Millisecond
	keys := slices.Collect(maps.Keys(buckets))
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	end := time.Now().Add(span)
	var mu sync.Mutex
	var delays []time.Duration
	var failed error
	var group sync.WaitGroup
	for _, key := range keys {
		if time.Until(end) < 10*time.Second || p.alive() != nil || ctx.Err() != nil {
			break
		}
		group.Go(func() {
			delay, err := w.editOne(ctx, key, w.cloud.awaitChange(buckets[key]))
			mu.Lock()
			defer mu.Unlock()
			delays, failed = append(delays, delay), errors.Join(failed, err)
		})
		time.Sleep(every)
	}
	group.Wait()
	for time.Now().Before(end) && p.alive() == nil && ctx.Err() == nil {
		time.Sleep(every)
	}
	if len(delays) == 0 {
		return nil, errors.Join(errors.New("nothing was edited"), p.alive())
	}
	return delays, errors.Join(failed, ctx.Err(), p.alive())
}

func (w *world) editOne(ctx context.Context, key client.ObjectKey, changed <-chan time.Time) (time.Duration, error) {
	b := &v1alpha1.CloudflareBinding{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"r2":{"storageClass":"InfrequentAccess"}}}`))
	from := time.Now()
	if err := w.client.Patch(ctx, b, patch); err != nil {
		return 0, fmt.Errorf("editing a binding: %w", err)
	}
	select {
	case at := <-changed:
		return at.Sub(from), nil
	case <-time.After(time.Minute):
		return 0, fmt.Errorf("the edit of %s didn't arrive within a minute", key)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
