// Package accounttest is what an Account promises, as tests that every Account passes:
// the one over HTTP against a strict server, and the one in memory that controllers are
// tested with. What holds in a controller's tests then holds against the server too.
package accounttest
