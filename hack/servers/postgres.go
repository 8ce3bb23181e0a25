package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// PostgresServer is one PostgreSQL server on a loopback port of its own.
type PostgresServer struct {
	// Port stays the same over Kill and Start.
	Port int

	bin, dir string
	hold     io.WriteCloser
	exited   chan struct{}
	made     atomic.Int64
}

// postgresPassword is every login's in a server that nobody else reaches.
const postgresPassword = "for-tests-only"

var sharedPostgres = sync.OnceValues(func() (*PostgresServer, error) {
	return startPostgres(func(string) []string { return nil })
})

// Postgres is a server that all tests of this process share. It ends, and its files go,
// with the process, however that ends.
func Postgres(t testing.TB) *PostgresServer {
	t.Helper()
	s, err := sharedPostgres()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// OwnPostgres is a server of the test's own, to be killed and started. settings are lines
// of postgresql.conf that override the defaults, among which are fsync=off.
func OwnPostgres(t testing.TB, settings ...string) *PostgresServer {
	t.Helper()
	s, err := startPostgres(func(string) []string { return settings })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(t) })
	return s
}

// TLSPostgres is OwnPostgres that also speaks TLS, with a certificate for 127.0.0.1 that
// is returned in PEM.
func TLSPostgres(t testing.TB) (*PostgresServer, []byte) {
	t.Helper()
	var certificate []byte
	s, err := startPostgres(func(dir string) []string {
		certificate = writeCertificate(t, dir)
		return []string{"ssl = on", fmt.Sprintf("ssl_key_file = '%s/server.key'", dir), fmt.Sprintf("ssl_cert_file = '%s/server.pem'", dir)}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(t) })
	return s, certificate
}

// URL is of a login to a database; all logins that the server makes itself have the same
// password.
func (s *PostgresServer) URL(user, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Super is the URL of the superuser's login.
func (s *PostgresServer) Super(database string) string {
	return s.URL("postgres", postgresPassword, database)
}

// Database makes a database and a login that owns it, may make roles, and is no
// superuser: what an operator is given. The login's name and the database's are the same.
func (s *PostgresServer) Database(t testing.TB) (database, adminURL string) {
	t.Helper()
	name := fmt.Sprintf("test%d", s.made.Add(1))
	s.psql(t, fmt.Sprintf("CREATE ROLE %s LOGIN CREATEROLE PASSWORD '%s'", name, postgresPassword), fmt.Sprintf("CREATE DATABASE %s OWNER %s", name, name))
	return name, s.URL(name, postgresPassword, name)
}

func (s *PostgresServer) psql(t testing.TB, statements ...string) {
	t.Helper()
	args := []string{"-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", s.Super("postgres")}
	for _, statement := range statements {
		args = append(args, "-c", statement)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(s.bin, "psql"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
}

// Kill ends the server and all its processes with SIGKILL, as a crash would.
func (s *PostgresServer) Kill(t testing.TB) {
	t.Helper()
	pid, err := s.pid()
	if err != nil {
		t.Fatal(err)
	}
	// Stopped, it can neither tidy up nor start another process.
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatalf("stopping PostgreSQL: %v", err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatalf("finding PostgreSQL's processes: %v", err)
	}
	all := append(strings.Fields(string(children)), strconv.Itoa(pid))
	for _, process := range all {
		id, err := strconv.Atoi(process)
		if err != nil {
			t.Fatalf("reading a process's id: %v", err)
		}
		// One may have ended by itself meanwhile.
		if err := syscall.Kill(id, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatalf("killing PostgreSQL: %v", err)
		}
	}
	if _, err := io.WriteString(s.hold, "leave\n"); err != nil {
		t.Fatalf("leaving PostgreSQL's files: %v", err)
	}
	<-s.exited
	_ = s.hold.Close()
	// Their shared memory is in use until the last has gone.
	for _, process := range all {
		for alive(process) {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// alive tells whether a process runs; one that has ended may wait to be buried.
func alive(pid string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// Start starts a server that was killed, on the same port and files, and returns when it
// takes connections.
func (s *PostgresServer) Start(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

func (s *PostgresServer) pid() (int, error) {
	pidFile, err := os.ReadFile(filepath.Join(s.dir, "data", "postmaster.pid"))
	if err != nil {
		return 0, fmt.Errorf("finding PostgreSQL's process: %w", err)
	}
	line, _, _ := strings.Cut(string(pidFile), "\n")
	return strconv.Atoi(line)
}

// startPostgres starts a server with the settings that are given for its directory, in
// which files for it may be put.
func startPostgres(settings func(dir string) []string) (*PostgresServer, error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(bins) == 0 {
		return nil, errors.New("PostgreSQL is not installed: run `go run ./hack/toolbox packages`")
	}
	slices.Sort(bins)
	s := &PostgresServer{bin: filepath.Dir(bins[len(bins)-1])}
	if s.dir, err = os.MkdirTemp("", "postgres-test-*"); err != nil {
		return nil, fmt.Errorf("making a directory for PostgreSQL: %w", err)
	}
	credential, err := postgresUser()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.initialise(credential, settings(s.dir)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.run(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

// initialise makes the files of a cluster and gives it a port that is free now.
func (s *PostgresServer) initialise(credential *syscall.Credential, settings []string) error {
	secret := filepath.Join(s.dir, "password")
	if err := os.WriteFile(secret, []byte(postgresPassword+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing PostgreSQL's password: %w", err)
	}
	if err := give(s.dir, credential); err != nil {
		return fmt.Errorf("giving PostgreSQL its directory: %w", err)
	}
	initdb := exec.CommandContext(context.Background(), filepath.Join(s.bin, "initdb"), "-D", filepath.Join(s.dir, "data"), "-U", "postgres",
		"-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir = s.dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Pdeathsig: syscall.SIGKILL}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("running initdb: %w\n%s", err, out)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("finding a free port: %w", err)
	}
	s.Port = listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return fmt.Errorf("finding a free port: %w", err)
	}
	conf, err := os.OpenFile(filepath.Join(s.dir, "data", "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configuring PostgreSQL: %w", err)
	}
	lines := append([]string{
		"listen_addresses = '127.0.0.1'", fmt.Sprintf("port = %d", s.Port), fmt.Sprintf("unix_socket_directories = '%s'", s.dir),
		"fsync = off", "full_page_writes = off", "max_connections = 200", "shared_buffers = 64MB", "log_min_messages = error",
	}, settings...)
	_, err = fmt.Fprintln(conf, strings.Join(lines, "\n"))
	if err = errors.Join(err, conf.Close()); err != nil {
		return fmt.Errorf("configuring PostgreSQL: %w", err)
	}
	return nil
}

// give makes a directory and the files in it the server's.
func give(dir string, credential *syscall.Credential) error {
	if credential == nil {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	for _, path := range append(files, dir) {
		if err := os.Chown(path, int(credential.Uid), int(credential.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// keeperScript runs the server beside a pipe that this process holds: when the process
// is gone, by whatever end, so is the server, and its files.
const keeperScript = `"$0" -D "$1/data" </dev/null >>"$1/log" 2>&1 3<&- & server=$!
{
  read -r what
  [ "$what" = leave ] && exit
  kill -QUIT $server
  while kill -0 $server; do sleep 0.05; done
  rm -rf "$1"
} <&3 3<&- 2>/dev/null &
exec 3<&-
wait $server`

// run starts the server and waits until it takes connections.
func (s *PostgresServer) run() error {
	credential, err := postgresUser()
	if err != nil {
		return err
	}
	read, hold, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	keeper := exec.CommandContext(context.Background(), "sh", "-c", keeperScript, filepath.Join(s.bin, "postgres"), s.dir)
	keeper.Dir, keeper.ExtraFiles = s.dir, []*os.File{read}
	keeper.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Setpgid: true}
	if err := keeper.Start(); err != nil {
		return errors.Join(fmt.Errorf("starting PostgreSQL: %w", err), read.Close(), hold.Close())
	}
	_ = read.Close()
	s.hold, s.exited = hold, make(chan struct{})
	go func() {
		_ = keeper.Wait() // what it died of is in the log
		close(s.exited)
	}()
	deadline := time.After(30 * time.Second)
	for {
		ready := exec.CommandContext(context.Background(), filepath.Join(s.bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(s.Port))
		if ready.Run() == nil {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("PostgreSQL ended at its start:\n%s", s.log())
		case <-deadline:
			return fmt.Errorf("PostgreSQL takes no connections after 30 s:\n%s", s.log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *PostgresServer) log() []byte {
	log, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return []byte(err.Error())
	}
	return bytes.TrimSpace(log)
}

// stop ends the server now and removes its files.
func (s *PostgresServer) stop(t testing.TB) {
	t.Helper()
	_ = s.hold.Close()
	<-s.exited
	if err := os.RemoveAll(s.dir); err != nil {
		t.Errorf("removing PostgreSQL's files: %v", err)
	}
}

// postgresUser is whom the server runs as: PostgreSQL refuses root.
func postgresUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL doesn't run as root: %w; run `go run ./hack/toolbox packages`", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("reading the id of user postgres: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("reading the group of user postgres: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
