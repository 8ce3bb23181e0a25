package main

import (
	"errors"
	"testing"
)

func TestTheInjectionsLineIsRead(t *testing.T) {
	t.Parallel()
	const line = "injections cases=300 through=2 utility=40/40"
	failed := errors.New("exit status 1")
	if n, got, err := readInjections([]byte("=== RUN x\n"+line+"\n--- FAIL: x\n"), failed); n != 2 || got != line || err != nil {
		t.Errorf("%d, %q, %v", n, got, err)
	}
	if _, _, err := readInjections([]byte("ok\n"), failed); !errors.Is(err, failed) {
		t.Errorf("without a line: %v", err)
	}
	if _, _, err := readInjections([]byte("injections cases=300 through=0 utility=39/40\n"), failed); !errors.Is(err, failed) {
		t.Errorf("a run that failed for another reason: %v", err)
	}
}
