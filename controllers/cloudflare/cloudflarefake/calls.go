package cloudflarefake

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// Verify is the Verb of Account.Token.
const Verify cloudflare.Verb = "verify"

// Call is a call on its way.
type Call struct {
	// Seq counts the calls of the World from 1.
	Seq int
	// Account is the caller's name, as opened.
	Account string
	// Verb is one of cloudflare's, or Verify.
	Verb cloudflare.Verb
	Kind cloudflare.Kind
	// ID and Name as far as the caller said them.
	ID, Name string
	// Step of Do.
	Step cloudflare.Step
}

// String names the call without its settings.
func (c Call) String() string {
	s := string(c.Verb)
	if c.Kind != "" {
		s = cloudflare.Op(c.Verb, c.Kind)
	}
	for _, more := range []string{c.ID, c.Name, c.Step.Property} {
		if more != "" {
			s += " " + more
		}
	}
	return s
}

func (c Call) writes() bool {
	return !slices.Contains([]cloudflare.Verb{cloudflare.OpGet, cloudflare.OpFind, cloudflare.OpList, Verify}, c.Verb)
}

// Fault is what goes wrong with a call.
type Fault struct {
	// Err is what the caller gets: an *Error as it is, or a meaning, which becomes one. Nil
	// lets the call do what it does.
	Err error
	// AfterEffect carries the call out and then hides its outcome behind Err.
	AfterEffect bool
	// Then is called once the call was carried out, or refused: for a test that stops its
	// caller after the effect. No lock is held, so it may panic.
	Then func()
}

// Op is a call that was made.
type Op struct {
	Call
	// Effect tells that something was changed.
	Effect bool
	// Made is the id of what was created.
	Made string
	// Err is what the caller got.
	Err error
}

// OnCall lets f decide over each call: nil is no fault. It is asked before anything
// happens and without a lock, so it may block, or panic to stop its caller before the
// effect; by several goroutines at once. A nil f takes it back.
func (w *World) OnCall(f func(Call) *Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.onCall = f
}

// Log is every call that wasn't stopped before it began, in order.
func (w *World) Log() []Op {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log)
}

// Calls is how many calls were made.
func (w *World) Calls() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.log)
}

// call makes one call: fault, admission, effect, log.
func (a *Account) call(ctx context.Context, c Call, carryOut func() error) error {
	op := "verify API token"
	if c.Verb != Verify {
		op = cloudflare.Op(c.Verb, c.Kind)
	}
	if err := ctx.Err(); err != nil {
		return &cloudflare.Error{Op: op, Meaning: cloudflare.ErrUnavailable, Cause: err}
	}
	c.Account = a.name
	fault := a.fault(&c)
	wrap := func(err error) error {
		var whole *cloudflare.Error
		if err == nil || errors.As(err, &whole) {
			return err
		}
		return &cloudflare.Error{Op: op, Meaning: err}
	}
	err := func() error {
		a.w.mu.Lock()
		defer a.w.mu.Unlock()
		logged := Op{Call: c}
		defer func() { a.w.log = append(a.w.log, logged) }()
		if fault != nil && fault.Err != nil && !fault.AfterEffect {
			logged.Err = wrap(fault.Err)
			return logged.Err
		}
		missing, err := a.admit(c)
		if err != nil {
			logged.Err = &cloudflare.Error{Op: op, Meaning: err, Missing: missing}
			return logged.Err
		}
		before := a.w.seq
		if err = wrap(carryOut()); err == nil && c.writes() {
			logged.Effect = true
			if a.w.seq != before {
				logged.Made = a.w.things[len(a.w.things)-1].ID
			}
		}
		if fault != nil && fault.Err != nil {
			err = wrap(fault.Err)
		}
		logged.Err = err
		return err
	}()
	if fault != nil && fault.Then != nil {
		fault.Then()
	}
	return err
}

// fault numbers the call and asks who may spoil it.
func (a *Account) fault(c *Call) *Fault {
	a.w.mu.Lock()
	a.w.calls++
	c.Seq = a.w.calls
	world := a.w.onCall
	a.w.mu.Unlock()
	a.mu.Lock()
	own := a.onCall
	a.mu.Unlock()
	for _, f := range []func(Call) *Fault{world, own} {
		if f == nil {
			continue
		}
		if fault := f(*c); fault != nil {
			return fault
		}
	}
	return nil
}

// refused is ErrInvalid with what was wrong as its cause.
func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", cloudflare.ErrInvalid, fmt.Sprintf(format, args...))
}
