//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// pressure is a running test/e2e/load.
type pressure struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   bytes.Buffer
}

type count struct {
	Sent, Failed int
	Gap          time.Duration
	Why          []string
}

// press starts asking a tenant, from the node, by its Service's address.
func (p play) press(t *testing.T, tenant, key string) *pressure {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "load")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", binary, "./test/e2e/load")
	build.Dir = p.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building test/e2e/load: %v: %s", err, out)
	}
	ip := p.kubectl(t, "get", "service/tenant-"+tenant, "-n", p.ns, "-o", "jsonpath={.spec.clusterIP}")
	l := &pressure{cmd: p.Inside(t.Context(), binary, "-url", "http://"+ip)}
	l.cmd.Env = append(l.cmd.Env, "KEY="+key)
	l.cmd.Stdout, l.cmd.Stderr = &l.out, os.Stderr
	var err error
	if l.stdin, err = l.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *pressure) stop(t *testing.T) count {
	t.Helper()
	_ = l.stdin.Close()
	if err := l.cmd.Wait(); err != nil {
		t.Fatalf("the load: %v", err)
	}
	var c count
	if err := json.Unmarshal(l.out.Bytes(), &c); err != nil {
		t.Fatalf("the load said %q: %v", l.out.String(), err)
	}
	return c
}
