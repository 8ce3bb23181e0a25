package ai_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

const english = "The quick brown fox jumps over the lazy dog and runs into the dark forest before anyone can see it. "

func TestEstimates(t *testing.T) {
	t.Parallel()
	var e ai.Estimator
	for text, bounds := range map[string][2]int{
		"":      {0, 0},
		"a":     {1, 1},
		english: {20, 40}, // today's vocabularies: 21
		strings.Repeat("发布会在五月四日举行。", 10): {80, 160},
		strings.Repeat("ありがとうございます", 10):  {50, 130},
		strings.Repeat("한국어입니다", 10):      {40, 90},
		"Straße über Größe":               {4, 9},
	} {
		if n := e.Text("m", text); n < bounds[0] || n > bounds[1] {
			t.Errorf("%.20q: %d tokens, want %d to %d", text, n, bounds[0], bounds[1])
		}
	}
}

func TestEstimatorLearnsPerModel(t *testing.T) {
	t.Parallel()
	var e ai.Estimator
	messages := []ai.Message{{Role: ai.RoleUser, Content: strings.Repeat(english, 10)}}
	const real = 220
	before := e.Messages("m", messages)
	for range 60 {
		e.Learn("m", messages, real)
	}
	if got := e.Messages("m", messages); got < real-3 || got > real+3 {
		t.Errorf("after learning: %d, want about %d (before: %d)", got, real, before)
	}
	if got := e.Messages("other", messages); got != before {
		t.Errorf("another model learned too: %d", got)
	}
	// A hidden prompt or a mistake mustn't spoil what was learned.
	for _, absurd := range []int{0, -1, 1, 100_000} {
		e.Learn("m", messages, absurd)
	}
	if got := e.Messages("m", messages); got < real-3 || got > real+3 {
		t.Errorf("after nonsense: %d", got)
	}
}

func TestEstimatorForgetsNoBounds(t *testing.T) {
	t.Parallel()
	var e ai.Estimator
	messages := []ai.Message{{Content: strings.Repeat(english, 10)}}
	before := e.Messages("late", messages)
	for i := range 1000 {
		e.Learn("model-"+strings.Repeat("x", i), messages, 220)
	}
	e.Learn("late", messages, 220)
	if got := e.Messages("late", messages); got != before {
		t.Error("the estimator remembers without bound")
	}
}

func TestEstimatorIsCheap(t *testing.T) {
	var e ai.Estimator
	messages := []ai.Message{{Content: english}, {Content: strings.Repeat("世界", 100)}}
	e.Learn("m", []ai.Message{{Content: strings.Repeat(english, 10)}}, 220)
	if n := testing.AllocsPerRun(100, func() { e.Messages("m", messages); e.Text("m", english) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEstimatorForMany(t *testing.T) {
	t.Parallel()
	var e ai.Estimator
	messages := []ai.Message{{Content: strings.Repeat(english, 10)}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				e.Learn("m", messages, 220)
				if n := e.Messages("m", messages); n < 200 || n > 320 {
					t.Errorf("%d tokens", n)
				}
			}
		})
	}
	wg.Wait()
}
