package lsa_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/lsa"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/textindex"
)

var topics = []string{
	"wing lift drag airfoil stall pitch flutter",
	"invoice payment refund ledger tax receipt currency",
	"kernel syscall thread mutex scheduler interrupt pager",
	"violin sonata tempo chord melody rhythm quartet",
}

// corpus makes passages of one topic each, of words of that topic alone.
func corpus(n int, seed uint64) *textindex.Index {
	chance := rand.New(rand.NewPCG(seed, 0))
	x := textindex.New()
	for i := range n {
		words := strings.Fields(topics[i%len(topics)])
		var text []string
		for range 6 {
			text = append(text, words[chance.IntN(len(words))])
		}
		x.Add(uint32(i), strings.Join(text, " "))
	}
	return x
}

func train(t *testing.T, x *textindex.Index, rank int) *lsa.Model {
	t.Helper()
	m, err := lsa.Train(t.Context(), x.Snapshot().Counts(lsa.MaxPassages, lsa.MaxTerms), rank, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func cosine(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func TestWordsOfOneTopicAreNear(t *testing.T) {
	m := train(t, corpus(400, 1), 4)
	for i, topic := range topics {
		words := strings.Fields(topic)
		a := m.Fold(words[0])
		if near := cosine(a, m.Fold(words[1])); near < 0.9 {
			t.Errorf("%s and %s never meet by name: cosine %.3f, want over 0.9", words[0], words[1], near)
		}
		if far := cosine(a, m.Fold(topics[(i+1)%len(topics)])); far > 0.1 {
			t.Errorf("%s is near another topic: cosine %.3f", words[0], far)
		}
	}
}

func TestVectorsHaveLengthOneOrAreNone(t *testing.T) {
	m := train(t, corpus(400, 1), 16)
	for _, text := range []string{"wing", "wing tax", "violin VIOLINS wing of the kernel", strings.Repeat("wing ", 5000), "unheard wing"} {
		v := m.Fold(text)
		if len(v) != m.Dimensions {
			t.Fatalf("%.20q: %d dimensions, want %d", text, len(v), m.Dimensions)
		}
		if length := math.Sqrt(cosine(v, v)); math.Abs(length-1) > 1e-5 {
			t.Errorf("%.20q: length %v", text, length)
		}
	}
	for _, text := range []string{"", "unheard words", "of the and", "猫", strings.Repeat("x", 1<<20)} {
		if v := m.Fold(text); v != nil {
			t.Errorf("%.20q: a vector of nothing known: %v", text, v)
		}
	}
	if diff := cmp.Diff(m.Fold("wing lift tax"), m.Fold("wing", "lift", "tax")); diff != "" {
		t.Errorf("further texts aren't as one text:\n%s", diff)
	}
}

func TestTrainingIsTheSameOnAnyNumberOfProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	var models []*lsa.Model
	for _, n := range []int{1, 4, 8} {
		runtime.GOMAXPROCS(n)
		models = append(models, train(t, corpus(400, 1), 20))
	}
	for _, m := range models[1:] {
		if diff := cmp.Diff(models[0], m, cmp.AllowUnexported(lsa.Model{})); diff != "" {
			t.Errorf("models differ:\n%s", diff)
		}
	}
	for name, other := range map[string]*lsa.Model{
		"other passages": train(t, corpus(400, 2), 20),
		"one more":       train(t, corpus(401, 1), 20),
		"other rank":     train(t, corpus(400, 1), 21),
	} {
		if other.Version == models[0].Version {
			t.Errorf("%s, the same version %x", name, other.Version)
		}
	}
}

func TestTooLittleToLearnFrom(t *testing.T) {
	words := textindex.New()
	for i := range uint32(300) {
		words.Add(i, "q"+string(rune('a'+i/100))+string(rune('a'+i/10%10))+string(rune('a'+i%10))+"q")
	}
	same := textindex.New()
	for i := range uint32(300) {
		same.Add(i, "wing lift drag")
	}
	for name, x := range map[string]*textindex.Index{
		"all the same":   same,
		"no passage":     textindex.New(),
		"199 passages":   corpus(199, 1),
		"nothing shared": words,
	} {
		if m, err := lsa.Train(t.Context(), x.Snapshot().Counts(1000, 1000), 8, nil); !errors.Is(err, lsa.ErrTooFew) || m != nil {
			t.Errorf("%s: %v, %v, want ErrTooFew", name, m, err)
		}
	}
	for _, rank := range []int{0, -1, 513} {
		if _, err := lsa.Train(t.Context(), corpus(200, 1).Snapshot().Counts(1000, 1000), rank, nil); err == nil {
			t.Errorf("rank %d is taken", rank)
		}
	}
}

func TestPassagesThatHardlyDifferGiveFewDimensions(t *testing.T) {
	x := textindex.New()
	for i := range uint32(300) {
		x.Add(i, []string{"wing lift", "tax ledger", "wing tax"}[i%3])
	}
	m := train(t, x, lsa.Rank)
	if m.Dimensions < 2 || m.Dimensions > 4 {
		t.Errorf("%d dimensions of three kinds of passages", m.Dimensions)
	}
	for _, v := range m.Fold("wing ledger") {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			t.Fatalf("a vector isn't finite: %v", m.Fold("wing ledger"))
		}
	}
}

func TestTrainingEndsWithItsContext(t *testing.T) {
	counts := corpus(20_000, 1).Snapshot().Counts(lsa.MaxPassages, lsa.MaxTerms)
	ctx, cancel := context.WithCancel(t.Context())
	var at time.Time
	_, err := lsa.Train(ctx, counts, lsa.Rank, func(float64) {
		if at.IsZero() {
			at = time.Now()
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("it ended with %v", err)
	}
	if took := time.Since(at); took > 2*time.Second {
		t.Errorf("it ended %v after its context", took)
	}
	if _, err := lsa.Train(ctx, counts, lsa.Rank, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("begun after its context's end: %v", err)
	}
}

func TestProgressGoesUpToOne(t *testing.T) {
	var have []float64
	if _, err := lsa.Train(t.Context(), corpus(400, 1).Snapshot().Counts(1000, 1000), 8, func(s float64) { have = append(have, s) }); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(have) || len(have) < 3 || have[len(have)-1] != 1 {
		t.Errorf("progress %v", have)
	}
}
