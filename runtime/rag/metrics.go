package rag

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Registry is where metrics are told; *telemetry.Metrics is one.
type Registry interface {
	Counter(name, help string, labels prometheus.Labels, read func() float64)
	Gauge(name, help string, labels prometheus.Labels, read func() float64)
}

// counts are what the metrics tell. Their labels are of closed sets.
type counts struct {
	mu   sync.Mutex
	sums map[string]float64
}

func (c *counts) add(name string, by float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sums == nil {
		c.sums = map[string]float64{}
	}
	c.sums[name] += by
}

func (c *counts) read(name string) func() float64 {
	return func() float64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.sums[name]
	}
}

func (c *counts) ingests(result string) { c.add("ingest/"+result, 1) }
func (c *counts) passages(n int)        { c.add("passages", float64(n)) }
func (c *counts) cache(result string)   { c.add("cache/"+result, 1) }
func (c *counts) search(mode string)    { c.add("search/"+mode, 1) }

// phase counts how long a phase of a search took.
func (c *counts) phase(name string, took time.Duration) {
	c.add("seconds/"+name, took.Seconds())
	c.add("times/"+name, 1)
}

// phases of a search.
const (
	phaseEmbed    = "embed"
	phaseRetrieve = "retrieve"
	phaseRerank   = "rerank"
	phaseRead     = "read"
	phaseAnswer   = "answer"
)

// Gauges adds the feature's metrics.
func (f *Feature) Gauges(m Registry) {
	for _, result := range []string{"ingested", "failed"} {
		m.Counter("enigma_ingests_total", "Documents that were taken in, or failed, since the start.", prometheus.Labels{"result": result}, f.counts.read("ingest/"+result))
	}
	m.Counter("enigma_ingested_chunks_total", "Passages that were published since the start.", nil, f.counts.read("passages"))
	for _, result := range []string{"hit", "miss", "similar"} {
		m.Counter("enigma_search_cache_total", "Searches since the start by what the cache had.", prometheus.Labels{"result": result}, f.counts.read("cache/"+result))
	}
	for _, mode := range []string{modeHybrid, modeVector, modeText} {
		m.Counter("enigma_searches_total", "Searches of passages since the start, cached ones not counted.", prometheus.Labels{"mode": mode}, f.counts.read("search/"+mode))
	}
	for _, phase := range []string{phaseEmbed, phaseRetrieve, phaseRerank, phaseRead, phaseAnswer} {
		labels := prometheus.Labels{"phase": phase}
		m.Counter("enigma_search_phase_seconds_total", "Time that searches spent since the start, by phase.", labels, f.counts.read("seconds/"+phase))
		m.Counter("enigma_search_phases_total", "How often searches went through a phase since the start.", labels, f.counts.read("times/"+phase))
	}
	total := func(read func(documents, passages, withVector int, ready bool) int) func() float64 {
		return func() float64 {
			sum := 0
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, x := range f.indexes {
				p := x.Progress()
				sum += read(p.Documents, p.Passages, p.WithVector, p.Ready)
			}
			return float64(sum)
		}
	}
	m.Gauge("enigma_index_documents", "Documents that can be found.", nil, total(func(d, _, _ int, _ bool) int { return d }))
	m.Gauge("enigma_index_chunks", "Passages that can be found.", nil, total(func(_, p, _ int, _ bool) int { return p }))
	m.Gauge("enigma_index_chunks_with_vector", "Passages that can be found by a vector kept here: fewer than all while a changed embedding model is caught up with.", nil, total(func(_, _, v int, _ bool) int { return v }))
	m.Gauge("enigma_ingest_jobs_running", "Jobs that this process is at.", nil, f.counts.read("running"))
}
