package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/crispy-enigma/crispy-enigma/hack/cluster/pki"
)

func TestServerAndClientTrustEachOther(t *testing.T) {
	dir := t.TempDir()
	ca, err := pki.NewAuthority(dir, "ca", "test-ca")
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Server("server", "server", "127.0.0.1", "kubernetes.default.svc"); err != nil {
		t.Fatal(err)
	}
	if err := ca.Client("admin", "admin", "system:masters"); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatal("ca.crt is no certificate")
	}
	pair := func(name string) tls.Certificate {
		c, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair("server")}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	subjects := make(chan string, 1)
	go func() {
		defer close(subjects)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if conn.(*tls.Conn).Handshake() == nil {
			subjects <- conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.String()
		}
	}()
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair("admin")}}}
	conn, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
	if got := <-subjects; got != "CN=admin,O=system:masters" {
		t.Errorf("the server saw %q", got)
	}
	leaf, err := x509.ParseCertificate(pair("server").Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := leaf.VerifyHostname("kubernetes.default.svc"); err != nil {
		t.Error(err)
	}
	if len(leaf.IPAddresses) != 1 || !leaf.IPAddresses[0].Equal(net.IPv4(127, 0, 0, 1)) {
		t.Errorf("addresses %v", leaf.IPAddresses)
	}
}

func TestSecretsAreTheOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	ca, err := pki.NewAuthority(dir, "ca", "test-ca")
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Client("admin", "admin"); err != nil {
		t.Fatal(err)
	}
	if err := pki.SigningKey(dir, "sa"); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := pki.Kubeconfig(kubeconfig, "https://127.0.0.1:1", dir, "admin", "here"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ca.key", "admin.key", "sa.key", "kubeconfig"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil || config.Host != "https://127.0.0.1:1" || len(config.KeyData) == 0 {
		t.Errorf("kubeconfig does not load whole: %v", err)
	}
	if err := pki.Kubeconfig(kubeconfig, "https://127.0.0.1:1", dir, "absent", "here"); err == nil {
		t.Error("a kubeconfig without its certificate was written")
	}
}
