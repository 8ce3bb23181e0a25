package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
)

// disk is a small file system of its own. Mounting takes root; CI has it.
func disk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mounting a small disk: %v", err)
		}
		t.Skipf("mounting a small disk takes root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// answer is what a client sees of one request.
func (p *process) answer(session int) (status int, code, retryAfter string) {
	p.t.Helper()
	resp, err := p.chat(session, false)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var body struct{ Error struct{ Code string } }
	text, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(text, &body) != nil {
		p.t.Fatalf("status %d: %s, %v", resp.StatusCode, text, err)
	}
	return resp.StatusCode, body.Error.Code, resp.Header.Get("Retry-After")
}

// until asks until the answer has the wanted status.
func (p *process) until(want int) (code, retryAfter string) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		status, code, retryAfter := p.answer(int(time.Now().UnixNano() & 0xffffff))
		if status == want {
			return code, retryAfter
		}
		if time.Now().After(end) {
			p.t.Fatalf("status %d %s, want %d", status, code, want)
		}
	}
}

// The disk of a running tenant fills and is made free again.
func TestAFullDiskIsToldAndHeals(t *testing.T) {
	up := fakeUpstream(t)
	dir := disk(t, 24<<20)
	p := start(t, configDir(t, document(up.URL, dir)))
	if status, code, _ := p.answer(1); status != http.StatusOK {
		t.Fatalf("status %d %s", status, code)
	}
	fill, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = fill.Write(block)
	}
	p.sick(up, "disk_full", http.StatusOK)
	if err := errors.Join(fill.Close(), os.Remove(fill.Name())); err != nil {
		t.Fatal(err)
	}
	p.healed()
}

// A tenant starts on a volume that is read-only, which becomes writable.
func TestAReadOnlyDiskIsToldAndHeals(t *testing.T) {
	up := fakeUpstream(t)
	dir := disk(t, 24<<20)
	first := start(t, configDir(t, document(up.URL, dir)))
	if status, code, _ := first.answer(1); status != http.StatusOK {
		t.Fatalf("status %d %s", status, code)
	}
	first.end()
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	p := start(t, configDir(t, document(up.URL, dir)))
	// SQLite can't open a write-ahead log that it may not write, not even to read.
	p.sick(up, "read_only", http.StatusServiceUnavailable)
	remount(0)
	p.healed()
}

func fakeUpstream(t *testing.T) *aifake.Server {
	up := aifake.New(t)
	up.Script(func(*aifake.Request) aifake.Answer { return aifake.Says("c4nary") })
	return up
}

// sick asserts what a store that can't be written to means: chats are refused as the
// contract says, no upstream call is paid for, and history answers with the given
// status.
func (p *process) sick(up *aifake.Server, reason string, history int) {
	p.t.Helper()
	code, retryAfter := p.until(http.StatusServiceUnavailable)
	if code != "unavailable" || retryAfter == "" {
		p.t.Errorf("code %q, Retry-After %q", code, retryAfter)
	}
	paid := len(up.Ledger())
	if status, _, _ := p.answer(2); status != http.StatusServiceUnavailable || len(up.Ledger()) != paid {
		p.t.Errorf("status %d, %d calls paid while nothing could be kept", status, len(up.Ledger())-paid)
	}
	if st := p.status(); st.Store.OK || st.Store.Reason != reason {
		p.t.Errorf("status tells of the store: %+v, want %s", st.Store, reason)
	}
	resp, err := p.do(http.MethodGet, p.url+"/chat/00000001-1c6b-4f7e-9d0a-5b1f2c3d4e5f/history", key, "")
	if err != nil {
		p.t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != history || history == http.StatusOK && !strings.Contains(string(text), "c4nary") {
		p.t.Errorf("history: status %d, want %d", resp.StatusCode, history)
	}
}

// healed asserts that the same process serves again.
func (p *process) healed() {
	p.t.Helper()
	p.until(http.StatusOK)
	if st := p.status(); !st.Store.OK {
		p.t.Errorf("status tells of the healed store: %+v", st.Store)
	}
	p.end()
}
