package tools

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// scopeMetrics is the right to see what the tenant's callers did.
const scopeMetrics = "metrics:read"

const (
	defaultPage = 50
	maxPage     = 200
)

// audited is a record as GET /tools/audit tells it.
type audited struct {
	Timestamp  int64  `json:"timestamp"`
	Caller     string `json:"caller"`
	Tool       string `json:"tool"`
	ParamsHash string `json:"paramsHash"`
	Outcome    string `json:"outcome"`
	DurationMs int64  `json:"durationMs"`
}

// audit answers GET /tools/audit?limit&cursor&from&to, newest first.
func (f *Feature) audit(ctx context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	limit := defaultPage
	if s := c.Query.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxPage {
			return httpapi.Answer{}, httpapi.Invalid("limit", "must be a whole number from 1 to "+strconv.Itoa(maxPage))
		}
		limit = n
	}
	now := f.n.Now()
	from, err := timeOf(c.Query.Get("from"), now.Add(-storage.AuditKept))
	if err != nil {
		return httpapi.Answer{}, httpapi.Invalid("from", err.Error())
	}
	to, err := timeOf(c.Query.Get("to"), now.Add(time.Second))
	if err != nil {
		return httpapi.Answer{}, httpapi.Invalid("to", err.Error())
	}
	records, next, err := f.n.Audit.Records(ctx, c.Tenant.ID, from, to, limit, c.Query.Get("cursor"))
	if err != nil {
		return httpapi.Answer{}, err
	}
	list := make([]audited, len(records))
	for i, r := range records {
		list[i] = audited{r.At.UnixMilli(), r.Caller, r.Tool, r.ParamsHash, r.Outcome, r.Duration.Milliseconds()}
	}
	return httpapi.Answer{Data: struct {
		Records []audited `json:"records"`
		Cursor  string    `json:"cursor,omitempty"`
	}{list, next}}, nil
}

// timeOf reads milliseconds since 1970 or RFC 3339.
func timeOf(s string, unset time.Time) (time.Time, error) {
	if s == "" {
		return unset, nil
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, errBadTime
	}
	return t, nil
}

var errBadTime = errors.New("must be milliseconds since 1970, or a time such as 2026-11-24T12:00:00Z")

// periods of the metrics.
var periods = map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour}

// executions are the runs of one tool, or of all.
type executions struct {
	Executions int64            `json:"executions"`
	Succeeded  int64            `json:"succeeded"`
	Failed     int64            `json:"failed"`
	AverageMs  float64          `json:"averageDurationMs"`
	Outcomes   map[string]int64 `json:"outcomes"`

	latency time.Duration
}

type toolExecutions struct {
	Tool string `json:"tool"`
	executions
}

// metrics answers GET /metrics/tools/execution?period=1h|24h|7d.
func (f *Feature) metrics(ctx context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	period := cmp.Or(c.Query.Get("period"), "24h")
	length, ok := periods[period]
	if !ok {
		return httpapi.Answer{}, httpapi.Invalid("period", "must be 1h, 24h or 7d")
	}
	now := f.n.Now()
	from := now.Add(-length)
	buckets, err := f.hours.read(ctx, f.n.Usage, c.Tenant.ID, from, now)
	if err != nil {
		return httpapi.Answer{}, err
	}
	all, byTool := executions{Outcomes: map[string]int64{}}, map[string]*executions{}
	for _, b := range buckets {
		name := strings.TrimPrefix(b.Feature, storage.UsageOfTool)
		e := byTool[name]
		if e == nil {
			e = &executions{Outcomes: map[string]int64{}}
			byTool[name] = e
		}
		e.add(b)
		all.add(b)
	}
	all.average()
	list := make([]toolExecutions, 0, len(byTool))
	for name, e := range byTool {
		e.average()
		list = append(list, toolExecutions{name, *e})
	}
	slices.SortFunc(list, func(a, b toolExecutions) int {
		return cmp.Or(cmp.Compare(b.Executions, a.Executions), cmp.Compare(a.Tool, b.Tool))
	})
	return httpapi.Answer{Data: struct {
		Period string           `json:"period"`
		From   int64            `json:"from"`
		To     int64            `json:"to"`
		Total  executions       `json:"total"`
		Tools  []toolExecutions `json:"tools"`
	}{period, from.UnixMilli(), now.UnixMilli(), all, list}}, nil
}

func (e *executions) add(b storage.UsageBucket) {
	e.Executions += b.Calls
	e.Outcomes[b.Outcome] += b.Calls
	e.latency += b.Latency
	if b.Outcome == outcomeOK {
		e.Succeeded += b.Calls
	} else {
		e.Failed += b.Calls
	}
}

func (e *executions) average() {
	if e.Executions > 0 {
		e.AverageMs = float64(e.latency.Microseconds()) / 1000 / float64(e.Executions)
	}
}

// hours keeps the sums of hours that are over, so that a week is read once and not with
// every question.
type hours struct {
	mu    sync.Mutex
	known map[hourOf][]storage.UsageBucket
}

type hourOf struct {
	tenant tenancy.ID
	hour   int64
}

// lateness is how long after an hour's end its counters may still grow: other replicas
// write within a second, and clocks differ.
const lateness = 2 * time.Minute

// read gives the counters of tools of [from, to). from is taken down to its minute.
func (h *hours) read(ctx context.Context, u storage.Usage, t tenancy.ID, from, to time.Time) ([]storage.UsageBucket, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(to.Add(-storage.UsageKept))
	closed := to.Add(-lateness).Truncate(time.Hour)
	first := from.Truncate(time.Hour)
	if first.Before(from.Truncate(time.Minute)) {
		first = first.Add(time.Hour)
	}
	var out []storage.UsageBucket
	missing := func(start, end time.Time) error {
		if !start.Before(end) {
			return nil
		}
		sums, err := u.Sum(ctx, t, start, end)
		if err != nil {
			return err
		}
		byHour := map[int64][]storage.UsageBucket{}
		for _, b := range sums {
			if strings.HasPrefix(b.Feature, storage.UsageOfTool) {
				byHour[b.Minute.Unix()/3600] = merge(byHour[b.Minute.Unix()/3600], b)
			}
		}
		for at := start; at.Before(end); at = at.Truncate(time.Hour).Add(time.Hour) {
			hour := at.Unix() / 3600
			out = append(out, byHour[hour]...)
			if whole := at.Equal(at.Truncate(time.Hour)); whole && !at.Add(time.Hour).After(closed) {
				h.known[hourOf{t, hour}] = byHour[hour]
			}
		}
		return nil
	}
	if first.After(to) {
		first = to
	}
	if err := missing(from.Truncate(time.Minute), first); err != nil {
		return nil, err
	}
	gap := first
	for at := first; at.Before(closed); at = at.Add(time.Hour) {
		sums, ok := h.known[hourOf{t, at.Unix() / 3600}]
		if !ok {
			continue
		}
		if err := missing(gap, at); err != nil {
			return nil, err
		}
		out = append(out, sums...)
		gap = at.Add(time.Hour)
	}
	return out, missing(gap, to.Truncate(time.Minute).Add(time.Minute))
}

func merge(sums []storage.UsageBucket, b storage.UsageBucket) []storage.UsageBucket {
	for i := range sums {
		if sums[i].Feature == b.Feature && sums[i].Outcome == b.Outcome {
			sums[i].Calls += b.Calls
			sums[i].Latency += b.Latency
			return sums
		}
	}
	return append(sums, b)
}

func (h *hours) forget(before time.Time) {
	if h.known == nil {
		h.known = map[hourOf][]storage.UsageBucket{}
	}
	for k := range h.known {
		if k.hour < before.Unix()/3600 {
			delete(h.known, k)
		}
	}
}
