package statestore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// Kinds of servers, by the driver that keeps state on them.
const (
	Valkey   = tenantconfig.StateValkey
	Postgres = tenantconfig.StatePostgres
)

// Server is one state server with the login of who may make others. All methods may be
// called at the same time, and again after any end. Errors are *Error.
type Server interface {
	// Admit lets the tenant in by exactly the login's passwords: what else opened it
	// before no longer does. It looks first, and writes only what differs.
	Admit(ctx context.Context, tag string, l Login) error
	// Expel removes the tenant's login and ends its connections. The data stays.
	Expel(ctx context.Context, tag string) error
	// Erase removes a part of what the tenant keeps, bounded in time; more tells that
	// something may be left. It comes before Expel.
	Erase(ctx context.Context, tag string) (more bool, err error)
	// Close lets go of the connections.
	Close()
}

// Login is what opens a tenant's data.
type Login struct {
	// Slot is "a" or "b" where a password is changed by going over to another login.
	Slot string
	// Password in clear: printable ASCII.
	Password string
	// Previous is DigestOf the password that still works beside it until all pods have the
	// new one. Empty for none.
	Previous string
	// Connections that may be open at the same time, where the server counts them by login.
	Connections int
	// Renew writes the login even if it looks as it should: the password is new, or the
	// pods say that it doesn't work.
	Renew bool
}

// OtherSlot is the one that a password is changed to.
func OtherSlot(slot string) string {
	if slot == "a" {
		return "b"
	}
	return "a"
}

// User is whom a tenant logs in as on a server of a kind.
func User(kind, tag, slot string) (string, error) {
	if kind == Postgres {
		return statestore.PostgresUser(tag, slot)
	}
	return statestore.ACLUser(tag), nil
}

// DigestOf a password, as Valkey takes it in its place.
func DigestOf(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

// Error is what a server answers, or that it doesn't. Its text is a part of a sentence, the
// same for the same trouble, and holds no secret.
type Error struct {
	// Away tells that the server didn't answer at all.
	Away bool
	text string
	err  error
}

func (e *Error) Error() string { return e.text }

// Unwrap gives the cause, which may say more than people should see.
func (e *Error) Unwrap() error { return e.err }

// away is about a server that doesn't answer. A context that has ended is as good.
func away(what, host string, err error) error {
	why := "it doesn't answer"
	if errors.Is(err, context.DeadlineExceeded) {
		why = "it doesn't answer in time"
	}
	return &Error{Away: true, text: fmt.Sprintf("the %s server %s can't be reached: %s", what, host, why), err: err}
}

func refused(what, host, why string, err error) error {
	return &Error{text: fmt.Sprintf("the %s server %s refuses: %s", what, host, why), err: err}
}
