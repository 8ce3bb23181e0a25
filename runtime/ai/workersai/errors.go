package workersai

import (
	"errors"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/api/cloudflareapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/chatwire"
)

// kinds of the codes that Workers AI, AI Gateway and the REST API give, from
// Cloudflare's pages on Workers AI errors and AI Gateway, and answers seen in public
// repositories.
var kinds = map[int]ai.Kind{
	3036: ai.KindQuota,       // the day's free neurons are used up, until 00:00 UTC
	2021: ai.KindQuota,       // the gateway's credits are used up
	3040: ai.KindUnavailable, // the model has no capacity left; another one may
	7013: ai.KindUnavailable, // the guardrails' scanner is down
	971:  ai.KindRateLimited,

	10429: ai.KindRateLimited,

	5007: ai.KindModelNotFound,
	3042: ai.KindModelNotFound,
	7003: ai.KindModelNotFound, // no route: a path made of a name that doesn't exist

	2009:  ai.KindUnauthorized, // the gateway's provider refused the token
	2040:  ai.KindUnauthorized, // the gateway keeps no credential of that name
	3023:  ai.KindUnauthorized,
	3041:  ai.KindUnauthorized,
	5016:  ai.KindUnauthorized, // the model's agreement wasn't accepted
	5018:  ai.KindUnauthorized,
	6003:  ai.KindUnauthorized,
	6111:  ai.KindUnauthorized,
	9109:  ai.KindUnauthorized,
	10000: ai.KindUnauthorized,

	2016: ai.KindBlocked, // the prompt
	2017: ai.KindBlocked, // the answer

	3006: ai.KindTooLong,
	5021: ai.KindTooLong,
	3007: ai.KindTimeout,
	3008: ai.KindTimeout,

	3003: ai.KindBadRequest,
	3039: ai.KindBadRequest,
	5004: ai.KindBadRequest,
	5005: ai.KindBadRequest,
	5019: ai.KindBadRequest,
}

// errWithdrawn goes with codes 5007 and 3042: Cloudflare withdraws models, and a
// document that was right last month names one of them.
var errWithdrawn = errors.New("this model is none of Workers AI, or has been withdrawn: choose another one from its catalogue")

// kind is "" for errors that carry none of Cloudflare's codes.
func kind(r chatwire.Refusal) (ai.Kind, error) {
	for _, e := range cloudflareapi.ParseErrors(r.Status, r.ContentType, r.Body) {
		k := kinds[e.Code]
		text := strings.ToLower(e.Message)
		switch {
		case (k == "" || k == ai.KindBadRequest) && (strings.Contains(text, "context window") || strings.Contains(text, "context length")):
			// The same code stands for every invalid input.
			return ai.KindTooLong, nil
		case k == "" && strings.Contains(text, "spend limit"):
			return ai.KindQuota, nil
		case e.Code == 5007 || e.Code == 3042:
			return k, errWithdrawn
		case k != "":
			return k, nil
		}
	}
	return "", nil
}
