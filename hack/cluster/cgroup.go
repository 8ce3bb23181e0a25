package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hierarchy is one mounted tree of control groups: version 1 has one for each controller, version 2 one for all.
type hierarchy struct {
	dir     string
	unified bool
	cpuset  bool // version 1 only: a new group takes no process before it is given processors and memory
}

// hierarchies reads /proc/self/mounts. A unified tree beside version 1 trees ("hybrid") has no controllers but counts:
// runtimes make groups there too.
func hierarchies(mounts string) []hierarchy {
	var found []hierarchy
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		switch fields[2] {
		case "cgroup":
			found = append(found, hierarchy{dir: fields[1], cpuset: slices.Contains(strings.Split(fields[3], ","), "cpuset")})
		case "cgroup2":
			found = append(found, hierarchy{dir: fields[1], unified: true})
		}
	}
	return found
}

func mountedHierarchies() ([]hierarchy, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("finding control groups: %w", err)
	}
	found := hierarchies(string(mounts))
	if len(found) == 0 {
		return nil, errors.New("no control groups are mounted on this machine: mount -t cgroup2 cgroup2 /sys/fs/cgroup, and try again")
	}
	return found, nil
}

// own is the leaf in which the cluster's own processes live; kubelet's pods are its siblings. In version 2 a group with
// controllers for its children can't hold processes itself.
const own = "system"

// makeCgroups makes the cluster's group in each hierarchy and moves this process, and so all its children, into it:
// what the cluster takes can be counted, and what it leaves can be found.
func makeCgroups(all []hierarchy, name string) error {
	for _, h := range all {
		group := filepath.Join(h.dir, name)
		leaf := filepath.Join(group, own)
		if err := makeGroup(h, group); err != nil {
			return fmt.Errorf("making control group %s: %w", group, err)
		}
		if err := makeGroup(h, leaf); err != nil {
			return fmt.Errorf("making control group %s: %w", leaf, err)
		}
		if err := os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
			return fmt.Errorf("moving into control group %s: %w", leaf, err)
		}
	}
	return nil
}

func makeGroup(h hierarchy, group string) error {
	if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	parent := filepath.Dir(group)
	if h.unified {
		return passControllers(parent)
	}
	if h.cpuset {
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(parent, file))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(group, file), bytes.TrimSpace(value), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// passControllers lets the children of a version 2 group have the controllers that the group has. What is switched on
// already, as systemd does for its slices, is left alone.
func passControllers(group string) error {
	available, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
	if err != nil {
		return err
	}
	enabled, err := os.ReadFile(filepath.Join(group, "cgroup.subtree_control"))
	if err != nil {
		return err
	}
	on := strings.Fields(string(enabled))
	for _, controller := range strings.Fields(string(available)) {
		if slices.Contains(on, controller) || !slices.Contains([]string{"cpu", "cpuset", "memory", "pids", "io", "hugetlb"}, controller) {
			continue
		}
		err := os.WriteFile(filepath.Join(group, "cgroup.subtree_control"), []byte("+"+controller), 0o600)
		if err != nil && slices.Contains([]string{"cpu", "memory", "pids"}, controller) {
			return fmt.Errorf("enabling %s for children of %s: %w", controller, group, err)
		}
	}
	return nil
}

// removeCgroups kills what still lives in the cluster's groups and removes them, deepest first. A group stays busy
// until its last process is reaped, so it tries for ten seconds.
func removeCgroups(all []hierarchy, name string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := ""
		for _, h := range all {
			if !removeTree(filepath.Join(h.dir, name)) {
				left = filepath.Join(h.dir, name)
			}
		}
		if left == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("control group %s is still busy: see its cgroup.procs", left)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func removeTree(group string) (gone bool) {
	var groups []string
	_ = filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}
		return nil // a group may go while we walk
	})
	for _, dir := range slices.Backward(groups) {
		for _, pid := range processesOf(dir) {
			if pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		_ = syscall.Rmdir(dir)
	}
	_, err := os.Stat(group)
	return errors.Is(err, fs.ErrNotExist)
}

func processesOf(group string) []int {
	text, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var pids []int
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 { // 0: in a pid namespace that we can't see into
			pids = append(pids, pid)
		}
	}
	return pids
}
