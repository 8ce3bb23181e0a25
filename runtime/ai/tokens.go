package ai

import (
	"math"
	"sync"
)

const (
	// firstRatio is the weight of a token before a model's usage was seen: English
	// has 3.5 to 4.5 bytes a token in today's vocabularies.
	firstRatio = 3.5
	// A model's real ratio lies between these; a reported one outside is a mistake
	// or a hidden prompt, and must not spoil the estimates.
	leastRatio, mostRatio = 1.5, 8.0
	// wideWeight is the weight of a CJK character: a little over one token.
	wideWeight = 4
	// Chat templates wrap each message and open the answer.
	messageTokens, answerTokens = 4, 3
	// learnRate is the share that a new observation has.
	learnRate = 0.1
	// maxLearned bounds the models that are remembered; names come from requests.
	maxLearned = 256
)

// Estimator guesses token counts before and without the provider's word, and learns
// each model's bytes per token from what the provider reports. The zero Estimator is
// ready; it is safe for concurrent use. Estimating allocates nothing.
type Estimator struct {
	mu     sync.RWMutex
	ratios map[string]float64 // weight of a token, by model
}

// Text guesses the tokens of s.
func (e *Estimator) Text(model, s string) int { return tokensOf(weight(s), e.ratio(model)) }

// Messages guesses the tokens of a conversation, and the tools offered in it, as a prompt.
func (e *Estimator) Messages(model string, messages []Message, tools ...Tool) int {
	return tokensOf(weigh(messages, tools), e.ratio(model)) + (len(messages)+len(tools))*messageTokens + answerTokens
}

// Learn takes in that the provider counted tokens for messages as prompt. Short
// prompts teach nothing: the template outweighs them. Nor should those with tools be
// told: every template writes their schemas in its own way.
func (e *Estimator) Learn(model string, messages []Message, tokens int) {
	w := weigh(messages, nil)
	tokens -= len(messages)*messageTokens + answerTokens
	if w < 200 || tokens < 1 {
		return
	}
	seen := float64(w) / float64(tokens)
	if seen < leastRatio || seen > mostRatio {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	was, ok := e.ratios[model]
	if !ok {
		if len(e.ratios) >= maxLearned {
			return
		}
		was = firstRatio
	}
	if e.ratios == nil {
		e.ratios = map[string]float64{}
	}
	e.ratios[model] = was + (seen-was)*learnRate
}

func (e *Estimator) ratio(model string) float64 {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if r, ok := e.ratios[model]; ok {
		return r
	}
	return firstRatio
}

func tokensOf(weight int, ratio float64) int { return int(math.Ceil(float64(weight) / ratio)) }

func weigh(messages []Message, tools []Tool) (w int) {
	for i := range messages {
		w += weight(messages[i].Content)
		for j := range messages[i].ToolCalls {
			w += weight(messages[i].ToolCalls[j].Name) + weight(messages[i].ToolCalls[j].Arguments)
		}
	}
	for i := range tools {
		w += weight(tools[i].Name) + weight(tools[i].Description) + len(tools[i].Parameters)
	}
	return w
}

// weight is the length in bytes, but with wideWeight for a CJK character.
func weight(s string) int {
	w := len(s)
	for i := 0; i < len(s); i++ {
		// CJK characters are three bytes from E2 BA (radicals) to ED 9F (Hangul),
		// and full-width forms EF BC to EF BF, or four bytes from F0 A0.
		switch c := s[i]; {
		case c < 0xE3:
		case c <= 0xED, c == 0xEF:
			w += wideWeight - 3
		case c == 0xF0 && i+1 < len(s) && s[i+1] >= 0xA0 && s[i+1] < 0xC0:
			w += wideWeight - 4
		}
	}
	return w
}
