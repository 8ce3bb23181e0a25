package storage

import (
	"context"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Roles of a Message.
const (
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string
	Content string
	// At has millisecond resolution.
	At time.Time
	// Tokens is the provider's count, 0 if unknown.
	Tokens int
	// Partial marks an answer that was cut off.
	Partial bool
	// Untrusted marks an answer that was made after text that nobody vouches for, or after
	// another such answer.
	Untrusted bool
}

// Owner is whose sessions a call may touch. A session belongs to the caller that
// made it: the same session id under two callers is two sessions.
type Owner struct {
	// Caller is tenancy.Caller.ID().
	Caller string
	// All opens every caller's sessions of the tenant to History, Delete and List.
	// Append always writes under Caller.
	All bool
}

// Keep bounds one session.
type Keep struct {
	// MaxMessages is how many messages stay; older ones are dropped. 0 = no bound.
	MaxMessages int
	// Retention is how long the session is wanted after its last message. A driver whose
	// server forgets by itself may drop it then; Expire does so in any case. 0 = no bound.
	Retention time.Duration
}

// Page asks for a part of a history.
type Page struct {
	// Limit is how many messages at most, 1 or more.
	Limit int
	// Before skips messages at or after this time; zero starts at the newest.
	Before time.Time
}

// SessionInfo is one line of a list of sessions.
type SessionInfo struct {
	ID       string
	Messages int
	// Created is the At of the first message that was appended, Updated the latest
	// At, both in milliseconds.
	Created time.Time
	Updated time.Time
}

// Sessions keeps conversations. A limit below 1 is ErrBadLimit.
type Sessions interface {
	// Append adds all of msgs to the session, or none, making the session if it is
	// new. Concurrent appends are ordered and none is lost or interleaved. Without
	// messages nothing happens.
	//
	// Times must rise within msgs, by a millisecond or more. Histories are paged by
	// time, so no two messages of a session may share one: msgs that don't begin
	// after the session's latest message are moved to begin a millisecond after it,
	// their distances kept. Clients that ask at once, and a clock that was set back,
	// would else hide messages between two pages.
	Append(ctx context.Context, t tenancy.ID, o Owner, session string, msgs []Message, keep Keep) error
	// History returns messages, last appended first. An unknown session has none.
	// With Owner.All it is the caller's own session, else the one of this id that was
	// updated last.
	History(ctx context.Context, t tenancy.ID, o Owner, session string, page Page) ([]Message, error)
	// Delete removes a session, with Owner.All every caller's session of this id. An
	// unknown one is no error.
	Delete(ctx context.Context, t tenancy.ID, o Owner, session string) error
	// List returns up to limit sessions, latest update first, starting after cursor
	// ("" = the beginning), and the cursor of the next page ("" = the end). A cursor
	// that the store didn't make for this tenant and owner is ErrBadCursor.
	List(ctx context.Context, t tenancy.ID, o Owner, limit int, cursor string) ([]SessionInfo, string, error)
	// Expire removes sessions last updated before the given time and returns how
	// many.
	Expire(ctx context.Context, t tenancy.ID, before time.Time) (int, error)
}
