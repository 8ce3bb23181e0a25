package extract_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/extract"
)

// script makes a child that does what a shell is told; it is given the flags of Child.
func script(t *testing.T, text string) []string {
	t.Helper()
	return []string{"/bin/sh", "-c", text, "sh"}
}

func inChild(ctx context.Context, x *extract.Extractor) error {
	_, err := x.Extract(ctx, extract.Input{Data: writePDF("", "text")})
	return err
}

func TestChildHasNoEnvironment(t *testing.T) {
	t.Setenv("CE_SECRET", "c4nary")
	out := filepath.Join(t.TempDir(), "env")
	x := extract.New(extract.Limits{Command: script(t, "/usr/bin/env > "+out+"; exit 1")})
	if err := inChild(t.Context(), x); err == nil {
		t.Fatal("a child that fails gave a document")
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("c4nary")) || bytes.Contains(text, []byte("HOME=")) {
		t.Error("the child sees the environment")
	}
}

func TestChildEndsWithItsTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// It has a child of its own, which must end too.
	command := script(t, "echo; /bin/sleep 300 & echo $! > "+dir+"/pid; wait")
	x := extract.New(extract.Limits{Command: command, Timeout: 300 * time.Millisecond})
	wantErr(t, "a child that hangs", inChild(t.Context(), x), extract.ErrTimeout)
	gone(t, dir)

	// One that hasn't begun with the file hangs whatever the file is.
	x = extract.New(extract.Limits{Command: script(t, "exec /bin/sleep 300"), Timeout: 300 * time.Millisecond})
	wantOurs(t, "a child that never begins", inChild(t.Context(), x))
	// What it takes to begin isn't taken from the file's time.
	x = extract.New(extract.Limits{Timeout: 4 * time.Second, Command: script(t, `/bin/sleep 2.5; echo; /bin/sleep 2.5
		echo '{"document":{"blocks":[{"text":"words"}]}}'`)})
	if err := inChild(t.Context(), x); err != nil {
		t.Errorf("a child that begins late: %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := inChild(ctx, extract.New(extract.Limits{Command: command})); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v; want the context's error", err)
	}
	gone(t, dir)
}

// gone fails if the process whose number lies in dir still runs.
func gone(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	// Whoever is killed has yet to be given the processor to end.
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		// A zombie that nobody has waited for yet has ended too.
		if err != nil || bytes.Contains(status, []byte(") Z ")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d is left", pid)
		}
	}
}

func TestChildEndsWhenItTakesTooMuchMemory(t *testing.T) {
	t.Parallel()
	x := extract.New(extract.Limits{Memory: 64 << 20, Command: script(t, `echo; x=0123456789abcdef; while :; do x=$x$x; done`)})
	wantErr(t, "a child that grows", inChild(t.Context(), x), extract.ErrBomb)
}

func TestChildThatBreaksDown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*extract.Error{
		"echo; kill -SEGV $$": extract.ErrBroken,
		"echo; exit 2":        extract.ErrBroken,
		`echo '{"error":{"code":"document_encrypted","message":"the document is encrypted: save it without a password and send that"}}'`: extract.ErrEncrypted,
		`echo '{"error":{"code":"made up","message":"c4nary"}}'`:                                                                         extract.ErrBroken,
		"echo '{}'":                             extract.ErrBroken,
		"echo '{\"document\":{\"blocks\":[]}}'": extract.ErrEmpty,
		`while :; do echo 0123456789012345678901234567890123456; done`: extract.ErrTooLarge,
	} {
		wantErr(t, text, inChild(t.Context(), extract.New(extract.Limits{Command: script(t, text), MaxText: 1 << 20})), want)
	}
	for _, text := range []string{"exit 1", "echo; exit 1", "kill -SEGV $$", "echo no json"} {
		err := inChild(t.Context(), extract.New(extract.Limits{Command: script(t, text)}))
		wantOurs(t, text, err)
	}
	wantOurs(t, "no program", inChild(t.Context(), extract.New(extract.Limits{Command: []string{"/nonexistent"}})))
}

// wantOurs fails unless the file isn't to blame.
func wantOurs(t *testing.T, what string, err error) {
	t.Helper()
	if _, blamed := errors.AsType[*extract.Error](err); blamed || !errors.Is(err, extract.ErrUnavailable) {
		t.Errorf("%s: %v; want an error that isn't the file's", what, err)
	}
}

// An engine that can't begin is the operator's to mend, and not the file's fault.
func TestEngineWithTooLittleMemory(t *testing.T) {
	t.Parallel()
	_, err := extract.New(extract.Limits{Memory: 48 << 20}).Extract(t.Context(), extract.Input{Data: writePDF("", "text")})
	wantOurs(t, "too little memory", err)
}
