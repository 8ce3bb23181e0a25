package embedded

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// Reasons in Health.
const (
	// ReasonDiskFull: no room on the disk, or Options.MaxBytes is reached.
	ReasonDiskFull = "disk_full"
	// ReasonReadOnly: the directory or its file system can't be written.
	ReasonReadOnly = "read_only"
	// ReasonIOError: the disk failed in another way.
	ReasonIOError = "io_error"
	// ReasonCorrupt: the file was damaged while it was in use.
	ReasonCorrupt = "corrupt"
	// ReasonClosed: Close was called.
	ReasonClosed = "closed"
)

// What Open refuses. None heals by itself.
var (
	// ErrInUse: another process holds the directory.
	ErrInUse = errors.New("the state directory is in use by another process")
	// ErrNewer: a newer version has written the file.
	ErrNewer = errors.New("the state file was written by a newer version")
	// ErrCorrupt: the file is no intact state file.
	ErrCorrupt = errors.New("the state file is corrupt; restore state.db from a backup, or move it away with its -wal and -shm to start empty")
)

// reasonOf says in one word why the store can't be written.
func reasonOf(dir string, err error) string {
	var se *sqlite.Error
	switch {
	case errors.Is(err, ErrCorrupt):
		return ReasonCorrupt
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ReasonDiskFull
	case errors.Is(err, syscall.EROFS), errors.Is(err, os.ErrPermission):
		return ReasonReadOnly
	case errors.As(err, &se):
		switch se.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			return ReasonDiskFull
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
			return ReasonReadOnly
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return ReasonCorrupt
		}
		// SQLite doesn't tell the cause of an I/O error; a write of our own does.
		if probe := tryWrite(dir); probe != nil {
			return reasonOf(dir, probe)
		}
	}
	return ReasonIOError
}

func tryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, pageBytes))
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// headroom is what the file leaves of the disk to its log, so that on a full disk
// sessions can still be deleted: their room in the file is used again. A quarter of a
// disk too small for it.
const headroom = 16 << 20

// roomFor is how many pages the file may have: what it has, and what the disk has
// left beyond the headroom. Only another user of the disk can then fill it.
func roomFor(path string, maxBytes int64) (int64, error) {
	most := int64(math.MaxInt32)
	if maxBytes > 0 {
		most = min(most, maxBytes/pageBytes)
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &disk); err != nil {
		return 0, fmt.Errorf("asking for the disk's size: %w", err)
	}
	var have int64
	if f, err := os.Stat(path); err == nil {
		have = f.Size()
	}
	block := int64(disk.Bsize)
	left := int64(disk.Bavail)*block - min(headroom, int64(disk.Blocks)*block/4)
	return max(1, min(most, (have+max(0, left))/pageBytes)), nil
}

func isCorrupt(err error) bool {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return false
	}
	code := se.Code() & 0xff
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}

// final tells whether waiting can't heal err.
func final(err error) bool {
	return errors.Is(err, ErrInUse) || errors.Is(err, ErrNewer) || errors.Is(err, ErrCorrupt)
}

func unavailable(reason string, err error) error {
	return fmt.Errorf("%w (%s): %w", storage.ErrUnavailable, reason, err)
}

// lock takes the directory for this process. The kernel lets go when it ends.
func lock(dir string) (*os.File, error) {
	path := filepath.Join(dir, "state.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		closed := f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is locked; stop the other process, or give this one a directory of its own", ErrInUse, path)
		}
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), closed)
	}
	return f, nil
}
