package ai

import (
	"math"
	"math/bits"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// Prices says what tokens cost. It never changes once made.
type Prices struct {
	byModel map[string]tenantconfig.Price
}

// NewPrices takes a tenant's price list; of two prices of a model the last counts.
func NewPrices(list []tenantconfig.Price) Prices {
	p := Prices{byModel: make(map[string]tenantconfig.Price, len(list))}
	for _, price := range list {
		p.byModel[price.Model] = price
	}
	return p
}

// Cost of one call in millionths of a US dollar, rounded up; it stops at the largest
// int64. It is not ok if the model has no price: unknown is not free.
func (p Prices) Cost(model string, u Usage) (microUSD int64, ok bool) {
	price, ok := p.byModel[model]
	if !ok {
		return 0, false
	}
	inHi, inLo := bits.Mul64(positive(int64(u.In)), positive(price.InputPerMillion))
	outHi, outLo := bits.Mul64(positive(int64(u.Out)), positive(price.OutputPerMillion))
	lo, carry := bits.Add64(inLo, outLo, 0)
	hi, _ := bits.Add64(inHi, outHi, carry)
	const million = 1_000_000
	if hi >= million {
		return math.MaxInt64, true
	}
	cost, rest := bits.Div64(hi, lo, million)
	if rest > 0 && cost < math.MaxInt64 {
		cost++
	}
	return int64(min(cost, math.MaxInt64)), true
}

// positive takes a negative count or price for none: it must never pay back.
func positive(n int64) uint64 { return uint64(max(n, 0)) }
