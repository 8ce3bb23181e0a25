package valkey

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	valkeygo "github.com/valkey-io/valkey-go"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// Reasons in Health.
const (
	// ReasonUnreachable: no connection.
	ReasonUnreachable = "unreachable"
	// ReasonTimeout: no answer in time.
	ReasonTimeout = "timeout"
	// ReasonUntrusted: the server's certificate isn't signed by the given ones, or names
	// another host.
	ReasonUntrusted = "untrusted"
	// ReasonUnauthorized: the login is refused, or may not do what the driver does.
	ReasonUnauthorized = "unauthorized"
	// ReasonLoading: the server reads its data from disk, or is busy with a script.
	ReasonLoading = "loading"
	// ReasonReadOnly: a replica answered, or the server can't write its disk.
	ReasonReadOnly = "read_only"
	// ReasonClusterDown: a part of the cluster is missing or moving.
	ReasonClusterDown = "cluster_down"
	// ReasonOutOfMemory: the server has reached its maxmemory.
	ReasonOutOfMemory = "out_of_memory"
	// ReasonClosed: Close was called.
	ReasonClosed = "closed"
)

// ErrForeign: the answer belongs to another call, or the value to another tenant. It
// was thrown away, and the connections were dropped.
var ErrForeign = errors.New("the state server's answer belongs to another call or tenant")

// codes are the first words of a server's errors that waiting, or its operator, can heal.
var codes = map[string]string{
	"NOAUTH": ReasonUnauthorized, "WRONGPASS": ReasonUnauthorized, "NOPERM": ReasonUnauthorized,
	"LOADING": ReasonLoading, "BUSY": ReasonLoading,
	"READONLY": ReasonReadOnly, "MASTERDOWN": ReasonReadOnly, "NOREPLICAS": ReasonReadOnly, "MISCONF": ReasonReadOnly,
	"CLUSTERDOWN": ReasonClusterDown, "TRYAGAIN": ReasonClusterDown, "MOVED": ReasonClusterDown, "ASK": ReasonClusterDown,
	"OOM": ReasonOutOfMemory,
}

// reasonOf is "" for an error that neither waiting nor an operator can heal.
func reasonOf(err error) string {
	var certificate *tls.CertificateVerificationError
	var timeout net.Error
	if said, ok := valkeygo.IsValkeyErr(err); ok {
		text := said.Error()
		code, _, _ := strings.Cut(text, " ")
		if reason, ok := codes[code]; ok {
			return reason
		}
		// Servers of 7.0 tell of a command that a script may not call without a code.
		if strings.Contains(text, "ACL failure") || strings.Contains(text, "The user executing the script") {
			return ReasonUnauthorized
		}
		return ""
	}
	switch {
	case errors.As(err, &certificate):
		return ReasonUntrusted
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return ReasonTimeout
	}
	return ReasonUnreachable
}

// notDone tells whether the server has done nothing of a call: there was no connection, or
// it refused the script at its first write at the latest. A command that the login may not
// send can come after others.
func notDone(err error) bool {
	if said, ok := valkeygo.IsValkeyErr(err); ok {
		code, _, _ := strings.Cut(said.Error(), " ")
		_, known := codes[code]
		return known && code != "NOPERM"
	}
	dialed, ok := errors.AsType[*net.OpError](err)
	return ok && dialed.Op == "dial"
}

// fault turns the error of a call into what the contract says. ctx is the caller's own.
func (s *Store) fault(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	if said, ok := valkeygo.IsValkeyErr(err); ok && strings.HasPrefix(said.Error(), "FOREIGN") {
		return s.foreign()
	}
	reason := reasonOf(err)
	if reason == "" {
		return fmt.Errorf("asking the state server: %w", err)
	}
	if s.link.closed.Load() {
		reason = ReasonClosed
	}
	s.link.failed(reason, err)
	if notDone(err) {
		return fmt.Errorf("%w (%s), %w: %s", storage.ErrUnavailable, reason, storage.ErrNotDone, err.Error())
	}
	// What waits for a context of its own must not mistake this for it.
	return fmt.Errorf("%w (%s): %s", storage.ErrUnavailable, reason, err.Error())
}

// foreign is told when an answer or a value isn't this call's: whatever else the
// connections have under way may be out of step too.
func (s *Store) foreign() error {
	if err := s.link.drop(); err != nil {
		s.logger.Warn("dropping the connections to the state server", "error", err)
	}
	s.logger.Error("an answer of the state server belonged to another call or tenant; it was thrown away and the connections were dropped")
	return ErrForeign
}

// unsent is told to what waited for a call that failed.
func unsent(err error) error {
	if errors.Is(err, storage.ErrNotDone) {
		return err
	}
	return fmt.Errorf("%w, %w", err, storage.ErrNotDone)
}

// unavailable is told before anything is sent.
func unavailable(reason string) error {
	return fmt.Errorf("%w (%s), %w", storage.ErrUnavailable, reason, storage.ErrNotDone)
}
