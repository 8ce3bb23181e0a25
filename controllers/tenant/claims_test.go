package tenant_test

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
)

// Whatever the ages and UIDs, of the Tenants that claim one thing exactly one has no
// rival above it, and all others name that one.
func TestOfSeveralClaimantsOneWinsAndAllAgreeWhich(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, 8).Draw(t, "claimants")
		uids := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-f0-9]{2}`), count, count, rapid.ID).Draw(t, "uids")
		claimants := make([]v1alpha1.Tenant, count)
		for i := range claimants {
			seconds := rapid.Int64Range(0, 3).Draw(t, "created")
			claimants[i].Name = fmt.Sprint(i)
			claimants[i].UID = types.UID(uids[i])
			claimants[i].CreationTimestamp = metav1.NewTime(time.Unix(seconds, 0))
		}
		winners := map[types.UID]bool{}
		for i := range claimants {
			winner := tenant.OldestRival(&claimants[i], claimants)
			if winner == nil {
				winner = &claimants[i]
			}
			winners[winner.UID] = true
			if winner.CreationTimestamp.After(claimants[i].CreationTimestamp.Time) {
				t.Fatalf("%s lost to the younger %s", claimants[i].Name, winner.Name)
			}
		}
		if len(winners) != 1 {
			t.Fatalf("%d winners: %v", len(winners), winners)
		}
	})
}

func TestReasonsOfTheRuntimeBecomeReasonsOfConditions(t *testing.T) {
	for word, want := range map[string]string{
		"unavailable": "Unavailable", "rate_limited": "RateLimited", "bad gateway": "BadGateway",
		"": v1alpha1.ReasonModelFailing, "1": v1alpha1.ReasonModelFailing, "__": v1alpha1.ReasonModelFailing,
		"http 502": "Http502",
	} {
		if got := tenant.ReasonOf(word); got != want {
			t.Errorf("%q gave %q, want %q", word, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.String().Draw(t, "word")
		got := tenant.ReasonOf(word)
		for i, c := range got {
			letter := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
			if !letter && (i == 0 || c < '0' || c > '9') {
				t.Fatalf("%q gave %q, which the API refuses", word, got)
			}
		}
	})
}
