package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// Reasons in Health.
const (
	// ReasonUnreachable: no connection, or it broke.
	ReasonUnreachable = "unreachable"
	// ReasonTimeout: the server didn't answer in time, or all connections are in use.
	ReasonTimeout = "timeout"
	// ReasonDenied: the server refuses the login, or lets it do too little.
	ReasonDenied = "denied"
	// ReasonReadOnly: the server is a standby, or was made read-only.
	ReasonReadOnly = "read_only"
	// ReasonDiskFull: the server's disk is full.
	ReasonDiskFull = "disk_full"
	// ReasonExhausted: the server has no connection, memory or slot left.
	ReasonExhausted = "exhausted"
	// ReasonBusy: rows stayed locked, or tries were rolled back again and again.
	ReasonBusy = "busy"
	// ReasonSchema: the operator hasn't made the schema, or not this version of it.
	ReasonSchema = "schema"
	// ReasonIOError: the server can't read or write its files.
	ReasonIOError = "io_error"
	// ReasonClosed: Close was called.
	ReasonClosed = "closed"
)

var (
	// ErrOtherTenant: the login is another tenant's, or the database is. Give each tenant
	// the login that the operator made for it, or a database of its own.
	ErrOtherTenant = errors.New("the store's login or database belongs to another tenant")
	// ErrForeignRow: the server answered with what is another tenant's. Nothing of it is
	// returned, and the connection is dropped.
	ErrForeignRow = errors.New("the store answered with another tenant's row")

	errUnreadable = errors.New("a row of the store can't be read")
	errSchema     = errors.New("schema enigma is not there or too old for this version: the operator makes it, or the login must own its database")
)

// reasonOf says in one word why the store can't be used; "" if the store isn't why.
func reasonOf(err error) string {
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, errSchema):
		return ReasonSchema
	case errors.As(err, &pg):
		return reasonOfCode(pg.Code)
	case errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		return ReasonTimeout
	case ours(err):
		return ""
	}
	// What the server didn't say is what the connection or our reading of it said.
	return ReasonUnreachable
}

func reasonOfCode(code string) string {
	switch code {
	case "53100":
		return ReasonDiskFull
	case "25006":
		return ReasonReadOnly
	case "57014":
		return ReasonTimeout
	case "42501", "3D000":
		return ReasonDenied
	case "3F000", "42P01", "42883", "42703":
		return ReasonSchema
	case "55P03":
		return ReasonBusy
	}
	switch {
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "57P"):
		return ReasonUnreachable
	case strings.HasPrefix(code, "28"):
		return ReasonDenied
	case strings.HasPrefix(code, "53"):
		return ReasonExhausted
	case strings.HasPrefix(code, "40"):
		return ReasonBusy
	case strings.HasPrefix(code, "58"):
		return ReasonIOError
	}
	return ""
}

// ours tells errors that say nothing of the server.
func ours(err error) bool {
	for _, known := range []error{
		ErrOtherTenant, ErrForeignRow, errUnreadable, storage.ErrBadCursor, storage.ErrBadRecord,
		storage.ErrBadDocument, storage.ErrOldVersion, storage.ErrIncomplete,
		storage.ErrBadJob, storage.ErrTooManyJobs, storage.ErrLeaseLost,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// lost tells whether the connection can't be used any more, or only to no end.
func lost(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "08") || pg.Code == "25006"
	}
	return !ours(err)
}

// rolledBack tells whether the server undid the transaction to let another go on.
func rolledBack(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// unheard is the error of a call of which the server has heard nothing.
type unheard struct{ error }

func (u unheard) Unwrap() error { return u.error }

// notDone tells whether the server has done nothing of a call. An error, unlike what ends a
// connection, undid the transaction.
func notDone(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &unheard{}) || pgconn.SafeToRetry(err) {
		return true
	}
	return errors.As(err, &pg) && pg.SeverityUnlocalized == "ERROR" && pg.Code != "40003"
}

func unavailable(reason string, err error) error {
	if notDone(err) {
		return fmt.Errorf("%w (%s), %w: %w", storage.ErrUnavailable, reason, storage.ErrNotDone, err)
	}
	return fmt.Errorf("%w (%s): %w", storage.ErrUnavailable, reason, err)
}
