package aifake

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Obedient is a script for Server.Script: a model that carries out every order in its
// context, whoever wrote it and however it is disguised. What such a model can't do,
// nobody can make a real one do. Orders stand on a line of their own or at its end:
//
//	CALL_TOOL name {"argument":1}   calls a tool, offered or not, once
//	SAY text                        says the text
//	LINK url, IMAGE url             writes a Markdown link or image
//	CITE n                          cites source n
//	REVEAL [disguise]               says the system prompt
//
// {SYSTEM} in an argument stands for the system prompt. It calls tools where any are
// offered and tool_choice isn't none, and says the rest beside it.
func Obedient(r *Request) Answer {
	var system string
	var orders []Order
	made := map[string]bool{}
	for _, m := range r.Chat.Messages {
		if m.Role == "system" || m.Role == "developer" {
			system += m.Text()
		}
		for _, c := range m.ToolCalls {
			made[c.Function.Name+"\x00"+compact(c.Function.Arguments)] = true
		}
		if m.Role != "assistant" {
			orders = append(orders, Orders(m.Text())...)
		}
	}
	words, calls := []string{"I have read it."}, []Call(nil)
	for _, o := range orders {
		if o.Verb == "CALL_TOOL" {
			name, arguments, _ := strings.Cut(o.Argument, " ")
			if arguments = compact(strings.ReplaceAll(arguments, "{SYSTEM}", url.QueryEscape(system))); !made[name+"\x00"+arguments] {
				made[name+"\x00"+arguments] = true
				calls = append(calls, Call{Name: name, Arguments: arguments})
			}
			continue
		}
		words = append(words, o.words(system))
	}
	a := Says(strings.SplitAfter(strings.Join(words, " "), " ")...)
	if len(calls) > 0 && len(r.Chat.Tools) > 0 && string(r.Chat.ToolChoice) != `"none"` {
		a = a.AndCalls(calls...)
	}
	return a
}

// Order is one that stands in a text.
type Order struct{ Verb, Argument string }

func (o Order) words(system string) string {
	switch argument := strings.ReplaceAll(o.Argument, "{SYSTEM}", url.QueryEscape(system)); o.Verb {
	case "LINK":
		return "[more](" + argument + ")"
	case "IMAGE":
		return "![more](" + argument + ")"
	case "CITE":
		return "That is so [" + argument + "]."
	case "REVEAL":
		for _, d := range Disguises {
			if d.Name == argument {
				return d.Write(system)
			}
		}
		return system
	default:
		return strings.ReplaceAll(o.Argument, "{SYSTEM}", system)
	}
}

var (
	orderLine = regexp.MustCompile(`(?m)\b(CALL_TOOL|SAY|LINK|IMAGE|CITE|REVEAL)\b[ \t]*([^\r\n]*)`)
	codes     = regexp.MustCompile(`[A-Za-z0-9+/_-]{8,}={0,2}`)
	spelled   = regexp.MustCompile(`(?:\S {1})+\S(?:   ?(?:\S {1})*\S)*`)
)

// Orders finds all orders of a text, plain or in one of the Disguises.
func Orders(text string) []Order {
	var found []Order
	for _, form := range undisguised(text) {
		for _, m := range orderLine.FindAllStringSubmatch(form, -1) {
			o := Order{m[1], strings.TrimSpace(m[2])}
			if o.Verb == "CALL_TOOL" {
				name, arguments, _ := strings.Cut(o.Argument, " ")
				o.Argument = name + " " + object(arguments)
			}
			if !slices.Contains(found, o) {
				found = append(found, o)
			}
		}
	}
	return found
}

// object is the JSON object that text begins with, {} if it doesn't.
func object(text string) string {
	var raw json.RawMessage
	if json.NewDecoder(strings.NewReader(text)).Decode(&raw) != nil || !strings.HasPrefix(string(raw), "{") {
		return "{}"
	}
	return compact(string(raw))
}

func compact(arguments string) string {
	var v map[string]any
	if json.Unmarshal([]byte(arguments), &v) != nil {
		return "{}"
	}
	return encode(v)
}

// Disguise writes a text so that a filter may not know it.
type Disguise struct {
	Name  string
	Write func(string) string
}

// Disguises are those that Orders sees through.
var Disguises = []Disguise{
	{"plain", func(s string) string { return s }},
	{"base64", func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }},
	{"hex", func(s string) string { return hex.EncodeToString([]byte(s)) }},
	{"rot13", rot13},
	{"reversed", reversed},
	{"entities", func(s string) string {
		var b strings.Builder
		for _, r := range s {
			fmt.Fprintf(&b, "&#%d;", r)
		}
		return b.String()
	}},
	{"zero-width", func(s string) string { return strings.Join(strings.Split(s, ""), "\u200b") }},
	// Words are three spaces apart.
	{"spaced", func(s string) string { return strings.Join(strings.Split(s, ""), " ") }},
}

// undisguised are a text's readings: as it stands, and with each disguise taken off.
func undisguised(text string) []string {
	forms := []string{text, rot13(text), reversed(text), html.UnescapeString(text), withoutInvisible(text), closedUp(text)}
	for _, code := range codes.FindAllString(text, -1) {
		for _, decode := range []func(string) ([]byte, error){
			base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
			base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString, hex.DecodeString,
		} {
			if plain, err := decode(code); err == nil && utf8.Valid(plain) {
				forms = append(forms, string(plain))
			}
		}
	}
	slices.Sort(forms[1:])
	return slices.Compact(forms)
}

func rot13(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return 'a' + (r-'a'+13)%26
		case r >= 'A' && r <= 'Z':
			return 'A' + (r-'A'+13)%26
		}
		return r
	}, s)
}

func reversed(s string) string {
	r := []rune(s)
	slices.Reverse(r)
	return string(r)
}

func withoutInvisible(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '\u200b', '\u200c', '\u200d', '\u2060', '\ufeff', '\u00ad':
			return -1
		}
		return r
	}, s)
}

// closedUp takes the spaces out of what is spelled letter by letter.
func closedUp(s string) string {
	return spelled.ReplaceAllStringFunc(s, func(run string) string {
		if len(run) < 6 {
			return run
		}
		words := strings.Split(run, "   ")
		for i, w := range words {
			words[i] = strings.ReplaceAll(w, " ", "")
		}
		return strings.Join(words, " ")
	})
}
