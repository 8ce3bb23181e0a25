package servers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"
)

// RedisAdmin is the password of the login "default", which may do everything.
const RedisAdmin = "ce_c4nary_redis_admin"

// RedisOptions of a server; the zero value is ready to use.
type RedisOptions struct {
	// TLS has the server speak TLS alone, with a certificate of its own.
	TLS bool
	// Args are more lines of its configuration, as arguments ("--maxmemory", "10mb").
	Args []string
}

// RedisServer is one redis-server process.
type RedisServer struct {
	// Addr is its address on loopback; it stays over Stop and Start.
	Addr string
	// CA is the certificate, in PEM, that the server's is checked against; nil without TLS.
	CA []byte

	args []string
	dir  string
	stop func()
}

// Redis starts a server that keeps nothing on disk. It ends with the test, and with the
// process.
func Redis(tb testing.TB, o RedisOptions) *RedisServer {
	tb.Helper()
	r := &RedisServer{Addr: freeAddr(tb), dir: tb.TempDir()}
	if o.TLS {
		r.CA = writeCertificate(tb, r.dir)
		r.args = append(r.args, "--port", "0", "--tls-port", r.port(), "--tls-auth-clients", "no",
			"--tls-cert-file", "server.pem", "--tls-key-file", "server.key", "--tls-ca-cert-file", "server.pem")
	} else {
		r.args = append(r.args, "--port", r.port())
	}
	r.args = append(r.args, o.Args...)
	r.Start(tb)
	tb.Cleanup(r.Stop)
	return r
}

func (r *RedisServer) port() string { return r.Addr[strings.LastIndex(r.Addr, ":")+1:] }

// Start starts the server again after Stop, empty.
func (r *RedisServer) Start(tb testing.TB) {
	tb.Helper()
	args := append([]string{
		"--bind", "127.0.0.1", "--dir", r.dir, "--save", "", "--appendonly", "no",
		"--requirepass", RedisAdmin, "--masterauth", RedisAdmin,
		"--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0",
	}, r.args...)
	r.stop = run(tb, "Ready to accept connections", "redis-server", args...)
}

// Stop kills the server.
func (r *RedisServer) Stop() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

// URL is its address with a login.
func (r *RedisServer) URL(user, password string) string {
	u := url.URL{Scheme: "redis", Host: r.Addr, User: url.UserPassword(user, password)}
	if r.CA != nil {
		u.Scheme = "rediss"
	}
	return u.String()
}

// Do runs one command as the admin. An error of the server ends the test.
func (r *RedisServer) Do(tb testing.TB, command ...string) valkey.ValkeyMessage {
	tb.Helper()
	m, err := r.TryDo(tb.Context(), "default", RedisAdmin, command...)
	if err != nil {
		tb.Fatalf("redis: %s: %v", command[0], err)
	}
	return m
}

// TryDo runs one command, on a connection of its own, as somebody.
func (r *RedisServer) TryDo(ctx context.Context, user, password string, command ...string) (valkey.ValkeyMessage, error) {
	o := valkey.ClientOption{
		InitAddress: []string{r.Addr}, Username: user, Password: password,
		ForceSingleClient: true, DisableCache: true, DisableRetry: true, ClientSetInfo: valkey.DisableClientSetInfo,
	}
	if r.CA != nil {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(r.CA)
		o.TLSConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	c, err := valkey.NewClient(o)
	if c != nil {
		defer c.Close()
	}
	if err != nil {
		return valkey.ValkeyMessage{}, err
	}
	return c.Do(ctx, c.B().Arbitrary(command...).Build()).ToMessage()
}

// SetUser makes a login, or changes it.
func (r *RedisServer) SetUser(tb testing.TB, user, password string, rules []string) {
	tb.Helper()
	r.Do(tb, append([]string{"ACL", "SETUSER", user, "reset", "on", ">" + password}, rules...)...)
}

// RedisCluster starts three masters that have all slots between them.
func RedisCluster(tb testing.TB) []*RedisServer {
	tb.Helper()
	const slots = 16384
	nodes := make([]*RedisServer, 3)
	firstBus := ""
	for i := range nodes {
		_, bus, err := net.SplitHostPort(freeAddr(tb))
		if err != nil {
			tb.Fatal(err)
		}
		if i == 0 {
			firstBus = bus
		}
		nodes[i] = Redis(tb, RedisOptions{Args: []string{
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
			"--cluster-port", bus, "--cluster-node-timeout", "2000",
		}})
		nodes[i].Do(tb, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		nodes[i].Do(tb, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*slots/3), strconv.Itoa((i+1)*slots/3-1))
		if i > 0 {
			nodes[i].Do(tb, "CLUSTER", "MEET", "127.0.0.1", nodes[0].port(), firstBus)
		}
	}
	for _, n := range nodes {
		await(tb, "the cluster to be whole", func() bool {
			info := n.Do(tb, "CLUSTER", "INFO")
			text, err := info.ToString()
			return err == nil && strings.Contains(text, "cluster_state:ok") && strings.Contains(text, "cluster_known_nodes:3")
		})
	}
	return nodes
}

// RedisSentinel is a master, its replica and a sentinel that watches both.
type RedisSentinel struct {
	// Addr of the sentinel, which asks for no login.
	Addr string
	// MasterSet is the name under which it knows the master.
	MasterSet       string
	Master, Replica *RedisServer
}

// Sentinel starts one; args are more configuration of both servers. A master that is stopped is replaced within about two seconds.
func Sentinel(tb testing.TB, args ...string) *RedisSentinel {
	tb.Helper()
	s := &RedisSentinel{Addr: freeAddr(tb), MasterSet: "main", Master: Redis(tb, RedisOptions{Args: args})}
	s.Replica = Redis(tb, RedisOptions{Args: append(slices.Clone(args), "--replicaof", "127.0.0.1 "+s.Master.port())})
	await(tb, "the replica to follow", func() bool {
		info := s.Replica.Do(tb, "INFO", "replication")
		text, err := info.ToString()
		return err == nil && strings.Contains(text, "master_link_status:up")
	})
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		tb.Fatal(err)
	}
	// A sentinel writes what it learns into its configuration.
	file := filepath.Join(tb.TempDir(), "sentinel.conf")
	lines := []string{
		"port " + port, "bind 127.0.0.1", "dir " + filepath.Dir(file),
		"sentinel monitor main 127.0.0.1 " + s.Master.port() + " 1",
		"sentinel auth-pass main " + RedisAdmin,
		"sentinel down-after-milliseconds main 300", "sentinel failover-timeout main 3000",
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(run(tb, "monitor master", "redis-server", file, "--sentinel"))
	asked := &RedisServer{Addr: s.Addr}
	await(tb, "the sentinel to know the replica", func() bool {
		replicas, err := asked.TryDo(tb.Context(), "", "", "SENTINEL", "REPLICAS", s.MasterSet)
		if err != nil {
			return false
		}
		known, err := replicas.ToArray()
		if err != nil || len(known) != 1 {
			return false
		}
		fields, err := known[0].AsStrMap()
		return err == nil && fields["master-link-status"] == "ok"
	})
	return s
}

// redisBinary finds the server. Debian's redis-tools has it under another name: it is
// whatever it is called by.
func redisBinary() (path string, err error) {
	for _, name := range []string{"redis-server", "valkey-server", "redis-check-rdb"} {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no redis-server: make test installs it, or go run ./hack/toolbox packages")
}

// await looks every few milliseconds; nobody tells when a server has got there.
func await(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			tb.Fatalf("waited 15s for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("looking for a free port: %v", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func run(tb testing.TB, ready, name string, args ...string) (stop func()) {
	tb.Helper()
	path, err := redisBinary()
	if err != nil {
		tb.Fatal(err)
	}
	stop, err = start(path, name, args, ready)
	if err != nil {
		tb.Fatal(fmt.Errorf("starting %s: %w", name, err))
	}
	return stop
}
