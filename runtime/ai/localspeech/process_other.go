//go:build !linux

package localspeech

import (
	"os"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

func kill(p *os.Process) error { return p.Kill() }

// scratch is a file that is gone when it is closed.
func scratch() (*os.File, error) {
	f, err := os.CreateTemp("", "speech")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// confine: on a developer's machine the time limit alone bounds an engine.
func confine(int, Limits) error { return nil }
