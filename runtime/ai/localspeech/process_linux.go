package localspeech

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes make the engine leader of a group that dies with this process.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// kill ends the engine with all it started.
func kill(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGKILL) }

// scratch is a file in memory: the root file system may be read only.
func scratch() (*os.File, error) {
	fd, err := unix.MemfdCreate("speech", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "speech"), nil
}

// confine bounds a process that has begun and waits for its text.
func confine(pid int, l Limits) error {
	for resource, most := range map[int]uint64{
		unix.RLIMIT_AS:    l.Memory,
		unix.RLIMIT_FSIZE: uint64(max(l.Output, 0)),
		unix.RLIMIT_CPU:   uint64(l.Time.Seconds()) + 1,
		unix.RLIMIT_CORE:  0, // a dump would hold the text
	} {
		if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: most, Max: most}, nil); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}
