package tenant_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
)

// podOf gives a reader and a pod that lead to a server.
func podOf(t *testing.T, handler http.HandlerFunc) (*tenant.PodStatus, *corev1.Pod) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	host, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return tenant.NewPodStatusOn(n), &corev1.Pod{Status: corev1.PodStatus{PodIP: host}}
}

func TestPodStatusIsReadWithTheToken(t *testing.T) {
	t.Parallel()
	reader, pod := podOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/status" || r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"configDigest": "sha256:x", "usage": {"tokensToday": 3}, "newer": true}`)
	})
	status, err := reader.Status(context.Background(), pod, "s3cret")
	if err != nil || status.ConfigDigest != "sha256:x" || status.Usage.TokensToday != 3 {
		t.Errorf("got %+v, %v", status, err)
	}
	if _, err := reader.Status(context.Background(), pod, "wrong"); !errors.Is(err, tenant.ErrUnauthorized) {
		t.Errorf("got %v, want ErrUnauthorized", err)
	}
}

func TestPodStatusTrustsNoPod(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the token went elsewhere: %v", r.Header)
	}))
	t.Cleanup(elsewhere.Close)
	cases := map[string]http.HandlerFunc{
		"answered 500":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"isn't valid JSON":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>s3cret</html>`) },
		"more than 65536 bytes": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", 1<<20)) },
		"doesn't redirect":      func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"unexpected EOF": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "{")
		},
	}
	for says, handler := range cases {
		reader, pod := podOf(t, handler)
		status, err := reader.Status(context.Background(), pod, "s3cret")
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %+v, %v, want an error with %q and without the token", status, err, says)
		}
	}
}

func TestASlowPodIsGivenUp(t *testing.T) {
	t.Parallel()
	reader, pod := podOf(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	start := time.Now()
	if _, err := reader.Status(context.Background(), pod, "t"); err == nil {
		t.Error("a pod that never ends its answer was believed")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
