package figures_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/test/bench/figures"
)

func TestCommandsLeaveEachOthersFigures(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "docs"), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(command string, value float64, names ...string) {
		t.Helper()
		r := &figures.Results{}
		for _, name := range names {
			r.Goals = append(r.Goals, figures.Goal{Name: name, Unit: "ms", Limit: 2, Meaning: "what " + name + " is"})
			r.Set(name, value)
		}
		r.Goals = append(r.Goals, figures.Goal{Name: names[0] + "_skipped", Unit: "ms", Limit: 2})
		r.Note("%s was %g", names[0], value)
		if err := r.Write(root, command, "Ratios."); err != nil {
			t.Fatal(err)
		}
	}
	run("make one", 1, "a", "b")
	run("make two FLAG=x", 3, "c")
	run("make one -again", 2.5, "a", "b")

	text, err := os.ReadFile(filepath.Join(root, "docs", "benchmarks.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got []figures.Figure
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	at := func(v float64) *float64 { return &v }
	want := []figures.Figure{
		{Name: "a", Value: at(2.5), Unit: "ms", Goal: "<= 2"},
		{Name: "b", Value: at(2.5), Unit: "ms", Goal: "<= 2"},
		{Name: "a_skipped", Unit: "ms", Goal: "<= 2"},
		{Name: "c", Value: at(3), Unit: "ms", Goal: "<= 2"},
		{Name: "c_skipped", Unit: "ms", Goal: "<= 2"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("benchmarks.json (-want +got):\n%s", diff)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, once := range []string{"# Benchmarks\n\n## `make one`\n", "\n\n## `make two`\n", "- a was 2.5\n", "- c was 3\n", "| `a` | what a is | 2.5 ms | <= 2 | no |", "not measured"} {
		if strings.Count(string(page), once) < 1 {
			t.Errorf("benchmarks.md lacks %q:\n%s", once, page)
		}
	}
	if strings.Contains(string(page), "a was 1") || strings.Count(string(page), "## `make one`") != 1 {
		t.Errorf("benchmarks.md still has the first run:\n%s", page)
	}
}
