package index_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/index"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// topics are words that keep company. No passage has both a car and an automobile.
var topics = [][]string{
	{"engine wheel brake gear car", "engine wheel brake gear automobile", "wheel gear road fuel automobile", "engine brake road fuel car"},
	{"violin concert orchestra bow", "piano concert orchestra key", "violin piano sonata score", "orchestra score conductor bow"},
	{"flour oven bread yeast", "sugar oven cake butter", "bread butter crust yeast", "flour sugar dough crust"},
}

// about makes n passages that go through the topics.
func about(n, from int) []storage.Passage {
	passages := make([]storage.Passage, n)
	for i := range passages {
		topic := topics[(from+i)%len(topics)]
		passages[i].Text = fmt.Sprintf("%s %s number%d", topic[(from+i)/3%len(topic)], topic[(from+i)/5%len(topic)], from+i)
	}
	return passages
}

func learn(b *bed) {
	b.Helper()
	if err := b.Learn(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func TestLearntVectorsFindWhatSharesNoWord(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{Vectors: index.LearntVectors})
	b.publish(storage.Document{ID: "few"}, about(150, 0)...)
	b.catchUp()
	learn(b)
	if _, err := b.Search(context.Background(), index.Query{Text: "automobile", Mode: index.ByVector, K: 1}); !errors.Is(err, index.ErrNoVectors) {
		t.Errorf("150 passages: %v", err)
	}
	expect(t, b.found(index.Query{Text: "number7", K: 1}), key("few", 7))

	b.publish(storage.Document{ID: "more"}, about(150, 150)...)
	b.catchUp()
	learn(b)
	near := b.search(index.Query{Text: "automobile", Mode: index.ByVector, K: 80})
	shareNone := 0
	for _, h := range near {
		if text := passageText(b, h.PassageKey); !strings.Contains(text, "automobile") {
			shareNone++
			if !strings.Contains(text, "wheel") && !strings.Contains(text, "brake") && !strings.Contains(text, "fuel") {
				t.Errorf("found %q", text)
			}
		}
	}
	if len(near) != 80 || shareNone == 0 {
		t.Errorf("%d found, %d without the word", len(near), shareNone)
	}

	// What comes later is folded in, and what goes is gone.
	b.publish(storage.Document{ID: "late"}, texts("wheel brake engine gear and nothing else")...)
	b.remove("few")
	b.catchUp()
	late := false
	for _, h := range b.search(index.Query{Text: "automobile", Mode: index.ByVector, K: 200}) {
		late = late || h.Doc == "late"
		if h.Doc == "few" {
			t.Fatal("found what was removed")
		}
	}
	if p := b.Progress(); !late || p.WithVector != 151 {
		t.Errorf("late is found: %t; %+v", late, p)
	}
}

// What is asked with words that no passage has is far from all of them by learnt vectors too.
func TestLearntVectorsTellOnlyOfWordsThatTheyKnow(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{Vectors: index.LearntVectors})
	b.publish(storage.Document{ID: "cars"}, about(220, 0)...)
	b.catchUp()
	learn(b)
	for _, mode := range []index.Mode{index.Hybrid, index.ByVector, index.ByWords} {
		sure := b.search(index.Query{Text: "automobile", Mode: mode})[0]
		unsure := b.search(index.Query{Text: "automobile customs declaration", Mode: mode})[0]
		if sure.Score < 0.5 || unsure.Score > sure.Score/2 {
			t.Errorf("mode %d: the score is %.3f, and with two words that nothing has %.3f", mode, sure.Score, unsure.Score)
		}
	}
}

func passageText(b *bed, k storage.PassageKey) string {
	b.Helper()
	found, err := b.docs.Passages(context.Background(), b.tenant, k.Doc, k.Version, k.N, 1, false)
	if err != nil || len(found) != 1 {
		b.Fatal(found, err)
	}
	return found[0].Text
}

// Vectors are all of the model in force while documents come, go and models change.
func TestChangesGoOnWhileModelsAreLearnt(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{Vectors: index.LearntVectors})
	b.publish(storage.Document{ID: "base"}, about(220, 0)...)
	b.catchUp()
	ctx, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { b.Follow(ctx) })
	for round := range 12 {
		b.publish(storage.Document{ID: fmt.Sprint("doc", round%4)}, about(100+round, 1000*round)...)
		b.catchUp()
		learn(b)
		b.search(index.Query{Text: "automobile violin", K: 50})
	}
	stop()
	wait.Wait()
	b.catchUp()
	p := b.Progress()
	if want := 220 + 108 + 109 + 110 + 111; p.Passages != want || p.WithVector != want {
		t.Errorf("%+v, not %d with vectors", p, want)
	}
}

// A model that was long in the making has vectors of what is there in the end, in slots
// that had other passages in the beginning.
func TestDocumentsReplacedWhileTheyAreFoldedAreFoldedAgain(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{Vectors: index.LearntVectors})
	for i := range 3 {
		b.publish(storage.Document{ID: fmt.Sprint("old", i)}, about(400, 400*i)...)
	}
	b.catchUp()
	calls := 0
	b.docs.set(nil, func(call string) {
		if call != "Passages" {
			return
		}
		// All but one are folded by now.
		if calls++; calls == 150 {
			for i := range 3 {
				b.remove(fmt.Sprint("old", i))
			}
			b.publish(storage.Document{ID: "new"}, about(250, 0)...)
			b.catchUp()
		}
	})
	learn(b)
	if p := b.Progress(); p.WithVector != 250 || p.Passages != 250 {
		t.Errorf("%+v", p)
	}
	for _, h := range b.search(index.Query{Text: "automobile", Mode: index.ByVector, K: 30}) {
		if !strings.Contains(passageText(b, h.PassageKey), "automobile") {
			t.Fatalf("passage %d has another's vector", h.N)
		}
	}
}

func TestLearningThatFailedIsDueAgain(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{Vectors: index.LearntVectors})
	b.publish(storage.Document{ID: "a"}, about(300, 0)...)
	b.catchUp()
	b.docs.set(func(call string) error {
		if call == "Passages" {
			return errPlanted
		}
		return nil
	}, nil)
	if err := b.Learn(context.Background()); !errors.Is(err, errPlanted) {
		t.Fatal(err)
	}
	b.docs.set(nil, nil)
	learn(b)
	if p := b.Progress(); p.WithVector != 300 {
		t.Errorf("%+v", p)
	}
}
