package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// build compiles the operator as it is shipped.
func build(ctx context.Context, dir string) (string, error) {
	out := filepath.Join(dir, "operator")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", out, "./cmd/operator")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the operator: %w\n%s", err, text)
	}
	return out, nil
}

// process is the operator under measurement.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan error
}

func start(ctx context.Context, path, dir string, kubeconfig []byte, s size) (*process, error) {
	config := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(config, kubeconfig, 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "operator.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has it
	cmd := exec.CommandContext(ctx, path, "--kubeconfig="+config, "--runtime-image=registry.example/runtime:none",
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--log-level=warn",
		"--observe-every="+s.scaled(10*time.Minute).String())
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	p := &process{cmd: cmd, log: log.Name(), done: make(chan error, 1)}
	go func() { p.done <- cmd.Wait() }()
	return p, nil
}

// stop ends the operator by SIGTERM.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-p.done:
		return err
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		return errors.Join(<-p.done, errors.New("the operator didn't end within 30 s of SIGTERM"))
	}
}

// lastWords is the end of the operator's log.
func (p *process) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil || len(text) == 0 {
		return ""
	}
	return "\nthe operator's last words:\n" + string(text[max(0, len(text)-4000):])
}

// alive is an error once the operator has ended by itself.
func (p *process) alive() error {
	select {
	case err := <-p.done:
		p.done <- err
		return fmt.Errorf("the operator ended: %w", err)
	default:
		return nil
	}
}

// peak is the largest resident memory so far, in MiB.
func (p *process) peak() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("the operator's status tells no VmHWM")
}
