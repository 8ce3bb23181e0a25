// Package workersai asks Cloudflare Workers AI, directly or through an AI Gateway.
//
// Promise: through a gateway every call names its tenant, and no two tenants can
// share an answer of the gateway's cache: the key is made from the tenant, or the
// cache is skipped. Cloudflare's error codes are told apart where waiting, paying and
// choosing another model are different answers.
package workersai
