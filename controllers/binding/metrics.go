package binding

import (
	"context"
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// Metrics of bindings. Their series are bounded by the kinds of things, the reasons of
// conditions and the meanings of errors.
type Metrics struct {
	bindings  *prometheus.GaugeVec
	calls     *prometheus.CounterVec
	rotations prometheus.Counter

	mu   sync.Mutex
	last map[types.NamespacedName]state
}

type state struct{ kind, reason string }

// NewMetrics registers the metrics.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		bindings: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crispy_enigma_bindings",
			Help: "CloudflareBindings by type and by the reason of their Ready condition.",
		}, []string{"type", "reason"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crispy_enigma_binding_calls_total",
			Help: "Calls of Cloudflare's API for bindings, by kind, verb and result.",
		}, []string{"kind", "verb", "result"}),
		rotations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crispy_enigma_token_rotations_total",
			Help: "API tokens that were replaced.",
		}),
		last: map[types.NamespacedName]state{},
	}
	for _, c := range []prometheus.Collector{m.bindings, m.calls, m.rotations} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) observe(b *v1alpha1.CloudflareBinding) {
	now := state{kind: string(b.Spec.Type), reason: "New"}
	if c := b.Marks().Get(v1alpha1.ConditionReady); c != nil {
		now.reason = c.Reason
	}
	m.move(types.NamespacedName{Namespace: b.Namespace, Name: b.Name}, now)
}

func (m *Metrics) forget(name types.NamespacedName) { m.move(name, state{}) }

func (m *Metrics) move(name types.NamespacedName, now state) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.last[name]
	if was == now {
		return
	}
	if was != (state{}) {
		m.bindings.WithLabelValues(was.kind, was.reason).Dec()
	}
	if now == (state{}) {
		delete(m.last, name)
		return
	}
	m.last[name] = now
	m.bindings.WithLabelValues(now.kind, now.reason).Inc()
}

func (m *Metrics) rotated() { m.rotations.Inc() }

// counting is an account whose calls are counted.
func (m *Metrics) counting(a account.Opened) account.Opened {
	a.Edit, a.Poll = counted{a.Edit, m}, counted{a.Poll, m}
	return a
}

type counted struct {
	cloudflare.Account
	m *Metrics
}

func (c counted) Get(ctx context.Context, kind cloudflare.Kind, id string) (cloudflare.Thing, error) {
	thing, err := c.Account.Get(ctx, kind, id)
	c.m.called(kind, cloudflare.OpGet, err)
	return thing, err
}

func (c counted) Find(ctx context.Context, kind cloudflare.Kind, name string) ([]cloudflare.Thing, error) {
	things, err := c.Account.Find(ctx, kind, name)
	c.m.called(kind, cloudflare.OpFind, err)
	return things, err
}

func (c counted) Do(ctx context.Context, s cloudflare.Step) (cloudflare.Thing, error) {
	thing, err := c.Account.Do(ctx, s)
	c.m.called(s.Kind, s.Verb, err)
	return thing, err
}

func (m *Metrics) called(kind cloudflare.Kind, verb cloudflare.Verb, err error) {
	result := "ok"
	var e *cloudflare.Error
	switch {
	case errors.As(err, &e) && e.Meaning != nil:
		result = e.Meaning.Error() // one of a dozen
	case err != nil:
		result = "not called"
	}
	m.calls.WithLabelValues(string(kind), string(verb), result).Inc()
}
