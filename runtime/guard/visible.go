package guard

import (
	"html"
	"regexp"
	"strings"
	"unicode/utf8"
)

// mostEntity is how long a character reference is at most.
const mostEntity = 34

var (
	references = regexp.MustCompile(`&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});`)
	// begun is a reference whose end may still come.
	begun = regexp.MustCompile(`&(?:#[0-9a-fA-FxX]{0,7}|[A-Za-z0-9]{0,31})$`)
)

// visible makes text what its reader sees: without characters that show nothing, and
// with ASCII where it is written as character references. What comes behind it needn't
// look for a word or an address with something invisible in the middle.
type visible struct {
	held string
	last rune
}

func (v *visible) write(text string) string {
	if text == "" {
		return ""
	}
	text = v.held + text
	v.held = ""
	if at := begun.FindStringIndex(text); at != nil && len(text)-at[0] < mostEntity {
		text, v.held = text[:at[0]], text[at[0]:]
	}
	return v.pass(text)
}

func (v *visible) flush() string {
	text := v.held
	v.held = ""
	return v.pass(text)
}

func (v *visible) pass(text string) string {
	if strings.Contains(text, "&") {
		text = references.ReplaceAllStringFunc(text, decoded)
	}
	return strings.Map(func(r rune) rune {
		if unseen(r, v.last) {
			return -1
		}
		v.last = r
		return r
	}, text)
}

// decoded is the character of a reference if it is ASCII and begins no markup: nobody
// needs to write that so.
func decoded(reference string) string {
	s := html.UnescapeString(reference)
	if len(s) != 1 || s[0] >= utf8.RuneSelf-1 || s[0] < ' ' && s != "\n" && s != "\t" || strings.Contains("<>&", s) {
		return reference
	}
	return s
}

// unseen tells characters that show nothing behind last. Joiners do behind letters of
// scripts that need them.
func unseen(r, last rune) bool {
	switch {
	case r == '\u200c' || r == '\u200d':
		return last < utf8.RuneSelf
	case r == '\u00ad', r == '\u034f', r == '\u061c', r == '\u180e', r == '\ufeff':
		return true
	case r >= '\u200b' && r <= '\u200f', r >= '\u202a' && r <= '\u202e', r >= '\u2060' && r <= '\u206f':
		return true
	}
	return r >= 0xe0000 && r <= 0xe007f
}
