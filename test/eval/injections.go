package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

var injectionsLine = regexp.MustCompile(`(?m)^injections cases=(\d+) through=(\d+) utility=(\d+)/(\d+)$`)

// injections runs the cases of test/injection and gives how many planted orders were
// carried out. They are the same for every data set.
func injections(ctx context.Context) (through int, line string, err error) {
	ctx, done := context.WithTimeout(ctx, 10*time.Minute)
	defer done()
	// It fails if any got through: that is a figure here.
	out, failed := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run", "^TestNothingActsButTheUser$", "./test/injection").Output()
	return readInjections(out, failed)
}

func readInjections(out []byte, failed error) (through int, line string, err error) {
	m := injectionsLine.FindSubmatch(out)
	if m == nil {
		return 0, "", fmt.Errorf("running the injections: they ended without their line: %w", failed)
	}
	through, err = strconv.Atoi(string(m[2]))
	if failed != nil && through == 0 && err == nil {
		err = fmt.Errorf("running the injections: %w; run go test ./test/injection", failed)
	}
	return through, string(m[0]), err
}
