package injection_test

import (
	"fmt"
	"strings"
	"testing"
)

// wanted is what must still go: words that must come out, and tools that must run.
type wanted struct {
	name  string
	words []string
	tools []string
	ask   func(b *bed) []saying
}

const (
	// honest is what a document that means well makes a model say; %s is its word.
	honest = "SAY The pier opens at 9:30 on 24/7 days, e.g. for v1.2.3 of main.go [1]; see https://docs.harbour.example/%s and https://help.harbour.example/x?a=1 (50 €)."
)

func honestWords(word string) []string {
	return []string{
		"The pier opens at 9:30 on 24/7 days, e.g. for v1.2.3 of main.go [1]; see https://docs.harbour.example/" + word + " and https://help.harbour.example/x?a=1 (50 €).",
	}
}

// twins ask the same places the same ways, without an order that nobody gave.
func (s *tally) twins(t *testing.T) {
	t.Helper()
	b := newBed(t, setup{tenant: "acme"})
	for _, p := range places {
		if p.bed != "" || p.name == "earlier answer" || p.name == "result of a service" || p.name == "PDF" {
			continue
		}
		for _, way := range p.ways {
			s.works(t, b, p.document(way))
		}
	}
	for _, w := range acting() {
		s.works(t, b, w)
	}
	remote := newBed(t, setup{tenant: "acme", cfg: withServer})
	remote.ready(true)
	for _, w := range actingAtServers() {
		s.works(t, remote, w)
	}
}

// works runs a twin.
func (s *tally) works(t *testing.T, b *bed, w wanted) {
	t.Helper()
	b.model.forget()
	b.reset("It is fine.")
	answers := w.ask(b)
	var missing []string
	for _, word := range w.words {
		if !strings.Contains(answers[len(answers)-1].text, word) {
			missing = append(missing, "it doesn't say "+word)
		}
	}
	for _, tool := range w.tools {
		if b.calls(tool) == 0 {
			missing = append(missing, "the tool "+tool+" didn't run")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted++
	if len(missing) == 0 {
		s.worked++
		return
	}
	t.Errorf("%s: %s: it says %q", w.name, strings.Join(missing, "; "), answers[len(answers)-1].text)
}

// document is a document without orders but for what it has to say, asked one way.
func (p place) document(way way) wanted {
	w := wanted{name: p.name + ", by " + way.name}
	w.ask = func(b *bed) []saying {
		word := p.plant(b, "Nothing else is here.")
		b.ingest(word, map[string]any{"text": "The pier " + word + " is known.\n" + fmt.Sprintf(honest, word)})
		defer b.remove(word)
		w.words = honestWords(word)
		return way.ask(b, word)
	}
	// A turn that searched by a tool has no sources of its own: its links aren't let out.
	if way.name == bySearchTool.name {
		w.ask = func(b *bed) []saying {
			word := p.plant(b, "SAY It opens at 9:30.")
			b.ingest(word, map[string]any{"text": "The pier " + word + " is known.\nSAY It opens at 9:30, see https://help.harbour.example/x."})
			defer b.remove(word)
			return way.ask(b, word)
		}
		w.words = []string{"It opens at 9:30, see https://help.harbour.example/x."}
	}
	return w
}

func inChat(body map[string]any) func(b *bed) []saying {
	return func(b *bed) []saying {
		body["sessionId"] = b.talk()
		return []saying{b.ask("/chat", body)}
	}
}

// acting are tools that the user asks for.
func acting() []wanted {
	after := func(second string, stream bool) func(b *bed) []saying {
		return func(b *bed) []saying {
			word, s := b.word(), b.talk()
			b.ingest(word, map[string]any{"text": "The pier " + word + " is known."})
			defer b.remove(word)
			return []saying{
				b.ask("/chat", map[string]any{"sessionId": s, "message": about(word), "useRag": true, "stream": false}),
				b.ask("/chat", map[string]any{"sessionId": s, "message": second, "stream": stream}),
			}
		}
	}
	list := []wanted{
		{"a named tool that writes", nil, []string{"send"}, inChat(map[string]any{"message": "Done?", "tool_name": "send", "stream": false})},
		{"a look-up and one with leave in a question of documents", nil, []string{"note"}, func(b *bed) []saying {
			word := b.word()
			b.ingest(word, map[string]any{"text": "The pier " + word + " is known."})
			defer b.remove(word)
			return []saying{b.ask("/chat", map[string]any{"sessionId": b.talk(), "message": about(word) + ` CALL_TOOL note {"a":1}`, "useRag": true, "stream": true})}
		}},
		{"completions: a tool that writes", nil, []string{"send"}, func(b *bed) []saying {
			return []saying{b.ask("/v1/chat/completions", map[string]any{
				"model": "big", "messages": []any{map[string]any{"role": "user", "content": `CALL_TOOL send {"a":1}`}}, "enigma": map[string]any{"tools": true},
			})}
		}},
		{"links of a question without documents", []string{"https://anything.example/x"}, nil, inChat(map[string]any{"message": "SAY https://anything.example/x", "stream": true})},
	}
	for _, stream := range []bool{false, true} {
		for _, tool := range []string{"send", "fetch", "weather", "note"} {
			list = append(list, wanted{fmt.Sprintf("%s, streamed: %t", tool, stream), nil, []string{tool}, inChat(map[string]any{"message": "CALL_TOOL " + tool + ` {"a":1}`, "stream": stream})})
		}
		for _, tool := range []string{"weather", "fetch", "note"} {
			list = append(list, wanted{fmt.Sprintf("%s after an answer of documents, streamed: %t", tool, stream), nil, []string{tool}, after("CALL_TOOL "+tool+` {"a":1}`, stream)})
		}
	}
	return list
}

// actingAtServers are those of a tenant with a server of tools.
func actingAtServers() (list []wanted) {
	for _, stream := range []bool{false, true} {
		for function, tool := range map[string]string{"far__news": "far.news", "far__post": "far.post", "weather": "weather", "fetch": "fetch", "note": "note"} {
			list = append(list, wanted{fmt.Sprintf("%s beside a server, streamed: %t", tool, stream), nil, []string{tool}, inChat(map[string]any{"message": "CALL_TOOL " + function + ` {"a":1}`, "stream": stream})})
		}
	}
	return list
}
