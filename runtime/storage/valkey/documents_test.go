package valkey_test

import (
	"testing"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
)

func TestDocuments(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t, servers.RedisOptions{Args: manyDatabases})
	open := ownDatabases(valkey.Options{URL: r.URL(allTenants(t, r), password)})
	storagetest.RunDocuments(t, func(t *testing.T) storagetest.DocumentBed { return storagetest.DocumentBed{Store: open(t)} })
}

func TestJobs(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t, servers.RedisOptions{Args: manyDatabases})
	storagetest.RunJobs(t, ownDatabases(valkey.Options{URL: r.URL(allTenants(t, r), password)}))
}

// A cluster refuses scripts that touch keys of two nodes.
func TestDocumentsOnACluster(t *testing.T) {
	t.Parallel()
	nodes := servers.RedisCluster(t)
	user := allTenants(t, nodes...)
	for _, c := range storagetest.DocumentChecks() {
		t.Run(c.Name, func(t *testing.T) {
			for _, n := range nodes {
				n.Do(t, "FLUSHALL")
			}
			c.Run(t, storagetest.DocumentBed{Store: open(t, valkey.Options{URL: nodes[0].URL(user, password)})})
		})
	}
}
