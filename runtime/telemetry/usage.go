package telemetry

import (
	"context"
	"log/slog"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Outcomes of a model call.
const (
	OutcomeOK        = "ok"
	OutcomeError     = "error"
	OutcomeCanceled  = "canceled"
	OutcomeTruncated = "truncated"
)

// Call is one model call that has ended.
type Call struct {
	Model   string
	Feature string
	// Outcome is one of the constants above.
	Outcome  string
	In, Out  int
	MicroUSD int64
	Latency  time.Duration
	// FirstToken is how long the first token took, 0 if none came or the call was
	// not streamed.
	FirstToken time.Duration
}

// Recorder keeps what calls used.
type Recorder struct {
	usage   storage.Usage
	metrics *Metrics
	logger  *slog.Logger
	now     func() time.Time
}

// NewRecorder records into usage and metrics. now is the clock, time.Now if nil.
func NewRecorder(usage storage.Usage, metrics *Metrics, logger *slog.Logger, now func() time.Time) *Recorder {
	if now == nil {
		now = time.Now
	}
	return &Recorder{usage: usage, metrics: metrics, logger: logger, now: now}
}

// Record counts one call. ctx must outlive the request: what was used is recorded
// though the client has gone.
func (r *Recorder) Record(ctx context.Context, t tenancy.ID, c Call) {
	s := r.metrics.series(c.Model)
	s.in.Observe(float64(c.In))
	s.out.Observe(float64(c.Out))
	r.metrics.operation.WithLabelValues(s.label, c.Outcome).Observe(c.Latency.Seconds())
	if c.FirstToken > 0 {
		s.firstToken.Observe(c.FirstToken.Seconds())
	}
	err := r.usage.Add(ctx, t, storage.UsageRecord{
		At: r.now(), Model: c.Model, Feature: c.Feature, Outcome: c.Outcome,
		TokensIn: int64(c.In), TokensOut: int64(c.Out), MicroUSD: c.MicroUSD, Latency: c.Latency,
	})
	if err != nil {
		r.metrics.lost.Inc()
		r.logger.Error("usage record not stored", "tenant", t.String(), "error", err,
			"model", c.Model, "feature", c.Feature, "outcome", c.Outcome,
			"tokens_in", c.In, "tokens_out", c.Out, "micro_usd", c.MicroUSD, "latency_ms", c.Latency.Milliseconds())
	}
}

// StreamOpened counts an open stream until the returned function is called.
func (r *Recorder) StreamOpened() (closed func()) { return r.metrics.StreamOpened() }
