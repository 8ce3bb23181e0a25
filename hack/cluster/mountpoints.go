package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// clusters is the folder in which every clone's cluster has its state.
const clusters = "/var/tmp"

// makeMountPoints makes those hidden paths that the host lacks and notes them in the record, for down to remove. What
// other clusters have made counts as made by us too: the last to go removes it.
func (p place) makeMountPoints(rec *record) error {
	unlock, err := lockClusters()
	if err != nil {
		return err
	}
	defer unlock()
	for _, other := range p.others() {
		rec.Made = append(rec.Made, other.Made...)
	}
	for _, dir := range hidden {
		made, err := makeAll(dir)
		if err != nil {
			return fmt.Errorf("making a mount point: %w", err)
		}
		rec.Made = append(made, rec.Made...)
	}
	return p.writeRecord(*rec)
}

// makeAll is os.MkdirAll that returns what it made, deepest first.
func makeAll(dir string) (made []string, err error) {
	for up := dir; up != "/"; up = filepath.Dir(up) {
		if _, err := os.Stat(up); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, up)
	}
	return made, os.MkdirAll(dir, 0o755)
}

// removeMountPoints leaves them while another cluster is there: removing a folder takes away what is mounted on it in
// any mount namespace. A folder that somebody has come to use is not empty and stays. Our record goes under the same
// lock, or two that go at once would each leave the folders to the other.
func (p place) removeMountPoints(rec record) error {
	unlock, err := lockClusters()
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.RemoveAll(p.path("record.json")); err != nil {
		return fmt.Errorf("removing the cluster's record: %w", err)
	}
	if len(p.others()) > 0 {
		return nil
	}
	made := slices.Clone(rec.Made)
	slices.SortFunc(made, func(a, b string) int { return len(b) - len(a) })
	for _, dir := range made {
		if slices.ContainsFunc(hidden, func(h string) bool { return within(h, dir) }) {
			_ = os.Remove(dir)
		}
	}
	return nil
}

func within(path, dir string) bool {
	relative, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(relative)
}

// others are the records of the clusters of other places, dead ones too.
func (p place) others() []record {
	var found []record
	dirs, _ := filepath.Glob(filepath.Join(clusters, "crispy-enigma-*"))
	for _, dir := range dirs {
		if dir == p.Dir {
			continue
		}
		if r, err := (place{Dir: dir}).readRecord(); err == nil {
			found = append(found, r)
		}
	}
	return found
}

// lockClusters keeps clusters of different clones apart while they touch what they share. The lock is on the folder
// itself, so there is no file to leave behind.
func lockClusters() (unlock func(), err error) {
	dir, err := os.Open(clusters)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", clusters, err)
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		_ = dir.Close()
		return nil, fmt.Errorf("locking %s: %w", clusters, err)
	}
	return func() { _ = dir.Close() }, nil
}
