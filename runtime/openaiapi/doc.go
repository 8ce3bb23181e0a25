// Package openaiapi is the tenant's API as OpenAI's SDKs speak it: chat completions,
// responses, embeddings, models and speech under /v1.
//
// Promise: a strict client sees OpenAI's shapes and nothing else; what is ours stands
// under "enigma", in requests and, if a request has it, in answers. An answer that was
// cut off never looks complete: no finish reason, no [DONE]. The same models, limits,
// budgets and guards hold as for /chat. What would be answered as if it had not been asked
// (images, several choices, log probabilities, stored responses) is refused; fields that
// only advise are ignored.
package openaiapi
