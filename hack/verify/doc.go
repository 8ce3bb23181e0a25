// Command verify keeps what is generated equal to what it is generated from: deep
// copies and CRDs from api/v1alpha1, the operator's permissions from the markers in
// controllers, the Helm chart's copies of all these, the field reference in docs, and
// Cloudflare's wire types from its API document.
//
// `generate` writes them; `check` generates into a temporary folder, lists what differs
// from the tree, changes nothing, and fails if anything does.
package main
