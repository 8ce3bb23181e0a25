package sdk_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The SDK for JavaScript is what most chat front ends are built on.
func TestJavaScript(t *testing.T) {
	t.Parallel()
	if os.Getenv("ENIGMA_SKIP_NODE") != "" {
		t.Skip("ENIGMA_SKIP_NODE is set")
	}
	dir := installed(t)
	cmd := exec.CommandContext(t.Context(), "node", "main.mjs")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "BASE_URL="+serve(t, nil), "LIMITED_URL="+serve(t, limited), "SPEECH_URL="+serveSpeech(t), "API_KEY="+key)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	if n := strings.Count(string(out), "ok - "); n < 17 {
		t.Errorf("only %d cases ran:\n%s", n, out)
	}
}

// installed puts the pinned package into .cache, unless it is there.
func installed(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../.cache/sdk-js")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile("js/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package.json", "package-lock.json", "main.mjs"} {
		text, err := os.ReadFile(filepath.Join("js", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Written last, so that half an installation isn't taken for one.
	done := filepath.Join(dir, "node_modules", ".installed")
	if have, err := os.ReadFile(done); err == nil && bytes.Equal(have, lock) {
		return dir
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci (ENIGMA_SKIP_NODE=1 leaves this test out): %v\n%s", err, out)
	}
	if err := os.WriteFile(done, lock, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
