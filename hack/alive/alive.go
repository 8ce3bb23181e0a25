// Package alive runs long commands for a person or a CI log: their output flows on,
// and when they have been silent for a while it says that they still run. It counts
// the lines in which a planted secret turns up, and cuts the secret out.
package alive

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Canary is part of every secret, message text and e-mail address that a test plants.
const Canary = "c4nary"

// Silence is how long a command may say nothing before Run speaks for it.
const Silence = 8 * time.Second

// Run runs a command, copies what it prints to out line by line, and returns how
// many lines held a planted secret; those are printed with the secret cut out. name
// is what the signs of life call the command.
func Run(out io.Writer, name string, quiet time.Duration, cmd *exec.Cmd) (int, error) {
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
