package ai_test

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

func TestCost(t *testing.T) {
	t.Parallel()
	p := ai.NewPrices([]tenantconfig.Price{{Model: "carry", InputPerMillion: 1 << 31, OutputPerMillion: 1 << 31}, {Model: "absurd", InputPerMillion: 4_000_000}, {Model: "m", InputPerMillion: 45_000, OutputPerMillion: 384_000}, {Model: "free"}})
	for _, c := range []struct {
		model string
		usage ai.Usage
		want  int64
		ok    bool
	}{
		{"m", ai.Usage{In: 1_000_000, Out: 1_000_000}, 429_000, true},
		{"m", ai.Usage{In: 1}, 1, true}, // 0.045 rounded up
		{"m", ai.Usage{}, 0, true},
		{"m", ai.Usage{In: -5, Out: -5}, 0, true},
		{"free", ai.Usage{In: 100, Out: 100}, 0, true},
		{"carry", ai.Usage{In: 1 << 32, Out: 1 << 32}, 18_446_744_073_710, true}, // the two products overflow together
		{"absurd", ai.Usage{In: 1 << 62}, math.MaxInt64, true},                   // the product is a million times 1<<64
		{"unknown", ai.Usage{In: 100}, 0, false},
		{"", ai.Usage{In: 100}, 0, false},
	} {
		if got, ok := p.Cost(c.model, c.usage); got != c.want || ok != c.ok {
			t.Errorf("%s %+v: %d, %v", c.model, c.usage, got, ok)
		}
	}
}

// Against arithmetic without limits, over all of int64.
func TestCostNeverOverflows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		price := tenantconfig.Price{Model: "m", InputPerMillion: rapid.Int64().Draw(t, "in price"), OutputPerMillion: rapid.Int64().Draw(t, "out price")}
		usage := ai.Usage{In: rapid.Int().Draw(t, "in"), Out: rapid.Int().Draw(t, "out")}
		got, ok := ai.NewPrices([]tenantconfig.Price{price}).Cost("m", usage)
		times := func(tokens int, price int64) *big.Int {
			return new(big.Int).Mul(big.NewInt(max(0, int64(tokens))), big.NewInt(max(0, price)))
		}
		sum := new(big.Int).Add(times(usage.In, price.InputPerMillion), times(usage.Out, price.OutputPerMillion))
		sum.Add(sum, big.NewInt(999_999)).Quo(sum, big.NewInt(1_000_000))
		want := int64(math.MaxInt64)
		if sum.IsInt64() {
			want = sum.Int64()
		}
		if !ok || got != want {
			t.Fatalf("cost %d, want %d", got, want)
		}
	})
}
