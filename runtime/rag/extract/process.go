package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// watchEvery is how often a child's memory is looked at. It can gain 200 MiB meanwhile.
const watchEvery = 50 * time.Millisecond

var errTooMuch = errors.New("more output than a document has")

// run starts a child, gives it the file and returns what it writes.
func run(ctx context.Context, l Limits, args []string, data []byte) ([]byte, error) {
	command := l.Command
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("%w: finding this program: %w", ErrUnavailable, err)
		}
		command = []string{self, "extract"}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], args...)...) //nolint:gosec // G204: the program is this one, and the arguments are numbers and a mount
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(data)
	out := &bounded{left: 4*l.MaxText + 1<<20, begun: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = out, io.Discard
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return kill(cmd.Process) }
	cmd.WaitDelay = time.Second

	done := make(chan error, 1)
	started := make(chan error, 1)
	go func() {
		// A child is told of its parent's death by that of the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%w: starting the extracting process: %w", ErrUnavailable, err)
	}
	tick, limit, begun := time.NewTicker(watchEvery), time.NewTimer(l.Timeout), out.begun
	defer tick.Stop()
	defer limit.Stop()
	for {
		select {
		case <-begun:
			begun = nil
			limit.Reset(l.Timeout) // on a busy machine the engine takes long to begin
		case <-limit.C:
			cancel(ErrTimeout)
		case <-tick.C:
			if resident(cmd.Process.Pid) > l.Memory {
				cancel(ErrBomb)
			}
		case err := <-done:
			if out.left < 0 {
				return nil, ErrTooLarge
			}
			return out.buf.Bytes(), outcome(ctx, err, out.buf.Len() > 0)
		}
	}
}

// outcome tells why a child ended. Once it has begun with the file, it did so over that:
// what a parser can't bear is a damaged file to whoever sent it. Before, no file is to blame.
func outcome(ctx context.Context, err error, begun bool) error {
	switch {
	case err == nil:
		return nil
	case !begun && errors.Is(context.Cause(ctx), ErrBomb):
		return fmt.Errorf("%w: the extracting process needs more memory to begin than it may have: raise the pod's memory limit", ErrUnavailable)
	case !begun && errors.Is(context.Cause(ctx), ErrTimeout):
		return fmt.Errorf("%w: the extracting process didn't begin in its time: give the pod more CPU", ErrUnavailable)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && begun && exit.ExitCode() != 1 {
		return ErrBroken
	}
	return fmt.Errorf("%w: the extracting process couldn't work: %w", ErrUnavailable, err)
}

// bounded keeps what is written up to a size.
type bounded struct {
	buf  bytes.Buffer
	left int64
	// begun is closed by the first byte.
	begun chan struct{}
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, errTooMuch
	}
	if b.buf.Len() == 0 && len(p) > 0 {
		close(b.begun)
	}
	return b.buf.Write(p)
}
