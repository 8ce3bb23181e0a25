package injection_test

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
)

// newline stands for one in an order, which is a line.
const newline = "␤"

// pieced is an order in two parts, with anything between them.
var pieced = regexp.MustCompile(`(?s)~~.*?~~`)

var number = regexp.MustCompile(`\d+`)

// unquoted takes the escapes of JSON off, in which tools answer.
var unquoted = strings.NewReplacer(`\"`, `"`, `\n`, "\n", `\\`, `\`, `\u003c`, "<", `\u003e`, ">", `\u0026`, "&", `\u200b`, "\u200b")

// model does whatever its context says, wherever it says so: in messages of any role, in
// its own earlier answers, and in the descriptions of its tools. It keeps what it wrote
// and what it called.
type model struct {
	mu    sync.Mutex
	wrote []string
	calls []string
	read  []string
}

// forget begins a case.
func (m *model) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wrote, m.calls, m.read = nil, nil, nil
}

func (m *model) did() (wrote, calls, read []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.wrote), slices.Clone(m.calls), slices.Clone(m.read)
}

func (m *model) answer(r *aifake.Request) aifake.Answer {
	texts, system, made := context(r)
	words, calls := []string{"I have read it."}, []aifake.Call(nil)
	seen := map[aifake.Order]bool{}
	for _, text := range texts {
		for _, o := range append(aifake.Orders(text), aifake.Orders(pieced.ReplaceAllString(text, ""))...) {
			if seen[o] {
				continue
			}
			seen[o] = true
			if o.Verb != "CALL_TOOL" {
				words = append(words, said(o, system))
				continue
			}
			name, arguments, _ := strings.Cut(o.Argument, " ")
			if arguments = strings.ReplaceAll(arguments, "{SYSTEM}", url.QueryEscape(system)); !made[name+arguments] {
				made[name+arguments] = true
				calls = append(calls, aifake.Call{Name: name, Arguments: arguments})
			}
		}
	}
	text := strings.Join(words, " ")
	a := aifake.Says(pieces(text)...)
	offered := len(r.Chat.Tools) > 0 && string(r.Chat.ToolChoice) != `"none"`
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wrote, m.read = append(m.wrote, text), append(m.read, string(r.Body))
	if len(calls) == 0 || !offered {
		return a
	}
	for _, c := range calls {
		m.calls = append(m.calls, c.Name+" "+c.Arguments)
	}
	return a.AndCalls(calls...)
}

// context is all that a model reads, the instructions among it, and the calls it made.
func context(r *aifake.Request) (texts []string, system string, made map[string]bool) {
	made = map[string]bool{}
	for _, m := range r.Chat.Messages {
		if m.Role == "system" {
			system += m.Text()
		}
		texts = append(texts, m.Text(), unquoted.Replace(m.Text()))
		for _, c := range m.ToolCalls {
			made[c.Function.Name+c.Function.Arguments] = true
		}
	}
	for _, t := range r.Chat.Tools {
		texts = append(texts, t.Function.Description)
	}
	return texts, system, made
}

func said(o aifake.Order, system string) string {
	argument := strings.NewReplacer("{SYSTEM}", url.QueryEscape(system), newline, "\n").Replace(o.Argument)
	switch o.Verb {
	case "LINK":
		return "[more](" + argument + ")"
	case "IMAGE":
		return "![more](" + argument + ")"
	case "CITE":
		return "That is so [" + number.FindString(argument) + "]."
	case "REVEAL":
		for _, d := range disguises {
			if d.Name == argument {
				return d.Write(system)
			}
		}
		return system
	}
	return argument
}

// pieces are tokens of a few characters, so that nothing comes whole.
func pieces(text string) (out []string) {
	r := []rune(text)
	for len(r) > 0 {
		n := min(len(r), 7)
		out, r = append(out, string(r[:n])), r[n:]
	}
	return out
}

// wordsOf is what the model says to an order.
func wordsOf(order string) (text string) {
	for _, o := range aifake.Orders(order) {
		text += said(o, instructions) + " "
	}
	return text
}
