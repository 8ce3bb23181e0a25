package telemetry

import (
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

// maxModels bounds the model label over the life of a process; more are "other".
const maxModels = 64

const otherModel = "other"

// Metrics are the process's Prometheus metrics, in a registry of their own. A pod
// serves one tenant, so there is no tenant label: the scrape's labels tell.
type Metrics struct {
	registry *prometheus.Registry

	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	streams  atomic.Int64
	statuses [600]string

	tokens     *prometheus.HistogramVec
	operation  *prometheus.HistogramVec
	firstToken *prometheus.HistogramVec
	failures   *prometheus.CounterVec
	unpriced   *prometheus.CounterVec
	lost       prometheus.Counter
	reloads    *prometheus.CounterVec
	tools      *tools

	mu     sync.RWMutex
	models map[string]*modelSeries
}

// modelSeries are one model's series, looked up once.
type modelSeries struct {
	label      string
	in, out    prometheus.Observer
	firstToken prometheus.Observer
}

// NewMetrics makes the metrics of a build.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		models:   map[string]*modelSeries{},
		tools:    newTools(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "enigma_http_requests_total", Help: "Requests of the tenant's API by route, status and the error's code.",
		}, []string{"route", "status", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "enigma_http_request_duration_seconds", Help: "Time from a request's arrival to its last byte, streams included.",
			Buckets: []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300},
		}, []string{"route"}),
		tokens: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gen_ai_client_token_usage", Help: "Tokens of a model call.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 11),
		}, []string{"gen_ai_response_model", "gen_ai_token_type"}),
		operation: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gen_ai_client_operation_duration_seconds", Help: "Time of a model call from its start to its last token.",
			Buckets: prometheus.ExponentialBuckets(.01, 2, 14),
		}, []string{"gen_ai_response_model", "outcome"}),
		firstToken: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gen_ai_server_time_to_first_token_seconds", Help: "Time of a streamed model call from its start to its first token.",
			Buckets: []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 30, 60},
		}, []string{"gen_ai_response_model"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "enigma_upstream_failures_total", Help: "Model calls that failed, by model and kind of failure; each model of a fallback chain counts.",
		}, []string{"gen_ai_request_model", "kind"}),
		unpriced: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "enigma_unpriced_calls_total", Help: "Model calls that counted as free of charge, since the model's price is unknown.",
		}, []string{"gen_ai_response_model"}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "enigma_usage_lost_total", Help: "Usage records that the store refused; they are in the log.",
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "enigma_config_reloads_total", Help: "New tenant documents by what became of them: applied, refused or restart.",
		}, []string{"result"}),
	}
	for i := range m.statuses {
		m.statuses[i] = strconv.Itoa(i)
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "enigma_build_info", Help: "1, with the build as labels.",
	}, []string{"version", "goversion"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(m.requests, m.seconds, m.tokens, m.operation, m.firstToken,
		m.failures, m.unpriced, m.lost, m.reloads, m.tools.runs, m.tools.seconds, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.Gauge("enigma_streams_active", "Event streams that are open now.", nil, func() float64 { return float64(m.Streams()) })
	return m
}

// Handler serves /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Gauge adds a gauge that is read when it is scraped. Its name must be new.
func (m *Metrics) Gauge(name, help string, labels prometheus.Labels, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, read))
}

// Counter adds a counter that is read when it is scraped. Its name must be new.
func (m *Metrics) Counter(name, help string, labels prometheus.Labels, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, read))
}

// Observe counts one answered request. Routes, statuses and codes are of closed
// sets: none comes from a client.
func (m *Metrics) Observe(o httpapi.Observation) {
	status := min(max(o.Status, 0), len(m.statuses)-1)
	m.requests.WithLabelValues(o.Route, m.statuses[status], o.Code).Inc()
	m.seconds.WithLabelValues(o.Route).Observe(o.Duration.Seconds())
}

// StreamOpened counts an open stream until the returned function is called.
func (m *Metrics) StreamOpened() (closed func()) {
	m.streams.Add(1)
	return func() { m.streams.Add(-1) }
}

// Streams is how many are open.
func (m *Metrics) Streams() int64 { return m.streams.Load() }

// Unpriced counts a call of a model whose price is unknown.
func (m *Metrics) Unpriced(model string) { m.unpriced.WithLabelValues(m.series(model).label).Inc() }

// Reloaded counts a new document: "applied", "refused" or "restart".
func (m *Metrics) Reloaded(result string) { m.reloads.WithLabelValues(result).Inc() }

// Know gives models of the tenant's document series of their own. All others are
// counted as "other", since a request may name any.
func (m *Metrics) Know(models ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, model := range models {
		if _, ok := m.models[model]; !ok && len(m.models) < maxModels {
			m.models[model] = m.newSeries(model)
		}
	}
}

func (m *Metrics) newSeries(label string) *modelSeries {
	return &modelSeries{
		label:      label,
		in:         m.tokens.WithLabelValues(label, "input"),
		out:        m.tokens.WithLabelValues(label, "output"),
		firstToken: m.firstToken.WithLabelValues(label),
	}
}

func (m *Metrics) series(model string) *modelSeries {
	m.mu.RLock()
	s, ok := m.models[model]
	if !ok {
		s, ok = m.models[otherModel]
	}
	m.mu.RUnlock()
	if ok {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.models[otherModel] == nil {
		m.models[otherModel] = m.newSeries(otherModel)
	}
	return m.models[otherModel]
}
