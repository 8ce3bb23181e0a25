package sdk_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const key = "ce_c4nary-sdk-0123456789abcdef"

// serve starts a server and gives its base URL for the SDKs.
func serve(t *testing.T, change func(*tenantconfig.Config)) string {
	t.Helper()
	up := aifake.New(t)
	up.Script(play)
	cfg := document(upstream(t, up))
	if change != nil {
		change(cfg)
	}
	text, err := tenantconfig.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{tenantconfig.DocumentFile: text, "status-token": []byte("c4nary-status-token-0123456789")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tenant, err := tenancy.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(t.Context(), server.Options{
		Tenant: tenant, APIAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0", LameDuck: -1,
		Build: "test", Logger: telemetry.NewLogger(io.Discard, slog.LevelError),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the server ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the server didn't end")
		}
	})
	return "http://" + srv.APIAddr().String() + "/v1/"
}

func document(upstream string) *tenantconfig.Config {
	sum := sha256.Sum256([]byte(key))
	return &tenantconfig.Config{
		Version:  1,
		Tenant:   tenantconfig.Tenant{ID: "acme", Identity: "o/n/development/acme", Environment: "development"},
		Server:   tenantconfig.Server{APIPort: 8080, MetricsPort: 9090, DrainSeconds: 5},
		State:    tenantconfig.State{Driver: tenantconfig.StateMemory},
		Auth:     tenantconfig.Auth{Mode: tenantconfig.AuthAPIKey, Keys: []tenantconfig.Key{{Name: "main", Digests: []tenantconfig.Digest{{SHA256: hex.EncodeToString(sum[:])}}}}},
		Upstream: tenantconfig.Upstream{Type: tenantconfig.UpstreamOpenAI, BaseURL: upstream},
		Models:   tenantconfig.Models{Chat: "big"},
		Prompt:   tenantconfig.Prompt{System: "You help.", MaxTokens: 500},
		Limits:   tenantconfig.Limits{BodyBytes: 1 << 20, MessageChars: 10_000},
		Sessions: tenantconfig.Sessions{RetentionDays: 30, MaxMessages: 1000},
	}
}

// upstream has embeddings and speech beside the chats of up.
func upstream(t *testing.T, up *aifake.Server) string {
	chats, err := url.Parse(up.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: chats.Scheme, Host: chats.Host})
	proxy.FlushInterval = -1
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("POST /v1/embeddings", func(w http.ResponseWriter, r *http.Request) {
		var req struct{ Input []string }
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		type row struct {
			Object    string    `json:"object"`
			Index     int       `json:"index"`
			Embedding []float32 `json:"embedding"`
		}
		var rows []row
		for i, text := range req.Input {
			rows = append(rows, row{"embedding", i, []float32{float32(len(text)), -0.5, 0.1}})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"object": "list", "data": rows, "model": "embed", "usage": map[string]int{"prompt_tokens": 7, "total_tokens": 7}})
	})
	mux.HandleFunc("POST /v1/audio/speech", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "audio/mpeg")
		_, _ = w.Write(mp3)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + strings.TrimSuffix(chats.Path, "/")
}

// mp3 is one silent frame of MPEG-1 layer III at 128 kbit/s and 44.1 kHz.
var mp3 = append([]byte{0xff, 0xfb, 0x90, 0x64}, make([]byte, 413)...)

// play is a model that can be told what to do.
func play(r *aifake.Request) aifake.Answer {
	last := r.Chat.Messages[len(r.Chat.Messages)-1]
	switch text := last.Text(); {
	case last.Role == "tool":
		return aifake.Says("It is ", text, ".")
	case strings.HasPrefix(text, "weather"):
		return aifake.Calls(aifake.Call{ID: "c1", Name: "get_weather", Arguments: `{"city":"Wien"}`}, aifake.Call{ID: "c2", Name: "get_weather", Arguments: `{"city":"Graz"}`}).CallsInPieces(3)
	case text == "cut":
		return aifake.Says("Hello", " there", " you").EndAfter(330)
	case text == "long":
		return aifake.Says("Hello").Finish("length")
	case text == "unknown":
		return aifake.Refuses(404, `{"error":{"message":"The model does not exist","type":"invalid_request_error","code":"model_not_found"}}`)
	}
	return aifake.Says("Hello", ", ", "wörld!").Uses(21, 3)
}

// limited lets one request a minute in.
func limited(c *tenantconfig.Config) {
	c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 1, WindowSec: 60}
}
