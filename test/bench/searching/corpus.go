package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

const (
	dimensions = 768
	// perDocument passages make a document.
	perDocument = 50
	queries     = 300
	model       = "synthetic"

	centres, latent = 2000, 96
	words           = 50_000
	textBytes       = 966
)

// corpus makes passages and queries, each the same whenever it is asked for.
type corpus struct {
	chunks  int
	centres [][]float32
	lift    [][]float32
	words   []string
}

func newCorpus(chunks int) corpus {
	c := corpus{chunks: chunks}
	chance := rand.New(rand.NewPCG(1, 0))
	normal := func(rows int) [][]float32 {
		all := make([][]float32, rows)
		for i := range all {
			all[i] = make([]float32, latent)
			for j := range all[i] {
				all[i][j] = float32(chance.NormFloat64())
			}
		}
		return all
	}
	c.centres, c.lift = normal(centres), normal(dimensions)
	syllables := strings.Fields("ba be bi bo da de di do fa fe ga go ka ki ko la le lo ma mi mo na ne no pa pe po ra ri ro sa se so ta ti to va ve wa zo")
	for i := range words {
		word := ""
		for n := i + len(syllables); n > 0; n /= len(syllables) {
			word += syllables[n%len(syllables)]
		}
		c.words = append(c.words, word)
	}
	return c
}

// vector lies around a centre in few dimensions, as those of texts do, with some noise in
// all. Numbers from chunks on are held out for queries.
func (c corpus) vector(n int) []float32 {
	chance := rand.New(rand.NewPCG(2, uint64(n)))
	var point [latent]float32
	centre := c.centres[chance.IntN(len(c.centres))]
	for i := range point {
		point[i] = centre[i] + float32(chance.NormFloat64())
	}
	out := make([]float32, dimensions)
	for i, direction := range c.lift {
		var sum float32
		for j, p := range point {
			sum += direction[j] * p
		}
		out[i] = sum + float32(chance.NormFloat64())
	}
	return out
}

// text of about textBytes, its words as unevenly frequent as those of a language.
func (c corpus) text(n int) string {
	chance := rand.New(rand.NewPCG(3, uint64(n)))
	often := rand.NewZipf(chance, 1.07, 4, words-1)
	var b strings.Builder
	for b.Len() < textBytes {
		b.WriteString(c.words[often.Uint64()])
		b.WriteByte(' ')
	}
	return b.String()
}

// query is a run of 2 to 8 words of some passage, with a vector held out.
func (c corpus) query(n int) (text string, vector []float32) {
	chance := rand.New(rand.NewPCG(4, uint64(n)))
	all := strings.Fields(c.text(chance.IntN(c.chunks)))
	length := 2 + chance.IntN(7)
	from := chance.IntN(len(all) - length)
	return strings.Join(all[from:from+length], " "), c.vector(c.chunks + n)
}

// passages of a document.
func (c corpus) passages(doc int) []storage.Passage {
	var made []storage.Passage
	for n := doc * perDocument; n < min((doc+1)*perDocument, c.chunks); n++ {
		made = append(made, storage.Passage{N: n % perDocument, Text: c.text(n), Vector: c.vector(n)})
	}
	return made
}

func (c corpus) documents() int { return (c.chunks + perDocument - 1) / perDocument }

// key is the number under which truth knows a passage.
func number(k storage.PassageKey) (int, error) {
	var doc int
	if _, err := fmt.Sscanf(k.Doc, "doc/%d", &doc); err != nil {
		return 0, fmt.Errorf("an unknown document %q: %w", k.Doc, err)
	}
	return doc*perDocument + k.N, nil
}

func docID(doc int) string { return fmt.Sprintf("doc/%d", doc) }
