// Code generated from Cloudflare's API document by hack/verify. DO NOT EDIT.

package cloudflareapi

// KVNamespace is a KV namespace.
type KVNamespace struct {
	// ID has at most 32 characters.
	ID string `json:"id"`
	// Title has at most 512 characters.
	Title string `json:"title"`
}

// KVNamespaceRequest makes a KV namespace.
type KVNamespaceRequest struct {
	// Title has at most 512 characters.
	Title string `json:"title"`
}

// D1Database is a D1 database; a list leaves read_replication out.
type D1Database struct {
	UUID string `json:"uuid,omitempty"`
	Name string `json:"name,omitempty"`
	// CreatedAt is a time.
	CreatedAt string `json:"created_at,omitempty"`
	// Jurisdiction is eu, fedramp, us.
	Jurisdiction    string             `json:"jurisdiction,omitempty"`
	ReadReplication *D1ReadReplication `json:"read_replication,omitempty"`
}

// D1ReadReplication says whether a D1 database has read replicas.
type D1ReadReplication struct {
	// Mode is auto, disabled.
	Mode string `json:"mode"`
}

// D1DatabaseRequest makes a D1 database.
type D1DatabaseRequest struct {
	Name string `json:"name"`
	// Jurisdiction is eu, fedramp, us.
	Jurisdiction string `json:"jurisdiction,omitempty"`
	// PrimaryLocationHint is wnam, enam, weur, eeur, apac, oc.
	PrimaryLocationHint string             `json:"primary_location_hint,omitempty"`
	ReadReplication     *D1ReadReplication `json:"read_replication,omitempty"`
}

// D1DatabaseUpdate changes a D1 database.
type D1DatabaseUpdate struct {
	ReadReplication *D1ReadReplication `json:"read_replication,omitempty"`
}

// R2Bucket is an R2 bucket; its location comes in upper case.
type R2Bucket struct {
	// Name has at most 64 characters.
	Name         string `json:"name,omitempty"`
	CreationDate string `json:"creation_date,omitempty"`
	// Jurisdiction is default, eu, fedramp.
	Jurisdiction string `json:"jurisdiction,omitempty"`
	Location     string `json:"location,omitempty"`
	// StorageClass is Standard, InfrequentAccess.
	StorageClass string `json:"storage_class,omitempty"`
}

// R2Buckets is a page of a list.
type R2Buckets struct {
	Buckets []R2Bucket `json:"buckets,omitempty"`
}

// R2BucketRequest makes an R2 bucket.
type R2BucketRequest struct {
	// Name has at most 64 characters.
	Name string `json:"name"`
	// LocationHint is apac, eeur, enam, weur, wnam, oc.
	LocationHint string `json:"locationHint,omitempty"`
	// StorageClass is Standard, InfrequentAccess.
	StorageClass string `json:"storageClass,omitempty"`
}

// VectorizeIndex is a Vectorize index.
type VectorizeIndex struct {
	Name   string           `json:"name,omitempty"`
	Config *VectorizeConfig `json:"config,omitempty"`
	// CreatedOn is a time.
	CreatedOn string `json:"created_on,omitempty"`
}

// VectorizeConfig can't be changed.
type VectorizeConfig struct {
	// Dimensions is 1 to 1536.
	Dimensions int `json:"dimensions"`
	// Metric is cosine, euclidean, dot-product.
	Metric string `json:"metric"`
}

// VectorizeIndexRequest makes a Vectorize index.
type VectorizeIndexRequest struct {
	Name   string          `json:"name"`
	Config VectorizeConfig `json:"config"`
}

// MetadataIndexes are those of a Vectorize index.
type MetadataIndexes struct {
	MetadataIndexes []MetadataIndex `json:"metadataIndexes,omitempty"`
}

// MetadataIndex is one property that queries filter by.
type MetadataIndex struct {
	PropertyName string `json:"propertyName"`
	// IndexType is string, number, boolean.
	IndexType string `json:"indexType"`
}

// MetadataIndexRemoval deletes a metadata index.
type MetadataIndexRemoval struct {
	PropertyName string `json:"propertyName"`
}

// Token is an account's API token; its value comes with its creation alone.
type Token struct {
	// ID has at most 32 characters.
	ID string `json:"id,omitempty"`
	// Name has at most 120 characters.
	Name string `json:"name,omitempty"`
	// Status is active, disabled, expired.
	Status string `json:"status,omitempty"`
	// IssuedOn is a time.
	IssuedOn string `json:"issued_on,omitempty"`
	// ExpiresOn is a time.
	ExpiresOn string        `json:"expires_on,omitempty"`
	Policies  []TokenPolicy `json:"policies,omitempty"`
	// Value has at most 80 characters.
	Value string `json:"value,omitempty"`
}

// TokenRequest makes an API token, or replaces what it may do.
type TokenRequest struct {
	// Name has at most 120 characters.
	Name     string        `json:"name"`
	Policies []TokenPolicy `json:"policies"`
	// ExpiresOn is a time.
	ExpiresOn string `json:"expires_on,omitempty"`
}

// TokenPolicy lets a token do something to something.
type TokenPolicy struct {
	// Effect is allow, deny.
	Effect           string            `json:"effect"`
	PermissionGroups []PermissionGroup `json:"permission_groups"`
	Resources        map[string]any    `json:"resources"`
}

// PermissionGroup is a permission; a request says its id alone.
type PermissionGroup struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// TokenVerification is what a token may know of itself.
type TokenVerification struct {
	// ID has at most 32 characters.
	ID string `json:"id"`
	// Status is active, disabled, expired.
	Status string `json:"status"`
	// ExpiresOn is a time.
	ExpiresOn string `json:"expires_on,omitempty"`
}
