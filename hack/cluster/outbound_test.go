package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestParseOutbound(t *testing.T) {
	got, err := parseOutbound(" api.cloudflare.com:443, 127.0.0.1:11434,API.cloudflare.com:443,")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]target{{"api.cloudflare.com", 443}, {"127.0.0.1", 11434}}, got); diff != "" {
		t.Error(diff)
	}
	if got, err := parseOutbound(""); err != nil || got != nil {
		t.Errorf("the empty list is %v, %v", got, err)
	}
	for _, bad := range []string{"api.cloudflare.com", "host:0", "host:65536", "host:https", ":80", "[::1]:80", "a b:80", ".a:80", "*.example.com:443", "https://example.com:443"} {
		if got, err := parseOutbound(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q is %v, %v; want an error that names it", bad, got, err)
		}
	}
}

func TestPlanGivesEachNameOneAddress(t *testing.T) {
	exits := plan([]target{{"api.cloudflare.com", 443}, {"127.0.0.1", 11434}, {"api.cloudflare.com", 80}, {"localhost", 1234}, {"192.168.1.5", 8000}})
	const file = "203.0.113.1 api.cloudflare.com\n203.0.113.2 host.enigma.internal\n203.0.113.3 192-168-1-5.enigma.internal\n"
	if diff := cmp.Diff(file, hostsFile(exits)); diff != "" {
		t.Error(diff)
	}
	if exits[0].Address != exits[2].Address || exits[1].Address != exits[3].Address {
		t.Errorf("one name has two addresses: %+v", exits)
	}
}

func TestParseService(t *testing.T) {
	got, err := parseService("acme/chat:http")
	if err != nil || got != (serviceRef{"acme", "chat", "http"}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "chat:80", "acme/chat", "/chat:80", "acme/:80", "acme/chat:", "a/b/c:80"} {
		if _, err := parseService(bad); err == nil {
			t.Errorf("%q passes for a service", bad)
		}
	}
}

func TestAddressOfService(t *testing.T) {
	service := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.96.1.2", Ports: []corev1.ServicePort{
		{Name: "http", Port: 80}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
	}}}
	for _, port := range []string{"80", "http"} {
		if got, err := addressOf(service, serviceRef{"a", "b", port}); err != nil || got != "10.96.1.2:80" {
			t.Errorf("port %s is %q, %v", port, got, err)
		}
	}
	if _, err := addressOf(service, serviceRef{"a", "b", "dns"}); err == nil || !strings.Contains(err.Error(), "it has: 80 http") {
		t.Errorf("a UDP port said %v", err)
	}
	service.Spec.ClusterIP = corev1.ClusterIPNone
	if _, err := addressOf(service, serviceRef{"a", "b", "80"}); err == nil || !strings.Contains(err.Error(), "headless") {
		t.Errorf("a headless service said %v", err)
	}
}

func TestStablePortIsBelowTheEphemeralRange(t *testing.T) {
	p := newPlace("/somewhere", "")
	if p.stablePort("a/b:80") != newPlace("/somewhere", "").stablePort("a/b:80") {
		t.Error("the port changes")
	}
	for _, what := range []string{"a/b:80", "kube-apiserver", "x/y:http"} {
		if port := p.stablePort(what); port < 20000 || port >= 30000 {
			t.Errorf("port %d", port)
		}
	}
	busy, err := listenStable(t.Context(), p.stablePort("a/b:80"))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	other, err := listenStable(t.Context(), p.stablePort("a/b:80"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if other.Addr().String() == busy.Addr().String() {
		t.Error("two listeners have one port")
	}
}
