// Package cloudflare is a Cloudflare account as the operator sees it: things that exist
// there, what is wanted of them, and the one step that comes next.
//
// It promises to speak in meanings (ErrNotFound, ErrForbidden, …), never in codes; to
// say of every call that failed whether it may have had its effect; to repeat nothing
// that isn't safe to repeat; and to stay within one budget per API token, whoever calls.
// It refuses to touch what carries another owner's mark: that is Plan's and the callers'
// part, a client only does what it is told.
package cloudflare
