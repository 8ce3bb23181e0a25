// Package tools is what models and callers may do beyond talking: built-in tools, the
// tenant's own HTTP services, and the tools of MCP servers, behind one dispatcher.
//
// Promise: a caller runs only tools that the tenant has and its key may use; parameters
// are checked by JSON Schema (2020-12) before anything happens, and no schema makes the
// runtime fetch anything; a tool's time ends its work, and its caller is answered then
// though the work hangs; every run is noted in the audit log, without parameters and
// results. A tool that is broken degrades alone and says in Status what to do.
//
// It refuses to believe what a server says of its own tools: what they change is told by
// the tenant's document. Nothing that an upstream says reaches a message of ours.
package tools
