// Package telemetry says what happened: logs, metrics and the record of what each
// model call used.
//
// Promise: no key, bearer token, e-mail address or long number reaches a log, and
// message text is never handed to it; the number of metric series is bounded
// whatever clients send; a model call is recorded whatever its outcome, and one
// that can't be stored is logged whole instead.
package telemetry
