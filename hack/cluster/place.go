package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/crispy-enigma/crispy-enigma/hack/toolbox/build"
)

// Addresses inside the cluster's own network; they can't clash with the host's.
const (
	nodeName    = "enigma"
	nodeIP      = "10.99.0.1"
	podCIDR     = "10.244.0.0/16"
	podSubnet   = "10.244.0.0/24"
	serviceCIDR = "10.96.0.0/16"
	apiIP       = "10.96.0.1"
	dnsIP       = "10.96.0.10"
	apiAddress  = nodeIP + ":6443"
)

// place says where one clone's cluster keeps what. The directory's name is short because unix socket paths end at
// 107 bytes, and not below /run, which the cluster's mount namespace hides.
type place struct {
	Root string // the repository
	ID   string // eight hex digits, from the repository's path and the cluster's name
	Dir  string // all state of the running cluster; removed by down
}

// findPlace takes ENIGMA_CLUSTER as the name of a further cluster of the same clone; tests use it to stay clear of
// the developer's.
func findPlace() (place, error) {
	root, err := build.Root()
	if err != nil {
		return place{}, err
	}
	return newPlace(root, os.Getenv("ENIGMA_CLUSTER")), nil
}

func newPlace(root, name string) place {
	sum := sha256.Sum256([]byte(root + "\x00" + name))
	id := hex.EncodeToString(sum[:4])
	return place{Root: root, ID: id, Dir: filepath.Join(clusters, "crispy-enigma-"+id)}
}

func (p place) path(elements ...string) string {
	return filepath.Join(append([]string{p.Dir}, elements...)...)
}
func (p place) cgroup() string         { return "crispy-enigma-" + p.ID }
func (p place) pki() string            { return p.path("pki") }
func (p place) containerd() string     { return p.path("ctd.sock") }
func (p place) control() string        { return p.path("host.sock") }
func (p place) log(name string) string { return p.path("log", name+".log") }

// adminConfig works inside the cluster's network, hostConfig on the host.
func (p place) adminConfig() string { return p.path("pki", "admin.kubeconfig") }
func (p place) hostConfig() string {
	return filepath.Join(p.Root, ".cache", "cluster", p.ID+".kubeconfig")
}

// cached is for files that outlive the cluster.
func (p place) cached(name string) string { return filepath.Join(p.Root, ".cache", "cluster", name) }

// stablePort is the port to try first, the same in every life of the cluster, so that a URL in a browser's history or
// a copied kubeconfig stays good. It lies below the kernel's ephemeral range.
func (p place) stablePort(what string) int {
	sum := sha256.Sum256([]byte(p.ID + "\x00" + what))
	return 20000 + (int(sum[0])<<8|int(sum[1]))%10000
}

// lock keeps two commands that change the same cluster apart. It lies outside Dir, which comes and goes.
func (p place) lock() (unlock func(), err error) {
	path := p.cached(p.ID + ".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("locking the cluster: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the cluster: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		fmt.Println("another command works on this cluster; waiting for it")
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("locking the cluster: %w", err)
	}
	return func() { _ = file.Close() }, nil
}

// record is what a running cluster writes down for the commands that come later.
type record struct {
	Host    process  // keeps the forwards; parent of Init
	Init    process  // PID 1 of the cluster's pid namespace, as the host sees it
	APIPort int      // of the API server on the host's 127.0.0.1
	Made    []string // folders that were made on the host to mount on
}

// process tells a process from a later one that got the same number.
type process struct {
	PID   int
	Start string // field 22 of /proc/PID/stat: clock ticks after boot
}

func (p place) readRecord() (record, error) {
	var r record
	if err := p.checkOwner(); err != nil {
		return r, err
	}
	text, err := os.ReadFile(p.path("record.json"))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("reading %s: %w", p.path("record.json"), err)
	}
	return r, nil
}

// checkOwner refuses to believe a folder that somebody else has put there: /var/tmp is open to all, and we kill and
// remove what the record says.
func (p place) checkOwner() error {
	info, err := os.Lstat(p.Dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || stat.Uid != 0 || info.Mode().Perm() != 0o700 {
		return fmt.Errorf("%s is not root's own folder: look at it and remove it by hand", p.Dir)
	}
	return nil
}

func (p place) writeRecord(r record) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(p.path("record.json"), text)
}

// replaceFile changes a file's content at one stroke: a reader sees the old or the new.
func replaceFile(path string, content []byte) error {
	next := path + ".next"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

func newProcess(pid int) process {
	return process{PID: pid, Start: startTime(pid)}
}

func (p process) alive() bool {
	return p.PID > 0 && p.Start != "" && startTime(p.PID) == p.Start
}

func (p process) kill() {
	if p.alive() {
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
	}
}

// startTime is empty for a process that is gone or only waits to be reaped.
func startTime(pid int) string {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	// The second field is the program's name in brackets and may hold anything, so count from its end.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}

// running tells whether the cluster of this place is alive and has come up whole.
func (p place) running() (record, bool) {
	r, err := p.readRecord()
	if err != nil || !r.Host.alive() || !r.Init.alive() {
		return r, false
	}
	_, err = os.Stat(p.path("ready"))
	return r, !errors.Is(err, fs.ErrNotExist)
}

var errNotRunning = errors.New("the cluster does not run: start it with `go run ./hack/cluster up`")
