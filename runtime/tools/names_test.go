package tools_test

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/tools"
)

var functions = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// TestFunctionNamesAreInjective: however servers and tools are called, also in the hope
// of being taken for another, no two get one name, and all are names of functions.
func TestFunctionNamesAreInjective(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[ab_]{1,6}|[a-zA-Z0-9_-]{1,32}`)
		remote := rapid.StringMatching(`[ab_./]{1,6}|[a-zA-Z0-9_./-]{1,128}`)
		taken, whose := map[string]bool{}, map[string]string{}
		for _, own := range rapid.SliceOfN(name, 0, 5).Draw(t, "own") {
			taken[own], whose[own] = true, own
		}
		for range rapid.IntRange(1, 20).Draw(t, "n") {
			server, tool := name.Draw(t, "server"), remote.Draw(t, "tool")
			full := server + "." + tool
			got := tools.FunctionName(server, tool, func(n string) bool { return taken[n] && whose[n] != full })
			if !functions.MatchString(got) {
				t.Fatalf("%s is called %q", full, got)
			}
			if was, ok := whose[got]; ok && was != full {
				t.Fatalf("%s and %s are both called %q", was, full, got)
			}
			taken[got], whose[got] = true, full
			if rapid.Bool().Draw(t, "spell it") {
				// A tool that is called what another's name became.
				taken[got+"x"], whose[got+"x"] = true, "other"
			}
		}
	})
}

func TestPlainFunctionNames(t *testing.T) {
	t.Parallel()
	free := func(string) bool { return false }
	for in, want := range map[[2]string]string{
		{"shop", "list_orders"}: "shop__list_orders",
		{"a", "b"}:              "a__b",
	} {
		if got := tools.FunctionName(in[0], in[1], free); got != want {
			t.Errorf("%v: got %q, want %q", in, got, want)
		}
	}
	for _, in := range [][2]string{{"a_", "b"}, {"a", "_b"}, {"a__b", "c"}, {"a", "b.c"}, {"a", "b/c"}} {
		plain := in[0] + "__" + in[1]
		if got := tools.FunctionName(in[0], in[1], free); got == plain || !functions.MatchString(got) {
			t.Errorf("%v: got %q, want a name with a mark", in, got)
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, name string
		want          bool
	}{
		{"summarize", "summarize", true}, {"summarize", "summarize2", false}, {"shop.*", "shop.orders", true},
		{"shop.*", "shop", false}, {"shop.*", "shop2.orders", false}, {"shop.orders", "shop.orders", true},
		{"*", "anything", true}, {"none", "summarize", false}, {"", "summarize", false},
	} {
		if got := tools.Matches(tc.pattern, tc.name); got != tc.want {
			t.Errorf("%q names %q: %v, want %v", tc.pattern, tc.name, got, tc.want)
		}
	}
}
