package guard

import (
	"regexp"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// shapes of addresses in a run of visible characters: whatever a reader's program may make
// a link of. A dot may be one of those that browsers take for one.
var (
	shapes = regexp.MustCompile(`(?i)` +
		`[a-z][a-z0-9+.\-]*:[/\\]+\S` + // https://x, http:\\x, ftp:/x
		`|(?:https?|ftps?|wss?):[^\s/\\]*[.。．｡]` + // https:x.y, to some browsers
		`|(?:javascript|vbscript|mailto|tel|sms|file|blob):\S` +
		`|data:[a-z]+/` +
		`|[/\\]{2}[\pL\pN_\-]+[.。．｡:]` + // //host.
		`|www[.。．｡][\pL\pN]` +
		`|(?:\d{1,3}[.。．｡]){3}\d{1,3}(?::\d+)?[/?\\]` +
		`|[\pL\pN._%+\-]+@[\pL\pN\-]+[.。．｡]\pL{2,}`) // somebody@host.tld
	// slashes begin an address without a scheme.
	slashes = regexp.MustCompile(`^[("'\[<]*[/\\]{2}[\pL\pN]`)
	// names are what a host's name may be, with what follows it.
	names = regexp.MustCompile(`(?i)(?:[\pL\pN_\-]*[.。．｡])+(?:\pL{2,63}|xn--[a-z0-9\-]{1,59})(?::\d+)?([/?\\#]\S)?`)
	dots  = strings.NewReplacer("。", ".", "．", ".", "｡", ".")
)

// linkedAlone are the domains below which programs turn a mere name into a link.
var linkedAlone = map[string]bool{
	"com": true, "net": true, "org": true, "edu": true, "gov": true, "io": true, "info": true, "biz": true, "dev": true, "app": true, "xyz": true,
	"ai": true, "cc": true, "cloud": true, "club": true, "co": true, "gg": true, "link": true, "online": true, "shop": true, "site": true, "tk": true, "tv": true, "website": true,
	"au": true, "br": true, "ch": true, "cn": true, "de": true, "eu": true, "fr": true, "jp": true, "kr": true, "nl": true, "ru": true, "uk": true, "us": true,
	"example": true, "test": true, "invalid": true, "localhost": true, "local": true, "internal": true,
}

// findAddress is where the first address of a run begins, -1 without one.
func findAddress(t string) int {
	if plainWord(t) {
		return -1
	}
	first := -1
	if at := shapes.FindStringIndex(t); at != nil {
		first = at[0]
	}
	if slashes.MatchString(t) {
		first = 0
	}
	for _, m := range names.FindAllStringSubmatchIndex(t, -1) {
		if first >= 0 && m[0] >= first {
			break
		}
		if isLinked(t[m[0]:m[1]], m[2] >= 0) {
			return m[0]
		}
	}
	return first
}

// isLinked tells whether programs make a link of a host's name without scheme.
func isLinked(name string, path bool) bool {
	host, _, _ := strings.Cut(dots.Replace(strings.ToLower(name)), ":")
	if n := strings.IndexAny(host, `/?\#`); n >= 0 {
		host = host[:n]
	}
	top := host[strings.LastIndexByte(host, '.')+1:]
	if linkedAlone[top] {
		return strings.Trim(host, ".") != top || path
	}
	_, registered := publicsuffix.PublicSuffix(host)
	return path && registered
}

// plainWord tells quickly that a run holds nothing that an address needs.
func plainWord(t string) bool {
	return !strings.ContainsAny(t, `:/\.@&]。．｡`)
}
