// Package binding brings one CloudflareBinding at a time to what its spec asks for: the
// thing in Cloudflare's account is made or adopted, kept as the spec says, replaced, and
// deleted or left.
//
// Promise: cut off at any step, by a crash or by an answer that never came, the next
// pass finishes what was begun, makes nothing twice and leaves nothing behind. What is
// begun outside is written into the status before, and what comes of it after; a pass
// has one effect outside; what gates it is read live. A token's value is in its Secret
// and nowhere else.
//
// It refuses to take what carries another owner's mark, unless the spec says Force, and
// to guess: where nobody can know yet whether a call had its effect, it waits until it
// can be known.
package binding
