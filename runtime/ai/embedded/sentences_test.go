package embedded

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSentences(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"One. Two! Three? Four":                            {"One.", "Two!", "Three?", "Four"},
		"Dr. Smith met J. Doe at 3.30 p.m. on Monday. Ok.": {"Dr. Smith met J. Doe at 3.30 p.m. on Monday.", "Ok."},
		"See e.g. Fig. 3 for it. Done.":                    {"See e.g. Fig. 3 for it.", "Done."},
		"He said “Stop!” Then he left.":                    {"He said “Stop!”", "Then he left."},
		"Wait... what?! Really?":                           {"Wait... what?!", "Really?"},
		"你好。今天天气很好！是吗？是":                                   {"你好。", "今天天气很好！", "是吗？", "是"},
		"「はい。」彼は言った。":                                      {"「はい。」", "彼は言った。"},
		"1. First item\n2. Second item\n- Third":           {"1. First item", "2. Second item", "- Third"},
		"A line that\nwraps here. Next.":                   {"A line that wraps here.", "Next."},
		"Title\n\nBody text.":                              {"Title", "Body text."},
		"v1.26.8 is out at example.com now. Yes.":          {"v1.26.8 is out at example.com now.", "Yes."},
		"Kommt z.B. Dr. Huber bzw. Frau Maier? Ja.":        {"Kommt z.B. Dr. Huber bzw. Frau Maier?", "Ja."},
		"":            nil,
		" \n\t ":      nil,
		"...":         {"..."},
		"bad \xff. B": {"bad \xff.", "B"},
	} {
		if diff := cmp.Diff(want, sentences(in)); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

// FuzzSentences: nothing of a text is lost, doubled or reordered but white space.
func FuzzSentences(f *testing.F) {
	f.Add("One. Two!? “Three.” 四。")
	f.Add("a.\r\n\n b \xff\xfe. ?.?.")
	f.Fuzz(func(t *testing.T, in string) {
		want := strings.Join(strings.Fields(in), "")
		got := strings.Join(strings.Fields(strings.Join(sentences(in), "")), "")
		if got != want {
			t.Fatalf("%q became %q", want, got)
		}
	})
}
