// Package sdk drives a tenant's API with OpenAI's own SDKs, for Go and for JavaScript,
// against a real server in front of a fake upstream: what they take for an answer, an
// error or a stream is what their users will see.
//
// The JavaScript package is pinned with its digest in js/package-lock.json and installed
// into .cache. Without node the test fails; ENIGMA_SKIP_NODE=1 leaves it out.
package sdk
