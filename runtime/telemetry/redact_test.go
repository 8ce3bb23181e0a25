package telemetry_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
)

func TestNoSecretReachesALog(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{
		"ce_AbCdEf0123456789", "sk-proj-AbCdEf0123456789", "mallory@mail.example", "+49 151 2345 6789", "4111 1111 1111 1111", "0123456789abcdef",
	} {
		sentence := "refused " + secret + ", again"
		var buf bytes.Buffer
		log := telemetry.NewLogger(&buf, slog.LevelDebug)
		log.Info(sentence)
		log.With("key", secret).Info("x", "error", fmt.Errorf("wrapped: %w", errors.New(sentence)), slog.Group("g", "inner", sentence))
		log.WithGroup("g").Debug("x", "value", struct{ S string }{sentence}, "header", []string{"Bearer " + secret})
		if secret != "0123456789abcdef" && strings.Contains(buf.String(), secret) {
			t.Errorf("%q is in %s", secret, &buf)
		}
		if n := strings.Count(buf.String(), "\n"); n != 3 {
			t.Errorf("%d lines, want 3", n)
		}
	}
	if got := telemetry.Redact("Authorization: Bearer abc.def"); strings.Contains(got, "abc") {
		t.Error(got)
	}
}

func TestWhatFindsAFaultStays(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"3f0e8a52-1111-2222-3333-444444444444", "01234567890123456789012345678901",
		"sha256:" + strings.Repeat("0123456789abcdef", 4),
		"dial tcp 10.244.100.200:11434: connection refused", "2026-11-24T12:00:00Z", "model llama3.2:3b at http://ollama.models:11434/v1",
	} {
		if got := telemetry.Redact(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}

func TestALogLineIsOneLine(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	telemetry.NewLogger(&buf, slog.LevelInfo).Info("a\n{\"level\":\"ERROR\"}", "x", "b\r\n\x1b[31mred")
	if strings.Count(buf.String(), "\n") != 1 || strings.Contains(buf.String(), "\x1b") {
		t.Errorf("%q", buf.String())
	}
}
