package textindex_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/textindex"
)

// texts makes passages of about 966 bytes whose words are as unevenly frequent as those
// of a language.
func texts(n int) []string {
	chance := rand.New(rand.NewPCG(3, 3))
	zipf := rand.NewZipf(chance, 1.1, 8, 200_000)
	out := make([]string, n)
	var b strings.Builder
	for i := range out {
		b.Reset()
		for b.Len() < 960 {
			if chance.IntN(3) == 0 {
				b.WriteString("of the ")
			}
			b.WriteString(spell(zipf.Uint64()) + " ")
		}
		out[i] = b.String()
	}
	return out
}

// spell makes a word of a number, the shorter the more frequent it is.
func spell(n uint64) string {
	var w []byte
	for n += 26; n > 0; n /= 26 {
		w = append(w, byte('a'+n%26), "aeiou"[n%5])
	}
	return string(w)
}

func BenchmarkAdd(b *testing.B) {
	passages := texts(20_000)
	b.ResetTimer()
	x := textindex.New()
	for i := range b.N {
		x.Add(uint32(i), passages[i%len(passages)])
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "chunks/s")
}

func BenchmarkSearch(b *testing.B) {
	passages := texts(100_000)
	x := textindex.New()
	for i, p := range passages {
		x.Add(uint32(i), p)
	}
	b.Logf("%d passages, %d MiB", x.Len(), x.Bytes()>>20)
	chance := rand.New(rand.NewPCG(4, 4))
	for _, words := range []int{2, 4, 8, 16} {
		queries := make([]string, 200)
		for i := range queries {
			f := strings.Fields(passages[chance.IntN(len(passages))])
			at := chance.IntN(len(f) - words)
			queries[i] = strings.Join(f[at:at+words], " ")
		}
		b.Run(fmt.Sprintf("words=%d", words), func(b *testing.B) {
			for i := range b.N {
				x.Search(queries[i%len(queries)], 20, nil)
			}
		})
	}
}
