package forward

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace other than the process's own. A socket belongs for ever to the namespace in which
// it was made, so one process can hold ends in both.
type Namespace struct {
	file *os.File
	own  *os.File
}

// OpenNamespace opens the network namespace of a running process.
func OpenNamespace(pid int) (*Namespace, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, fmt.Errorf("opening the network namespace of process %d: %w", pid, err)
	}
	own, err := os.Open("/proc/self/ns/net")
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("opening our own network namespace: %w", err)
	}
	return &Namespace{file: file, own: own}, nil
}

// Close lets go of the namespace, which the kernel keeps while anyone holds it.
func (n *Namespace) Close() error {
	_ = n.own.Close()
	return n.file.Close()
}

// Dial connects from inside the namespace. The address must be a literal IP: a name would be looked up by goroutines
// that are not inside.
func (n *Namespace) Dial(ctx context.Context, address string) (conn net.Conn, err error) {
	if err := literal(address); err != nil {
		return nil, err
	}
	err = n.do(func() error {
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, "tcp4", address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dialing %s inside the cluster: %w", address, err)
	}
	return conn, nil
}

// Listen listens inside the namespace; the listener may be used from anywhere.
func (n *Namespace) Listen(ctx context.Context, address string) (listener net.Listener, err error) {
	if err := literal(address); err != nil {
		return nil, err
	}
	err = n.do(func() error {
		var config net.ListenConfig
		listener, err = config.Listen(ctx, "tcp4", address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening on %s inside the cluster: %w", address, err)
	}
	return listener, nil
}

// Run runs a command inside the namespace: a child is born in the namespace of the thread that forks it.
func (n *Namespace) Run(cmd *exec.Cmd) error {
	return n.do(cmd.Run)
}

func literal(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address inside the cluster: %w", err)
	}
	if net.ParseIP(host) == nil {
		return fmt.Errorf("address inside the cluster: %q is not a literal IP", host)
	}
	return nil
}

// do runs f on a thread that is inside the namespace. A thread that can't come back is not reused: its goroutine ends
// locked to it, and the Go runtime ends the thread.
func (n *Namespace) do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("entering the network namespace: %w", err)
			return
		}
		err := f()
		if unix.Setns(int(n.own.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}
