//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// pressure is a running test/e2e/load.
type pressure struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

type count struct {
	Sent, Failed                  int
	Gap                           time.Duration
	Streams, Refused, Cut, Broken int
	Messages, Lost                int
	Why                           []string
}

// press starts asking a tenant, from the node, by its Service's address, and waits until
// that many streams are open.
func (p play) press(t *testing.T, tenant, key string, streams int) *pressure {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "load")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", binary, "./test/e2e/load")
	build.Dir = p.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building test/e2e/load: %v: %s", err, out)
	}
	ip := p.kubectl(t, "get", "service/tenant-"+tenant, "-n", p.ns, "-o", "jsonpath={.spec.clusterIP}")
	l := &pressure{cmd: p.Inside(t.Context(), binary, "-url", "http://"+ip, "-streams", strconv.Itoa(streams))}
	l.cmd.Env = append(l.cmd.Env, "KEY="+key)
	l.cmd.Stderr = os.Stderr
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.out = bufio.NewReader(out)
	if l.stdin, err = l.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if streams > 0 {
		if line, err := l.out.ReadString('\n'); line != "open\n" {
			t.Fatalf("the load said %q instead of open: %v", line, err)
		}
	}
	return l
}

func (l *pressure) stop(t *testing.T) count {
	t.Helper()
	_ = l.stdin.Close()
	var c count
	err := json.NewDecoder(l.out).Decode(&c)
	if err := errors.Join(err, l.cmd.Wait()); err != nil {
		t.Fatalf("the load: %v", err)
	}
	return c
}
