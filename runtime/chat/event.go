package chat

import (
	"time"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
)

// tokenEvent builds the data of token events in one reused buffer: all but the text
// is the same for every token of a stream.
type tokenEvent struct {
	buf    []byte
	prefix int
	suffix []byte
}

func newTokenEvent(session, tenant, trace string) *tokenEvent {
	e := &tokenEvent{buf: make([]byte, 0, 512)}
	e.buf = append(e.buf, `{"sessionId":`...)
	e.buf = appendString(e.buf, session)
	e.buf = append(e.buf, `,"role":"assistant","content":`...)
	e.prefix = len(e.buf)
	e.suffix = append(e.suffix, `,"tenantId":`...)
	e.suffix = appendString(e.suffix, tenant)
	e.suffix = append(e.suffix, `,"traceId":`...)
	e.suffix = appendString(e.suffix, trace)
	e.suffix = append(e.suffix, '}')
	return e
}

// data is valid until the next call.
func (e *tokenEvent) data(text string) []byte {
	e.buf = appendString(e.buf[:e.prefix], text)
	e.buf = append(e.buf, e.suffix...)
	return e.buf
}

// plain tells the bytes that stand for themselves in a JSON string.
var plain = func() (t [utf8.RuneSelf]bool) {
	for c := byte(' '); c < utf8.RuneSelf-1; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString writes s as a JSON string. Invalid UTF-8 becomes U+FFFD, and the two
// line separators that JavaScript once refused are escaped.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if plain[c] {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			b = appendEscape(b, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			b = append(b, s[start:i]...)
			b = append(b, `\u`...)
			b = appendHex4(b, r)
			start = i + size
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	default:
		return appendHex4(append(b, `\u`...), rune(c))
	}
}

func appendHex4(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(b, hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// streamUsage is what the done event tells of the call.
type streamUsage struct {
	ModelID     string `json:"modelId"`
	TokensIn    int    `json:"tokensIn"`
	TokensOut   int    `json:"tokensOut"`
	TotalTokens int    `json:"totalTokens"`
	LatencyMs   int64  `json:"latencyMs"`
	// Estimated says that the provider didn't count.
	Estimated bool `json:"estimated,omitempty"`
}

func newStreamUsage(model string, u ai.Usage, latencyMs int64) streamUsage {
	return streamUsage{ModelID: model, TokensIn: u.In, TokensOut: u.Out, TotalTokens: u.In + u.Out, LatencyMs: latencyMs, Estimated: u.Estimated}
}

// doneEvent ends a complete stream. Sources are the passages that the answer rests
// on: none without documents.
type doneEvent struct {
	Done    bool           `json:"done"`
	Usage   streamUsage    `json:"usage"`
	Sources []guard.Source `json:"sources"`
}

// toolEvent tells how a tool goes: started, then ok or failed.
type toolEvent struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Status     string `json:"status"`
	Code       string `json:"code,omitempty"`
	DurationMs *int64 `json:"durationMs,omitempty"`
}

func toolStarted(id, name string) toolEvent { return toolEvent{ID: id, Name: name, Status: "started"} }

func toolEnded(id, name, code string, took time.Duration) toolEvent {
	ms := took.Milliseconds()
	e := toolEvent{ID: id, Name: name, Status: "ok", Code: code, DurationMs: &ms}
	if code != "" {
		e.Status = "failed"
	}
	return e
}

// failedDoneEvent ends a stream after an error event.
type failedDoneEvent struct {
	Done  bool        `json:"done"`
	Error string      `json:"error"`
	Usage streamUsage `json:"usage"`
}

// errorEvent says why a stream ends early.
type errorEvent struct {
	Code         string `json:"code"`
	Message      string `json:"message"`
	TraceID      string `json:"traceId"`
	RetryAfterMs int64  `json:"retryAfterMs,omitempty"`
}
