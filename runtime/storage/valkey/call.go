package valkey

import (
	"context"
	"crypto/sha1" //nolint:gosec // the protocol names a script by its SHA-1
	"embed"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	valkeygo "github.com/valkey-io/valkey-go"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

//go:embed lua/*.lua
var sources embed.FS

// script is one atomic call. Its first argument is the mark of the call, which it
// returns before anything else.
type script struct{ text, sha string }

// The scripts. Those of several files begin with what they share.
var (
	takeScript    = load("windows", "log", "take")
	returnScript  = load("windows", "log", "return")
	reserveScript = load("number", "budget", "reserve")
	settleScript  = load("number", "budget", "settle")
	useScript     = load("number", "use")
	appendScript  = load("append")
	historyScript = load("history")
	dropScript    = load("drop")
	pageScript    = load("page")
	recordScript  = load("record")
	putScript     = load("put")
	callScript    = load("call")
)

func load(names ...string) *script {
	var text strings.Builder
	for _, name := range names {
		b, err := sources.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // a name that isn't embedded is a misspelt one
		}
		text.Write(b)
	}
	sum := sha1.Sum([]byte(text.String())) //nolint:gosec // the protocol names a script by its SHA-1
	return &script{text.String(), hex.EncodeToString(sum[:])}
}

// names are how the server knows one tenant.
type names struct {
	tag string
	// mark is the tag in 16 bytes, as values carry it.
	mark   string
	prefix string
	// windowKeys are those of the windows' scripts.
	windowKeys []string
	takes      queue[taking, storage.Taken]
	reserves   queue[reserving, storage.Reservation]
	sums       queue[sum, struct{}]
}

func (s *Store) namesOf(t tenancy.ID) *names {
	if n, ok := s.names.Load(t.Identity()); ok {
		return n.(*names)
	}
	tag := statestore.Tag(t.Identity())
	mark, _ := hex.DecodeString(tag) // Tag is hexadecimal
	// All callers of a tenant share one.
	made := &names{tag: tag, mark: string(mark), prefix: statestore.KeyPrefix(tag)}
	made.windowKeys = []string{made.key("windows"), made.key("windows", "before"), made.key("windowlogs")}
	made.takes.send = func(some []taking) []answer[storage.Taken] { return s.decide(made, some) }
	made.takes.atOnce, made.takes.most = takesAtOnce, callsAtOnce
	made.reserves.send = func(some []reserving) []answer[storage.Reservation] { return s.reserve(made, some) }
	made.reserves.atOnce, made.reserves.most = reservesAtOnce, callsAtOnce
	made.sums.send = func(some []sum) []answer[struct{}] { return s.sendSums(made, some) }
	made.sums.atOnce, made.sums.most = sumsAtOnce, callsAtOnce
	n, _ := s.names.LoadOrStore(t.Identity(), made)
	return n.(*names)
}

// key spells a key of the tenant. Each part carries its length, so no choice of parts
// spells the key of others.
func (n *names) key(kind string, parts ...string) string {
	var b strings.Builder
	b.WriteString(n.prefix)
	b.WriteString(kind)
	for _, p := range parts {
		b.WriteByte(':')
		b.WriteString(part(p))
	}
	return b.String()
}

func part(p string) string { return strconv.Itoa(len(p)) + ":" + p }

// admit refuses a call that names no tenant, or whose context has ended.
func (s *Store) admit(ctx context.Context, t tenancy.ID) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	return ctx.Err()
}

// run is one round trip. What it returns is the script's, without the mark.
func (s *Store) run(ctx context.Context, n *names, sc *script, keys []string, args ...string) ([]valkeygo.ValkeyMessage, error) {
	replies, err := s.runAll(ctx, n, sc, []call{{keys, args}})
	if err != nil {
		return nil, err
	}
	return replies[0], nil
}

type call struct{ keys, args []string }

// runAll sends calls of one script together. Each is atomic, all of them are not.
func (s *Store) runAll(ctx context.Context, n *names, sc *script, calls []call) ([][]valkeygo.ValkeyMessage, error) {
	return s.runAllWithin(ctx, callTimeout, n, sc, calls)
}

func (s *Store) runAllWithin(ctx context.Context, most time.Duration, n *names, sc *script, calls []call) ([][]valkeygo.ValkeyMessage, error) {
	link := s.link.client.Load()
	if link == nil || s.link.closed.Load() {
		return nil, unavailable(s.Health().Reason)
	}
	c := *link
	bounded, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	marks := make([]string, len(calls))
	commands := make([]valkeygo.Completed, len(calls))
	for i, call := range calls {
		marks[i] = n.tag + strconv.FormatUint(s.calls.Add(1), 36)
		commands[i] = c.B().Evalsha().Sha1(sc.sha).Numkeys(int64(len(call.keys))).Key(call.keys...).Arg(marks[i]).Arg(call.args...).Build()
	}
	var results []valkeygo.ValkeyResult
	if len(commands) == 1 {
		results = []valkeygo.ValkeyResult{c.Do(bounded, commands[0])}
	} else {
		results = c.DoMulti(bounded, commands...)
	}
	replies := make([][]valkeygo.ValkeyMessage, len(calls))
	for i, call := range calls {
		r := results[i]
		if said, ok := valkeygo.IsValkeyErr(r.Error()); ok && said.IsNoScript() {
			// The server has forgotten it, or never had it: this teaches it.
			r = c.Do(bounded, c.B().Eval().Script(sc.text).Numkeys(int64(len(call.keys))).Key(call.keys...).Arg(marks[i]).Arg(call.args...).Build())
		}
		if err := r.Error(); err != nil {
			return nil, s.fault(ctx, err)
		}
		// An answer of another shape is another call's too.
		reply, err := r.ToArray()
		if err != nil || len(reply) == 0 {
			return nil, s.foreign()
		}
		if mark, err := reply[0].ToString(); err != nil || mark != marks[i] {
			return nil, s.foreign()
		}
		replies[i] = reply[1:]
	}
	s.link.worked()
	return replies, nil
}

// owed runs a call though the caller's context has ended.
func (s *Store) owed(ctx context.Context, n *names, sc *script, keys []string, args ...string) error {
	_, err := s.run(context.WithoutCancel(ctx), n, sc, keys, args...)
	return err
}

// do runs commands atomically in one round trip and returns their results.
func (s *Store) do(ctx context.Context, n *names, keys []string, commands ...[]string) ([]valkeygo.ValkeyMessage, error) {
	return s.run(ctx, n, callScript, keys, words(commands)...)
}

// words are commands as call.lua reads them.
func words(commands [][]string) (all []string) {
	for _, c := range commands {
		all = append(append(all, strconv.Itoa(len(c))), c...)
	}
	return all
}

// value returns what a value holds beside its tenant, which must be the caller's.
func (s *Store) value(n *names, m *valkeygo.ValkeyMessage) (string, error) {
	text, err := m.ToString()
	if err != nil {
		return "", unreadable(err)
	}
	rest, ok := strings.CutPrefix(text, n.mark)
	if !ok {
		return "", s.foreign()
	}
	return rest, nil
}

func unreadable(err error) error { return fmt.Errorf("reading an answer of the state server: %w", err) }
