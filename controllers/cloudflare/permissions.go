package cloudflare

// groups are Cloudflare's names of what a token may be allowed to do with a kind.
var groups = map[Kind]string{
	KV: "Workers KV Storage", D1: "D1", R2: "Workers R2 Storage", Vectorize: "Vectorize",
	AIGateway: "AI Gateway", APIToken: "Account API Tokens",
}

// PermissionsTo are the permissions of which one is enough to read things of a kind, or
// to write them. The first is the one to ask for.
func PermissionsTo(kind Kind, write bool) []string {
	if write {
		return []string{groups[kind] + " Write"}
	}
	return []string{groups[kind] + " Read", groups[kind] + " Write"}
}

// noun is a kind in a sentence, article with one before it.
var (
	noun = map[Kind]string{
		KV: "KV namespace", D1: "D1 database", R2: "R2 bucket", Vectorize: "Vectorize index",
		AIGateway: "AI Gateway", APIToken: "API token",
	}
	article = map[Kind]string{
		KV: "a KV namespace", D1: "a D1 database", R2: "an R2 bucket", Vectorize: "a Vectorize index",
		AIGateway: "an AI Gateway", APIToken: "an API token",
	}
)

// OpGet, OpFind and OpList are what is done without a Step, for Op.
const (
	OpGet  Verb = "get"
	OpFind Verb = "find"
	OpList Verb = "list"
)

// Op says in words what is done to what, for Error.Op.
func Op(verb Verb, kind Kind) string {
	switch verb {
	case CreateIndex:
		return "create metadata index of " + noun[kind]
	case DeleteIndex:
		return "delete metadata index of " + noun[kind]
	}
	return string(verb) + " " + noun[kind]
}
