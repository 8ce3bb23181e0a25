package account

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// Metrics of accounts. Series are bounded by the number of CloudflareAccounts.
type Metrics struct {
	ready *prometheus.GaugeVec
	owned *prometheus.GaugeVec
	lists *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crispy_enigma_account_ready",
			Help: "1 if the CloudflareAccount is Ready, else 0.",
		}, []string{"namespace", "account"}),
		owned: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crispy_enigma_account_owned",
			Help: "Things in the account that the operator made or adopted.",
		}, []string{"namespace", "account"}),
		lists: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crispy_enigma_account_lists_total",
			Help: "LISTs of accounts by kind, and whether Cloudflare answered.",
		}, []string{"kind", "result"}),
	}
	for _, c := range []prometheus.Collector{m.ready, m.owned, m.lists} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) observe(a *v1alpha1.CloudflareAccount) {
	value := 0.0
	if c := a.Marks().Get(v1alpha1.ConditionReady); c != nil && c.Status == metav1.ConditionTrue {
		value = 1
	}
	m.ready.WithLabelValues(a.Namespace, a.Name).Set(value)
	if a.Status.Owned != nil {
		m.owned.WithLabelValues(a.Namespace, a.Name).Set(float64(a.Status.Owned.Total))
	}
}

func (m *Metrics) forget(name types.NamespacedName) {
	m.ready.DeleteLabelValues(name.Namespace, name.Name)
	m.owned.DeleteLabelValues(name.Namespace, name.Name)
}

func (m *Metrics) listed(kind cloudflare.Kind, err error) {
	result := "answered"
	switch {
	case errors.Is(err, cloudflare.ErrRateLimited):
		result = "no_budget"
	case err != nil:
		result = "failed"
	}
	m.lists.WithLabelValues(string(kind), result).Inc()
}
