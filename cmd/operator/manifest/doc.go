// Package manifest reads Kubernetes manifests without a cluster, as the API server
// would take them in: the schemas' defaults filled in, unknown fields refused, every
// OpenAPI and CEL rule of our resources checked, with the same sentences.
package manifest
