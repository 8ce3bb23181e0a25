package statestore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
)

const (
	// callTimeout bounds one command.
	callTimeout = 5 * time.Second
	// believed is how long a login that was looked at is taken to be as it was.
	believed = 20 * time.Second
	// scanCount is how many keys the server looks at in one step of an erasure.
	scanCount = "5000"
)

// valkeyServer is one server with its replicas, a cluster, or what sentinels watch.
type valkeyServer struct {
	address *Address

	mu      sync.Mutex
	clients map[string]valkey.Client
	seen    map[string]sighting
	sweeps  map[string]*sweep
}

// sighting is a login as it was last found or made on every node.
type sighting struct {
	passwords string
	at        time.Time
}

// sweep is how far the erasure of one tenant has got. It is lost with the operator, which
// then begins anew.
type sweep struct {
	masters []string
	at      int
	cursor  string
}

func newValkey(a *Address) *valkeyServer {
	return &valkeyServer{address: a, clients: map[string]valkey.Client{}, seen: map[string]sighting{}, sweeps: map[string]*sweep{}}
}

// Close implements Server.
func (v *valkeyServer) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for addr, c := range v.clients {
		c.Close()
		delete(v.clients, addr)
	}
}

// Admit implements Server. Nodes don't tell each other of logins, and forget them when
// they start: each is looked at.
func (v *valkeyServer) Admit(ctx context.Context, tag string, l Login) error {
	want := []string{DigestOf(l.Password)}
	if l.Previous != "" {
		want = append(want, l.Previous)
	}
	slices.Sort(want)
	passwords := strings.Join(want, " ")
	v.mu.Lock()
	had := v.seen[tag]
	v.mu.Unlock()
	if !l.Renew && had.passwords == passwords && time.Since(had.at) < believed {
		return nil
	}
	nodes, err := v.nodes(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, n := range nodes {
		failed = errors.Join(failed, v.admit(ctx, n.addr, tag, want))
	}
	if failed != nil {
		return first(failed)
	}
	v.mu.Lock()
	v.seen[tag] = sighting{passwords, time.Now()}
	v.mu.Unlock()
	return nil
}

func (v *valkeyServer) admit(ctx context.Context, addr, tag string, passwords []string) error {
	user := statestore.ACLUser(tag)
	have, err := v.do(ctx, addr, "ACL", "GETUSER", user)
	if err != nil && !valkey.IsValkeyNil(err) {
		return v.explain(addr, err)
	}
	if err == nil && admits(have, tag, passwords) {
		return nil
	}
	// One command, so that nobody is let in by half of it.
	args := []string{"ACL", "SETUSER", user, "reset", "on"}
	for _, p := range passwords {
		args = append(args, "#"+p)
	}
	if _, err := v.do(ctx, addr, append(args, statestore.ACLRules(tag)...)...); err != nil {
		return v.explain(addr, err)
	}
	return nil
}

// admits tells whether a login, as the server shows it, is what the rules say.
func admits(shown valkey.ValkeyMessage, tag string, passwords []string) bool {
	fields, err := shown.AsMap()
	if err != nil {
		return false
	}
	list := func(name string) []string {
		m := fields[name]
		values, err := m.AsStrSlice()
		if err != nil {
			return []string{"unreadable"}
		}
		slices.Sort(values)
		return values
	}
	text := func(name string) string {
		m := fields[name]
		s, err := m.ToString()
		if err != nil {
			return "unreadable"
		}
		return s
	}
	var commands []string
	for _, rule := range statestore.ACLRules(tag) {
		if strings.ContainsAny(rule[:1], "+-") {
			commands = append(commands, rule)
		}
	}
	have := strings.Fields(text("commands"))
	slices.Sort(commands)
	slices.Sort(have)
	flags := list("flags")
	return slices.Contains(flags, "on") && !slices.Contains(flags, "nopass") &&
		slices.Equal(list("passwords"), passwords) && slices.Equal(have, commands) &&
		text("keys") == "~"+statestore.KeyPrefix(tag)+"*" && text("channels") == "" && len(list("selectors")) == 0
}

// Expel implements Server.
func (v *valkeyServer) Expel(ctx context.Context, tag string) error {
	v.mu.Lock()
	delete(v.seen, tag)
	v.mu.Unlock()
	nodes, err := v.nodes(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, n := range nodes {
		if _, err := v.do(ctx, n.addr, "ACL", "DELUSER", statestore.ACLUser(tag)); err != nil {
			failed = errors.Join(failed, v.explain(n.addr, err))
		}
	}
	return first(failed)
}

// Erase implements Server.
func (v *valkeyServer) Erase(ctx context.Context, tag string) (more bool, err error) {
	nodes, err := v.nodes(ctx)
	if err != nil {
		return false, err
	}
	var masters []string
	for _, n := range nodes {
		if n.master {
			masters = append(masters, n.addr)
		}
	}
	v.mu.Lock()
	s := v.sweeps[tag]
	if s == nil || !slices.Equal(s.masters, masters) {
		s = &sweep{masters: masters, cursor: "0"}
		v.sweeps[tag] = s
	}
	v.mu.Unlock()
	for begun := time.Now(); s.at < len(s.masters); {
		if time.Since(begun) > eraseFor {
			return true, nil
		}
		if err := v.sweepStep(ctx, tag, s); err != nil {
			return false, err
		}
	}
	v.mu.Lock()
	delete(v.sweeps, tag)
	v.mu.Unlock()
	return false, nil
}

func (v *valkeyServer) sweepStep(ctx context.Context, tag string, s *sweep) error {
	addr := s.masters[s.at]
	m, err := v.do(ctx, addr, "SCAN", s.cursor, "MATCH", statestore.KeyPrefix(tag)+"*", "COUNT", scanCount)
	if err != nil {
		return v.explain(addr, err)
	}
	entry, err := m.ToArray()
	if err != nil || len(entry) != 2 {
		return refused(Valkey, addr, "it doesn't list keys as it should", err)
	}
	cursor, err := entry[0].ToString()
	if err != nil {
		return refused(Valkey, addr, "it doesn't list keys as it should", err)
	}
	keys, err := entry[1].AsStrSlice()
	if err != nil {
		return refused(Valkey, addr, "it doesn't list keys as it should", err)
	}
	if len(keys) > 0 {
		if _, err := v.do(ctx, addr, append([]string{"UNLINK"}, keys...)...); err != nil {
			return v.explain(addr, err)
		}
	}
	if s.cursor = cursor; cursor == "0" {
		s.at++
	}
	return nil
}

// do runs one command on one node.
func (v *valkeyServer) do(ctx context.Context, addr string, command ...string) (valkey.ValkeyMessage, error) {
	return v.doAs(ctx, addr, v.address.user, v.address.password, v.address.database, command...)
}

func (v *valkeyServer) doAs(ctx context.Context, addr, user, password string, database int, command ...string) (valkey.ValkeyMessage, error) {
	c, err := v.client(addr, user, password, database)
	if err != nil {
		return valkey.ValkeyMessage{}, err
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m, err := c.Do(limited, c.B().Arbitrary(command...).Build()).ToMessage()
	if _, answered := valkey.IsValkeyErr(err); err != nil && !answered {
		v.forget(addr, c)
	}
	return m, err
}

func (v *valkeyServer) client(addr, user, password string, database int) (valkey.Client, error) {
	v.mu.Lock()
	c := v.clients[addr]
	v.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := valkey.NewClient(valkey.ClientOption{
		InitAddress: []string{addr}, Username: user, Password: password, SelectDB: database, TLSConfig: v.address.tls,
		Dialer: net.Dialer{Timeout: dialTimeout}, ConnWriteTimeout: callTimeout,
		ForceSingleClient: true, DisableCache: true, DisableRetry: true, ClientSetInfo: valkey.DisableClientSetInfo,
	})
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if other := v.clients[addr]; other != nil {
		c.Close()
		return other, nil
	}
	v.clients[addr] = c
	return c, nil
}

func (v *valkeyServer) forget(addr string, c valkey.Client) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.clients[addr] == c {
		delete(v.clients, addr)
		c.Close()
	}
	maps.DeleteFunc(v.seen, func(string, sighting) bool { return true }) // it may have started anew
}

// explain tells what people should see of an error.
func (v *valkeyServer) explain(addr string, err error) error {
	answer, answered := valkey.IsValkeyErr(err)
	if !answered {
		return away(Valkey, addr, err)
	}
	text := answer.Error()
	code, _, _ := strings.Cut(text, " ")
	switch code {
	case "WRONGPASS", "NOAUTH":
		return refused(Valkey, addr, "it doesn't take the login that the operator has", err)
	case "NOPERM":
		return refused(Valkey, addr, "the operator's login may not run ACL, INFO, CLUSTER, SCAN or UNLINK; let it", err)
	case "LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN":
		return away(Valkey, addr, err)
	}
	if strings.Contains(text, "#") { // a digest of a password is in it
		text = code
	}
	return refused(Valkey, addr, text, err)
}

// first of joined errors, so that the same trouble gives the same text.
func first(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if err != nil {
		return fmt.Errorf("asking a state server: %w", err)
	}
	return nil
}
