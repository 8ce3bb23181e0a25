// Package embedded is builtin/extractive, what answers when no language model is
// connected: it quotes the sentences of the conversation that come closest to the
// question, and says whose they are. Given passages, it quotes those and cites them.
//
// Promise: every quoted sentence stands, white space aside, in the conversation; the
// system prompt is never quoted; without a relevant sentence it says so and how to
// connect a model. The same conversation always gives the same answer. It calls
// nobody. Token counts are estimates and marked so.
package embedded
