package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	defaultPage = 50
	largestPage = 200
)

// Sessions are the conversations that were kept; storage.Sessions are.
type Sessions interface {
	History(ctx context.Context, t tenancy.ID, o storage.Owner, session string, page storage.Page) ([]storage.Message, error)
	Delete(ctx context.Context, t tenancy.ID, o storage.Owner, session string) error
	List(ctx context.Context, t tenancy.ID, o storage.Owner, limit int, cursor string) ([]storage.SessionInfo, string, error)
}

// Feature is the routes about sessions.
type Feature struct{ sessions Sessions }

// New makes the feature.
func New(s Sessions) *Feature { return &Feature{sessions: s} }

// Mount adds the feature's routes.
func (f *Feature) Mount(d *httpapi.Door) {
	httpapi.Handle(d, http.MethodGet, "/chat/{sessionId}/history", httpapi.Route{}, f.history)
	httpapi.Handle(d, http.MethodDelete, "/chat/{sessionId}", httpapi.Route{}, f.remove)
	httpapi.Handle(d, http.MethodGet, "/sessions", httpapi.Route{}, f.list)
	httpapi.Handle(d, http.MethodGet, "/health", httpapi.Route{}, health)
}

// message is one line of a history.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
	// Timestamp in milliseconds since 1970.
	Timestamp  int64 `json:"timestamp"`
	TokenCount int   `json:"tokenCount,omitempty"`
	Partial    bool  `json:"partial,omitempty"`
}

// history answers GET /chat/{sessionId}/history, newest first, without the envelope.
func (f *Feature) history(ctx context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	id, err := sessionID(c)
	if err != nil {
		return httpapi.Answer{}, err
	}
	page := storage.Page{}
	if page.Limit, err = pageSize(c.Query); err != nil {
		return httpapi.Answer{}, err
	}
	if page.Before, err = before(c.Query); err != nil {
		return httpapi.Answer{}, err
	}
	said, err := f.sessions.History(ctx, c.Tenant.ID, owner(c.Caller), id, page)
	if err != nil {
		return httpapi.Answer{}, fmt.Errorf("reading a history: %w", err)
	}
	out := make([]message, len(said))
	for i, m := range said {
		out[i] = message{Role: m.Role, Content: m.Content, Timestamp: m.At.UnixMilli(), TokenCount: m.Tokens, Partial: m.Partial}
	}
	return httpapi.Answer{Raw: out}, nil
}

// remove answers DELETE /chat/{sessionId}: it says the same whether there was one.
func (f *Feature) remove(ctx context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	id, err := sessionID(c)
	if err != nil {
		return httpapi.Answer{}, err
	}
	if err := f.sessions.Delete(ctx, c.Tenant.ID, owner(c.Caller), id); err != nil {
		return httpapi.Answer{}, fmt.Errorf("deleting a session: %w", err)
	}
	return httpapi.Answer{Raw: struct {
		OK bool `json:"ok"`
	}{true}}, nil
}

// info is one line of a list of sessions; times in milliseconds since 1970.
type info struct {
	SessionID string `json:"sessionId"`
	Messages  int    `json:"messages"`
	CreatedAt int64  `json:"createdAt"`
	UpdatedAt int64  `json:"updatedAt"`
}

type listed struct {
	Sessions   []info `json:"sessions"`
	NextCursor string `json:"nextCursor,omitempty"`
}

// list answers GET /sessions.
func (f *Feature) list(ctx context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	limit, err := pageSize(c.Query)
	if err != nil {
		return httpapi.Answer{}, err
	}
	found, next, err := f.sessions.List(ctx, c.Tenant.ID, owner(c.Caller), limit, c.Query.Get("cursor"))
	if errors.Is(err, storage.ErrBadCursor) {
		return httpapi.Answer{}, httpapi.Invalid("cursor", "must be the nextCursor of an earlier answer, or be left out")
	}
	if err != nil {
		return httpapi.Answer{}, fmt.Errorf("listing sessions: %w", err)
	}
	out := listed{Sessions: make([]info, len(found)), NextCursor: next}
	for i, s := range found {
		out.Sessions[i] = info{SessionID: s.ID, Messages: s.Messages, CreatedAt: s.Created.UnixMilli(), UpdatedAt: s.Updated.UnixMilli()}
	}
	return httpapi.Answer{Data: out}, nil
}

// healthy is what GET /health tells any key about its tenant.
type healthy struct {
	Status          string `json:"status"`
	TenantID        string `json:"tenantId"`
	Environment     string `json:"environment"`
	ModelID         string `json:"modelId"`
	FallbackModelID string `json:"fallbackModelId,omitempty"`
}

func health(_ context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	cfg := c.Tenant.Config
	h := healthy{Status: "ok", TenantID: c.Tenant.ID.String(), Environment: cfg.Tenant.Environment, ModelID: cfg.Models.Chat}
	if len(cfg.Models.Fallbacks) > 0 {
		h.FallbackModelID = cfg.Models.Fallbacks[0]
	}
	return httpapi.Answer{Data: h}, nil
}

func owner(c tenancy.Caller) storage.Owner {
	return storage.Owner{Caller: c.ID(), All: c.May(tenancy.ScopeSessionsAll)}
}

func sessionID(c httpapi.Call) (string, error) {
	id := c.Path("sessionId")
	if !httpapi.IsUUID(id) {
		return "", httpapi.Invalid("sessionId", "must be a UUID")
	}
	return strings.ToLower(id), nil
}

func pageSize(q url.Values) (int, error) {
	s := q.Get("limit")
	if s == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > largestPage {
		return 0, httpapi.Invalid("limit", "must be from 1 to "+strconv.Itoa(largestPage))
	}
	return n, nil
}

func before(q url.Values) (time.Time, error) {
	s := q.Get("before")
	if s == "" {
		return time.Time{}, nil
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms < 1 || ms > maxMillis {
		return time.Time{}, httpapi.Invalid("before", "must be a time in milliseconds since 1970, as in timestamp")
	}
	return time.UnixMilli(ms), nil
}

// maxMillis is the year 9999, the last that every store can hold.
const maxMillis = 253_402_300_799_999
