package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Status prints what runs; it is an error if the cluster does not.
func (c native) Status(ctx context.Context) error {
	rec, running := c.place.running()
	if !running {
		if _, err := os.Stat(c.place.Dir); err == nil {
			return fmt.Errorf("the cluster is dead or has not come up; its logs are in %s; `up` starts anew, `down` removes it", c.place.path("log"))
		}
		return errNotRunning
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	n := node{place: c.place, client: client}
	if err := n.nodeReady(ctx); err != nil {
		return fmt.Errorf("the node is not ready: %w", err)
	}
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	fmt.Printf("node %s is Ready, %d pods; API server https://127.0.0.1:%d; state and logs in %s\n", nodeName, len(pods.Items), rec.APIPort, c.place.Dir)
	printMemory(rec)
	have, err := ask[state](ctx, c.place, "state", struct{}{})
	if err != nil {
		return err
	}
	for _, service := range slices.Sorted(maps.Keys(have.Services)) {
		fmt.Printf("%s reaches service %s\n", have.Services[service], service)
	}
	printOutbound(have.Outbound)
	return nil
}

// printMemory lists the programs of the cluster by the memory that each holds.
func printMemory(rec record) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", rec.Init.PID))
	if err != nil {
		fmt.Println("memory: only root can see it")
		return
	}
	byName := map[string]int{rssOwner(rec.Host.PID): rss(rec.Host.PID)}
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err != nil {
			continue
		}
		if theirs, err := os.Readlink(filepath.Join(entry, "ns", "pid")); err == nil && theirs == namespace {
			byName[rssOwner(pid)] += rss(pid)
		}
	}
	names := slices.SortedFunc(maps.Keys(byName), func(a, b string) int { return byName[b] - byName[a] })
	total := 0
	for _, name := range names {
		total += byName[name]
		fmt.Printf("%8.1f MiB  %s\n", float64(byName[name])/1024, name)
	}
	fmt.Printf("%8.1f MiB  in all, without pods in pid namespaces of their own\n", float64(total)/1024)
}

func rssOwner(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	name, _, _ := bytes.Cut(line, []byte{0})
	return filepath.Base(string(name))
}

// rss is in KiB; 0 for a process that has gone.
func rss(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			value, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return value
		}
	}
	return 0
}
