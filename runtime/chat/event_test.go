package chat

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// A token event says what encoding/json would read out of it, is one line, and holds
// nothing of the token before.
func FuzzTokenEvent(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "é世界😀", "\u2028\u2029", "\xff\xc3\x28", "</script>"} {
		f.Add(s, "trace")
	}
	f.Fuzz(func(t *testing.T, text, trace string) {
		e := newTokenEvent("session\"", "acme", trace)
		for _, s := range []string{text, strings.Repeat(text, 3), "x"} {
			data := e.data(s)
			var got struct{ SessionID, Role, Content, TenantID, TraceID string }
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatalf("%q: %v", data, err)
			}
			if got.Content != toValid(s) || got.SessionID != "session\"" || got.TenantID != "acme" || got.TraceID != toValid(trace) || got.Role != "assistant" {
				t.Fatalf("%q: got %+v", data, got)
			}
			if strings.ContainsAny(string(data), "\n\r\u2028\u2029") || !utf8.Valid(data) {
				t.Fatalf("%q isn't one line of UTF-8", data)
			}
		}
	})
}

// toValid replaces each invalid byte, as encoding/json does.
func toValid(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

func BenchmarkTokenEvent(b *testing.B) {
	e := newTokenEvent("3f0e8a52-1c6b-4f7e-9d0a-5b1f2c3d4e5f", "acme", "3f0e8a52-1c6b-4f7e-9d0a-5b1f2c3d4e5f")
	b.ReportAllocs()
	for b.Loop() {
		e.data(" token")
	}
}
