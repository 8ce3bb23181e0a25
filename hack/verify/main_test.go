package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func plant(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := write(dir, name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDifferencesAreStaleMissingAndLeftOver(t *testing.T) {
	crds := owned[0]
	root, out := t.TempDir(), t.TempDir()
	plant(t, out, map[string]string{"api/same.go": "a", "api/stale.go": "new", "docs/missing.md": "m", crds + "/kept.yaml": "k"})
	plant(t, root, map[string]string{"api/same.go": "a", "api/stale.go": "old", "api/hand.go": "by hand", crds + "/kept.yaml": "k", crds + "/gone.yaml": "g"})
	want := []string{"api/stale.go", crds + "/gone.yaml", "docs/missing.md"}
	got, err := differences(root, out)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("differences %v (%v), want %v", got, err, want)
	}
	if err := replace(root, out, got); err != nil {
		t.Fatal(err)
	}
	if left, err := differences(root, out); err != nil || len(left) > 0 {
		t.Errorf("after replacing, %v differ (%v)", left, err)
	}
	if _, err := os.Stat(filepath.Join(root, "api/hand.go")); err != nil {
		t.Errorf("a file written by hand: %v", err)
	}
}

func TestCopiesPrintWhatHelmWouldRun(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	plant(t, root, map[string]string{"crd.yaml": "kind: X\nmetadata:\n  annotations:\n    a: b\nspec: replaces {{name}}\n"})
	if err := copyTemplate(filepath.Join(root, "crd.yaml"), out, "crd.yaml", "if .Values.x", keep); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(out, "crd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{{- if .Values.x }}
kind: X
metadata:
  labels:
    {{- include "crispy-enigma.labels" . | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
    a: b
spec: replaces {{ "{{" }}name}}
{{- end }}
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
