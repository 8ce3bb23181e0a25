package valkey_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
)

// TestFailover: the master dies, the replica takes its place, and what was
// acknowledged and had reached it is there.
func TestFailover(t *testing.T) {
	t.Parallel()
	sentinel, id := servers.Sentinel(t), tenant(t, "owner/acme")
	user := login(t, sentinel.Master, id)
	login(t, sentinel.Replica, id)
	s := open(t, valkey.Options{URL: sentinelURL(sentinel, user)})
	if err := everything(t.Context(), s, id); err != nil {
		t.Fatal(err)
	}
	before := dump(t, s, id)
	reached := sentinel.Master.Do(t, "WAIT", "1", "2000")
	if n, err := reached.AsInt64(); err != nil || n != 1 {
		t.Fatalf("%d replicas have it, %v", n, err)
	}
	sentinel.Master.Stop()
	if _, err := asked(s, id); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("without a master: %v", err)
	}
	took := soon(t, "the replica to take over", 10*time.Second, func() bool { return everything(t.Context(), s, id) == nil })
	t.Logf("worked again after %v", took)
	after := dump(t, s, id)
	if len(after) < len(before) {
		t.Errorf("%d of %d records are left", len(after), len(before))
	}
	role := sentinel.Replica.Do(t, "ROLE")
	words, err := role.ToArray()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := words[0].ToString(); err != nil || r != "master" {
		t.Errorf("the replica is a %s, %v", r, err)
	}
}

// TestTenantsSpreadOverACluster, each whole on one node.
func TestTenantsSpreadOverACluster(t *testing.T) {
	t.Parallel()
	nodes := servers.RedisCluster(t)
	s := open(t, valkey.Options{URL: nodes[0].URL(allTenants(t, nodes...), password) + "?addr=" + nodes[1].Addr})
	const tenants = 20
	for i := range tenants {
		if err := everything(t.Context(), s, tenant(t, fmt.Sprint("owner/", i))); err != nil {
			t.Fatal(err)
		}
	}
	where := map[string]int{}
	for i, n := range nodes {
		listed := n.Do(t, "KEYS", "*")
		keys, err := listed.AsStrSlice()
		if err != nil || len(keys) == 0 {
			t.Errorf("node %d has %d keys, %v", i, len(keys), err)
		}
		for _, key := range keys {
			tag := key[:strings.Index(key, "}")]
			if at, ok := where[tag]; ok && at != i {
				t.Errorf("tenant %s lies on nodes %d and %d", tag, at, i)
			}
			where[tag] = i
		}
	}
	if len(where) != tenants {
		t.Errorf("%d tenants have keys, want %d", len(where), tenants)
	}
	nodes[1].Stop()
	for i := range tenants {
		id := tenant(t, fmt.Sprint("owner/", i))
		_, err := asked(s, id)
		if down := where[strings.TrimSuffix(prefix(id), "}:")] == 1; down != errors.Is(err, storage.ErrUnavailable) && err != nil {
			t.Errorf("tenant %d, on a node that is down %v: %v", i, down, err)
		}
	}
}

func TestOpenRefusesWhatItCanNotUse(t *testing.T) {
	t.Parallel()
	for _, u := range []string{
		"", "valkey", "localhost:6379", "http://user:ce_c4nary@host", "unix:///ce_c4nary.sock", "redis://", "redis://:ce_c4nary@", "redis://user:ce_c4nary%zz@host",
		"redis://user:ce_c4nary@host:port", "redis://user:ce_c4nary@host:0", "redis://user:ce_c4nary@host:70000", "redis://user:ce_c4nary@host:",
		"redis://user:ce_c4nary@host/one", "redis://user:ce_c4nary@host/-1", "redis://user:ce_c4nary@host?db=x", "redis://user:ce_c4nary@host?addr=", "redis://user:ce_c4nary@host?addr=a:b",
		"redis://user:ce_c4nary@host?skip_verify=true", "redis://user:ce_c4nary@host?ce_c4nary=1", "redis://user:ce_c4nary@host?db=%zz", "redis://user:ce_c4nary#x@host",
	} {
		s, err := valkey.Open(t.Context(), valkey.Options{URL: u})
		if !errors.Is(err, valkey.ErrBadURL) || s != nil {
			t.Errorf("a URL of %d bytes: got %v", len(u), err)
		}
		if err != nil && strings.Contains(err.Error(), "c4nary") {
			t.Error("the error shows a part of the URL that may be secret")
		}
	}
	for what, o := range map[string]valkey.Options{
		"certificates without TLS": {URL: "redis://host", CA: []byte("x")},
		"certificates that aren't": {URL: "rediss://host", CA: []byte("x")},
	} {
		if _, err := valkey.Open(t.Context(), o); !errors.Is(err, valkey.ErrBadURL) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

// TestAServerWithAnotherCertificateIsNotTrusted though it takes the login.
func TestAServerWithAnotherCertificateIsNotTrusted(t *testing.T) {
	t.Parallel()
	r, other, id := servers.Redis(t, servers.RedisOptions{TLS: true}), servers.Redis(t, servers.RedisOptions{TLS: true}), tenant(t, "owner/acme")
	user := login(t, r, id)
	for what, ca := range map[string][]byte{"another's": other.CA, "the system's": nil} {
		s := open(t, valkey.Options{URL: r.URL(user, password), CA: ca})
		if _, err := asked(s, id); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%s certificates: got %v", what, err)
		}
		if h := s.Health(); h.Reason != valkey.ReasonUntrusted {
			t.Errorf("%s certificates: health %+v", what, h)
		}
	}
	s := open(t, valkey.Options{URL: strings.Replace(r.URL(user, password), "rediss", "redis", 1)})
	if _, err := asked(s, id); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("without TLS: got %v", err)
	}
}
