package forward_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/hack/cluster/forward"
)

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.(*net.TCPListener)
}

func dial(ctx context.Context, l net.Listener) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp4", l.Addr().String())
}

// through starts a forward to a target and returns both ends of one connection that goes through it.
func through(t *testing.T) (client, target *net.TCPConn) {
	t.Helper()
	behind, front := listen(t), listen(t)
	go forward.Serve(t.Context(), front, func(ctx context.Context) (net.Conn, error) { return dial(ctx, behind) }, func(err error) { t.Log(err) })
	conn, err := dial(t.Context(), front)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := behind.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = accepted.Close() })
	return conn.(*net.TCPConn), accepted
}

func TestEveryPieceArrivesBeforeTheNextIsSent(t *testing.T) {
	client, target := through(t)
	in := bufio.NewReader(client)
	for range 100 {
		if _, err := io.WriteString(target, "data: token\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := in.ReadString('\n'); err != nil || line != "data: token\n" {
			t.Fatalf("got %q, %v", line, err)
		}
	}
}

func TestHalfCloseIsPassedOnAndTheAnswerStillArrives(t *testing.T) {
	client, target := through(t)
	if _, err := io.WriteString(client, "question"); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	question, err := io.ReadAll(target)
	if err != nil || string(question) != "question" {
		t.Fatalf("the target read %q, %v", question, err)
	}
	if _, err := io.WriteString(target, "answer"); err != nil {
		t.Fatal(err)
	}
	_ = target.Close()
	answer, err := io.ReadAll(client)
	if err != nil || string(answer) != "answer" {
		t.Fatalf("the client read %q, %v", answer, err)
	}
}

func TestABrokenClientBreaksTheTarget(t *testing.T) {
	client, target := through(t)
	if err := client.SetLinger(0); err != nil { // close with a reset
		t.Fatal(err)
	}
	_ = client.Close()
	if _, err := io.ReadAll(target); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want the end or a reset", err)
	}
}

func TestAnUnreachableTargetClosesTheClientAndIsReported(t *testing.T) {
	front := listen(t)
	reports := make(chan error, 1)
	go forward.Serve(t.Context(), front, func(context.Context) (net.Conn, error) { return nil, errors.New("no endpoints") }, func(err error) { reports <- err })
	conn, err := dial(t.Context(), front)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	if err := <-reports; err.Error() != "no endpoints" {
		t.Errorf("reported %v", err)
	}
}

func TestServeEndsWithItsContextThoughAClientIsIdle(t *testing.T) {
	behind, front := listen(t), listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() {
		defer close(served)
		forward.Serve(ctx, front, func(ctx context.Context) (net.Conn, error) { return dial(ctx, behind) }, func(error) {})
	}()
	conn, err := dial(t.Context(), front)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := behind.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	cancel()
	<-served
	if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

func TestNamespaceNeedsALiteralAddressAndALivingProcess(t *testing.T) {
	if _, err := forward.OpenNamespace(1 << 30); err == nil {
		t.Error("opened the namespace of no process")
	}
	own, err := forward.OpenNamespace(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if _, err := own.Dial(t.Context(), "localhost:1"); err == nil || !strings.Contains(err.Error(), "not a literal IP") {
		t.Errorf("got %v", err)
	}
}

// TestAcrossNamespaces needs root: it makes a namespace that shares nothing with the host's network.
func TestAcrossNamespaces(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	sleeper := exec.CommandContext(t.Context(), "sh", "-c", "ip link set lo up && echo up && exec cat")
	sleeper.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	stdin, err := sleeper.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := sleeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sleeper.Start(); err != nil {
		t.Skipf("no network namespaces here: %v", err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _ = sleeper.Wait() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "up\n" {
		t.Fatalf("%q, %v", line, err)
	}
	inside, err := forward.OpenNamespace(sleeper.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	listener, err := inside.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address := listener.Addr().String()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = io.WriteString(conn, "from inside")
			_ = conn.Close()
		}
	}()
	var outside net.Dialer
	if conn, err := outside.DialContext(t.Context(), "tcp4", address); err == nil {
		_ = conn.Close()
		t.Errorf("%s is reachable from the host without a forward", address)
	}
	conn, err := inside.Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if said, err := io.ReadAll(conn); err != nil || string(said) != "from inside" {
		t.Errorf("got %q, %v", said, err)
	}
}
