// Package crd holds the generated CustomResourceDefinitions, so that programs and
// tests carry the very files that a cluster gets. Write nothing here by hand but this
// file: `make generate` makes the others from api/v1alpha1.
package crd

import "embed"

// Files are the CustomResourceDefinitions, one YAML file each.
//
//go:embed ai.crispy-enigma.dev_*.yaml
var Files embed.FS
