package account

import (
	"context"
	"errors"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// Accounts opens CloudflareAccounts for whoever has something in them.
type Accounts interface {
	// Open reads the account and its token live. What a person must mend is a *Problem.
	Open(ctx context.Context, key client.ObjectKey) (Opened, error)
	// Observed is what the last LIST of a kind showed; false if there was none yet, or the
	// account's token has changed since.
	Observed(key client.ObjectKey, kind cloudflare.Kind) (Observation, bool)
}

// Opened is an account that can be called.
type Opened struct {
	Account *v1alpha1.CloudflareAccount
	// OwnerID marks what this operator makes in it.
	OwnerID string
	// Edit and Poll are the account in both lanes. With actuation Paused both refuse every
	// call with ErrPaused, with DryRun Do is refused with ErrDryRun. Where the account has
	// just refused the same for want of a permission or of quota, it isn't asked again for
	// a while: the answer is the same error, with After.
	Edit, Poll cloudflare.Account
}

// Meanings of errors beside those of the package cloudflare: nothing was called.
var (
	// ErrPaused: spec.actuation is Paused.
	ErrPaused = errors.New("the account is paused")
	// ErrDryRun: spec.actuation is DryRun, and what was asked for would change something.
	ErrDryRun = errors.New("dry run")
)

// Observation is one LIST.
type Observation struct {
	// Begun is when it was asked for: what was made or adopted later may be missing.
	Begun time.Time
	// Things by id: those that carry the operator's mark or that a CloudflareBinding names.
	Things map[string]cloudflare.Thing
}

// Problem is what keeps an account from being called, in the words of a condition.
type Problem struct {
	// Reason and Message of the condition.
	Reason, Message string
	// After is when to try again.
	After time.Duration
}

func (p *Problem) Error() string { return p.Message }
