package textindex_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/textindex"
)

func TestTermsOfAPassage(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"stems":                   {"Running generously, the relational databases", "run generous relat databas"},
		"stop words":              {"to be or not to be", ""},
		"possessive":              {"the reader's and the readers’ books", "reader reader book"},
		"snake case":              {"call foo_bar(x)", "call foo_bar foo bar x"},
		"version":                 {"v1.2.3 or 1.2.3", "v1.2.3 1.2.3 v1 2 3 1.2.3 1 2 3"},
		"digits in words":         {"SHA256", "sha256 sha 256"},
		"hyphen":                  {"high-speed UTF-8", "high speed utf-8 utf 8"},
		"languages":               {"C++ and C# but f(c+1)", "c c++ c c# f c 1"},
		"end of a sentence":       {"It ends. Then it begins...", "end begin"},
		"full width":              {"ＡＰＩ２", "api2 api"},
		"accents":                 {"Café CAFÉ cafe\u0301", "cafe cafe cafe"},
		"sharp s and final sigma": {"Straße ΣΟΦΟΣ σοφός", "strass σοφοσ σοφοσ"},
		"Cyrillic":                {"Ёлка ёлка", "елка елка"},
		"Arabic points":           {"كِتَاب كتاب", "كتاب كتاب"},
		"Hebrew points":           {"שָׁלוֹם שלום", "שלום שלום"},
		"Chinese":                 {"東京都", "東 東京 京 京都 都"},
		"half width katakana":     {"ﾊﾟﾝ", "パ パン ン"},
		"mixed scripts":           {"東京2020大会", "東 東京 京 2020 大 大会 会"},
		"Korean":                  {"한국", "한 한국 국"},
		"one character":           {"猫", "猫"},
		"Devanagari keeps vowels": {"हिन्दी", "हिन्दी"},
		"broken UTF-8":            {"good\xff\xfebad", "good bad"},
		"nothing":                 {" \t … — 🙂 ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			have := slices.Sorted(textindex.Terms(c.text))
			want := strings.Fields(c.want)
			slices.Sort(want)
			if diff := cmp.Diff(want, have, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("terms (-want +have):\n%s", diff)
			}
		})
	}
}

// Time is measured against a text of ordinary words, so the machine's speed is no matter.
func TestNoTextIsHostile(t *testing.T) {
	const size = 1 << 20
	for name, text := range map[string]string{
		"one word":              strings.Repeat("a", size),
		"one number and word":   strings.Repeat("a1", size/2),
		"one identifier":        strings.Repeat("a_", size/2) + "a",
		"one dotted identifier": strings.Repeat("v1.", size/3) + "v1",
		"apostrophes":           strings.Repeat("a'", size/2) + "a",
		"combining marks":       "a" + strings.Repeat("\u0301", size/2),
		"one Chinese run":       strings.Repeat("漢", size/3),
		"one Cyrillic word":     strings.Repeat("ж", size/2),
		"broken UTF-8":          strings.Repeat("\xe6\xff", size/2),
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			x := textindex.New()
			x.Add(1, text)
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if x.Bytes() > 8*size {
				t.Errorf("%d bytes of memory for a text of %d", x.Bytes(), size)
			}
			for term := range textindex.Terms(text) {
				if len(term) > 64 || !utf8.ValidString(term) {
					t.Fatalf("a term of %d bytes: %.80q", len(term), term)
				}
			}
		})
	}
}

func FuzzTerms(f *testing.F) {
	f.Add("v1.2.3 foo_bar's C++ 東京2020 ＡＰＩ कि ﷺ")
	f.Fuzz(func(t *testing.T, text string) {
		x := textindex.New()
		x.Add(7, text)
		n := 0
		for term := range textindex.Terms(text) {
			n++
			if term == "" || len(term) > 64 {
				t.Fatalf("term %q", term)
			}
		}
		if hits := x.Search(text, 1, nil); n > 0 && len(hits) == 0 && !strings.ContainsFunc(text, func(r rune) bool { return r > 127 }) {
			t.Fatalf("a passage isn't found by itself: %q", text)
		}
		if x.Remove(7); x.Len() != 0 || len(x.Search(text, 1, nil)) > 0 {
			t.Fatalf("removed and yet there: %q", text)
		}
	})
}
