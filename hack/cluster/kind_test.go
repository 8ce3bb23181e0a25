package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// spoken is a kind that notes the command lines and says what it is told to; no engine runs.
func spoken(t *testing.T, clusters string) (kind, *[]string) {
	t.Helper()
	var lines []string
	k := kind{place: newPlace(t.TempDir(), ""), run: func(_ context.Context, name string, args ...string) (string, error) {
		lines = append(lines, strings.Join(append([]string{name}, args...), " "))
		if strings.Join(args, " ") == "get clusters" {
			return clusters, nil
		}
		return "", nil
	}}
	return k, &lines
}

func TestKindCommandLines(t *testing.T) {
	k, lines := spoken(t, "other\n")
	config, name := k.place.hostConfig(), k.name()
	if err := k.Up(t.Context(), []target{{"api.cloudflare.com", 443}}); err != nil {
		t.Fatal(err)
	}
	if err := k.Load(t.Context(), []string{"a.tar"}); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(config), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, config, "")
	if err := k.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"kind get clusters",
		"kind create cluster --name " + name + " --kubeconfig " + config + " --wait 5m",
		"kind load image-archive a.tar --name " + name,
		"kind delete cluster --name " + name + " --kubeconfig " + config,
	}
	if diff := cmp.Diff(want, *lines); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(config); err == nil {
		t.Error("down left the kubeconfig")
	}
	forward := strings.Join(k.forwardArgs(serviceRef{"acme", "chat", "http"}, 20001), " ")
	if forward != "--kubeconfig "+config+" --namespace acme port-forward service/chat 20001:http" {
		t.Errorf("kubectl is called with %s", forward)
	}
}

func TestKindIsNotCreatedTwice(t *testing.T) {
	k, _ := spoken(t, "")
	again, lines := spoken(t, k.name())
	again.place = k.place
	if err := again.Up(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"kind get clusters"}, *lines); diff != "" {
		t.Error(diff)
	}
}

func TestKindRefusesWhatItCannotDo(t *testing.T) {
	k, _ := spoken(t, "")
	if err := k.Up(t.Context(), []target{{"127.0.0.1", 11434}}); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("got %v", err)
	}
	if err := k.Status(t.Context()); !errors.Is(err, errNotRunning) {
		t.Errorf("got %v", err)
	}
}
