package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/move"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	statefile "github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Pages inside the pod through which the process that has the state gives it, and takes
// it: what it has in memory isn't in the file yet, and in no other process at all.
const (
	snapshotPath = "/snapshot"
	restorePath  = "/restore"
)

func (s *Server) inside() map[string]http.Handler {
	return map[string]http.Handler{
		"GET " + snapshotPath: http.HandlerFunc(s.snapshot),
		"POST " + restorePath: http.HandlerFunc(s.restore),
	}
}

func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) {
	unhurried(w)
	w.Header().Set("Content-Type", "application/jsonl")
	c, err := move.Snapshot(r.Context(), w, s.store.Portable(), s.opts.Tenant.ID, move.Pace{})
	if err != nil {
		// The missing last line tells the reader.
		s.logger.Error("snapshot", "error", err)
		return
	}
	s.logger.Info("snapshot taken", "sessions", c.Sessions, "messages", c.Messages, "documents", c.Documents)
}

// restored answers a restore: what is in the store, and what ended it.
type restored struct {
	Counts move.Counts `json:"counts"`
	Error  string      `json:"error,omitempty"`
}

func (s *Server) restore(w http.ResponseWriter, r *http.Request) {
	unhurried(w)
	skip, err := strconv.ParseInt(r.URL.Query().Get("skip"), 10, 64)
	if err != nil || skip < 0 {
		http.Error(w, "skip must be 0 or more", http.StatusBadRequest)
		return
	}
	var answer restored
	answer.Counts, err = move.Restore(r.Context(), r.Body, s.store.Portable(), s.opts.Tenant.ID, move.Taking{As: r.URL.Query().Get("as"), Skip: skip})
	if err != nil {
		answer.Error = err.Error()
		s.logger.Error("restore", "records", answer.Counts.Records(), "error", err)
		// Whoever still sends reads no answer.
		_, _ = io.Copy(io.Discard, r.Body)
	} else {
		c := answer.Counts
		s.logger.Info("snapshot taken in", "sessions", c.Sessions, "messages", c.Messages, "documents", c.Documents)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, "the outcome could not be written", http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(text)
}

// unhurried lifts the listener's times, which are made for short answers.
func unhurried(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Time{})
}

// Keeper is who has a tenant's state: the store itself, or the server that serves it.
type Keeper struct {
	Tenant *tenancy.Tenant
	// Address of the server's metrics listener, for example "127.0.0.1:9090".
	Address string
	Logger  *slog.Logger
}

// Snapshot writes what the tenant has. What w got is whole if there is no error.
func (k Keeper) Snapshot(ctx context.Context, w io.Writer, pace move.Pace) (c move.Counts, err error) {
	store, err := k.open(ctx)
	if errors.Is(err, errServed) {
		return k.fetch(ctx, w)
	}
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, closeWithin(store)) }()
	return move.Snapshot(ctx, w, store.Portable(), k.Tenant.ID, pace)
}

// Restore takes a snapshot in, beside what is there or instead of it.
func (k Keeper) Restore(ctx context.Context, r io.Reader, o move.Taking) (c move.Counts, err error) {
	store, err := k.open(ctx)
	if errors.Is(err, errServed) {
		return k.send(ctx, r, o)
	}
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, closeWithin(store)) }()
	return move.Restore(ctx, r, store.Portable(), k.Tenant.ID, o)
}

// errServed: the state is a server's own.
var errServed = errors.New("the state is served by another process")

// open opens the store where this process may.
func (k Keeper) open(ctx context.Context) (storage.Store, error) {
	switch state := k.Tenant.Config.State; state.Driver {
	case tenantconfig.StateMemory:
		return nil, errServed
	case tenantconfig.StateEmbedded:
		store, err := openExisting(ctx, state.Path)
		if errors.Is(err, statefile.ErrInUse) {
			return nil, errServed
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no state under %s yet; start the tenant once: %w", state.Path, err)
		}
		return store, err
	default:
		return OpenStore(ctx, k.Tenant, k.Logger)
	}
}

func (k Keeper) ask(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+k.Address+path, body)
	if err != nil {
		return nil, fmt.Errorf("asking the server: %w", err)
	}
	token, err := k.Tenant.Secret(tenantconfig.StatusTokenFile)
	if err != nil {
		return nil, fmt.Errorf("asking the server: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the server that has the state: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		_ = resp.Body.Close()
		return nil, fmt.Errorf("asking the server that has the state: %s: %s", resp.Status, bytes.TrimSpace(said))
	}
	return resp, nil
}

func (k Keeper) fetch(ctx context.Context, w io.Writer) (move.Counts, error) {
	resp, err := k.ask(ctx, http.MethodGet, snapshotPath, nil)
	if err != nil {
		return move.Counts{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	return move.Check(io.TeeReader(resp.Body, w), k.Tenant.ID, "")
}

func (k Keeper) send(ctx context.Context, r io.Reader, o move.Taking) (move.Counts, error) {
	if seeker, ok := r.(io.ReadSeeker); ok {
		if err := move.CheckFirst(seeker, k.Tenant.ID, o.As); err != nil {
			return move.Counts{}, err
		}
	}
	query := url.Values{"as": {o.As}, "skip": {strconv.FormatInt(o.Skip, 10)}}
	resp, err := k.ask(ctx, http.MethodPost, restorePath+"?"+query.Encode(), io.NopCloser(r))
	if err != nil {
		return move.Counts{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer restored
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return move.Counts{}, fmt.Errorf("reading what the server made of the snapshot: %w", err)
	}
	if answer.Error != "" {
		return answer.Counts, errors.New(answer.Error)
	}
	return answer.Counts, nil
}
