// Package contract holds the runtime to docs/http-api.md: what the page promises to
// clients is what the source can answer. It has tests only.
package contract
