package cloudflaretypes

// wanted is one struct: where the document has it, and which of its fields are used.
type wanted struct {
	name string
	// from is "schema NAME", "request METHOD PATH" or "result METHOD PATH" (what the
	// answer's envelope holds).
	from   string
	fields []string
	doc    string
}

const accounts = "/accounts/{account_id}"

var structs = []wanted{
	{"KVNamespace", "schema workers-kv_namespace", []string{"id", "title"}, "is a KV namespace"},
	{"KVNamespaceRequest", "schema workers-kv_create_rename_namespace_body", []string{"title"}, "makes a KV namespace"},

	{"D1Database", "schema d1_database-details-response", []string{"uuid", "name", "created_at", "jurisdiction", "read_replication"}, "is a D1 database; a list leaves read_replication out"},
	{"D1ReadReplication", "schema d1_read-replication-details-for-request", []string{"mode"}, "says whether a D1 database has read replicas"},
	{"D1DatabaseRequest", "request POST " + accounts + "/d1/database", []string{"name", "jurisdiction", "primary_location_hint", "read_replication"}, "makes a D1 database"},
	{"D1DatabaseUpdate", "schema d1_database-update-partial-request-body", []string{"read_replication"}, "changes a D1 database"},

	{"R2Bucket", "schema r2_bucket", []string{"name", "creation_date", "jurisdiction", "location", "storage_class"}, "is an R2 bucket; its location comes in upper case"},
	{"R2Buckets", "result GET " + accounts + "/r2/buckets", []string{"buckets"}, "is a page of a list"},
	{"R2BucketRequest", "request POST " + accounts + "/r2/buckets", []string{"name", "locationHint", "storageClass"}, "makes an R2 bucket"},

	{"VectorizeIndex", "schema vectorize_create-index-response", []string{"name", "config", "created_on"}, "is a Vectorize index"},
	{"VectorizeConfig", "schema vectorize_index-dimension-configuration", []string{"dimensions", "metric"}, "can't be changed"},
	{"VectorizeIndexRequest", "schema vectorize_create-index-request", []string{"name", "config"}, "makes a Vectorize index"},
	{"MetadataIndexes", "schema vectorize_list-metadata-index-response", []string{"metadataIndexes"}, "are those of a Vectorize index"},
	{"MetadataIndex", "schema vectorize_create-metadata-index-request", []string{"propertyName", "indexType"}, "is one property that queries filter by"},
	{"MetadataIndexRemoval", "schema vectorize_delete-metadata-index-request", []string{"propertyName"}, "deletes a metadata index"},

	{"Token", "schema iam_token_with_value", []string{"id", "name", "status", "issued_on", "expires_on", "policies", "value"}, "is an account's API token; its value comes with its creation alone"},
	{"TokenRequest", "schema iam_create_payload", []string{"name", "policies", "expires_on"}, "makes an API token, or replaces what it may do"},
	{"TokenPolicy", "schema iam_policy_with_permission_groups_and_resources", []string{"effect", "permission_groups", "resources"}, "lets a token do something to something"},
	{"PermissionGroup", "schema iam_permission_group", []string{"id", "name"}, "is a permission; a request says its id alone"},
	{"TokenVerification", "result GET " + accounts + "/tokens/verify", []string{"id", "status", "expires_on"}, "is what a token may know of itself"},
}

// nested are the structs of fields whose schema is written out in place, or is a union of
// which the client uses one branch.
var nested = map[string]string{
	"D1Database.read_replication":        "D1ReadReplication",
	"R2Buckets.buckets":                  "R2Bucket",
	"VectorizeIndex.config":              "VectorizeConfig",
	"VectorizeIndexRequest.config":       "VectorizeConfig",
	"MetadataIndexes.metadataIndexes":    "MetadataIndex",
	"Token.policies":                     "TokenPolicy",
	"TokenRequest.policies":              "TokenPolicy",
	"TokenPolicy.permission_groups":      "PermissionGroup",
	"D1DatabaseRequest.read_replication": "D1ReadReplication",
	"D1DatabaseUpdate.read_replication":  "D1ReadReplication",
}

// optional are fields that the document calls required of an answer and that a request
// must not send.
var optional = map[string]bool{"PermissionGroup.name": true}
