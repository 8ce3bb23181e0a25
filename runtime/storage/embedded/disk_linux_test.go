package embedded_test

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// disk mounts a small file system of its own, so that it can be filled and made
// read-only for real. It skips where that isn't allowed, but never in CI.
func disk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mounting a small disk, which needs root: %v", err)
		}
		t.Skipf("mounting a small disk, which needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting %s: %v", dir, errors.Join(err, syscall.Unmount(dir, syscall.MNT_DETACH)))
		}
	})
	return dir
}

func remount(t *testing.T, dir string, readOnly bool) {
	t.Helper()
	flags := uintptr(syscall.MS_REMOUNT)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, ""); err != nil {
		t.Fatalf("remounting: %v", err)
	}
}
