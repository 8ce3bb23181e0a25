package tenancy_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The time of a refusal must not tell a key that was good, or is good elsewhere, or is
// nearly good, from one that never was. Welch's t over two interleaved classes: a
// comparison that stops early gives hundreds to thousands, chance stays under 4.5; the
// limit leaves room for a busy machine.
func TestTheTimeOfARefusalTellsNothing(t *testing.T) {
	const samples, limit = 100_000, 10
	unknown := "ce_nobody_0123456789abcdef0123456"
	for name, value := range map[string]string{
		"expired":          oldKey,
		"another tenant's": globexKey,
		"nearly right":     acmeKey[:len(acmeKey)-1] + "x",
	} {
		d := world(t)
		classes := [2]string{value, unknown}
		header := make([]string, 1)
		r := request("X-Tenant-Id: acme")
		r.Header["X-Api-Key"] = header
		var took [2][]float64
		for range samples {
			class := rand.IntN(2)
			// A copy, so that the two classes differ in nothing but their bytes.
			header[0] = string([]byte(classes[class]))
			start := time.Now()
			_, _, err := d.Identify(r)
			took[class] = append(took[class], float64(time.Since(start)))
			if err == nil {
				t.Fatalf("the %s key opened", name)
			}
		}
		all := slices.Sorted(slices.Values(append(slices.Clone(took[0]), took[1]...)))
		cut := all[len(all)*95/100] // the rest is the scheduler's
		mean0, spread0 := moments(took[0], cut)
		mean1, spread1 := moments(took[1], cut)
		if score := math.Abs(mean0-mean1) / math.Sqrt(spread0+spread1); score > limit {
			t.Errorf("an %s key takes %.1f ns, an unknown one %.1f ns: t = %.1f", name, mean0, mean1, score)
		}
	}
}

// moments gives the mean of what is at most cut, and the variance of that mean.
func moments(values []float64, cut float64) (mean, spread float64) {
	n, squares := 0.0, 0.0
	for _, v := range values {
		if v <= cut {
			n++
			delta := v - mean
			mean += delta / n
			squares += delta * (v - mean)
		}
	}
	return mean, squares / (n - 1) / n
}
