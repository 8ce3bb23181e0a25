package rag

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// tailMark is the line that ends an answer and begins what to ask next.
const tailMark = "FOLLOW-UPS:"

const (
	maxFollowUps     = 5
	maxFollowUpChars = 200
)

// tail parts an answer, as it comes, from what to ask next.
type tail struct {
	held   string
	after  bool
	behind strings.Builder
}

const (
	// emphasis may stand before the mark.
	emphasis = " \t*#_>-"
	white    = " \t\r\n"
)

// write takes the next part and gives what of it is the answer's. The beginning of a line
// that may become the mark is held back, and the white space before it.
func (t *tail) write(text string) string {
	if t.after {
		t.behind.WriteString(text)
		return ""
	}
	text = t.held + text
	t.held = ""
	for at := 0; at < len(text); {
		line, _, ended := strings.Cut(text[at:], "\n")
		bare := strings.ToUpper(strings.TrimLeft(line, emphasis))
		if strings.HasPrefix(bare, tailMark) {
			t.after = true
			_, rest, _ := strings.Cut(text[at:], ":")
			t.behind.WriteString(rest)
			return strings.TrimRight(text[:at], white)
		}
		if !ended {
			if strings.HasPrefix(tailMark, bare) {
				kept := strings.TrimRight(text[:at], white)
				t.held = text[len(kept):]
				return kept
			}
			break
		}
		at += len(line) + 1
	}
	kept := strings.TrimRight(text, white)
	t.held = text[len(kept):]
	return kept
}

// flush gives what was held back of an answer that ended.
func (t *tail) flush() string {
	held := strings.TrimRight(t.held, white)
	t.held = ""
	return held
}

var (
	bullet   = regexp.MustCompile(`^[\s*#_>•-]*(?:\(?\d{1,2}[.)]\s*)?`)
	citation = regexp.MustCompile(`\s*\[\d+(?:,\s*\d+)*\]`)
)

// followUps are at most five questions, never nil.
func (t *tail) followUps() []string {
	out := []string{}
	for line := range strings.Lines(t.behind.String()) {
		line = strings.Trim(citation.ReplaceAllString(bullet.ReplaceAllString(line, ""), ""), " \t\r\n*_\"")
		if line == "" || utf8.RuneCountInString(line) > maxFollowUpChars {
			continue
		}
		if out = append(out, line); len(out) == maxFollowUps {
			break
		}
	}
	return out
}
