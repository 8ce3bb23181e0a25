// Package apidoc is the contract of the tenant's API as an OpenAPI document, which GET
// /openapi.json serves without a key.
//
// The YAML files are written by hand, one a feature, and come first: tests hold every
// route and what is really asked and answered against them. All features are in every
// tenant's document, since those that a tenant lacks answer too, with the 403 that is
// described; what differs is the server and what the tenant is called. It is written in
// the part of OpenAPI 3.1 that 3.0 has as well, so that older generators read it.
package apidoc
