// Package chat is the conversation: POST /chat, answered whole or as a stream.
//
// Promise: the model is chosen, the limits are asked and the budget is set aside
// before the upstream is called; each token goes out when it arrives; the user's
// message and the answer are kept together or not at all; an answer that was cut off
// is kept as partial; what was generated is billed, whoever went away. A failure
// before the first token leaves nothing in the history.
package chat
