// Package matrix proves that bindings are made once and never left behind, whatever
// breaks: it lets operators live through stories over Cloudflare in memory, breaks them
// at every call and write, and counts what exists in the end.
//
// What can break is enumerated by a recording run, so that a new call is covered as soon
// as it is made. A crash ends an incarnation: every later call of it fails, and the next
// one knows nothing but what the API server and Cloudflare say. It promises to find a
// controller that makes first and writes down after, and one that trusts its cache.
package matrix
