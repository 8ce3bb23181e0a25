package tools_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"
)

// BenchmarkDispatch is what a run costs beside the tool: the look-up, the check of its
// parameters, the goroutine, the audit log and the counters.
func BenchmarkDispatch(b *testing.B) {
	bed := newBed(b, nil, newTenant(b, nil))
	bed.feature.Plant(bed.tenant, "nothing", time.Minute, func(context.Context, map[string]any) (any, error) { return "x", nil })
	call, params := bed.call(keyMain), json.RawMessage(`{"text":"some words","n":7}`)
	b.ReportAllocs()
	for b.Loop() {
		if r := bed.feature.Run(b.Context(), call, "nothing", params); r.Code != "" {
			b.Fatal(r.Message)
		}
	}
}
