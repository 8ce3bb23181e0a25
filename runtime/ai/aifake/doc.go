// Package aifake is a model upstream for tests: a real HTTP server on loopback that
// answers what its script says, splits and cuts it where it is told, and keeps what
// it was asked and what it generated.
//
// Promise: it is as strict as the real ones. A call that breaks OpenAI's schema, or
// Cloudflare's rules for its headers, is refused and not answered; usage is never
// made up after the fact, the Ledger counts the tokens that were written.
// Obedient is the model that does whatever its context tells it.
//
//	up := aifake.New(t, aifake.Says("Hello", " world"))
//	driver, err := openai.New(openai.Options{BaseURL: up.URL})
package aifake
