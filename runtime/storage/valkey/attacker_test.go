package valkey_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
)

// attacker speaks the protocol itself, so that no client keeps a command from being
// sent. It returns the server's error; a command that was let through gets a new
// connection after it.
func attacker(t testing.TB, r *servers.RedisServer, user string) func(command ...string) error {
	t.Helper()
	var conn net.Conn
	var answers *bufio.Reader
	send := func(command ...string) error {
		var b strings.Builder
		fmt.Fprintf(&b, "*%d\r\n", len(command))
		for _, word := range command {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
		}
		if _, err := conn.Write([]byte(b.String())); err != nil {
			t.Fatal(err)
		}
		line, err := answers.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: %v", command[0], err)
		}
		if strings.HasPrefix(line, "-") {
			return errors.New(strings.TrimSpace(line[1:]))
		}
		return nil
	}
	dial := func() {
		if conn != nil {
			_ = conn.Close()
		}
		var err error
		if conn, err = (&net.Dialer{Deadline: time.Now().Add(5 * time.Second)}).DialContext(t.Context(), "tcp", r.Addr); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		answers = bufio.NewReader(conn)
		if err := send("AUTH", user, password); err != nil {
			t.Fatal(err)
		}
	}
	dial()
	t.Cleanup(func() { _ = conn.Close() })
	return func(command ...string) error {
		err := send(command...)
		if err == nil {
			dial()
		}
		return err
	}
}
