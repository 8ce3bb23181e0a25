package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

const (
	benchKey  = "ce_benchmark_key_of_no_tenant_in_the_world"
	benchHost = "bench.example"
	// benchIdentity names what the tenant keeps.
	benchIdentity = "bench/default/production/bench"
)

// writeConfig writes the directory that a runtime loads: everything is on, and no
// limit is in the way of the load.
func writeConfig(dir, upstream string, state state) error {
	digest := sha256.Sum256([]byte(benchKey))
	var documents tenantconfig.Documents
	if state.documents {
		documents.Store = tenantconfig.DocumentsState
	}
	doc, err := tenantconfig.Marshal(&tenantconfig.Config{
		Version: tenantconfig.Version,
		Tenant:  tenantconfig.Tenant{ID: "bench", Identity: benchIdentity, Environment: "production"},
		Server:  tenantconfig.Server{APIPort: tenantconfig.APIPort, MetricsPort: tenantconfig.MetricsPort, DrainSeconds: 110},
		State:   state.State,
		Hosts:   []string{benchHost},
		Auth: tenantconfig.Auth{Mode: tenantconfig.AuthAPIKey, Keys: []tenantconfig.Key{{
			// One backend that vouches for its users: each has rate windows of its own.
			Name: "default", TrustUserHeader: true, Digests: []tenantconfig.Digest{{SHA256: hex.EncodeToString(digest[:])}},
		}}},
		Upstream: tenantconfig.Upstream{Type: tenantconfig.UpstreamOpenAI, BaseURL: "http://" + upstream + "/v1"},
		Models: tenantconfig.Models{Chat: "bench", Prices: []tenantconfig.Price{
			{Model: "bench", InputPerMillion: 45_000, OutputPerMillion: 384_000},
		}},
		Prompt: tenantconfig.Prompt{System: "You are a helpful assistant.", MaxTokens: 256},
		Limits: tenantconfig.Limits{
			Requests:  tenantconfig.RequestLimits{PerMinute: 1_000_000, WindowSec: 60, Burst: 1_000_000, BurstWindowSec: 10},
			Tokens:    tenantconfig.TokenLimits{Daily: 1 << 50, Monthly: 1 << 50},
			BodyBytes: 1 << 20, MessageChars: 10_000,
		},
		Budget:   tenantconfig.Budget{MonthlyMicroUSD: 1 << 50, OnExceeded: tenantconfig.BudgetBlock},
		Sessions: tenantconfig.Sessions{RetentionDays: 30, MaxMessages: 1000},
		Tools:    tenantconfig.Tools{Enabled: state.tools}, Documents: documents,
	})
	if err != nil {
		return err
	}
	if state.url != "" {
		if err := os.WriteFile(filepath.Join(dir, state.Server.URLFile), []byte(state.url), 0o600); err != nil {
			return err
		}
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, tenantconfig.DocumentFile), doc, 0o600),
		os.WriteFile(filepath.Join(dir, tenantconfig.StatusTokenFile), []byte("benchmark-status-token-of-no-tenant-in-the-world"), 0o600),
	)
}

// turns is how many chats the benchmark sends to one session: the later ones carry
// the history of the earlier.
const turns = 4

// users is how many people the sessions belong to.
const users = 5000

// chats makes requests for one server. As many sessions as there are requests at once
// take turns, since a user waits for an answer before going on; after their turns they
// end and others begin, in later rounds too: a history that grew with the benchmark's
// length would be measured in its stead.
func chats(addr string, stream bool, atOnce int) target {
	var sent atomic.Int64
	return target{addr: addr, request: func() []byte {
		n, width := sent.Add(1)-1, int64(atOnce)
		session := n/(width*turns)*width + n%width
		body := fmt.Sprintf(`{"sessionId":"6b1f8f0e-0000-4000-8000-%012x","message":"What is the refund policy for orders over 50 euros?","stream":%t}`, session, stream)
		return []byte("POST /chat HTTP/1.1\r\nHost: " + benchHost + "\r\nAuthorization: Bearer " + benchKey +
			"\r\nX-User-Id: user-" + strconv.FormatInt(session%users, 10) +
			"\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	}}
}

// freeAddr is a loopback address that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}
