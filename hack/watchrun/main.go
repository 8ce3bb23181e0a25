// Command watchrun runs a long command for a person or a CI log: it passes the
// output through, says that it is alive when the command has been silent for a
// while, and fails the run if a planted secret turns up in the output.
//
// Tests plant secrets, message texts and e-mail addresses that contain the word
// Canary; none may ever be printed by what they test.
//
//	go run ./hack/watchrun -canaries -- go test ./...
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Canary is part of every secret that a test plants.
const Canary = "c4nary"

// silence is how long a command may say nothing before watchrun speaks for it.
const silence = 8 * time.Second

func main() {
	canaries := flag.Bool("canaries", false, "fail if a planted secret is printed")
	name := flag.String("name", "", "what to call the command in the lines that say it is alive")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: watchrun [-canaries] [-name NAME] -- COMMAND…")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *name == "" {
		*name = strings.Join(flag.Args()[:min(2, flag.NArg())], " ")
	}
	found, err := Run(ctx, os.Stdout, *name, silence, flag.Args())
	var exit *exec.ExitError
	switch {
	case *canaries && found > 0:
		fmt.Fprintf(os.Stderr, "watchrun: %d lines of output hold a planted secret (%q); something prints what it must not\n", found, Canary)
		os.Exit(1)
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "watchrun:", err)
		os.Exit(1)
	}
}

// Run runs a command, copies what it prints to out line by line, and returns how
// many lines held a planted secret; those are printed with the secret cut out.
func Run(ctx context.Context, out io.Writer, name string, quiet time.Duration, command []string) (int, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // Running the given command is what this program is for.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	read, write, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		_ = write.Close()
		return 0, err
	}
	_ = write.Close()
	found := pass(out, read, name, quiet)
	return found, cmd.Wait()
}

func pass(out io.Writer, in io.Reader, name string, quiet time.Duration) int {
	var mu sync.Mutex
	begin, last, found := time.Now(), time.Now(), 0
	done := make(chan struct{})
	var alive sync.WaitGroup
	alive.Go(func() {
		tick := time.NewTicker(quiet / 4)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				mu.Lock()
				if time.Since(last) >= quiet {
					_, _ = fmt.Fprintf(out, "… %s: still running after %s\n", name, time.Since(begin).Round(time.Second))
					last = time.Now()
				}
				mu.Unlock()
			}
		}
	})
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		mu.Lock()
		if strings.Contains(line, Canary) {
			found++
			line = strings.ReplaceAll(line, Canary, "[planted secret]")
		}
		if line != "" {
			_, _ = io.WriteString(out, line)
			last = time.Now()
		}
		mu.Unlock()
		if err != nil {
			break
		}
	}
	close(done)
	alive.Wait()
	return found
}
