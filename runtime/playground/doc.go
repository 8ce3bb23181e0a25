// Package playground is the page at / of a tenant's API: it chats, shows where answers
// come from and what tools do, plays speech, and lists sessions and documents.
//
// It promises that the page is all in the runtime (no build step, nothing from elsewhere,
// which its content security policy enforces), that a key stays in the browser's tab, and
// that nothing a model, document or tool says becomes markup: answers are text and
// elements made one by one. It refuses to be there unless the tenant asks for it.
package playground
