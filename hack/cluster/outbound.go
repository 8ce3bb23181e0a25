package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/hack/cluster/forward"
)

// target is an address on the host's side that pods may reach.
type target struct {
	Host string // a name or IPv4 address, as the host resolves it
	Port int
}

func (t target) String() string { return net.JoinHostPort(t.Host, strconv.Itoa(t.Port)) }

// hostAlias is the name under which pods reach the host's own loopback.
const hostAlias = "host.enigma.internal"

// name is how pods call the target: by its own name, so that TLS and virtual hosts work as outside. An address can't
// be called by itself, because inside the cluster it is another machine's.
func (t target) name() string {
	address, err := netip.ParseAddr(t.Host)
	switch {
	case t.Host == "localhost" || err == nil && address.IsLoopback():
		return hostAlias
	case err == nil:
		return strings.ReplaceAll(t.Host, ".", "-") + ".enigma.internal"
	}
	return t.Host
}

// parseOutbound reads HOST:PORT[,HOST:PORT…]; the empty string is no target.
func parseOutbound(list string) ([]target, error) {
	var targets []target
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		host, port, err := net.SplitHostPort(entry)
		if err != nil {
			return nil, fmt.Errorf("outbound target %q is not HOST:PORT, such as api.cloudflare.com:443 or 127.0.0.1:11434", entry)
		}
		number, err := strconv.Atoi(port)
		if err != nil || number < 1 || number > 65535 {
			return nil, fmt.Errorf("outbound target %q: the port must be a number from 1 to 65535", entry)
		}
		if strings.Contains(host, ":") {
			return nil, fmt.Errorf("outbound target %q: only names and IPv4 addresses", entry)
		}
		if host == "" || strings.ContainsAny(host, " \t/*#") || strings.Trim(host, ".") != host {
			return nil, fmt.Errorf("outbound target %q: %q is no host name", entry, host)
		}
		t := target{Host: strings.ToLower(host), Port: number}
		if !slices.Contains(targets, t) {
			targets = append(targets, t)
		}
	}
	return targets, nil
}

// exit is one way out of the cluster that is open.
type exit struct {
	Target  target
	Name    string // what pods call it
	Address string // where the cluster's DNS sends them
	close   func()
}

func (e exit) same(other exit) bool { return e.Target == other.Target && e.Address == other.Address }

// plan gives each name an address. The addresses are of a range that is reserved for documentation and lies outside
// the private ones: a NetworkPolicy that lets a pod out to the world but not into the cluster must take them for world.
func plan(targets []target) []exit {
	var exits []exit
	addresses := map[string]string{}
	for _, t := range targets {
		name := t.name()
		if addresses[name] == "" {
			addresses[name] = fmt.Sprintf("203.0.113.%d", 1+len(addresses))
		}
		exits = append(exits, exit{Target: t, Name: name, Address: addresses[name]})
	}
	return exits
}

// hostsFile is the plan as CoreDNS's hosts plugin reads it.
func hostsFile(exits []exit) string {
	var file strings.Builder
	seen := map[string]bool{}
	for _, e := range exits {
		if !seen[e.Name] {
			fmt.Fprintf(&file, "%s %s\n", e.Address, e.Name)
			seen[e.Name] = true
		}
	}
	return file.String()
}

// setOutbound makes the ways out those to the targets. One that stays is not touched: streams may go through it. On an
// error some may be open; the next call sets that right.
func (h *host) setOutbound(ctx context.Context, targets []target) ([]exit, error) {
	if len(targets) > 250 {
		return nil, fmt.Errorf("%d outbound targets: at most 250", len(targets))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	exits := plan(targets)
	var stay []exit
	for _, open := range h.outbound {
		if slices.ContainsFunc(exits, open.same) {
			stay = append(stay, open)
		} else {
			open.close()
		}
	}
	h.outbound = stay
	for _, e := range exits {
		if slices.ContainsFunc(stay, e.same) {
			continue
		}
		if err := h.openExit(ctx, &e); err != nil {
			return nil, fmt.Errorf("opening a way out to %s: %w", e.Target, err)
		}
		h.outbound = append(h.outbound, e)
	}
	if err := replaceDNSHosts(h.place, hostsFile(exits)); err != nil {
		return nil, err
	}
	return exits, nil
}

func (h *host) openExit(ctx context.Context, e *exit) error {
	cmd := exec.CommandContext(ctx, "ip", "addr", "replace", e.Address+"/32", "dev", "node0")
	if err := h.inside.Run(cmd); err != nil {
		return fmt.Errorf("adding address %s: %w", e.Address, err)
	}
	open, stop := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the request
	listener, err := h.inside.Listen(open, net.JoinHostPort(e.Address, strconv.Itoa(e.Target.Port)))
	if err != nil {
		stop()
		return err
	}
	address := e.Target.String()
	dial := func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "tcp4", address)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		forward.Serve(open, listener, dial, report)
	}()
	e.close = func() { stop(); <-served }
	return nil
}
