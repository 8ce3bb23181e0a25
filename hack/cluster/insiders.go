package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// insiders are the roles in which the program starts itself; they are no commands for people.
var insiders map[string]func(args []string) error

func init() {
	insiders = map[string]func([]string) error{"inside-host": insideHost, "inside-init": insideInit, "inside-node": insideNode}
}

// progress is the pipe, inherited as descriptor 3, on which the roles tell `up` how far they are. Only roles inherit
// it: were it open in a component too, `up` would never see its end.
var progress = sync.OnceValue(func() *os.File {
	syscall.CloseOnExec(3)
	return os.NewFile(3, "progress")
})

// Lines on that pipe that end the wait.
const (
	saidReady  = "READY"
	saidFailed = "FAILED "
)

// placeFromArgs reads what startInsider wrote.
func placeFromArgs(args []string) (place, error) {
	if len(args) != 2 {
		return place{}, errors.New("this command is internal")
	}
	progress()
	return newPlace(args[0], args[1]), nil
}

func insiderCommand(ctx context.Context, role string, p place) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", role, p.Root, os.Getenv("ENIGMA_CLUSTER"))
	cmd.Args[0] = "enigma-cluster"
	cmd.Dir = "/"
	cmd.Env = keep("PATH", "HOME", "ENIGMA_CLUSTER", "SUDO_UID", "SUDO_GID")
	return cmd
}

// startInsider starts a role whose log is its own and whose progress pipe is ours. The child dies with the thread that
// starts it, so callers are locked to theirs.
func startInsider(role string, p place, attr *syscall.SysProcAttr) (*os.Process, error) {
	runtime.LockOSThread()
	log, err := os.OpenFile(p.log(strings.TrimPrefix(role, "inside-")), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", role, err)
	}
	defer func() { _ = log.Close() }()
	cmd := insiderCommand(context.Background(), role, p)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{progress()}
	if attr == nil {
		attr = &syscall.SysProcAttr{}
	}
	attr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", role, err)
	}
	return cmd.Process, nil
}

// say writes one line for `up`. Nobody may be listening any more: then it is lost.
func say(format string, args ...any) {
	_, _ = fmt.Fprintf(progress(), format+"\n", args...)
}

// reportFailure tells `up` and returns the error for our own log.
func reportFailure(err error) error {
	for line := range strings.Lines(err.Error()) {
		say("%s%s", saidFailed, strings.TrimRight(line, "\n"))
	}
	return err
}
