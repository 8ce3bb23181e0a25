// Package stage sets the product up as a user would: a cluster, both images, the
// chart, a Tenant from its manifest, a key from its Secret, an address from its
// Service. `make up`, the end-to-end tests and the benchmarks play on it.
//
// It promises a line per step and signs of life in between; it refuses to reach into
// the operator or the runtime: everything goes through kubectl, helm and HTTP.
package stage
