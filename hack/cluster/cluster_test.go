package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRealCluster starts a real cluster beside the developer's. It needs root and a minute once the tools are built,
// so it runs only where ENIGMA_CLUSTER_TEST=1 asks for it.
func TestRealCluster(t *testing.T) {
	if os.Getenv("ENIGMA_CLUSTER_TEST") != "1" {
		t.Skip("set ENIGMA_CLUSTER_TEST=1 to start a real cluster; needs root")
	}
	t.Setenv("ENIGMA_CLUSTER", "test")
	t.Setenv("ENIGMA_CLUSTER_PROVIDER", "native")
	c := newReal(t)
	c.run("down")
	before := snapshot(t)
	t.Cleanup(func() { c.run("down") })

	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "from the host") }))
	defer outside.Close()
	exit := strings.TrimPrefix(outside.URL, "http://")
	_, exitPort, _ := net.SplitHostPort(exit)

	c.timed("cold start", "up")
	c.timed("second up", "up", "--outbound", exit)
	t.Log("\n" + c.run("status"))
	c.load("localhost/probe:test")
	if said := c.load("localhost/probe:test"); !strings.Contains(said, "loaded already") {
		t.Errorf("loading the same image again said %q", said)
	}
	c.kubectl("apply", "-f", "testdata/probe.yaml")
	for _, name := range []string{"server", "friend", "stranger"} {
		c.kubectl("-n", "probe", "rollout", "status", "deployment/"+name, "--timeout=60s")
	}
	server, friend, stranger := c.forward("probe/server:http"), c.forward("probe/friend:80"), c.forward("probe/stranger:80")

	t.Run("a Service answers on the host, under the same URL each time", func(t *testing.T) {
		want(t, get(t, server+"/hello"), "hello")
		if again := c.forward("probe/server:http"); again != server {
			t.Errorf("asked again, the URL is %s, not %s", again, server)
		}
		if said, err := c.try("forward", "--service", "probe/server:81"); err == nil || !strings.Contains(said, "80 http") {
			t.Errorf("a wrong port said %q, %v; want the known ones", said, err)
		}
	})
	t.Run("many connections at once", func(t *testing.T) {
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				transport := &http.Transport{DisableKeepAlives: true}
				response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get(server + "/hello")
				if err != nil {
					t.Error(err)
					return
				}
				_ = response.Body.Close()
			})
		}
		all.Wait()
	})
	t.Run("a stream is not held up", func(t *testing.T) { streams(t, server) })
	t.Run("a user that is not root writes to its volume", func(t *testing.T) {
		want(t, get(t, server+"/write?q=/data/file"), "65532")
		want(t, c.kubectl("-n", "probe", "get", "pvc", "data", "-o", "jsonpath={.status.phase}"), "Bound")
		files, _ := filepath.Glob(c.place.path("volumes", "*", "file"))
		if len(files) != 1 {
			t.Errorf("on the node there are %v", files)
		}
	})
	t.Run("names resolve, unknown ones fail at once", func(t *testing.T) {
		want(t, get(t, friend+"/lookup?q=kubernetes.default.svc.cluster.local"), apiIP)
		start := time.Now()
		if text := get(t, friend+"/lookup?q=api.example.com"); !strings.Contains(text, "no such host") {
			t.Errorf("an unknown name said %q", text)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("an unknown name took %s", took)
		}
	})
	t.Run("the only way out is the one that was opened", func(t *testing.T) {
		want(t, fetch(t, stranger, "http://host.enigma.internal:"+exitPort), "from the host")
		c.run("up", "--outbound", exit+",localhost:9")
		want(t, fetch(t, stranger, "http://host.enigma.internal:"+exitPort), "from the host")
		if text := fetch(t, stranger, "http://"+hostAddress(t)+":"+exitPort); text == "from the host" {
			t.Error("a pod reached the host by its address")
		}
		c.run("up")
		if text := fetch(t, stranger, "http://host.enigma.internal:"+exitPort); text == "from the host" {
			t.Error("the way out is open after it was closed")
		}
	})
	t.Run("network policies hold", func(t *testing.T) { c.policies(t, friend, stranger) })
	t.Run("a command runs inside", func(t *testing.T) {
		if text := c.run("exec", "--", "kubectl", "get", "nodes", "-o", "name"); text != "node/"+nodeName {
			t.Errorf("got %q", text)
		}
		want(t, c.kubectl("-n", "probe", "logs", "deployment/server"), "probe listens")
		want(t, c.kubectl("-n", "probe", "exec", "deployment/server", "--", "/probe", "this"), "probe was told [this]")
	})
	t.Run("a volume goes with its claim", func(t *testing.T) {
		start := time.Now()
		c.kubectl("delete", "namespace", "probe", "--timeout=60s")
		t.Logf("namespace deleted in %.1fs", time.Since(start).Seconds())
		eventually(t, func() string {
			left, _ := os.ReadDir(c.place.path("volumes"))
			return fmt.Sprint(len(left), " volumes, objects ", c.kubectl("get", "pv", "-o", "name"))
		}, "0 volumes, objects ")
	})
	t.Run("after a kill -9 up starts anew and down removes all", func(t *testing.T) {
		rec, _ := c.place.running()
		rec.Host.kill()
		eventually(t, func() string { return fmt.Sprint(rec.Init.alive()) }, "false")
		if said, err := c.try("status"); err == nil {
			t.Errorf("status of a dead cluster said %q", said)
		}
		c.timed("up after kill -9", "up")
		networks := c.networks(t)
		if len(networks) < 2 {
			t.Errorf("found network namespaces %v, want the node's and a pod's: the check is blind", networks)
		}
		rec, _ = c.place.running()
		rec.Init.kill()
		eventually(t, func() string { return fmt.Sprint(rec.Host.alive()) }, "false")
		c.timed("down", "down")
		c.run("down")
		for process, network := range networkOf(t) {
			if networks[network] {
				t.Errorf("process %s holds a network namespace of the cluster's", process)
			}
		}
		eventually(t, func() string { return cmp.Diff(before, snapshot(t)) }, "")
	})
}

func (c real) policies(t *testing.T, friend, stranger string) {
	const server = "http://server.probe.svc.cluster.local/hello"
	want(t, fetch(t, stranger, server), "hello")
	c.kubectl("apply", "-f", "testdata/policy.yaml")
	eventually(t, func() string { return fmt.Sprint(fetch(t, stranger, server) == "hello") }, "false")
	want(t, fetch(t, friend, server), "hello")
	if text := fetch(t, friend, "http://stranger.probe.svc.cluster.local/hello"); text == "hello" {
		t.Error("egress that no rule allows went through")
	}
	c.kubectl("delete", "-f", "testdata/policy.yaml")
	eventually(t, func() string { return fetch(t, stranger, server) }, "hello")
	want(t, fetch(t, friend, "http://stranger.probe.svc.cluster.local/hello"), "hello")
}

func streams(t *testing.T, server string) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for i := range 3 {
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("line %d\n", i) {
			t.Fatalf("got %q, %v", line, err)
		}
		get(t, server+"/next")
	}
}

func TestAProcessIsTheSameOnlyWithItsStartTime(t *testing.T) {
	me := newProcess(os.Getpid())
	if !me.alive() {
		t.Error("this process is not alive")
	}
	other := process{PID: os.Getpid(), Start: "1"}
	if other.alive() {
		t.Error("another process with our number passes for alive")
	}
	child := exec.CommandContext(t.Context(), "true")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	theirs := newProcess(child.Process.Pid)
	_ = child.Wait()
	if theirs.alive() {
		t.Error("a process that ended is alive")
	}
}
