// Package outbound is the one way out to addresses that a tenant, a document or a model
// chose: what is fetched for ingestion, HTTP tools, MCP servers.
//
// Promise: only hosts of the Policy are called, over http or https, and no connection is
// ever made to an address that Policy doesn't allow: the address is judged when the socket
// connects, after every look-up and every redirect, so no spelling of a host and no change
// of DNS in between leads elsewhere. Loopback, link-local and metadata addresses, and the
// pod's own, are never reached, in no disguise. Size counts what was decompressed.
//
// It refuses proxies of the environment, addresses with a login, a step from https down to
// http, and takes no header along to another host. No error tells a query or a header.
package outbound
