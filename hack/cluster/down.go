package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// Down ends the cluster and removes all that it made. It can be called at any time and any number of times.
func (c native) Down(context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("ending the cluster needs root: run the same command with sudo -E env PATH=\"$PATH\"")
	}
	unlock, err := c.place.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.remove(); err != nil {
		return err
	}
	fmt.Println("the cluster is gone")
	return nil
}

// remove can be done again after it was cut short or has failed: the record goes only when nothing runs any more.
func (c native) remove() error {
	if err := c.place.checkOwner(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	rec, _ := c.place.readRecord() // without it, the control groups still name every process
	rec.Init.kill()                // and with it, all in its pid namespace
	rec.Host.kill()
	errs := []error{awaitEnd(rec.Host), awaitEnd(rec.Init)}
	groups, err := mountedHierarchies()
	if err == nil {
		err = removeCgroups(groups, c.place.cgroup())
	}
	errs = append(errs, err, unmountBelow(c.place.Dir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("ending the cluster: %w", err)
	}
	if err := c.place.removeMountPoints(rec); err != nil {
		return err
	}
	if err := os.RemoveAll(c.place.hostConfig()); err != nil {
		return fmt.Errorf("removing the cluster's files: %w", err)
	}
	if err := os.RemoveAll(c.place.Dir); err != nil {
		return fmt.Errorf("removing the cluster's files: %w", err)
	}
	return nil
}

func awaitEnd(p process) error {
	for deadline := time.Now().Add(10 * time.Second); p.alive(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d does not end", p.PID)
		}
	}
	return nil
}

// unmountBelow is for mounts that should not be: all of the cluster's are in its own namespace. Were one there, removing
// the folder would remove what is mounted.
func unmountBelow(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for _, point := range pointsBelow(string(mounts), dir) {
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", point, err)
		}
	}
	return nil
}

// pointsBelow lists the mount points in dir, the later mounted first.
func pointsBelow(mounts, dir string) []string {
	var points []string
	for line := range strings.Lines(mounts) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			points = append([]string{fields[1]}, points...)
		}
	}
	return points
}
