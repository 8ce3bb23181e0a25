package fakecloudflare

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	accountID = regexp.MustCompile(`^[0-9a-f]{32}$`)
	bearer    = regexp.MustCompile(`^Bearer [A-Za-z0-9._~+/=-]+$`)
)

// admit finds who calls and whether they may. The header of the answer goes on every
// answer of the call.
func (s *Server) admit(c *call) (answer, bool) {
	value := c.r.Header.Get("Authorization")
	if !bearer.MatchString(value) {
		return c.op.deny(failWith(http.StatusBadRequest, apiFail{Code: 6003, Message: "Invalid request headers",
			Chain: []apiFail{{Code: 6111, Message: "Invalid format for Authorization header"}}})), false
	}
	cred, known := s.values[strings.TrimPrefix(value, "Bearer ")]
	if known && cred.ends != nil && !c.now.Before(*cred.ends) {
		known = false
	}
	if known {
		c.token = cred.token
		c.entry.Token, c.entry.TokenName = cred.token.ID, cred.token.Name
	}
	header, over := s.spend(c)
	if over {
		a := fail(http.StatusTooManyRequests, 971, "Please wait and consider throttling your request speed")
		a.header = header
		return a, false
	}
	refuse := func(a answer) (answer, bool) {
		a = c.op.deny(a)
		for name, values := range header {
			a = a.with(name, values[0])
		}
		return a, false
	}
	if !known || cred.token.status(c.now) != "active" {
		if c.op.verifies {
			return refuse(fail(http.StatusUnauthorized, 1000, "Invalid API Token"))
		}
		return refuse(fail(http.StatusUnauthorized, 10000, "Authentication error"))
	}
	if strings.Contains(c.op.path, "{account_id}") {
		id := c.param(0)
		if !accountID.MatchString(id) {
			return refuse(fail(http.StatusNotFound, 7003, "Could not route to %s, perhaps your object identifier is invalid?", c.r.URL.Path))
		}
		c.entry.Account = id
		c.acct = s.accounts[id]
		// A token can't tell an account that isn't there from one that isn't its own.
		if c.acct == nil || cred.account != id {
			return refuse(fail(http.StatusForbidden, 10000, "Authentication error"))
		}
	}
	if len(c.op.groups) > 0 && !c.token.may(c.entry.Account, c.op.groups, c.now) {
		return refuse(fail(http.StatusForbidden, 10000, "Authentication error"))
	}
	return answer{header: header}, true
}

// budget is what is left of a window.
type budget struct {
	used    int
	since   time.Time
	blocked time.Time // until then all is refused
}

// spend takes one call from the token's budget, or from its address's if nobody knows
// the token. It is true if there is nothing left.
func (s *Server) spend(c *call) (http.Header, bool) {
	host, _, _ := strings.Cut(c.r.RemoteAddr, ":")
	if limit := s.opts.Rate.PerSecond; limit > 0 {
		if b := s.window("second "+host, c.now, time.Second); b.used >= limit {
			return http.Header{"Retry-After": {"1"}}, true
		} else {
			b.used++
		}
	}
	limit, window := s.opts.Rate.Limit, s.opts.Rate.Window
	if limit < 0 || c.op.gateway || c.op.inference && s.opts.Unsure.InferenceIsFree {
		return http.Header{}, false
	}
	key := "address " + host
	if c.token != nil {
		key = c.token.ID
	}
	b := s.window(key, c.now, window)
	if c.now.Before(b.blocked) {
		return rateHeaders(limit, 0, window, b.blocked.Sub(c.now), true), true
	}
	b.used++
	if b.used > limit {
		b.blocked = c.now.Add(window)
		return rateHeaders(limit, 0, window, window, true), true
	}
	return rateHeaders(limit, limit-b.used, window, b.since.Add(window).Sub(c.now), false), false
}

func (s *Server) window(key string, now time.Time, length time.Duration) *budget {
	b := s.budgets[key]
	if b == nil || !now.Before(b.since.Add(length)) && !now.Before(b.blocked) {
		b = &budget{since: now}
		s.budgets[key] = b
	}
	return b
}

func rateHeaders(limit, left int, window, reset time.Duration, refused bool) http.Header {
	seconds := int((reset + time.Second - 1) / time.Second)
	h := http.Header{
		"Ratelimit":        {`"default";r=` + strconv.Itoa(left) + `;t=` + strconv.Itoa(seconds)},
		"Ratelimit-Policy": {`"default";q=` + strconv.Itoa(limit) + `;w=` + strconv.Itoa(int(window/time.Second))},
	}
	if refused {
		h.Set("Retry-After", strconv.Itoa(seconds))
	}
	return h
}
