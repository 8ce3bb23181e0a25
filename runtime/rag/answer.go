package rag

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// NothingFound is the answer where no document answers: a fixed sentence, so that a
// program can tell it.
const NothingFound = ai.Ungrounded

// feature is what searches are recorded under.
const feature = "search"

// answerRules are the model's instructions. The tenant's own aren't among them: there is
// nothing that an answer could give away.
const answerRules = "You answer questions from passages of documents. Rest on the passages alone, and cite each one that you use " +
	"by its number right after what it supports, as [1]. If they don't answer the question, write exactly: " + NothingFound + "\n" +
	"Answer in the language of the question. After the answer write a line that says " + tailMark + " and below it up to five short " +
	"questions that the passages answer too, one on a line."

// fits is how many of the sources the prompt has room for, and the text of the first, which
// is cut if it must be.
func (s *searching) fitting() []guard.Source {
	cfg := s.c.Tenant.Config
	model := cfg.Models.Chat
	room := promptRoom(cfg) - s.f.Estimator.Text(model, answerRules+guard.Rules+s.text) - 64
	room = max(room, leastRoom/2)
	given := make([]guard.Source, 0, len(s.found.sources))
	for i, source := range s.found.sources {
		const fence = 40 // tokens of a passage's fence
		cost := s.f.Estimator.Text(model, source.Text) + fence
		if cost > room && i > 0 {
			break
		}
		for cost > room {
			source.Text = strings.ToValidUTF8(source.Text[:len(source.Text)*room/(cost+1)], "")
			cost = s.f.Estimator.Text(model, source.Text) + fence
			if len(source.Text) < 200 {
				break
			}
		}
		room -= cost
		given = append(given, source)
	}
	return given
}

// params of the one question to the model. It takes the admission along.
func (s *searching) params() turn.Params {
	cfg := s.c.Tenant.Config
	given := s.fitting()
	var b strings.Builder
	b.WriteString(answerRules)
	grounds := &ai.Grounds{Question: s.text}
	for _, source := range given {
		b.WriteString("\n\n")
		b.WriteString(guard.Fence("passage", fmt.Sprintf("[%d] %s", source.ID, source.Title), source.Text))
		grounds.Passages = append(grounds.Passages, ai.Passage{ID: source.ID, Text: source.Text})
	}
	p := turn.Params{
		Call: s.c, Feature: feature, Models: chatModels(cfg), MaxTokens: maxTokens(cfg), Grounds: grounds, Untrusted: true,
		Messages:  []ai.Message{{Role: ai.RoleSystem, Content: b.String()}, {Role: ai.RoleUser, Content: s.text}},
		Answer:    guard.Policy{Sources: given, LinkHosts: cfg.Documents.LinkHosts, Citations: true},
		Admission: s.takeAdmission(),
	}
	if milli := cfg.Prompt.TemperatureMilli; milli != nil {
		temperature := float64(*milli) / 1000
		p.Temperature = &temperature
	}
	return p
}

// takeAdmission gives the admission to the turn, which settles it.
func (s *searching) takeAdmission() *limits.Admission {
	a := s.chat
	s.chat = nil
	return a
}

// whole waits for the answer.
func (s *searching) whole(ctx context.Context) (result, error) {
	begun := s.f.Now()
	out, err := s.f.Turns.Whole(ctx, s.params(), nil)
	if err != nil {
		return result{}, fmt.Errorf("answering: %w", err)
	}
	s.f.counts.phase(phaseAnswer, s.f.Now().Sub(begun))
	var t tail
	answer := t.write(out.Text) + t.flush()
	setUsageHeaders(s.c.Out, out.Usage)
	return s.judge(answer, t.followUps(), out), nil
}

// judge makes the result of what the model said.
func (s *searching) judge(answer string, followUps []string, out turn.Outcome) result {
	r := result{
		Answer: strings.TrimSpace(answer), Sources: s.found.sources, Confidence: s.found.confidence,
		FollowUps: s.harmless(followUps), Model: out.Model,
	}
	switch {
	case r.Answer == "" || strings.Contains(r.Answer, NothingFound):
		r.Answer, r.Confidence, r.FollowUps = NothingFound, 0, []string{}
	case len(out.Cited) == 0:
		r.Confidence = rounded(r.Confidence / 2)
	}
	return r
}

// harmless are the follow-up questions without those that became an address when their
// citations were taken out: the answer was filtered before.
func (s *searching) harmless(followUps []string) []string {
	p := guard.Policy{Sources: s.found.sources, LinkHosts: s.c.Tenant.Config.Documents.LinkHosts}
	return slices.DeleteFunc(followUps, func(q string) bool {
		text, _ := guard.Text(p, q)
		return text != q
	})
}

// stream answers as an event stream: sources first, then what the model says.
func (s *searching) stream(ctx context.Context) (httpapi.Answer, error) {
	p, begun := s.params(), s.f.Now()
	opening := turn.Start(ctx, func(ctx context.Context) (*turn.Turn, error) { return s.f.Turns.Open(ctx, p) })
	if opening.Within(turn.StatusWait) {
		t, err := opening.Turn()
		if err != nil {
			return httpapi.Answer{}, fmt.Errorf("answering: %w", err)
		}
		s.c.Out.Set("X-Model-Id", t.Model())
	}
	return httpapi.Answer{Stream: func(writing context.Context, w *httpapi.EventWriter) {
		defer s.f.Recorder.StreamOpened()()
		s.run(ctx, writing, events{w: w, c: s.c}, opening, begun)
	}}, nil
}

// run copies the answer until its end, and says how it ended.
func (s *searching) run(ctx, writing context.Context, e events, opening *turn.Opening, begun time.Time) {
	e.sources(s.found.sources)
	var out turn.Outcome
	sink := &telling{events: e}
	t, err := opening.Turn()
	if err == nil {
		out, err = t.Stream(writing, sink)
		e.text(sink.tail.flush())
	}
	took := s.f.Now().Sub(begun)
	s.f.counts.phase(phaseAnswer, took)
	if err != nil {
		e.failed(told(err), out, took)
		return
	}
	r := s.judge(sink.said.String(), sink.tail.followUps(), out)
	if sink.said.Len() == 0 {
		e.text(r.Answer)
	}
	s.remember(ctx, r)
	e.done(r, out, took)
}

// telling passes on what a model says, without the tail.
type telling struct {
	events
	tail tail
	said strings.Builder
}

// Text implements turn.Sink.
func (t *telling) Text(text string) error {
	if text = t.tail.write(text); text != "" {
		t.said.WriteString(text)
		t.text(text)
	}
	return t.w.Err()
}

// ToolStarted implements turn.Sink: no tools are offered.
func (*telling) ToolStarted(string, string) {}

// ToolEnded implements turn.Sink.
func (*telling) ToolEnded(string, string, string, time.Duration) {}
