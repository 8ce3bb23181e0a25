package cloudflare

import (
	"errors"
	"net/http"

	"github.com/crispy-enigma/crispy-enigma/api/cloudflareapi"
)

// Verdicts that aren't meanings yet.
var (
	// errDenied: unknown token, wrong account or missing permission, Client.denied tells.
	errDenied = errors.New("denied")
	// errRoute: an id that can't be one, or an account that isn't there.
	errRoute = errors.New("no route")
	// errUnclear: AI Gateway has one code for what exists and what is wrong.
	errUnclear = errors.New("taken or invalid")
	// errFailed: Cloudflare failed, and nothing is known of the effect.
	errFailed = errors.New("failed")
)

// codes are Cloudflare's, by kind: the same number means another thing elsewhere. They
// decide before the status does, which is 400 for much that isn't there. Where the
// documents have no code for a quota, it is the likeliest one.
var codes = map[Kind]map[int]error{
	KV:        {10013: ErrNotFound, 10014: ErrNameTaken, 10026: ErrQuota, 10012: ErrInvalid, 10019: ErrInvalid},
	D1:        {7404: ErrNotFound, 7502: ErrNameTaken, 7406: ErrQuota, 7400: ErrInvalid, 7429: ErrUnavailable},
	R2:        {10006: ErrNotFound, 10004: ErrNameTaken, 10009: ErrQuota, 10008: ErrNotEmpty, 10005: ErrInvalid},
	Vectorize: {3000: ErrNotFound, 3005: ErrNotFound, 3002: ErrNameTaken, 3008: ErrQuota, 1002: ErrInvalid},
	AIGateway: {7002: ErrNotFound, 7001: errUnclear},
	APIToken:  {1003: ErrNotFound, 1005: ErrNameTaken, 1004: ErrQuota, 1001: ErrInvalid},
}

// common are the codes of the API itself.
var common = map[int]error{
	971: ErrRateLimited, 10429: ErrRateLimited,
	1000: ErrUnauthorized, 6003: ErrUnauthorized, 6111: ErrUnauthorized,
	9109: errDenied, 10000: errDenied,
	7000: errRoute, 7003: errRoute,
	10405: ErrInvalid,
}

// meaning says what a refusal means, and which code told.
func meaning(r request, status int, refusals []cloudflareapi.Error) (code int, means error) {
	if len(refusals) > 0 {
		code = refusals[0].Code
	}
	switch {
	case status == http.StatusTooManyRequests:
		return code, ErrRateLimited
	case status == http.StatusUnauthorized:
		return code, ErrUnauthorized
	case status == http.StatusMethodNotAllowed:
		return code, ErrInvalid
	case r.kind == AIGateway && code == 7003 && status == http.StatusForbidden:
		return code, ErrQuota
	}
	for _, refusal := range refusals {
		for _, table := range []map[int]error{codes[r.kind], common} {
			if m := table[refusal.Code]; m != nil && refusal.Code != 0 {
				return refusal.Code, m
			}
		}
	}
	switch {
	case status == http.StatusForbidden:
		return code, errDenied
	case status == http.StatusNotFound && code != 0:
		return code, ErrNotFound
	case status == http.StatusConflict && r.creates:
		return code, ErrNameTaken
	// A 404 that isn't Cloudflare's own says nothing about the thing: a proxy wrote it.
	case status < 400, status >= 500, status == http.StatusRequestTimeout, status == http.StatusNotFound:
		return code, errFailed
	}
	return code, ErrInvalid
}
