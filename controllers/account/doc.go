// Package account looks after CloudflareAccounts: is the token good, what may it do, how
// much of its budget and of the account's quotas is left, and what is there. It opens
// accounts for the other controllers and tells bindings what the last LIST showed, so
// that a thousand of them are observed by a handful of calls.
//
// It promises one budget per token over all controllers, to read a token's Secret live
// (one reading stands for three seconds), and to call nothing in an account that is
// paused. It makes and deletes nothing but strays of API tokens that carry this
// operator's mark.
package account
