package servers

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// start runs a server until stop, and returns when it has printed that it is ready. The
// kernel kills it with this process: that is tied to the thread which started it, so
// that thread is held until the server has ended.
func start(path, name string, args []string, ready string) (stop func(), err error) {
	cmd := exec.CommandContext(context.Background(), path, args...) // stop ends it
	cmd.Args[0] = name
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started, ended := make(chan error, 2), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		if err = printed(out, ready); err != nil {
			_ = cmd.Process.Kill()
		}
		started <- err
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() { _ = cmd.Process.Kill() })
		<-ended
	}
	if err := <-started; err != nil {
		return nil, err
	}
	if err := <-started; err != nil {
		<-ended
		return nil, err
	}
	return stop, nil
}

// printed reads until a line holds what is looked for. What came before is the error if
// none does.
func printed(out io.Reader, ready string) error {
	var before []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), ready) {
			return nil
		}
		before = append(before, lines.Text())
	}
	return errors.New("it ended: " + strings.Join(before[max(0, len(before)-5):], "\n"))
}
