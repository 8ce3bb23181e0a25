package chunk_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/chunk"
)

func split(t *testing.T, blocks []chunk.Block, size, overlap int) []chunk.Chunk {
	t.Helper()
	chunks, err := chunk.Split(blocks, chunk.Options{MaxChars: size, Overlap: &overlap})
	if err != nil {
		t.Fatal(err)
	}
	return chunks
}

func texts(chunks []chunk.Chunk) []string {
	var all []string
	for _, c := range chunks {
		all = append(all, c.Text)
	}
	return all
}

func paragraph(text string) chunk.Block { return chunk.Block{Kind: chunk.Paragraph, Text: text} }

func heading(level int, text string) chunk.Block {
	return chunk.Block{Kind: chunk.Heading, Level: level, Text: text}
}

func TestHeadingsBeginPassagesAndLeadToThem(t *testing.T) {
	t.Parallel()
	chunks := split(t, []chunk.Block{
		paragraph("Before."), heading(1, "Handbook"), heading(2, "Leave"), paragraph("Thirty days."),
		heading(3, "Sick leave"), paragraph("Tell us."), heading(2, "Pay"), paragraph("Monthly."),
	}, 100, 20)
	var got []string
	for _, c := range chunks {
		got = append(got, strings.Join(c.Headings, " > ")+": "+c.Text)
	}
	want := []string{
		": Before.", "Handbook > Leave: Handbook\n\nLeave\n\nThirty days.",
		"Handbook > Leave > Sick leave: Sick leave\n\nTell us.", "Handbook > Pay: Pay\n\nMonthly.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParagraphsStayWholeThenSentencesThenWords(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("alpha ", 10)+"end.", strings.Repeat("beta ", 10)+"end."
	got := texts(split(t, []chunk.Block{paragraph(a), paragraph(b)}, 100, 0))
	if diff := cmp.Diff([]string{a, b}, got); diff != "" {
		t.Error("paragraphs that fit alone:", diff)
	}
	first := "Dr. No paid 3.5 million, e.g. for a laser, as he said to us on that very day in May."
	second := "Was it worth it? \"It was!\" So he said, and what he said is what we have to go by now."
	got = texts(split(t, []chunk.Block{paragraph(first + " " + second)}, 100, 0))
	if diff := cmp.Diff([]string{first, second}, got); diff != "" {
		t.Error("sentences:", diff)
	}
	for _, c := range texts(split(t, []chunk.Block{paragraph(strings.Repeat("antidisestablishment ", 40))}, 100, 0)) {
		if len(c) != 4*20+3 {
			t.Errorf("words: %q", c)
		}
	}
}

func TestSentencesOfOtherScripts(t *testing.T) {
	t.Parallel()
	for name, sentence := range map[string]string{
		"Chinese":  "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十。",
		"Japanese": "「これはとても長い文章です、ですから途中で切らないでください！」",
		"Arabic":   "هذا نص طويل يختبر كيف تقسم الجمل هنا؟ ",
		"Hebrew":   "זהו משפט ארוך שבודק איך הטקסט נחתך כאן. ",
		"Hindi":    "यह एक लंबा वाक्य है जो परीक्षण करता है। ",
	} {
		for _, c := range texts(split(t, []chunk.Block{paragraph(strings.Repeat(sentence, 20))}, 100, 0)) {
			if rest := strings.ReplaceAll(c+" ", strings.TrimSpace(sentence), ""); strings.TrimSpace(rest) != "" {
				t.Errorf("%s: not whole sentences: %q", name, c)
			}
		}
	}
	// Without a full stop a script that writes no spaces is cut between its characters.
	for _, c := range texts(split(t, []chunk.Block{paragraph(strings.Repeat("漢字かな", 100))}, 100, 0)) {
		if n := utf8.RuneCountInString(c); n != 100 {
			t.Errorf("%d characters", n)
		}
	}
}

func TestOverlapBeginsWithASentenceOrAWord(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 30 {
		fmt.Fprintf(&text, "Sentence number %02d is here. ", i)
	}
	chunks := split(t, []chunk.Block{paragraph(text.String())}, 120, 40)
	for i, c := range chunks[1:] {
		if !strings.HasPrefix(c.Text, "Sentence") {
			t.Errorf("begins within a sentence: %q", c.Text)
		}
		before := chunks[i].Text
		if last := before[strings.LastIndex(before, "Sentence"):]; !strings.HasPrefix(c.Text, last) {
			t.Errorf("%q doesn't begin with the end of the passage before, %q", c.Text, last)
		}
	}
	for _, c := range split(t, []chunk.Block{paragraph(strings.Repeat("internationalisation ", 40))}, 100, 45)[1:] {
		if !strings.HasPrefix(c.Text, "internationalisation") {
			t.Errorf("begins within a word: %q", c.Text)
		}
	}
	over := split(t, []chunk.Block{paragraph("One sentence ends."), heading(1, "New"), paragraph("Another.")}, 100, 40)
	if diff := cmp.Diff([]string{"One sentence ends.", "New\n\nAnother."}, texts(over)); diff != "" {
		t.Error("across a section:", diff)
	}
}

func TestTablesRepeatTheirHeaderAndKeepRowsWhole(t *testing.T) {
	t.Parallel()
	rows := []string{"Name | Price"}
	for i := range 30 {
		rows = append(rows, fmt.Sprintf("Article number %02d | %d.00", i, i))
	}
	table := chunk.Block{Kind: chunk.Table, Text: strings.Join(rows, "\n"), Header: true}
	chunks := split(t, []chunk.Block{heading(1, "Prices"), table, paragraph("The end.")}, 120, 50)
	seen := map[string]int{}
	for i, c := range chunks {
		text := strings.TrimPrefix(strings.TrimSuffix(c.Text, "\n\nThe end."), "Prices\n\n")
		lines := strings.Split(text, "\n")
		if lines[0] != rows[0] {
			t.Errorf("passage %d begins with %q", i, lines[0])
		}
		for _, l := range lines[1:] {
			seen[l]++
		}
	}
	for _, r := range rows[1:] {
		if seen[r] != 1 {
			t.Errorf("row %q is there %d times", r, seen[r])
		}
	}
}

func TestCodeStaysWholeIfItFits(t *testing.T) {
	t.Parallel()
	code := chunk.Block{Kind: chunk.Code, Text: "func f() {\n\n\treturn. x\n}"}
	got := texts(split(t, []chunk.Block{paragraph(strings.Repeat("word ", 17)), code}, 100, 0))
	if len(got) != 2 || got[1] != code.Text {
		t.Errorf("%q", got)
	}
}

func TestCharactersAreNotCut(t *testing.T) {
	t.Parallel()
	for _, character := range []string{"e\u0301", "👩‍👩‍👧", "🇩🇪", "👍🏽", "हि", "한"} {
		word := strings.Repeat(character, 400)
		for i, c := range texts(split(t, []chunk.Block{paragraph(word)}, 100, 10)) {
			if rest := strings.ReplaceAll(c, character, ""); rest != "" {
				t.Errorf("%q: passage %d has a part of one: %q", character, i, rest)
			}
		}
	}
	// A character without end is cut all the same.
	if n := len(split(t, []chunk.Block{paragraph("a" + strings.Repeat("\u0301", 1000))}, 100, 0)); n != 11 {
		t.Errorf("%d passages", n)
	}
}

func TestBoundsOfOptions(t *testing.T) {
	t.Parallel()
	for _, o := range [][2]int{{99, 0}, {10_001, 0}, {-1, 0}, {100, 50}, {100, -1}} {
		if _, err := chunk.Split(nil, chunk.Options{MaxChars: o[0], Overlap: &o[1]}); err == nil {
			t.Errorf("%v is taken", o)
		}
	}
	chunks, err := chunk.Split([]chunk.Block{paragraph(strings.Repeat("word ", 1000))}, chunk.Options{})
	if err != nil || utf8.RuneCountInString(chunks[0].Text) > chunk.DefaultChars || len(chunks) != 5 {
		t.Errorf("%d passages, %v", len(chunks), err)
	}
	if got := split(t, []chunk.Block{paragraph(" \n\t\u00a0 "), heading(1, "")}, 100, 0); len(got) != 0 {
		t.Errorf("white space alone: %d passages", len(got))
	}
}

// Texts made to take long take their length's time: a run of stops, of spaces, one word.
func TestHostileTextsAreCutInTime(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	for _, unit := range []string{"a", ".", ". ", " .", "。", "\n", "a\n", "\u0301", "🇩", ".a", ").", "漢"} {
		text := strings.Repeat(unit, 1<<20/len(unit))
		for _, kind := range []chunk.Kind{chunk.Paragraph, chunk.Table, chunk.Heading} {
			check(t, []chunk.Block{{Kind: kind, Level: 1, Text: text, Header: true}}, 100, 49)
		}
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

// check proves the promises of Split on any blocks.
func check(t testing.TB, blocks []chunk.Block, size, overlap int) int {
	t.Helper()
	o := chunk.Options{MaxChars: size, Overlap: &overlap}
	chunks, err := chunk.Split(blocks, o)
	if err != nil {
		t.Fatal(err)
	}
	all := []rune(chunk.Text(blocks))
	at := 0
	blank := func(from, to int) {
		for _, r := range all[from:to] {
			if !unicode.IsSpace(r) {
				t.Fatalf("%q is lost", string(all[from:to]))
			}
		}
	}
	for i, c := range chunks {
		if c.Start < at || c.End <= c.Start || c.End > len(all) {
			t.Fatalf("passage %d is from %d to %d after %d", i, c.Start, c.End, at)
		}
		blank(at, c.Start)
		at = c.End
		if n := utf8.RuneCountInString(c.Text); n == 0 || n > size || !utf8.ValidString(c.Text) || strings.TrimSpace(c.Text) != c.Text {
			t.Fatalf("passage %d has %d characters, or white space round it", i, n)
		}
		if !strings.HasSuffix(c.Text, string(all[c.Start:c.End])) {
			t.Fatalf("passage %d isn't what Start and End say", i)
		}
		if c.Start > 0 && c.Start == chunks[max(i-1, 0)].End {
			word(t, all, c.Start, size)
		}
	}
	blank(at, len(all))
	return len(chunks)
}

// word fails if a word that fits a passage is cut at a place.
func word(t testing.TB, all []rune, at, size int) {
	t.Helper()
	letter := func(i int) bool {
		return i >= 0 && i < len(all) && unicode.IsLetter(all[i]) && !unicode.In(all[i], unicode.Han, unicode.Hiragana, unicode.Katakana)
	}
	if !letter(at-1) || !letter(at) {
		return
	}
	from, to := at, at
	for ; from > 0 && at-from <= size && !unicode.IsSpace(all[from-1]); from-- {
	}
	for ; to < len(all) && to-at <= size && !unicode.IsSpace(all[to]); to++ {
	}
	if to-from <= size {
		t.Fatalf("the word %q is cut", string(all[from:to]))
	}
}

func TestPromises(t *testing.T) {
	t.Parallel()
	kinds := []chunk.Kind{chunk.Heading, chunk.Paragraph, chunk.Paragraph, chunk.ListItem, chunk.Table, chunk.Code}
	char := rapid.RuneFrom([]rune("aaabcdeE    ..\n\n\t!?,;|)\"。！漢字かア한국مرحبا\u0301\u200d👩🏽🇩🇪\u00a0"))
	length := rapid.SampledFrom([]int{0, 3, 30, 30, 150, 500})
	passages := 0
	rapid.Check(t, func(rt *rapid.T) {
		var blocks []chunk.Block
		for range rapid.SampledFrom([]int{0, 1, 5, 12}).Draw(rt, "blocks") {
			n := length.Draw(rt, "length")
			b := chunk.Block{Kind: rapid.SampledFrom(kinds).Draw(rt, "kind"), Header: rapid.Bool().Draw(rt, "header")}
			b.Text = rapid.StringOfN(char, n, n, -1).Draw(rt, "text")
			b.Level = rapid.IntRange(1, 6).Draw(rt, "level")
			blocks = append(blocks, b)
		}
		size := rapid.IntRange(100, 300).Draw(rt, "size")
		passages += check(t, blocks, size, rapid.IntRange(0, (size-1)/2).Draw(rt, "overlap"))
	})
	if passages < 300 {
		t.Errorf("%d passages were looked at: too few to show anything", passages)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("# A\nSome text. More text.\n\n| a | b |", uint8(3), uint8(20))
	f.Add("漢字。かな！\n\n"+strings.Repeat("x", 300), uint8(1), uint8(49))
	f.Fuzz(func(t *testing.T, text string, kind, overlap uint8) {
		text = strings.ToValidUTF8(text, "\ufffd")
		kinds := []chunk.Kind{chunk.Heading, chunk.Paragraph, chunk.ListItem, chunk.Table, chunk.Code}
		var blocks []chunk.Block
		for i, part := range strings.Split(text, "\n\n") {
			blocks = append(blocks, chunk.Block{Kind: kinds[(int(kind)+i)%len(kinds)], Level: i%3 + 1, Text: part, Header: i%2 == 0})
		}
		check(t, blocks, 100, int(overlap)%50)
	})
}
