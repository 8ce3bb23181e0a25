package tenant

import (
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// Metrics of tenants as the operator sees them. Series are bounded by the number of
// Tenants; no value of a spec but the name is a label.
type Metrics struct {
	ready     *prometheus.GaugeVec
	written   *prometheus.CounterVec
	rotations prometheus.Counter
	questions *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crispy_enigma_tenant_ready",
			Help: "1 if the Tenant is Ready, else 0.",
		}, []string{"namespace", "tenant"}),
		written: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crispy_enigma_child_writes_total",
			Help: "API writes to children of Tenants.",
		}, []string{"kind", "verb"}),
		rotations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crispy_enigma_key_rotations_total",
			Help: "Generated keys that were given a new value.",
		}),
		questions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crispy_enigma_pod_status_reads_total",
			Help: "Questions to pods about their status, by whether they answered.",
		}, []string{"result"}),
	}
	for _, c := range []prometheus.Collector{m.ready, m.written, m.rotations, m.questions} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) observe(t *v1alpha1.Tenant) {
	value := 0.0
	if c := t.Condition(v1alpha1.ConditionReady); c != nil && c.Status == metav1.ConditionTrue {
		value = 1
	}
	m.ready.WithLabelValues(t.Namespace, t.Name).Set(value)
}

func (m *Metrics) forget(name types.NamespacedName) {
	m.ready.DeleteLabelValues(name.Namespace, name.Name)
}

func (m *Metrics) childWritten(kind, verb string) { m.written.WithLabelValues(kind, verb).Inc() }

func (m *Metrics) rotated() { m.rotations.Inc() }

func (m *Metrics) asked(err error) {
	result := "answered"
	if err != nil {
		result = "failed"
	}
	m.questions.WithLabelValues(result).Inc()
}
