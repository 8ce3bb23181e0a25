package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"regexp"
)

const redacted = "[redacted]"

// secrets are replaced wherever they stand in a log line. A second line of defence:
// the first is that nobody logs such things.
var secrets = regexp.MustCompile(
	`\b(ce|sk|pk|gsk|xai|hf|ghp|cfut|cfat)[_-][A-Za-z0-9_\-]{8,}` + // API keys
		`|(?i:\b(bearer|basic)\s+)[^\s"',;]+` + // credentials
		`|[A-Za-z0-9.!#$%&'*+/=?^_{|}~\-]+@[A-Za-z0-9\-]+(\.[A-Za-z0-9\-]+)+` + // e-mail addresses
		`|\+?\d(?:[ \-/()]{0,2}\d){8,}`) // phone, card and account numbers

// ids look like long numbers now and then, and are needed to find a request again.
var ids = regexp.MustCompile(`^([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|sha256:[0-9a-f]{64})$`)

// Redact removes what looks like a secret or personal from s.
func Redact(s string) string {
	if ids.MatchString(s) {
		return s
	}
	return secrets.ReplaceAllString(s, redacted)
}

// NewLogger writes redacted JSON lines of level and above to w.
func NewLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(redacting{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})})
}

// redacting is a handler that redacts messages and attributes.
type redacting struct{ next slog.Handler }

func (h redacting) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h redacting) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, Redact(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(cleanAttr(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

func (h redacting) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = cleanAttr(a)
	}
	return redacting{h.next.WithAttrs(clean)}
}

func (h redacting) WithGroup(name string) slog.Handler { return redacting{h.next.WithGroup(name)} }

func cleanAttr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, Redact(v.String()))
	case slog.KindGroup:
		group := v.Group()
		clean := make([]slog.Attr, len(group))
		for i, g := range group {
			clean[i] = cleanAttr(g)
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(clean...)}
	case slog.KindAny:
		// Errors and other values become text here, so that nothing is encoded unseen.
		return slog.String(a.Key, Redact(fmt.Sprintf("%+v", v.Any())))
	default:
		return slog.Attr{Key: a.Key, Value: v}
	}
}
