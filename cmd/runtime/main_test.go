package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
)

// The test binary is the program when this is set.
const asProgram = "ENIGMA_TEST_AS_RUNTIME"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const (
	key         = "ce_c4nary-0123456789abcdef"
	statusToken = "c4nary-status-token-0123456789"
)

// process is the program at work.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	url, ops string
	stderr   *bytes.Buffer // read it once the process has ended
	copied   chan struct{}
}

func document(upstream, state string) *tenantconfig.Config {
	sum := sha256.Sum256([]byte(key))
	return &tenantconfig.Config{
		Version:  1,
		Tenant:   tenantconfig.Tenant{ID: "acme", Identity: "o/n/development/acme", Environment: "development"},
		Server:   tenantconfig.Server{APIPort: 8080, MetricsPort: 9090, DrainSeconds: 20},
		State:    tenantconfig.State{Driver: tenantconfig.StateEmbedded, Path: state},
		Auth:     tenantconfig.Auth{Mode: tenantconfig.AuthAPIKey, Keys: []tenantconfig.Key{{Name: "main", Digests: []tenantconfig.Digest{{SHA256: hex.EncodeToString(sum[:])}}}}},
		Upstream: tenantconfig.Upstream{Type: tenantconfig.UpstreamOpenAI, BaseURL: upstream},
		Models:   tenantconfig.Models{Chat: "big"},
		Limits: tenantconfig.Limits{
			BodyBytes: 1 << 20, MessageChars: 10_000,
			Requests: tenantconfig.RequestLimits{PerMinute: 100_000, WindowSec: 60}, Tokens: tenantconfig.TokenLimits{Daily: 10_000_000},
		},
		Sessions: tenantconfig.Sessions{RetentionDays: 30, MaxMessages: 1000},
	}
}

func configDir(t *testing.T, cfg *tenantconfig.Config) string {
	t.Helper()
	dir := t.TempDir()
	text, err := tenantconfig.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{tenantconfig.DocumentFile: text, tenantconfig.StatusTokenFile: []byte(statusToken)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func start(t *testing.T, dir string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "--config-dir", dir, "--api-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0", "--lame-duck", "100ms", "--log-level", "debug")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, stderr: &bytes.Buffer{}, copied: make(chan struct{})}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewReader(pipe)
	for p.url == "" {
		line, err := lines.ReadString('\n')
		p.stderr.WriteString(line)
		if err != nil {
			_ = cmd.Wait()
			t.Fatalf("the program ended: %s", p.stderr)
		}
		var entry struct{ Msg, API, Metrics string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
			p.url, p.ops = "http://"+entry.API, "http://"+entry.Metrics
		}
	}
	go func() {
		defer close(p.copied)
		_, _ = io.Copy(p.stderr, lines)
	}()
	return p
}

// wait gives the exit status.
func (p *process) wait() int {
	p.t.Helper()
	<-p.copied
	err := p.cmd.Wait()
	if strings.Contains(p.stderr.String(), "c4nary") {
		p.t.Errorf("a c4nary in the log: %s", p.stderr)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	} else if err != nil {
		p.t.Fatal(err)
	}
	return 0
}

// end tells the process to end, and expects it to do so in peace.
func (p *process) end() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if status := p.wait(); status != 0 {
		p.t.Errorf("exit status %d: %s", status, p.stderr)
	}
}

func (p *process) do(method, url, token, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(p.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return http.DefaultClient.Do(req)
}

func (p *process) chat(session int, stream bool) (*http.Response, error) {
	return p.do(http.MethodPost, p.url+"/chat", key, fmt.Sprintf(`{"sessionId":"%08x-1c6b-4f7e-9d0a-5b1f2c3d4e5f","message":"c4nary","stream":%t}`, session, stream))
}

func (p *process) status() (st tenantconfig.Status) {
	p.t.Helper()
	resp, err := p.do(http.MethodGet, p.ops+tenantconfig.StatusPath, statusToken, "")
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		p.t.Fatal(err)
	}
	return st
}

// SIGTERM with streams open and requests at full tilt: every stream ends in peace,
// and what the upstream generated is what the next process finds recorded.
func TestStoppingTheProgramLosesNothing(t *testing.T) {
	gate := make(chan struct{})
	up := aifake.New(t)
	up.Script(func(r *aifake.Request) aifake.Answer {
		if r.Chat.Stream {
			return aifake.Says("c4nary ", "one ", "two").PauseAt(1, gate)
		}
		return aifake.Says("c4nary")
	})
	dir := configDir(t, document(up.URL, t.TempDir()))
	p := start(t, dir)
	const streams = 50
	var opened, closed sync.WaitGroup
	for i := range streams {
		opened.Add(1)
		closed.Go(func() {
			resp, err := p.chat(i, true)
			opened.Done()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			text, err := io.ReadAll(resp.Body)
			if err != nil || !strings.Contains(string(text), `{"done":true,"usage"`) {
				t.Errorf("stream %d ended with %v: %s", i, err, text)
			}
		})
	}
	opened.Wait()
	answered := 0
	for ; answered < 100; answered++ {
		resp, err := p.chat(streams+answered, false)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("request %d: %v %v", answered, resp, err)
		}
		_ = resp.Body.Close()
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	close(gate)
	closed.Wait()
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d: %s", status, p.stderr)
	}

	var want int64
	for _, e := range up.Ledger() {
		want += int64(e.In + e.Out)
	}
	next := start(t, dir)
	if u := next.status().Usage; u.RequestsToday != int64(streams+answered) || u.TokensToday != want {
		t.Errorf("recorded %+v; the upstream says %d tokens in %d calls", u, want, streams+answered)
	}
	resp, err := next.do(http.MethodGet, next.url+"/chat/00000000-1c6b-4f7e-9d0a-5b1f2c3d4e5f/history", key, "")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if !strings.Contains(string(text), `"content":"c4nary one two"`) {
		t.Errorf("history after the restart: %s", text)
	}
	if err := next.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if status := next.wait(); status != 0 {
		t.Errorf("exit status %d: %s", status, next.stderr)
	}
}

func TestWhatCantBeServedIsRefused(t *testing.T) {
	t.Parallel()
	bad := document("http://127.0.0.1:1/v1", "/nowhere")
	bad.Tenant.ID = "Not A Label"
	bad.Models.Chat = ""
	for name, tc := range map[string]struct {
		args   []string
		status int
		said   []string
	}{
		"a bad document": {[]string{"--config-dir", configDir(t, bad)}, 2, []string{"tenant.id: ", "models.chat: "}},
		"no document":    {[]string{"--config-dir", t.TempDir()}, 2, []string{tenantconfig.DocumentFile}},
		"a bad flag":     {[]string{"--nonesuch"}, 2, []string{"nonesuch"}},
		"a bad level":    {[]string{"--log-level", "loud"}, 2, []string{"loud"}},
		"a bad address": {[]string{"--config-dir", configDir(t, document("http://127.0.0.1:1/v1", t.TempDir())), "--api-address", "127.0.0.1:99999"}, 1,
			[]string{"listening for the API"}},
		"the version": {[]string{"--version"}, 0, []string{"dev"}},
	} {
		var out bytes.Buffer
		if status := run(t.Context(), tc.args, &out, &out); status != tc.status {
			t.Errorf("%s: exit status %d, want %d: %s", name, status, tc.status, &out)
		}
		for _, want := range tc.said {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q isn't in: %s", name, want, &out)
			}
		}
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	up := aifake.New(t, aifake.Says("c4nary ", "never").PauseAt(1, make(chan struct{})))
	p := start(t, configDir(t, document(up.URL, t.TempDir())))
	resp, err := p.chat(0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	began := time.Now()
	ended := make(chan int)
	go func() { ended <- p.wait() }()
	for {
		select {
		case status := <-ended:
			if took := time.Since(began); took > 10*time.Second || status == 0 {
				t.Errorf("exit status %d after %v", status, took)
			}
			return
		case <-time.After(50 * time.Millisecond):
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
}

// A pod may start on a volume whose last process still drains: it waits, rather than
// crash and have the kubelet back off.
func TestANewProcessWaitsForTheStateOfTheOld(t *testing.T) {
	up := aifake.New(t, aifake.Says("c4nary"), aifake.Says("c4nary"))
	dir := configDir(t, document(up.URL, t.TempDir()))
	old := start(t, dir)
	next := make(chan *process)
	go func() { next <- start(t, dir) }()
	if resp, err := old.chat(1, false); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
	select {
	case <-next:
		t.Fatal("two processes serve one state")
	case <-time.After(500 * time.Millisecond):
	}
	old.end()
	p := <-next
	resp, err := p.chat(1, false)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	_ = resp.Body.Close()
	p.end()
}
