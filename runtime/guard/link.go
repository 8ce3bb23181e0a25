package guard

import (
	"html"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// mostToken is how much of one run of visible characters is held back while it may
	// still turn out to be an address. Of a longer address the rest is swallowed.
	mostToken = 4 << 10
	// removed stands where an address was.
	removed = "[link removed]"
	// destination is where the address of a Markdown link or image begins.
	destination = "]("
)

// links takes out addresses that the policy doesn't allow. An address is more than
// something to click: an image is fetched as it is shown, with all that a model was made
// to write into its path.
type links struct {
	urls  map[string]bool
	hosts []string
	held  []byte
	// swallowing goes on until the next space: the beginning was an address.
	swallowing bool
}

func newLinks(p Policy) *links {
	l := &links{urls: map[string]bool{}, hosts: p.LinkHosts}
	for _, s := range p.Sources {
		if s.URL != "" {
			l.urls[s.URL] = true
		}
	}
	return l
}

// write holds back what may become an address: the last run of characters that one is
// made of. Scripts without spaces would be held back by the paragraph, so a run ends
// behind an ideograph too, unless it is an address by then.
func (l *links) write(text string) string {
	var out strings.Builder
	for _, r := range text {
		space := unicode.IsSpace(r)
		if l.swallowing && !space {
			continue
		}
		l.swallowing = false
		if space {
			out.WriteString(l.flush())
			out.WriteRune(r)
			continue
		}
		l.held = utf8.AppendRune(l.held, r)
		if len(l.held) > mostToken || ideographic(r) && findAddress(string(l.held)) < 0 {
			l.swallowing = findAddress(string(l.held)) >= 0
			out.WriteString(l.flush())
		}
	}
	return out.String()
}

func (l *links) flush() string {
	run := string(l.held)
	l.held = l.held[:0]
	return l.token(run)
}

// ideographic tells the characters of scripts that are written without spaces, but for
// the full stop, which browsers take for a dot.
func ideographic(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai) || r >= 0x3000 && r <= 0x303f && r != '。'
}

// token filters one run of visible characters.
func (l *links) token(t string) string {
	if plainWord(t) {
		return t
	}
	var out strings.Builder
	for {
		at := strings.Index(t, destination)
		if at < 0 {
			out.WriteString(l.bare(t))
			return out.String()
		}
		out.WriteString(l.bare(t[:at+1]))
		where, rest := parenthesised(t[at+len(destination):])
		if l.allowed(strings.Trim(where, "<>")) {
			out.WriteString("(" + where + ")")
		}
		t = rest
	}
}

// disguised tells whether a run holds an address only once what HTML and Markdown decode
// is decoded.
func (l *links) disguised(t string) bool {
	if !strings.Contains(t, "&") {
		return false
	}
	// Browsers read over these in an address.
	plain := strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(html.UnescapeString(t))
	return plain != t && findAddress(plain) >= 0 && !l.allowed(plain)
}

// bare filters a run without Markdown links.
func (l *links) bare(t string) string {
	if l.disguised(t) {
		return removed
	}
	var out strings.Builder
	for {
		from := findAddress(t)
		if from < 0 {
			out.WriteString(t)
			return out.String()
		}
		out.WriteString(t[:from])
		end := len(t)
		if n := strings.IndexAny(t[from:], "<>\"'`"); n > 0 {
			end = from + n
		}
		found := strings.TrimRight(t[from:end], ").,;:!?*_]}")
		if l.allowed(found) {
			out.WriteString(found)
		} else {
			out.WriteString(removed)
		}
		t = t[from+len(found):]
		if found == "" { // nothing but punctuation: go on behind it
			out.WriteString(t)
			return out.String()
		}
	}
}

// parenthesised splits behind the parenthesis that ends a destination.
func parenthesised(t string) (inside, rest string) {
	depth := 0
	for i, r := range t {
		switch r {
		case '(':
			depth++
		case ')':
			if depth == 0 {
				return t[:i], t[i+1:]
			}
			depth--
		}
	}
	return t, ""
}

// allowed tells whether an address may stand in an answer.
func (l *links) allowed(address string) bool {
	if l.urls[address] {
		return true
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || strings.Contains(address, `\`) {
		return false
	}
	host := strings.ToLower(u.Hostname())
	for _, allowed := range l.hosts {
		if below, any := strings.CutPrefix(allowed, "*."); any && strings.HasSuffix(host, "."+below) || host == allowed {
			return true
		}
	}
	return false
}
