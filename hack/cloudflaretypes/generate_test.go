package cloudflaretypes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsInTheTreeIsWhatIsGenerated(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	want, err := Generate(root)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(filepath.Join(root, Target))
	if err != nil || string(have) != string(want) {
		t.Errorf("%s is stale (%v): run `go run ./hack/verify generate`", Target, err)
	}
}

func TestAFieldThatTheDocumentLostIsAnError(t *testing.T) {
	t.Parallel()
	doc, err := read(filepath.Join("..", "..", filepath.FromSlash(source)))
	if err != nil {
		t.Fatal(err)
	}
	for want, w := range map[string]wanted{
		"no such field": {"X", "schema workers-kv_namespace", []string{"id", "owner"}, ""},
		"no schema":     {"X", "schema workers-kv_nothing", []string{"id"}, ""},
		"has no POST":   {"X", "request POST /nothing", []string{"id"}, ""},
		"no place":      {"X", "schema iam_token_with_value", []string{"condition"}, ""},
	} {
		if _, err := generate(doc, []wanted{w}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want something with %q", err, want)
		}
	}
}
