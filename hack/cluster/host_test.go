package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/hack/toolbox/distro"
)

const hybridMounts = `tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
`

func TestHierarchiesOfBothVersions(t *testing.T) {
	want := []hierarchy{{dir: "/sys/fs/cgroup/cpu,cpuacct"}, {dir: "/sys/fs/cgroup/cpuset", cpuset: true}, {dir: "/sys/fs/cgroup/unified", unified: true}}
	if diff := cmp.Diff(want, hierarchies(hybridMounts), cmp.AllowUnexported(hierarchy{})); diff != "" {
		t.Error(diff)
	}
	want = []hierarchy{{dir: "/sys/fs/cgroup", unified: true}}
	if diff := cmp.Diff(want, hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"), cmp.AllowUnexported(hierarchy{})); diff != "" {
		t.Error(diff)
	}
}

// Ordinary files stand for the kernel's: they show what is written where, not that the kernel takes it.
func TestControllersArePassedToAGroupsChildren(t *testing.T) {
	root := t.TempDir()
	put(t, filepath.Join(root, "cgroup.controllers"), "cpuset cpu io memory pids rdma\n")
	put(t, filepath.Join(root, "cgroup.subtree_control"), "cpuset cpu io memory\n")
	if err := makeGroup(hierarchy{dir: root, unified: true}, filepath.Join(root, "ours")); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(filepath.Join(root, "cgroup.subtree_control"))
	if err != nil || string(written) != "+pids" {
		t.Errorf("wrote %q, %v; want only what was not on", written, err)
	}
	if !dirExists(filepath.Join(root, "ours")) {
		t.Error("no group")
	}
}

func TestACpusetStartsWithItsParentsProcessors(t *testing.T) {
	root := t.TempDir()
	put(t, filepath.Join(root, "cpuset.cpus"), "0-1\n")
	put(t, filepath.Join(root, "cpuset.mems"), "0\n")
	if err := makeGroup(hierarchy{dir: root, cpuset: true}, filepath.Join(root, "ours")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"cpuset.cpus": "0-1", "cpuset.mems": "0"} {
		if got, err := os.ReadFile(filepath.Join(root, "ours", name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

func TestRemovingGroupsThatAreNotThereIsNoError(t *testing.T) {
	if err := removeCgroups([]hierarchy{{dir: t.TempDir()}}, "crispy-enigma-none"); err != nil {
		t.Error(err)
	}
}

func TestMountPointsBelow(t *testing.T) {
	const mounts = "a /var/tmp/x/one tmpfs rw 0 0\nb /var/tmp/x/one/two tmpfs rw 0 0\nc /var/tmp/xy tmpfs rw 0 0\nd /proc proc rw 0 0\n"
	if diff := cmp.Diff([]string{"/var/tmp/x/one/two", "/var/tmp/x/one"}, pointsBelow(mounts, "/var/tmp/x")); diff != "" {
		t.Error(diff)
	}
}

func TestMadeFoldersAreNotedDeepestFirst(t *testing.T) {
	root := t.TempDir()
	made, err := makeAll(filepath.Join(root, "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Join(root, "a", "b"), filepath.Join(root, "a")}, made); diff != "" {
		t.Error(diff)
	}
	if again, err := makeAll(filepath.Join(root, "a", "b")); err != nil || len(again) != 0 {
		t.Errorf("made %v again, %v", again, err)
	}
}

// A record that points at a folder of the host's must not make down remove it.
func TestOnlyOurMountPointsAreRemoved(t *testing.T) {
	for path, want := range map[string]bool{"/var/lib/cni": true, "/var/lib": true, "/var/lib/cni/x": false, "/var/lib/c": false, "/home": false} {
		found := false
		for _, h := range hidden {
			found = found || within(h, path)
		}
		if found != want {
			t.Errorf("%s: %v", path, found)
		}
	}
}

func TestSocketPathsFit(t *testing.T) {
	p := newPlace(strings.Repeat("/long", 100), "name")
	// kubelet's are the longest: those of device plugins and of its own API.
	for _, path := range []string{p.containerd(), p.control(), p.path("kubelet", "device-plugins", "kubelet.sock"), p.path("kubelet", "pod-resources", "kubelet.sock")} {
		if len(path) > 107 {
			t.Errorf("%s has %d bytes", path, len(path))
		}
	}
	if newPlace("/a", "").ID == newPlace("/b", "").ID || newPlace("/a", "").ID == newPlace("/a", "test").ID {
		t.Error("two clusters share their state")
	}
}

func TestSomebodyElsesFolderIsNotBelieved(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give a folder away")
	}
	p := place{Dir: filepath.Join(t.TempDir(), "state")}
	if err := os.Mkdir(p.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, p.path("record.json"), fmt.Sprintf(`{"Host":{"PID":%d,"Start":"1"}}`, os.Getpid()))
	if _, err := p.readRecord(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(p.Dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := p.readRecord(); err == nil || !strings.Contains(err.Error(), "not root's own folder") {
		t.Errorf("got %v", err)
	}
	if err := (native{p}).remove(); err == nil || !dirExists(p.Dir) {
		t.Errorf("removed somebody else's folder: %v", err)
	}
}

func TestMissingPackages(t *testing.T) {
	absent := distro.Missing(requirements, func(file string) bool { return file != "nft" && file != cniDir+"/bridge" })
	if len(absent) != 2 || absent[0].Package != "containernetworking-plugins" || absent[1].Package != "nftables" {
		t.Errorf("missing %v", absent)
	}
	if absent := distro.Missing(requirements, func(string) bool { return true }); absent != nil {
		t.Errorf("missing %v though all is there", absent)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func dirExists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
