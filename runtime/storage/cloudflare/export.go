package cloudflare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// Export keeps a copy of the tenant's document in KV, for edge workers: without how
// callers are known, and without what opens anything.
type Export struct {
	a         *Account
	namespace string
	logger    *slog.Logger
	next      chan *tenantconfig.Config
}

const (
	// KV takes one write a second for one key.
	exportPace = time.Second
	// KV may go on answering an old value for a minute: one that was as it should be is
	// looked at again.
	exportStale = 2 * time.Minute
	// exportLongest is the longest pause between tries.
	exportLongest = 5 * time.Minute
)

// NewExport makes an export into a KV namespace. It calls nobody before Run.
func NewExport(a *Account, namespace string, logger *slog.Logger) *Export {
	return &Export{a: a, namespace: namespace, logger: logger, next: make(chan *tenantconfig.Config, 1)}
}

// Offer gives a new document, in place of one that Run hasn't taken yet.
func (e *Export) Offer(c *tenantconfig.Config) {
	for {
		select {
		case e.next <- c:
			return
		default:
		}
		select {
		case <-e.next:
		default:
		}
	}
}

// ExportKey is under which the document of a tenant lies.
func ExportKey(c *tenantconfig.Config) string { return "config/" + c.Tenant.Identity }

// Exported is what is copied of a document.
func Exported(c *tenantconfig.Config) ([]byte, error) {
	public := *c
	public.Auth = tenantconfig.Auth{}
	public.State = tenantconfig.State{}
	public.Server = tenantconfig.Server{}
	public.TrustedProxies = nil
	public.Upstream.CredentialsFile, public.Upstream.CredentialsRevision = "", ""
	public.Cloudflare.CredentialsFile, public.Cloudflare.CredentialsRevision, public.Cloudflare.TokenID = "", "", ""
	text, err := json.Marshal(public)
	if err != nil {
		return nil, fmt.Errorf("exporting the document: %w", err)
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("exporting the document: %w", err)
	}
	for _, field := range []string{"auth", "state", "server"} {
		delete(doc, field)
	}
	return json.Marshal(doc)
}

// Run copies each document that is offered, the last one at least, until ctx ends.
func (e *Export) Run(ctx context.Context) {
	var want *tenantconfig.Config
	// written: this process wrote want itself, so nobody needs to look.
	written, pause := false, time.Duration(0)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	timer.Stop()
	for {
		fresh := false
		select {
		case <-ctx.Done():
			return
		case want = <-e.next:
			fresh = true
		case <-timer.C:
		}
		if fresh && written {
			// Another document than the one that was written: KV's answer may be old.
			if !sleep(ctx, exportPace) {
				return
			}
		}
		wrote, err := e.step(ctx, want, fresh && written)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			pause = retryAfter(err, pause)
			e.logger.Warn("the document isn't copied to KV for now", "retry_in", pause.String(), "error", err)
			timer.Reset(pause)
		case wrote:
			written, pause = true, 0
		case !written && fresh:
			pause = 0
			timer.Reset(exportStale)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retryAfter doubles the pause, or takes the store's word.
func retryAfter(err error, pause time.Duration) time.Duration {
	pause = min(max(2*pause, 5*time.Second), exportLongest)
	var busy *storage.BusyError
	if errors.As(err, &busy) {
		pause = max(busy.After, exportPace)
	}
	return pause
}

// step writes c unless it is there already. Blind doesn't look.
func (e *Export) step(ctx context.Context, c *tenantconfig.Config, blind bool) (wrote bool, err error) {
	want, err := Exported(c)
	if err != nil {
		return false, err
	}
	path := "/storage/kv/namespaces/" + url.PathEscape(e.namespace) + "/values/" + url.PathEscape(ExportKey(c))
	if !blind {
		have, err := e.a.raw(ctx, apiCall{method: http.MethodGet, path: path, background: true})
		var refused *apiError
		switch {
		case err == nil && bytes.Equal(have, want):
			return false, nil
		case err != nil && !(errors.As(err, &refused) && refused.has(codeNoKey)):
			return false, fmt.Errorf("reading what KV has: %w", err)
		}
	}
	call := apiCall{method: http.MethodPut, path: path, contentType: "application/octet-stream", body: want, background: true}
	if _, err := e.a.raw(ctx, call); err != nil {
		return false, fmt.Errorf("writing to KV: %w", err)
	}
	return true, nil
}
