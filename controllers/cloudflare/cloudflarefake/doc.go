// Package cloudflarefake is Cloudflare in memory, for tests of controllers: a World that
// keeps what exists, and Accounts over it, one a caller.
//
// Promise: it is as strict as the real one. Names have rules and are unique or not as
// the kind has it, ids are the server's or the caller's, quotas and permissions hold, a
// token's value is shown once, LIST lags. A test can make each call fail, before its
// effect or after it, or stop its caller there; every call is in the log.
package cloudflarefake
