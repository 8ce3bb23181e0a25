// Package chatwire is OpenAI's chat-completions protocol on the wire, as servers
// really speak it: one HTTP call, its answer or its stream, and what its refusals
// mean. The drivers that speak it bring their address, headers and error codes.
//
// Promise: no token is lost, repeated or delayed, however the bytes are split; an
// answer counts as complete only after a finish reason, a final usage or [DONE]; a
// call is repeated only before the first byte of its answer; no error holds bytes
// that came from the upstream, the credential or the conversation.
package chatwire
