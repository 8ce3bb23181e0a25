// Package resources says what a Tenant's children look like: the Tenant, its class and
// what was observed go in, apply configurations come out.
//
// Promise: pure. No client, no context, no clock; the same Inputs give the same
// objects, so that a golden file shows exactly the fields that the operator owns, and
// an operator upgrade that changes no restart part rolls no pod.
//
// Secret values appear in Secrets alone, never in a Deployment, a label or an
// annotation. No value of a spec becomes the name of a label, an annotation or an
// environment variable.
package resources
