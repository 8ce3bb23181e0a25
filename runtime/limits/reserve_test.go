package limits_test

import (
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

func TestAFurtherStepCostsBudgetAndNoRate(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *tenantconfig.Config) {
		c.Limits.Requests.PerMinute = 1
		c.Limits.Tokens.Daily = 100
	})
	first, err := b.gate.Admit(t.Context(), b.call("k"), ask(30, 10))
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.gate.Reserve(t.Context(), b.tenant, ask(40, 10))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.gate.Reserve(t.Context(), b.tenant, ask(1, 10)); code(err) != "budget_exceeded" {
		t.Errorf("the third of 100 tokens: %v", err)
	}
	if n := b.spending(t).TokensToday; n != 90 {
		t.Errorf("%d tokens are set aside", n)
	}
	first.Settle(t.Context(), "m", ai.Usage{In: 30, Out: 5})
	second.Settle(t.Context(), "m", ai.Usage{In: 40})
	if n := b.spending(t).TokensToday; n != 75 {
		t.Errorf("%d tokens are spent", n)
	}
	if _, err := b.gate.Admit(t.Context(), b.call("k"), ask(1, 1)); code(err) != "rate_limited" {
		t.Errorf("the second request of a minute: %v", err)
	}
}
