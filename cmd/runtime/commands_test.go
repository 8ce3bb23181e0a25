package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	statefile "github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// program is a command of the program that isn't started yet.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// command runs one to its end and gives its status and what it said.
func command(t *testing.T, stdin io.Reader, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := program(t, args...)
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &log
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "c4nary") {
		t.Errorf("a c4nary in the log of %v", args)
	}
	return cmd.ProcessState.ExitCode(), out.String(), log.String()
}

// A snapshot of a tenant at work, as kubectl exec takes it, goes into another one at
// work, and into one that isn't.
func TestSnapshotsOfATenantAtWork(t *testing.T) {
	up := fakeUpstream(t)
	dir := configDir(t, document(up.URL, t.TempDir()))
	p := start(t, dir)
	for i := range 3 {
		if status, code, _ := p.answer(i); status != http.StatusOK {
			t.Fatalf("status %d %s", status, code)
		}
	}
	at := func(p *process) string { return strings.TrimPrefix(p.ops, "http://") }
	status, snapshot, log := command(t, nil, "snapshot", "--config-dir", dir, "--metrics-address", at(p))
	if status != 0 || strings.Count(snapshot, "\n") != 1+3+3+1+1 || !strings.Contains(log, `"sessions":3`) {
		t.Fatalf("status %d, %d lines: %s", status, strings.Count(snapshot, "\n"), log)
	}
	file := filepath.Join(t.TempDir(), "acme.jsonl")
	if status, _, log := command(t, nil, "snapshot", "--config-dir", dir, "--metrics-address", at(p), "--out", file); status != 0 {
		t.Fatalf("status %d: %s", status, log)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if status, _, log := command(t, nil, "snapshot", "--config-dir", dir, "--out", file); status != 1 || !strings.Contains(log, "is there already") {
		t.Errorf("onto a file: status %d: %s", status, log)
	}
	p.end()
	// Nothing serves it: the file itself is read, and says the same.
	if status, again, log := command(t, nil, "snapshot", "--config-dir", dir); status != 0 || strings.Count(again, "\n") != strings.Count(snapshot, "\n") {
		t.Errorf("status %d: %s", status, log)
	}

	state := t.TempDir()
	other := configDir(t, document(up.URL, state))
	q := start(t, other)
	if status, _, log := command(t, strings.NewReader(snapshot), "restore", "--config-dir", other, "--metrics-address", at(q)); status != 0 {
		t.Errorf("status %d: %s", status, log)
	}
	if got := q.status().Usage.RequestsToday; got != 3 {
		t.Errorf("%d requests are booked, want 3", got)
	}
	cut := snapshot[:len(snapshot)-100]
	if status, _, log := command(t, strings.NewReader(cut), "restore", "--config-dir", other, "--metrics-address", at(q)); status != 1 || !strings.Contains(log, "cut off before its end") {
		t.Errorf("cut: status %d: %s", status, log)
	}
	q.end()
	if status, _, log := command(t, nil, "restore", "--config-dir", other, "--in", file); status != 0 {
		t.Errorf("at rest: status %d: %s", status, log)
	}
}

func TestCommandsThatCantBeDone(t *testing.T) {
	t.Parallel()
	bad := document("http://127.0.0.1:1/v1", "/nowhere")
	bad.Tenant.ID = "Not A Label"
	memory := document("http://127.0.0.1:1/v1", "")
	memory.State = tenantconfig.State{Driver: tenantconfig.StateMemory}
	fresh := document("http://127.0.0.1:1/v1", t.TempDir())
	for name, tc := range map[string]struct {
		args   []string
		status int
		said   string
	}{
		"no such command":   {[]string{"mvoe"}, 2, `no command \"mvoe\"`},
		"an argument":       {[]string{"move", "here"}, 2, "takes flags alone"},
		"an unknown flag":   {[]string{"snapshot", "--into", "x"}, 2, "into"},
		"a bad document":    {[]string{"move", "--config-dir", configDir(t, bad)}, 2, "tenant.id"},
		"no server":         {[]string{"snapshot", "--config-dir", configDir(t, memory), "--metrics-address", "127.0.0.1:1"}, 1, "asking the server that has the state"},
		"no state yet":      {[]string{"snapshot", "--config-dir", configDir(t, fresh)}, 1, "no state"},
		"a negative skip":   {[]string{"restore", "--skip", "-1", "--config-dir", configDir(t, fresh)}, 2, "-skip"},
		"no such snapshot":  {[]string{"restore", "--in", "/nowhere/x", "--config-dir", configDir(t, fresh)}, 1, "/nowhere/x"},
		"nothing to move":   {[]string{"move", "--config-dir", configDir(t, memory)}, 0, "nothing to move"},
		"a snapshot's home": {[]string{"snapshot", "--out", "/nowhere/x", "--config-dir", configDir(t, fresh)}, 1, "/nowhere"},
	} {
		status, out, log := command(t, nil, tc.args...)
		if status != tc.status || out != "" || !strings.Contains(log, strings.ReplaceAll(tc.said, `\"`, `"`)) {
			t.Errorf("%s: status %d, %q, %s", name, status, out, log)
		}
	}
}

// A move that is killed again and again ends with everything moved, once.
func TestAMoveThatIsKilledGoesOn(t *testing.T) {
	state := t.TempDir()
	cfg := document("http://127.0.0.1:1/v1", state)
	id, err := tenancy.NewID(cfg.Tenant.ID, cfg.Tenant.Identity)
	if err != nil {
		t.Fatal(err)
	}
	const sessions = 2000
	file, err := statefile.Open(t.Context(), state, statefile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < sessions; from += 200 {
		var records []storage.Record
		for i := range 200 {
			at := time.Now().Truncate(time.Millisecond)
			records = append(records, storage.Record{Session: &storage.SessionRecord{
				Caller: "key:main", ID: fmt.Sprintf("%08x-1c6b-4f7e-9d0a-5b1f2c3d4e5f", from+i), Created: at,
				Messages: []storage.Message{
					{Role: storage.RoleUser, Content: strings.Repeat("c4nary ", 300), At: at},
					{Role: storage.RoleAssistant, Content: fmt.Sprint("c4nary ", from+i), At: at.Add(time.Millisecond)},
				},
			}})
		}
		if err := file.Portable().Load(t.Context(), id, records); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	r := servers.Redis(t, servers.RedisOptions{})
	tag := statestore.Tag(id.Identity())
	r.SetUser(t, statestore.ACLUser(tag), "ce_c4nary_tenant", statestore.ACLRules(tag))
	cfg.State = tenantconfig.State{Driver: tenantconfig.StateValkey, Path: state, Server: tenantconfig.StateServer{URLFile: tenantconfig.StateURLFile}}
	dir := configDir(t, cfg)
	if err := os.WriteFile(filepath.Join(dir, tenantconfig.StateURLFile), []byte(r.URL(statestore.ACLUser(tag), "ce_c4nary_tenant")), 0o600); err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(state, "moved.json")
	kills := 0
	for range 50 {
		before, _ := os.ReadFile(journal)
		cmd := program(t, "move", "--config-dir", dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		// The journal tells that it moves; a moment after that it is killed.
		killed := false
		for running := true; running; {
			select {
			case err := <-ended:
				if err != nil && !killed {
					t.Fatalf("it ended by itself: %v", err)
				}
				running = false
			case <-time.After(time.Duration(rand.IntN(4)) * time.Millisecond):
				if now, _ := os.ReadFile(journal); !killed && !bytes.Equal(now, before) {
					killed = true
					_ = cmd.Process.Kill()
				}
			}
		}
		if now, _ := os.ReadFile(journal); bytes.Contains(now, []byte(`"done":true`)) {
			break
		}
		kills++
	}
	status, _, log := command(t, nil, "move", "--config-dir", dir)
	if status != 0 || !strings.Contains(log, "move done") {
		t.Fatalf("status %d: %s", status, log)
	}
	_, snapshot, log := command(t, nil, "snapshot", "--config-dir", dir)
	if !strings.Contains(log, fmt.Sprintf(`"sessions":%d,"messages":%d`, sessions, 2*sessions)) || strings.Count(snapshot, `"session":{`) != sessions {
		t.Errorf("on the server: %s", log)
	}
	if kills == 0 {
		t.Error("it was never killed in time")
	}
	t.Logf("killed %d times", kills)
}
