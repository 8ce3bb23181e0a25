package textindex

import (
	"iter"
	"strings"

	"github.com/kljensen/snowball/english"
)

// stopWords are in nearly every English text and tell none apart.
var stopWords = words(`a an and are as at be but by for from had has have he her his i if in into is it its me my no nor not of
on or our she so such than that the their them then there these they this those to us was we were which who whom will with
would you your been being do does did am`)

// questionWords tell what kind of answer is asked for, not what it is about: a query
// that has other words goes without them.
var questionWords = words(`what when where why how can could should shall may might must about please tell give me show know
anyone someone something any some`)

func words(s string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		set[w] = true
	}
	return set
}

// term is what a word is indexed as; "" leaves it out.
func term(word string) string {
	for i := range len(word) {
		if c := word[i]; (c < 'a' || c > 'z') && c != '\'' {
			return word
		}
	}
	if stopWords[word] {
		return ""
	}
	return strings.Trim(english.Stem(word, true), "'")
}

// exact marks a term that is a word as it stands, beside its stem. No word begins so.
const exact = "="

// exactTerm is the term of a word's very form; "" where that is its stem anyway.
func exactTerm(word, stem string) string {
	if stem == "" || stem == word {
		return ""
	}
	return exact + word
}

// Terms gives the terms of a passage, stems and not exact forms, as often as they occur.
func Terms(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		more := true
		s := scanner{}
		s.scan(text, func(word []byte, _ wordKind) {
			if !more {
				return
			}
			if t := term(string(word)); t != "" {
				more = yield(t)
			}
		})
	}
}

// queryTerms gives how often each term is asked for.
func queryTerms(query string) map[string]int {
	about, asked := map[string]int{}, map[string]int{}
	s := scanner{query: true}
	s.scan(query, func(word []byte, _ wordKind) {
		t := term(string(word))
		switch {
		case t == "":
			return
		case questionWords[string(word)]:
			asked[t]++
			return
		}
		about[t]++
		if e := exactTerm(string(word), t); e != "" {
			about[e]++
		}
	})
	if len(about) == 0 {
		return asked
	}
	return about
}
