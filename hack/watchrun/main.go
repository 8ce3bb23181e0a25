// Command watchrun runs a long command for a person or a CI log: it passes the
// output through, says that it is alive when the command has been silent for a
// while, and fails the run if a planted secret turns up in the output.
//
// Tests plant secrets, message texts and e-mail addresses that contain the word
// alive.Canary; none may ever be printed by what they test.
//
//	go run ./hack/watchrun -canaries -- go test ./...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/alive"
)

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
	cmd := exec.CommandContext(ctx, flag.Arg(0), flag.Args()[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	found, err := alive.Run(os.Stdout, *name, alive.Silence, cmd)
	var exit *exec.ExitError
	switch {
	case *canaries && found > 0:
		fmt.Fprintf(os.Stderr, "watchrun: %d lines of output hold a planted secret (%q); something prints what it must not\n", found, alive.Canary)
		os.Exit(1)
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "watchrun:", err)
		os.Exit(1)
	}
}
