package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheReadersMemoryIsANumberOfBytes(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int64{"": 0, "402653184": 402_653_184} {
		if got, err := extractMemory(value); got != want || err != nil {
			t.Errorf("%q: %d, %v", value, got, err)
		}
	}
	for _, value := range []string{"384Mi", "-1", "0", " 1", "1e9"} {
		if got, err := extractMemory(value); err == nil || got != 0 || !strings.Contains(err.Error(), "ENIGMA_EXTRACT_MEMORY") {
			t.Errorf("%q: %d, %v", value, got, err)
		}
	}
}

func TestACacheIsUsedWhereThePodHasOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir: dir, file: "", filepath.Join(dir, "nowhere"): ""} {
		if got := cacheDir(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
