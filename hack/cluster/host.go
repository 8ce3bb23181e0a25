package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/crispy-enigma/crispy-enigma/hack/cluster/forward"
	"github.com/crispy-enigma/crispy-enigma/hack/cluster/pki"
)

// host is the cluster's foot on the host's side: it holds the namespaces' first process and every forward.
type host struct {
	place  place
	inside *forward.Namespace
	client kubernetes.Interface

	mu       sync.Mutex
	services map[string]string // URL by service
	outbound []exit
}

func insideHost(args []string) error {
	place, err := placeFromArgs(args)
	if err != nil {
		return err
	}
	log.SetFlags(log.LstdFlags | log.LUTC)
	err = serveHost(place)
	log.Print(err)
	return reportFailure(err)
}

// serveHost returns when the cluster has ended, and why.
func serveHost(p place) error {
	runtime.LockOSThread() // PID 1 dies with the thread that started it: see startInsider
	groups, err := mountedHierarchies()
	if err != nil {
		return err
	}
	if err := makeCgroups(groups, p.cgroup()); err != nil {
		return err
	}
	rec := record{Host: newProcess(os.Getpid())}
	if err := p.makeMountPoints(&rec); err != nil {
		return err
	}
	first, err := startInsider("inside-init", p, &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Setsid:     true,
	})
	if err != nil {
		return err
	}
	rec.Init = newProcess(first.Pid)
	h := &host{place: p, services: map[string]string{}}
	if err := h.open(&rec); err != nil {
		_ = first.Kill()
		_, _ = first.Wait()
		return err
	}
	state, err := first.Wait()
	if err != nil {
		return fmt.Errorf("waiting for the cluster: %w", err)
	}
	return fmt.Errorf("the cluster ended: %s", state)
}

func (h *host) open(rec *record) (err error) {
	h.inside, err = forward.OpenNamespace(rec.Init.PID)
	if err != nil {
		return err
	}
	ctx := context.Background() // ends with the process
	api, err := listenStable(ctx, h.place.stablePort("kube-apiserver"))
	if err != nil {
		return err
	}
	rec.APIPort = api.Addr().(*net.TCPAddr).Port
	if err := h.place.writeRecord(*rec); err != nil {
		return err
	}
	go forward.Serve(ctx, api, func(ctx context.Context) (net.Conn, error) { return h.inside.Dial(ctx, apiAddress) }, report)
	if err := h.writeKubeconfig(rec.APIPort); err != nil {
		return err
	}
	if h.client, err = (native{h.place}).client(); err != nil {
		return err
	}
	return h.serveControl(ctx)
}

// writeKubeconfig gives the file to the user behind sudo: kubectl needs no root.
func (h *host) writeKubeconfig(port int) error {
	path := h.place.hostConfig()
	if err := pki.Kubeconfig(path, "https://127.0.0.1:"+strconv.Itoa(port), h.place.pki(), "admin", h.place.cgroup()); err != nil {
		return err
	}
	uid, errUID := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, errGID := strconv.Atoi(os.Getenv("SUDO_GID"))
	if errUID == nil && errGID == nil {
		if err := os.Chown(path, uid, gid); err != nil {
			return fmt.Errorf("giving the kubeconfig to its user: %w", err)
		}
	}
	return nil
}

func report(err error) { log.Print(err) }

// listenStable listens on 127.0.0.1, on the given port or, where another program has that, on the next free one.
func listenStable(ctx context.Context, port int) (net.Listener, error) {
	var config net.ListenConfig
	for try := port; try < port+100; try++ {
		listener, err := config.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(try)))
		if err == nil {
			return listener, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("listening on the host: %w", err)
		}
	}
	return nil, fmt.Errorf("listening on the host: ports %d to %d of 127.0.0.1 are all in use", port, port+99)
}

// serveControl answers the commands that change a running cluster, on a socket that only root can open.
func (h *host) serveControl(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", h.place.control())
	if err != nil {
		return fmt.Errorf("opening the control socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /forward", door(h.forward))
	mux.HandleFunc("POST /outbound", door(h.setOutbound))
	mux.HandleFunc("POST /state", door(h.state))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { report(server.Serve(listener)) }()
	return nil
}

// door makes a handler of a function: the request and the answer are JSON, an error is status 500 and plain text.
func door[Req, Resp any](f func(context.Context, Req) (Resp, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req Req
		err := json.NewDecoder(r.Body).Decode(&req)
		var resp Resp
		if err == nil {
			resp, err = f(r.Context(), req)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(resp) // the caller has gone
	}
}
