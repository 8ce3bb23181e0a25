package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/hack/cluster/image"
)

var (
	inMemory = state{State: tenantconfig.State{Driver: tenantconfig.StateMemory}}
	patience = &http.Client{Timeout: 30 * time.Second}
)

// state is where a runtime keeps its tenant's data; url is the server's, with its login.
type state struct {
	tenantconfig.State
	url string
	// tools are on: off, so that no chat is sent them, where chats are measured.
	tools bool
	// documents are on where searches are measured.
	documents bool
}

func onDisk(dir string) state {
	return state{State: tenantconfig.State{Driver: tenantconfig.StateEmbedded, Path: dir}}
}

func onServer(driver, url string) state {
	return state{State: tenantconfig.State{Driver: driver, Server: tenantconfig.StateServer{URLFile: "state-url"}}, url: url}
}

// serve starts a runtime and waits for its first answer; it returns how long that
// took from exec.
func (b *bench) serve(ctx context.Context, upstream string, state state) (*process, time.Duration, error) {
	dir, err := os.MkdirTemp(b.dir, "tenant-")
	if err != nil {
		return nil, 0, err
	}
	if state.Driver == tenantconfig.StateEmbedded && state.Path == "" {
		state.Path = dir
	}
	if err := writeConfig(dir, upstream, state); err != nil {
		return nil, 0, err
	}
	api, err := freeAddr()
	if err != nil {
		return nil, 0, err
	}
	ops, err := freeAddr()
	if err != nil {
		return nil, 0, err
	}
	begin := time.Now()
	p, err := launch(ctx, api, b.runtime, "--config-dir", dir, "--api-address", api, "--metrics-address", ops, "--log-level", "error")
	if err != nil {
		return nil, 0, err
	}
	for time.Since(begin) < 10*time.Second {
		if ok(ctx, "http://"+api+"/health") {
			return p, time.Since(begin), nil
		}
		time.Sleep(500 * time.Microsecond)
	}
	_ = p.stop(time.Second)
	return nil, 0, fmt.Errorf("the runtime didn't answer in 10 s: %s", p.stderr)
}

func ok(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+benchKey)
	res, err := patience.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode == http.StatusOK
}

// start measures how soon a runtime answers and what it takes when idle.
func (b *bench) start(ctx context.Context) error {
	model, err := start(ctx, b.model)
	if err != nil {
		return err
	}
	defer func() { _ = model.stop(time.Second) }()
	var ready []time.Duration
	for range 10 {
		p, took, err := b.serve(ctx, model.addr, onDisk(""))
		if err != nil {
			return err
		}
		ready = append(ready, took)
		if len(ready) == 10 {
			time.Sleep(3 * time.Second)
			mib, err := p.rss()
			if err != nil {
				return err
			}
			b.Set("runtime_idle_rss_mib", mib)
			b.Note("idle runtime with state on disk: %.1f MiB resident", mib)
		}
		if err := p.stop(10 * time.Second); err != nil {
			return err
		}
	}
	b.Set("runtime_ready_ms", float64(median(ready).Microseconds())/1000)
	b.Note("exec to first answer, 10 starts: %v", ready)
	return nil
}

// image measures what has to be pulled to run a tenant.
func (b *bench) image(context.Context) error {
	bundle, err := image.SystemCABundle()
	if err != nil {
		return err
	}
	built, err := image.Build(image.Spec{Ref: "localhost/bench:size", Binary: b.runtime, CABundle: bundle}, filepath.Join(b.dir, "image.tar"))
	if err != nil {
		return err
	}
	mib := float64(built.Compressed) / (1 << 20)
	b.Set("runtime_image_mib", mib)
	b.Note("runtime image: %.1f MiB compressed", mib)
	return nil
}

type given struct {
	Calls     int64 `json:"calls"`
	TokensIn  int64 `json:"tokensIn"`
	TokensOut int64 `json:"tokensOut"`
}

// ledger asks the upstream what it gave.
func ledger(ctx context.Context, addr string) (given, error) {
	var g given
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/ledger", nil)
	if err != nil {
		return g, err
	}
	res, err := patience.Do(req)
	if err != nil {
		return g, err
	}
	defer func() { _ = res.Body.Close() }()
	return g, json.NewDecoder(res.Body).Decode(&g)
}
