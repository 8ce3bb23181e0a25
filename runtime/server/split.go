package server

import (
	"context"
	"errors"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// split keeps rate windows and budgets on a faster server than the rest.
type split struct {
	storage.Store
	limits storage.Store
}

// Windows implements storage.Store.
func (s split) Windows() storage.Windows { return s.limits.Windows() }

// Budgets implements storage.Store.
func (s split) Budgets() storage.Budgets { return s.limits.Budgets() }

// Portable implements storage.Store.
func (s split) Portable() storage.Portable {
	return splitPortable{s.Store.Portable(), s.limits.Portable()}
}

// Health implements storage.Store. A reason of the limits' server begins with "limits_".
func (s split) Health() storage.Health {
	if h := s.Store.Health(); !h.OK {
		return h
	}
	h := s.limits.Health()
	if !h.OK {
		h.Reason = "limits_" + h.Reason
	}
	return h
}

// Close implements storage.Store.
func (s split) Close(ctx context.Context) error {
	return errors.Join(s.limits.Close(ctx), s.Store.Close(ctx))
}

// splitPortable moves what lies on two servers: first the one's, then the budgets of the
// other, which has nothing else that moves.
type splitPortable struct{ rest, limits storage.Portable }

// The first letter of a position tells whose the rest of it is.
const (
	ofRest   = "r"
	ofLimits = "l"
)

func (p splitPortable) Dump(ctx context.Context, t tenancy.ID, from string, yield func(storage.Record, string) error) error {
	marked := func(mark string) func(storage.Record, string) error {
		return func(r storage.Record, next string) error { return yield(r, mark+next) }
	}
	if from == "" {
		from = ofRest
	}
	if at, ok := strings.CutPrefix(from, ofLimits); ok {
		return p.limits.Dump(ctx, t, at, marked(ofLimits))
	}
	at, ok := strings.CutPrefix(from, ofRest)
	if !ok {
		return storage.ErrBadCursor
	}
	if err := p.rest.Dump(ctx, t, at, marked(ofRest)); err != nil {
		return err
	}
	return p.limits.Dump(ctx, t, "", marked(ofLimits))
}

// Load checks all records before it takes any in. A server that fails between the two
// leaves one part taken in, which loading again mends.
func (p splitPortable) Load(ctx context.Context, t tenancy.ID, records []storage.Record) error {
	var rest, budgets []storage.Record
	for _, r := range records {
		if err := r.Validate(); err != nil {
			return err
		}
		if r.Budget != nil {
			budgets = append(budgets, r)
		} else {
			rest = append(rest, r)
		}
	}
	var errs []error
	if len(rest) > 0 {
		errs = append(errs, p.rest.Load(ctx, t, rest))
	}
	if len(budgets) > 0 {
		errs = append(errs, p.limits.Load(ctx, t, budgets))
	}
	return errors.Join(errs...)
}

func (p splitPortable) Erase(ctx context.Context, t tenancy.ID) (int, error) {
	sessions, err := p.rest.Erase(ctx, t)
	_, limits := p.limits.Erase(ctx, t)
	return sessions, errors.Join(err, limits)
}
