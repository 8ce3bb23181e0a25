package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxTools bounds the tool label over the life of a process; more are "other". Servers of
// tools choose names.
const maxTools = 128

// tools are the series of a tenant's tools.
type tools struct {
	runs    *prometheus.CounterVec
	seconds *prometheus.HistogramVec

	mu    sync.Mutex
	known map[string]bool
}

func newTools() *tools {
	return &tools{
		known: map[string]bool{},
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "enigma_tool_runs_total", Help: "Runs of tools by outcome: ok, canceled or the error's code.",
		}, []string{"tool", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "enigma_tool_run_duration_seconds", Help: "Time of a tool's run.",
			Buckets: []float64{.0005, .001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 120},
		}, []string{"tool"}),
	}
}

// ToolRan counts a run. outcome is of a closed set, tool one that the tenant has.
func (m *Metrics) ToolRan(tool, outcome string, d time.Duration) {
	label := m.tools.label(tool)
	m.tools.runs.WithLabelValues(label, outcome).Inc()
	m.tools.seconds.WithLabelValues(label).Observe(d.Seconds())
}

func (t *tools) label(tool string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known[tool] {
		return tool
	}
	if len(t.known) >= maxTools {
		return otherModel
	}
	t.known[tool] = true
	return tool
}
