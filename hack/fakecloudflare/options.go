package fakecloudflare

import "time"

// Options say how strict, how late and how large the fake is. The zero value is one
// paid account with Cloudflare's limits and no lag.
type Options struct {
	// Accounts that exist; none means one, DefaultAccount.
	Accounts []Account
	// Now is the clock of everything but scripted delays; nil means time.Now.
	Now func() time.Time
	Lag Lag
	// Rate is the budget of one token; zero values mean Cloudflare's.
	Rate   Rate
	Unsure Unsure
	// NoSchema skips the check against the document, for benchmarks.
	NoSchema bool
	// StateFile is read at the start, if it exists, and written by Save.
	StateFile string
	// LogLimit is how many calls Log keeps, the newest; 0 means 100,000.
	LogLimit int
	// Chat writes the answer of a chat; nil means Echo.
	Chat func(ChatCall) Reply
}

// DefaultAccount is the id of the account that exists if none is named.
const DefaultAccount = "00000000000000000000000000000001"

// Account is one customer's account.
type Account struct {
	// ID is 32 hex digits.
	ID string
	// Free gives the quotas of the free plan.
	Free bool
	// Quotas overrule the plan's where they aren't 0.
	Quotas Quotas
	// RootToken is the value of a token that may do everything; empty makes one up.
	RootToken string
}

// Quotas are how many of a kind may exist in an account.
type Quotas struct {
	KV, D1, R2, Vectorize, Gateways, Tokens int
	// MetadataIndexes is per Vectorize index.
	MetadataIndexes int
}

// The figures are of Cloudflare's limits pages, 2026.
func (a Account) quotas() Quotas {
	q := Quotas{KV: 1000, D1: 50_000, R2: 1_000_000, Vectorize: 50_000, Gateways: 20, Tokens: 500, MetadataIndexes: 10}
	if a.Free {
		q.D1, q.Vectorize, q.Gateways = 10, 100, 10
	}
	for _, f := range []struct {
		have *int
		own  int
	}{
		{&q.KV, a.Quotas.KV}, {&q.D1, a.Quotas.D1}, {&q.R2, a.Quotas.R2}, {&q.Vectorize, a.Quotas.Vectorize},
		{&q.Gateways, a.Quotas.Gateways}, {&q.Tokens, a.Quotas.Tokens}, {&q.MetadataIndexes, a.Quotas.MetadataIndexes},
	} {
		if f.own != 0 {
			*f.have = f.own
		}
	}
	return q
}

// Lag is how late a change is seen.
type Lag struct {
	// List: a list shows an object so long after it was made, and so long after it was
	// deleted. Reads by id or name are never late.
	List time.Duration
	// Vectorize: a mutation is applied so long after it was answered.
	Vectorize time.Duration
	// KV: a read of a key, also of one that isn't there, is repeated from a cache for
	// so long.
	KV time.Duration
}

// Rate is a token's budget. Who exceeds it is refused for a whole further window.
type Rate struct {
	// Limit is calls a window; 0 means 1,200, below 0 means none.
	Limit int
	// Window defaults to 5 minutes.
	Window time.Duration
	// PerSecond limits all calls from one address; 0 means no limit. Cloudflare's is 200.
	PerSecond int
}

// Unsure is Cloudflare's behaviour where no source is sure of it. Set a field to try
// the other way.
type Unsure struct {
	// VectorizeMissing404 answers 404 rather than 400 for an index that isn't there.
	VectorizeMissing404 bool
	// VectorizeForgets answers 3000 (never heard of it) rather than 3005 (deleted).
	VectorizeForgets bool
	// GatewayConflict409 answers 409 rather than 400 to a gateway that exists.
	GatewayConflict409 bool
	// GatewayIDsHidden leaves account_id and internal_id out of gateways.
	GatewayIDsHidden bool
	// KVTitlesRepeat and D1NamesRepeat allow two of a name.
	KVTitlesRepeat, D1NamesRepeat bool
	// TokenNamesUnique forbids two tokens of a name.
	TokenNamesUnique bool
	// RollOverlap keeps a rolled token's old value alive for so long.
	RollOverlap time.Duration
	// InferenceIsFree doesn't count calls of models on the REST API in a token's budget.
	InferenceIsFree bool
}
