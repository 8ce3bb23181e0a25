package server

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// cloud is what the tenant uses of its Cloudflare account beside models. Nothing of it
// keeps the server from serving. The methods of a nil cloud do nothing: the document
// names no account then.
type cloud struct {
	logger     *slog.Logger
	account    *cloudflare.Account
	credential atomic.Pointer[cloudflare.Credential]
	jobs       sync.WaitGroup

	// vectors is nil unless documents are kept in Vectorize; next is the index that will
	// replace theirs, if it has other dimensions: its vectors are other ones.
	vectors, next *cloudflare.Vectors
	// originals is nil unless uploads are kept as they came.
	originals *cloudflare.Objects
	ledger    *cloudflare.Ledger
	export    *cloudflare.Export
}

// newCloud opens what t's document names. It calls nobody.
func newCloud(t *tenancy.Tenant, usage storage.Usage, logger *slog.Logger) *cloud {
	cfg := t.Config.Cloudflare
	if cfg.AccountID == "" {
		return nil
	}
	c := &cloud{logger: logger}
	c.account = cloudflare.New(cloudflare.Options{
		AccountID: cfg.AccountID, API: cfg.API, S3: cfg.S3, Pods: t.Config.Limits.Requests.Replicas,
		Credential: func() cloudflare.Credential { return *c.credential.Load() },
	})
	var texts storage.Objects
	if cfg.Originals != "" {
		c.originals = cloudflare.NewObjects(c.account, cfg.Originals, cfg.OriginalsJurisdiction)
		texts = c.originals
	}
	if t.Config.Documents.Store == tenantconfig.DocumentsVectorize {
		c.openVectors(t, texts)
	}
	if cfg.UsageLedger != "" {
		c.ledger = cloudflare.NewLedger(c.account, cloudflare.LedgerOptions{
			Database: cfg.UsageLedger, Tenant: t.ID, Usage: usage, Source: sourceOf(t.Config.State), Logger: logger,
		})
	}
	if cfg.ConfigExport != "" {
		c.export = cloudflare.NewExport(c.account, cfg.ConfigExport, logger)
	}
	c.apply(t)
	return c
}

// sourceOf names the counts of a store. Those of memory begin anew with each process.
func sourceOf(s tenantconfig.State) string {
	if s.Driver == tenantconfig.StateMemory {
		return "memory-" + rand.Text()
	}
	return "store"
}

func (c *cloud) openVectors(t *tenancy.Tenant, texts storage.Objects) {
	v := t.Config.Documents.Vectorize
	open := func(dimensions int, p cloudflare.Place) *cloudflare.Vectors {
		return cloudflare.NewVectors(c.account, cloudflare.VectorsOptions{
			Shape: storage.Shape{Dimensions: dimensions, Filterable: v.Filterable}, Metric: v.Metric, Texts: texts,
			Place: func(who tenancy.ID) (cloudflare.Place, error) {
				if who != t.ID {
					return cloudflare.Place{}, errors.New("another tenant has no index here")
				}
				return p, nil
			},
		})
	}
	p := cloudflare.Place{Index: v.Index, Namespace: v.Namespace}
	if v.Next != "" && v.NextDimensions == v.Dimensions {
		p.Next = v.Next
	} else if v.Next != "" {
		c.next = open(v.NextDimensions, cloudflare.Place{Index: v.Next, Namespace: v.Namespace})
	}
	c.vectors = open(v.Dimensions, p)
}

// apply takes up a rotated token and a changed document.
func (c *cloud) apply(t *tenancy.Tenant) {
	if c == nil {
		return
	}
	cfg := t.Config.Cloudflare
	token, err := t.Secret(cfg.CredentialsFile)
	if err != nil {
		c.logger.Warn("the Cloudflare token can't be read: its calls will be refused", "tenant", t.ID.String(), "file", cfg.CredentialsFile, "error", err)
	}
	c.credential.Store(&cloudflare.Credential{ID: cfg.TokenID, Token: token})
	if c.export != nil {
		c.export.Offer(t.Config)
	}
}

// run does what is done behind the requests, until ctx ends.
func (c *cloud) run(ctx context.Context) {
	if c == nil {
		return
	}
	if c.ledger != nil {
		c.jobs.Go(func() { c.ledger.Run(ctx) })
	}
	if c.export != nil {
		c.jobs.Go(func() { c.export.Run(ctx) })
	}
}

// wait returns once run's work has ended: the ledger reads the store until then.
func (c *cloud) wait() {
	if c != nil {
		c.jobs.Wait()
		c.account.Close()
	}
}

// documents is what /status tells of the store of documents.
func (c *cloud) documents() tenantconfig.StoreStatus {
	if c == nil || c.vectors == nil {
		return tenantconfig.StoreStatus{}
	}
	h := c.account.Health()
	return tenantconfig.StoreStatus{Driver: tenantconfig.DocumentsVectorize, OK: h.OK, Reason: h.Reason}
}

// gauges are read when they are scraped.
func (c *cloud) gauges(m *telemetry.Metrics) {
	if c == nil {
		return
	}
	m.Gauge("enigma_cloudflare_up", "1 if the last call of the tenant's Cloudflare account worked.", nil, func() float64 {
		if c.account.Health().OK {
			return 1
		}
		return 0
	})
	const refused = "Calls of Cloudflare since the start that the token's budget didn't allow: refused here, or by Cloudflare."
	m.Counter("enigma_cloudflare_refused_total", refused, prometheus.Labels{"by": "budget"}, func() float64 { n, _ := c.account.Refused(); return float64(n) })
	m.Counter("enigma_cloudflare_refused_total", refused, prometheus.Labels{"by": "cloudflare"}, func() float64 { _, n := c.account.Refused(); return float64(n) })
	if c.ledger != nil {
		m.Gauge("enigma_usage_ledger_lag_seconds", "How far the usage ledger in D1 is behind; 0 before its first answer.", nil, func() float64 { return c.ledger.Lag().Seconds() })
	}
	if c.vectors != nil {
		m.Counter("enigma_vectors_dropped_total", "Matches of Vectorize since the start that weren't the tenant's: its index is shared by mistake.", nil, func() float64 {
			n := c.vectors.Dropped()
			if c.next != nil {
				n += c.next.Dropped()
			}
			return float64(n)
		})
	}
}
