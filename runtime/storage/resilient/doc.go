// Package resilient stands in front of a driver whose server may be away.
//
// Promise: every call has a time in which it is answered. When several in a row found
// the server away, calls are refused at once, as storage.ErrUnavailable, until a probe of
// its own has found it back: within a second of its return, and no request is held up to
// find out. A client that goes away says nothing about the server.
//
// Settlements, usage and audit that were never sent, or that the server refused without
// doing anything, are kept, in bounded memory, and sent once it takes them: they are money.
// One that was sent and not answered isn't sent again, since it may have been done: a
// reservation then stays spent, and a record is the caller's to log. Options.Lost is told
// of what is still kept when the store is closed; it is gone if the process is killed.
package resilient
