package servers_test

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
)

// TestRedisEndsWithTheProcess: the process that started it is killed, without a chance
// to tidy up.
func TestRedisEndsWithTheProcess(t *testing.T) {
	if os.Getenv("SERVERS_CHILD") != "" {
		r := servers.Redis(t, servers.RedisOptions{})
		r.Do(t, "PING")
		_, _ = os.Stdout.WriteString("addr " + r.Addr + "\n")
		select {} // until it is killed
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestRedisEndsWithTheProcess$")
	child.Env = append(os.Environ(), "SERVERS_CHILD=1", "TMPDIR="+t.TempDir())
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	addr := ""
	for lines := bufio.NewScanner(out); addr == "" && lines.Scan(); {
		if a, ok := strings.CutPrefix(lines.Text(), "addr "); ok {
			addr = a
		}
	}
	answers := func() bool {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	if !answers() {
		t.Fatalf("no server answers at %q", addr)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	for begin := time.Now(); answers(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 5*time.Second {
			t.Fatal("the server has outlived the process that started it")
		}
	}
}

func TestRedisIsEmptyAfterARestart(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t, servers.RedisOptions{})
	r.Do(t, "SET", "k", "v")
	r.Stop()
	if _, err := r.TryDo(t.Context(), "default", servers.RedisAdmin, "PING"); err == nil {
		t.Error("a stopped server answers")
	}
	r.Start(t)
	size := r.Do(t, "DBSIZE")
	if n, err := size.AsInt64(); err != nil || n != 0 {
		t.Errorf("%d keys, %v", n, err)
	}
	if _, err := r.TryDo(t.Context(), "", "", "PING"); err == nil {
		t.Error("it answers whoever has no login")
	}
}
