package embedded

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

const (
	// maxSentences bounds the work: the newest of a long conversation.
	maxSentences = 5000
	// maxChars of a sentence; a longer one is a table or a dump, and no answer.
	maxChars  = 500
	maxQuotes = 5
	// A quote is relevant if it shares this part of the question's terms, and is
	// worth its place if it scores this part of the best one's score.
	leastShared, leastScore = 0.3, 0.4
	// Two quotes this alike say the same.
	tooAlike = 0.7
	// BM25's usual constants.
	k1, b = 1.2, 0.75
)

// quote is a sentence of the conversation.
type quote struct {
	text string
	role string
	// ago counts the messages since, 0 for the last one. The system's don't count.
	ago   int
	first bool // of its message
	cite  int  // the number of its passage, 0 for none

	terms map[string]int
	size  int
	score float64
}

func (q quote) whose() string {
	who := "you"
	if q.role == ai.RoleAssistant {
		who = "assistant"
	}
	switch q.ago {
	case 0:
		return who + ", this message"
	case 1:
		return who + ", 1 message ago"
	default:
		return fmt.Sprintf("%s, %d messages ago", who, q.ago)
	}
}

// choose gives the sentences that come closest to the last message's question, in
// the order they were said.
func choose(messages []ai.Message) []quote {
	question, quotes := candidates(messages)
	chosen := closest(question, quotes)
	slices.SortStableFunc(chosen, func(x, y quote) int { return y.ago - x.ago })
	return chosen
}

// closest gives the best quotes, best first.
func closest(question string, quotes []quote) (chosen []quote) {
	asked := slices.Compact(slices.Sorted(slices.Values(terms(question))))
	if len(asked) == 0 || len(quotes) == 0 {
		return nil
	}
	quotes = score(quotes, asked)
	slices.SortStableFunc(quotes, func(x, y quote) int { return cmp.Compare(y.score, x.score) })
	for _, q := range quotes {
		if len(chosen) == maxQuotes || q.score < leastScore*quotes[0].score {
			break
		}
		if !slices.ContainsFunc(chosen, func(c quote) bool { return alike(c, q) > tooAlike }) {
			chosen = append(chosen, q)
		}
	}
	return chosen
}

// candidates parts the question from what may be quoted.
func candidates(messages []ai.Message) (question string, quotes []quote) {
	ago := 0
	for i := len(messages) - 1; i >= 0 && len(quotes) < maxSentences; i-- {
		m := messages[i]
		if m.Role == ai.RoleSystem {
			continue
		}
		parts := sentences(m.Content)
		if i == len(messages)-1 {
			question, parts = asked(parts)
		}
		// Our own answers are quotes already.
		if m.Role == ai.RoleAssistant && (strings.HasPrefix(m.Content, lead) || strings.HasPrefix(m.Content, nothing)) {
			parts = nil
		}
		for j, s := range parts {
			if utf8.RuneCountInString(s) <= maxChars && !strings.HasSuffix(s, "?") {
				quotes = append(quotes, newQuote(s, m.Role, ago, j == 0))
			}
		}
		ago++
	}
	return question, quotes
}

// asked takes the questions out of a message's sentences; without a question mark
// the last sentence is the question.
func asked(parts []string) (question string, rest []string) {
	var questions []string
	for _, p := range parts {
		if strings.ContainsAny(p, "?？؟") {
			questions = append(questions, p)
		} else {
			rest = append(rest, p)
		}
	}
	if len(questions) == 0 && len(rest) > 0 {
		return rest[len(rest)-1], rest[:len(rest)-1]
	}
	return strings.Join(questions, " "), rest
}

func newQuote(s, role string, ago int, first bool) quote {
	q := quote{text: s, role: role, ago: ago, first: first, terms: map[string]int{}}
	for _, t := range terms(s) {
		q.terms[t]++
		q.size++
	}
	return q
}

// score keeps the relevant quotes, with BM25 of the question and a small preference
// for what was said lately and for a message's opening.
func score(quotes []quote, asked []string) []quote {
	total, having := 0, map[string]int{}
	for _, q := range quotes {
		total += q.size
		for _, t := range asked {
			if q.terms[t] > 0 {
				having[t]++
			}
		}
	}
	n, mean := float64(len(quotes)), max(1, float64(total)/float64(len(quotes)))
	kept := quotes[:0]
	for _, q := range quotes {
		shared := 0
		for _, t := range asked {
			f := float64(q.terms[t])
			if f == 0 {
				continue
			}
			shared++
			idf := math.Log(1 + (n-float64(having[t])+0.5)/(float64(having[t])+0.5))
			q.score += idf * f * (k1 + 1) / (f + k1*(1-b+b*float64(q.size)/mean))
		}
		if shared == 0 || float64(shared) < leastShared*float64(len(asked)) {
			continue
		}
		q.score *= 1 + 0.1/float64(1+q.ago)
		if q.first {
			q.score *= 1.05
		}
		kept = append(kept, q)
	}
	return kept
}

// alike is the part of the terms of both that they share.
func alike(x, y quote) float64 {
	shared := 0
	for t := range x.terms {
		if y.terms[t] > 0 {
			shared++
		}
	}
	return float64(shared) / float64(max(1, len(x.terms)+len(y.terms)-shared))
}
