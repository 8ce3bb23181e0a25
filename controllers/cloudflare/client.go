package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/cloudflareapi"
)

// Client is an Account over HTTP. A Pool opens it.
type Client struct {
	pool       *Pool
	root, base string // of all paths, and of the account's
	account    string
	token      Secret
	lane       Lane
	budget     *budget
	facts      *facts
}

var _ Account = (*Client)(nil)

// String names the account, and not its token.
func (c *Client) String() string { return "Cloudflare account " + c.account }

// GoString is String.
func (c *Client) GoString() string { return c.String() }

// Budget is the room that the token has left, whoever used the rest of what it may.
func (c *Client) Budget() Budget { return c.budget.left() }

// Get reads one thing.
func (c *Client) Get(ctx context.Context, kind Kind, id string) (Thing, error) {
	if id == "" {
		return Thing{}, &Error{Op: Op(OpGet, kind), Meaning: ErrInvalid}
	}
	r := c.request(OpGet, kind)
	switch kind {
	case KV:
		return c.getKV(ctx, r, id)
	case D1:
		return c.getD1(ctx, r, id)
	case R2:
		return c.getR2(ctx, r, id)
	case Vectorize:
		return c.getVectorize(ctx, r, id)
	case AIGateway:
		return c.getGateway(ctx, r, id)
	case APIToken:
		return c.getToken(ctx, r, id)
	}
	return Thing{}, unknownKind(kind)
}

// Find reads the things of a name: by GET where the name is the id, and by LIST
// otherwise.
func (c *Client) Find(ctx context.Context, kind Kind, name string) ([]Thing, error) {
	if kind.NameIsID() {
		t, err := c.Get(ctx, kind, name)
		if errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return []Thing{t}, nil
	}
	all, err := c.list(ctx, OpFind, kind, name)
	if err != nil {
		return nil, err
	}
	var found []Thing
	for _, t := range all {
		if t.Name == name {
			found = append(found, t)
		}
	}
	return found, nil
}

// List reads every thing of a kind. A list that can't be read to its end is an error:
// what is missing from a part would seem to be gone.
func (c *Client) List(ctx context.Context, kind Kind) ([]Thing, error) {
	return c.list(ctx, OpList, kind, "")
}

// list may leave out what isn't called name, if there is one.
func (c *Client) list(ctx context.Context, verb Verb, kind Kind, name string) ([]Thing, error) {
	r := c.request(verb, kind)
	switch kind {
	case KV:
		return c.listKV(ctx, r)
	case D1:
		return c.listD1(ctx, r, name)
	case R2:
		return c.listR2(ctx, r)
	case Vectorize:
		return c.listVectorize(ctx, r)
	case AIGateway:
		return c.listGateways(ctx, r)
	case APIToken:
		return c.listTokens(ctx, r)
	}
	return nil, unknownKind(kind)
}

// Do has one effect.
func (c *Client) Do(ctx context.Context, s Step) (Thing, error) {
	r := c.request(s.Verb, s.Kind)
	if s.Verb == Create && s.Name == "" || s.Verb != Create && s.ID == "" {
		return Thing{}, &Error{Op: r.op, Meaning: ErrInvalid}
	}
	var do func(context.Context, request, Step) (Thing, error)
	switch s.Kind {
	case KV:
		do = c.doKV
	case D1:
		do = c.doD1
	case R2:
		do = c.doR2
	case Vectorize:
		do = c.doVectorize
	case AIGateway:
		do = c.doGateway
	case APIToken:
		do = c.doToken
	default:
		return Thing{}, unknownKind(s.Kind)
	}
	t, err := do(ctx, r, s)
	if s.Verb == Delete && errors.Is(err, ErrNotFound) {
		return Thing{}, nil
	}
	return t, err
}

// Token tells who the token is: the account's own, or else its user's. What it may do
// isn't told.
func (c *Client) Token(ctx context.Context) (Token, error) {
	r := request{op: "verify API token", method: http.MethodGet, path: c.base + "/tokens/verify", verifies: true}
	var v cloudflareapi.TokenVerification
	_, err := c.call(ctx, r, &v)
	if errors.Is(err, ErrUnauthorized) {
		r.path = c.root + "/user/tokens/verify"
		if _, again := c.call(ctx, r, &v); again == nil || !errors.Is(again, ErrUnauthorized) {
			err = again
		}
	}
	if err == nil && v.ID == "" {
		err = &Error{Op: r.op, Meaning: ErrUnavailable, Status: http.StatusOK}
	}
	if err != nil {
		return Token{}, err
	}
	return Token{ID: v.ID, Active: v.Status == "active", ExpiresAt: moment(v.ExpiresOn)}, nil
}

// denied says what a refusal means that Cloudflare words alike for a token that is
// unknown, has nothing to do with the account, or lacks a permission. The answer is kept
// a while, so that a token without permissions costs one call more and not twice as many.
func (c *Client) denied(ctx context.Context) error {
	const good, bad = 10 * time.Minute, time.Minute
	now := c.pool.opts.Clock.Now()
	c.facts.mu.Lock()
	verdict, fresh := c.facts.verdict, now.Before(c.facts.verdictUntil)
	c.facts.mu.Unlock()
	if fresh {
		return verdict
	}
	t, err := c.Token(ctx)
	keep := bad
	switch {
	case err == nil && t.Active:
		verdict, keep = ErrForbidden, good
	case err == nil:
		verdict = ErrUnauthorized
	case errors.Is(err, ErrUnauthorized):
		verdict = ErrUnauthorized
	case errors.Is(err, ErrWrongAccount):
		verdict = ErrWrongAccount
	default:
		return ErrForbidden // can't be told now
	}
	c.facts.mu.Lock()
	defer c.facts.mu.Unlock()
	c.facts.verdict, c.facts.verdictUntil = verdict, now.Add(keep)
	return verdict
}

func unknownKind(kind Kind) error {
	return &Error{Op: fmt.Sprintf("handle a thing of the unknown kind %q", string(kind)), Meaning: ErrInvalid}
}

// moment reads a time; one that can't be read is zero.
func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}
