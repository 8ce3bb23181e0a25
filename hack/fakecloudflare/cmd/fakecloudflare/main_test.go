package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The test's own binary is the command: it is started again with this set.
const asCommand = "FAKECLOUDFLARE_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

type process struct {
	url  string
	kill func()
}

func launch(t *testing.T, args ...string) process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	p := process{kill: func() {
		if cmd.Process.Signal(syscall.SIGTERM) == nil {
			if err := cmd.Wait(); err != nil {
				t.Errorf("the command ended with %v", err)
			}
		}
	}}
	for lines.Scan() {
		if rest, is := strings.CutPrefix(lines.Text(), "address "); is {
			p.url = rest
		}
		if strings.HasPrefix(lines.Text(), "account ") {
			return p
		}
	}
	t.Fatal("the command printed no account")
	return p
}

func TestTheCommandKeepsItsState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state, token := filepath.Join(dir, "state"), filepath.Join(dir, "token")
	const account = "0000000000000000000000000000000a"
	args := []string{"-state", state, "-token-file", token, "-account", account + ":free", "-list-lag", "0s"}
	first := launch(t, args...)
	secret, err := os.ReadFile(token)
	if err != nil {
		t.Fatal(err)
	}
	call := func(p process, method string, body []byte) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, p.url+"/client/v4/accounts/"+account+"/storage/kv/namespaces", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(secret)))
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if status, text := call(first, http.MethodPost, []byte(`{"title":"kept"}`)); status != 200 {
		t.Fatalf("answered %d %s", status, text)
	}
	first.kill()
	second := launch(t, args...)
	if status, text := call(second, http.MethodGet, nil); status != 200 || !strings.Contains(text, `"kept"`) {
		t.Errorf("after a restart: %d %s", status, text)
	}
	second.kill()
}

func TestCommandLinesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-account", "x"}, {"-account", strings.Repeat("a", 32) + ":gold"}, {"what"}, {"-listen", "nowhere:-1"}} {
		if err := run(context.Background(), args); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}
