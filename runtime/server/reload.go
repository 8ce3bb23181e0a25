package server

import (
	"sync"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// needsRestart is what /status tells of a document that waits.
const needsRestart = "the new document changes the listeners, the state store or the tenant's identity: restart to take it up"

// configState is which document is in force, and what became of a newer one.
type configState struct {
	mu      sync.Mutex
	started *tenancy.Tenant // what the listeners and the store were opened for
	current *tenancy.Tenant
	trouble string
}

func (c *configState) read() (current *tenancy.Tenant, trouble string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current, c.trouble
}

func (c *configState) set(current *tenancy.Tenant, trouble string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if current != nil {
		c.current = current
	}
	c.trouble = trouble
}

// changed takes up a new document, or tells why it waits. The pod stays ready then:
// it serves as before, and its successor may not be there yet.
func (s *Server) changed(t *tenancy.Tenant) {
	if tenantconfig.NeedsRestart(s.config.started.Config, t.Config) {
		s.config.set(nil, needsRestart)
		s.metrics.Reloaded("restart")
		s.logger.Warn("new document needs a restart", "tenant", t.ID.String(), "digest", t.Digest)
		return
	}
	if err := s.apply(t); err != nil {
		s.refused(err)
		return
	}
	s.config.set(t, "")
	s.metrics.Reloaded("applied")
	s.logger.Info("new document in force", "tenant", t.ID.String(), "digest", t.Digest)
}

// apply makes t the tenant of new requests; those under way keep their snapshot.
func (s *Server) apply(t *tenancy.Tenant) error {
	if err := s.upstreams.apply(t); err != nil {
		return err
	}
	s.metrics.Know(modelsOf(t.Config)...)
	if err := s.directory.Replace(t); err != nil {
		return err
	}
	s.cloud.apply(t)
	s.tools.Apply(t)
	return nil
}

// refused tells of a document that breaks a rule. The old one stays in force.
func (s *Server) refused(err error) {
	s.config.set(nil, err.Error())
	s.metrics.Reloaded("refused")
	s.logger.Error("new document refused, the old one stays in force", "error", err)
}
