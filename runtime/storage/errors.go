package storage

import "errors"

var (
	// ErrUnavailable: the store can't be reached or can't write now (gone, disk
	// full, read-only). Callers answer 503 with Retry-After; it may heal by itself.
	ErrUnavailable = errors.New("state store unavailable")
	// ErrNotDone comes with ErrUnavailable where a driver knows that its server has done
	// nothing of the call, which it never heard of or refused: making it again can't do it
	// twice.
	ErrNotDone = errors.New("nothing of the call was done")
	// ErrNoTenant: the call came without a tenant. It is a bug of the caller.
	ErrNoTenant = errors.New("no tenant given")
	// ErrBadCursor: a cursor that this store did not make.
	ErrBadCursor = errors.New("unknown cursor")
	// ErrBadLimit: a page of less than one. It is a bug of the caller.
	ErrBadLimit = errors.New("a page holds 1 or more")
	// ErrBadEntry: a cache entry that is too large or has no time to live. It is a bug
	// of the caller.
	ErrBadEntry = errors.New("a cache entry has a time to live and at most 1 MiB")
	// ErrBadRecord: a Record that no store has dumped.
	ErrBadRecord = errors.New("a record holds exactly one thing, whole and in order")
	// ErrBadAmount: amounts that can't be reserved or billed. It is a bug of the
	// caller.
	ErrBadAmount = errors.New("an amount for each limit is needed, and none below 0")
)
