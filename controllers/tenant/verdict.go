package tenant

import (
	"math/rand/v2"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// How long until a Tenant is looked at again when nothing wakes it before. Every wait
// is lengthened at random, so that tenants don't march in step.
const (
	// pollStatus is how often the pods are asked how they are.
	pollStatus = 60 * time.Second
	// pollMissing is how often something that a person must bring is looked for.
	pollMissing = 10 * time.Second
	// pollSettled is how often a Tenant is looked at that only a change can help.
	pollSettled = 5 * time.Minute
	// pollConfig is how often a pod is asked whether it has the new document.
	pollConfig = time.Second
	// pollConfigSlow is the same once it has taken longer than configPatience.
	pollConfigSlow = 15 * time.Second
	// pollSilent is how often a pod is asked that doesn't answer: a question may take
	// statusTimeout.
	pollSilent = 5 * time.Second
	// pollRollout backs up the watches of pods and Deployments.
	pollRollout = 20 * time.Second
	// pollRoute backs for the watch that routes don't have.
	pollRoute = 3 * time.Second
	// configPatience is how long a kubelet may take to bring a document to its pod.
	configPatience = 2 * time.Minute
	// routePatience is how long a gateway is asked often; then a person must act, or
	// somebody who installs one, and many tenants may wait for the same.
	routePatience = 2 * time.Minute
)

// verdict is why a Tenant isn't Ready; nil means that nothing is in the way.
type verdict struct {
	// stalled means that waiting doesn't help.
	stalled bool
	// condition of the domain that is False for it; empty if none is.
	condition string
	reason    string
	message   string
	// after is when to look again.
	after time.Duration
}

func wait(condition, reason, message string, after time.Duration) *verdict {
	return &verdict{condition: condition, reason: reason, message: message, after: after}
}

func stall(condition, reason, message string) *verdict {
	return &verdict{stalled: true, condition: condition, reason: reason, message: message, after: pollSettled}
}

// mark writes the verdict into the Tenant's conditions.
func (v *verdict) mark(t *v1alpha1.Tenant) {
	if v.condition != "" {
		t.MarkFalse(v.condition, v.reason, v.message)
	}
	if v.stalled {
		t.MarkStalled(v.reason, v.message)
	} else {
		t.MarkReconciling(v.reason, v.message)
	}
}

// worst is the verdict to show: the first that is stalled, else the first at all.
func worst(verdicts ...*verdict) *verdict {
	var first *verdict
	for _, v := range verdicts {
		if v == nil {
			continue
		}
		if v.stalled {
			return v
		}
		if first == nil {
			first = v
		}
	}
	return first
}

// jittered lengthens a wait by up to a fifth.
func jittered(d time.Duration) time.Duration {
	return d + rand.N(d/5+1)
}
