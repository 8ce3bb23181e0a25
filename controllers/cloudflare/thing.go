package cloudflare

import (
	"encoding/json"
	"strings"
	"time"
)

// Kind of a thing.
type Kind string

// Kinds of things. They are spelt as in the API, so that a binding's type is its kind.
const (
	KV        Kind = "KV"
	D1        Kind = "D1"
	R2        Kind = "R2"
	Vectorize Kind = "Vectorize"
	AIGateway Kind = "AIGateway"
	APIToken  Kind = "APIToken"
)

// Kinds are all kinds, in the order in which a tenant's are made.
var Kinds = []Kind{AIGateway, Vectorize, D1, KV, R2, APIToken}

// NameIsID tells of kinds whose id is the name that their maker chooses. The others get
// an id from the server.
func (k Kind) NameIsID() bool { return k == R2 || k == Vectorize || k == AIGateway }

// Listed tells whether LIST shows all settings of a kind. What it doesn't is zero in the
// Things of a List: metadata indexes of Vectorize and read replication of D1.
func (k Kind) Listed() bool { return k != Vectorize && k != D1 }

// Thing is one thing that exists in an account.
type Thing struct {
	Kind Kind
	// ID is what Get and Do take; of kinds with NameIsID it is the name.
	ID   string
	Name string
	// Settings as far as they were read.
	Settings Settings
	// CreatedAt is zero if Cloudflare doesn't tell.
	CreatedAt time.Time
	// Secret is an API token's value: only what Do made has it.
	Secret Secret
}

// Secret is a value that isn't printed by accident.
type Secret string

func (Secret) String() string { return "[secret]" }

// GoString is String.
func (Secret) GoString() string { return "[secret]" }

// sendable tells whether the secret can stand in a header.
func (s Secret) sendable() bool {
	return s != "" && !strings.ContainsFunc(string(s), func(r rune) bool { return r <= ' ' || r > '~' })
}

// MarshalJSON writes no secret, so that no log and no status holds one.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"[secret]"`), nil }

// Settings are those of one kind; the fields of other kinds are zero. A zero field of
// what is wanted leaves the choice to Cloudflare, or the thing as it is.
type Settings struct {
	// Jurisdiction of R2 and D1; "" and "default" are the same.
	Jurisdiction string
	// LocationHint of R2 and D1, in lower case.
	LocationHint string
	// StorageClass of R2.
	StorageClass string
	// ReadReplication of D1.
	ReadReplication string

	// Dimensions, Metric and MetadataIndexes of Vectorize. MetadataIndexes is nil where
	// they weren't read, and by property otherwise.
	Dimensions      int
	Metric          string
	MetadataIndexes map[string]string

	// Gateway of AIGateway.
	Gateway *Gateway
	// Policies of APIToken.
	Policies []Policy
	// ExpiresAt of APIToken; zero if it doesn't.
	ExpiresAt time.Time
}

// Gateway are the settings of an AI Gateway that are ours to say.
type Gateway struct {
	CacheTTLSeconds int
	CollectLogs     bool
	Authentication  bool
	RateLimit       int
	RateInterval    int // seconds
	RateTechnique   string
	// Rest is the gateway as Cloudflare told it: an update replaces the whole, and sends
	// back what we have no word on.
	Rest json.RawMessage
}

// Policy lets an API token do something to something.
type Policy struct {
	// Permissions by Cloudflare's name, for example "Workers AI Read".
	Permissions []string
	// Bucket narrows the policy to one R2 bucket, "" for the whole account.
	Bucket       string
	Jurisdiction string // of Bucket
}

// Verb is what a Step does.
type Verb string

// What a Step does.
const (
	Create Verb = "create"
	// Update changes settings in place.
	Update Verb = "update"
	// CreateIndex and DeleteIndex change one metadata index. One that is there already, or
	// isn't, is no error; an index that is there keeps its type.
	CreateIndex Verb = "create-index"
	DeleteIndex Verb = "delete-index"
	// Delete removes the thing. One that isn't there is no error. A bucket that isn't empty
	// is ErrNotEmpty.
	Delete Verb = "delete"
)

// Step is one effect.
type Step struct {
	Verb Verb
	Kind Kind
	// ID of the thing; empty for Create.
	ID string
	// Name for Create; of an Update it saves looking the name up.
	Name string
	// Settings for Create and Update, whole. A bucket's Jurisdiction is of use to every
	// step: two buckets may have one name in two of them.
	Settings Settings
	// Property and Type of a metadata index.
	Property, Type string
	// Why in a few words, for events and dry runs, such as "metadata index lang is missing".
	Why string
}
