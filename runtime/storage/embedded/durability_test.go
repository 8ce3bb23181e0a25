package embedded_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
)

func childCommand(t *testing.T, dir string, writers, turns int, wrap ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrap, self)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childDir+"="+dir, childWriters+"="+strconv.Itoa(writers), childTurns+"="+strconv.Itoa(turns))
	return cmd
}

// TestKilledAtAnyTimeKeepsWhatWasAcknowledged kills a writing process again and again:
// every acknowledged message and settlement is there, in order and once.
func TestKilledAtAnyTimeKeepsWhatWasAcknowledged(t *testing.T) {
	const rounds, writers = 20, 8
	dir := t.TempDir()
	acked := make([]int, writers)
	var settled, started int64
	for round := range rounds {
		cmd := childCommand(t, dir, writers, 1<<20)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for n := 0; ; n++ {
			line, err := lines.ReadString('\n')
			if errors.Is(err, io.EOF) {
				break
			}
			var what string
			var w, i int
			if _, err := fmt.Sscanf(line, "ACK %s %d %d", &what, &w, &i); err == nil && what == "append" {
				acked[w] = i + 1
				settled++
			}
			if strings.HasPrefix(line, "START reserve") {
				started++
			}
			if n == 40+37*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
			t.Fatalf("the child was to be killed: %v, %s", err, stderr.String())
		}
		verify(t, dir, acked, settled, started, round)
	}
	t.Logf("%d turns acknowledged over %d kills", settled, rounds)
}

func verify(t *testing.T, dir string, acked []int, settled, started int64, round int) {
	t.Helper()
	ctx := context.Background()
	s, err := embedded.Open(ctx, dir, embedded.Options{})
	if err != nil {
		t.Fatalf("round %d: opening after a kill: %v", round, err)
	}
	for w := range acked {
		got, err := s.Sessions().History(ctx, acme(), owner, session(w), storage.Page{Limit: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < acked[w] {
			t.Fatalf("round %d: session %d has %d messages, %d were acknowledged", round, w, len(got), acked[w])
		}
		for i, m := range got {
			if want := strconv.Itoa(len(got) - 1 - i); m.Content != want {
				t.Fatalf("round %d: session %d: message %q where %s should be", round, w, m.Content, want)
			}
		}
		// What was written but not acknowledged stays.
		acked[w] = len(got)
	}
	used, reserved, err := s.Budgets().Spent(ctx, acme(), []string{day.Name})
	if err != nil {
		t.Fatal(err)
	}
	// The child may have started one turn a writer more than was read.
	if used[0] < settled || used[0] > started+int64(len(acked)*(round+1)) || reserved[0] != 0 {
		t.Fatalf("round %d: used %d, reserved %d; %d settled, %d started", round, used[0], reserved[0], settled, started)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func needStrace(t *testing.T) string {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal("strace is missing; install it: apt-get install strace")
	}
	if err != nil {
		t.Skip("strace is missing; install it to watch system calls and make them fail")
	}
	return strace
}

// TestFailingDiskIsUnavailableAndHeals makes system calls of the process fail for a
// while (counted a thread): a write is refused or kept whole, and all goes on after.
func TestFailingDiskIsUnavailableAndHeals(t *testing.T) {
	const writers, turns = 4, 60
	strace := needStrace(t)
	for _, c := range []struct{ fault, reason string }{
		{"fsync,fdatasync:error=EIO:when=5..6", "io_error"},
		{"pwrite64:error=EIO:when=50..80", "io_error"},
		{"pwrite64:error=ENOSPC:when=50..80", "disk_full"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			dir := t.TempDir()
			made(t, dir)
			cmd := childCommand(t, dir, writers, turns, strace, "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=pwrite64,fsync,fdatasync", "-e", "inject="+c.fault)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("child: %v\n%s", err, out)
			}
			failed := strings.Count(string(out), "FAIL ")
			if failed == 0 || strings.Count(string(out), "state store unavailable ("+c.reason+")") != failed {
				t.Fatalf("%d writes failed, not all for %s:\n%s", failed, c.reason, out)
			}
			acked := make([]int, writers)
			for w := range acked {
				acked[w] = turns
			}
			verify(t, dir, acked, writers*turns, writers*turns, 0)
			for w := range acked {
				if acked[w] != turns {
					t.Errorf("session %d has %d messages, want %d", w, acked[w], turns)
				}
			}
			integrity(t, dir)
		})
	}
}

// made makes the file, so that a fault that is counted by calls meets writes of a child
// and not the making of its tables.
func made(t *testing.T, dir string) {
	t.Helper()
	s, err := embedded.Open(t.Context(), dir, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestEveryAcknowledgementFollowsASync reads the system calls of a child: between the
// start of a write and its acknowledgement the log was written, and synced after it.
func TestEveryAcknowledgementFollowsASync(t *testing.T) {
	strace := needStrace(t)
	for _, c := range []struct{ writers, turns int }{{1, 20}, {64, 10}} {
		t.Run(fmt.Sprintf("%d at once", c.writers), func(t *testing.T) {
			trace := filepath.Join(t.TempDir(), "trace")
			cmd := childCommand(t, t.TempDir(), c.writers, c.turns,
				strace, "-f", "-y", "-e", "trace=pwrite64,fdatasync,fsync,write", "-o", trace)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("child under strace: %v\n%s", err, out)
			}
			calls, err := os.ReadFile(trace)
			if err != nil {
				t.Fatal(err)
			}
			acks, syncs := follow(t, bytes.NewReader(calls))
			if want := 2 * c.writers * c.turns; acks != want {
				t.Fatalf("saw %d acknowledgements, want %d", acks, want)
			}
			t.Logf("%d syncs for %d acknowledged writes of %d writers", syncs, acks, c.writers)
			if c.writers > 1 && syncs > acks/4 {
				t.Errorf("%d syncs for %d writes: they don't share", syncs, acks)
			}
		})
	}
}

var (
	markLine    = regexp.MustCompile(`write\(1<.*"(START|ACK) (\w+ \d+ \d+)\\n"`)
	logWrite    = regexp.MustCompile(`pwrite64\(\d+<[^>]*state\.db-wal>`)
	syncBegin   = regexp.MustCompile(`^(\d+) .*f(?:data)?sync\(\d+<[^>]*state\.db-wal>`)
	syncResumed = regexp.MustCompile(`^(\d+) .*f(?:data)?sync resumed>.*= 0`)
)

// follow fails t for an acknowledgement without a write and a sync before it.
func follow(t *testing.T, trace io.Reader) (acks, syncs int) {
	t.Helper()
	var line, lastWrite, syncedUpTo int
	started := map[string]int{}
	pending := map[string]int{}
	lines := bufio.NewScanner(trace)
	for lines.Scan() {
		line++
		text := lines.Text()
		if m := markLine.FindStringSubmatch(text); m != nil {
			if m[1] == "START" {
				started[m[2]] = line
				continue
			}
			acks++
			if at, ok := started[m[2]]; !ok || syncedUpTo < at {
				t.Errorf("%s started at line %d and was acknowledged at %d; the log is synced up to %d", m[2], at, line, syncedUpTo)
			}
		}
		if logWrite.MatchString(text) {
			lastWrite = line
		}
		// A sync covers what was written before it began, once it has returned.
		if m := syncBegin.FindStringSubmatch(text); m != nil {
			pending[m[1]] = lastWrite
			if strings.HasSuffix(text, "= 0") {
				syncs++
				syncedUpTo = max(syncedUpTo, lastWrite)
			}
		}
		if m := syncResumed.FindStringSubmatch(text); m != nil {
			if at, ok := pending[m[1]]; ok {
				syncs++
				syncedUpTo = max(syncedUpTo, at)
				delete(pending, m[1])
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return acks, syncs
}
