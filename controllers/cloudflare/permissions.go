package cloudflare

// product is Cloudflare's name of a kind in what a token may be allowed.
func product(kind Kind) string {
	switch kind {
	case KV:
		return "Workers KV Storage"
	case R2:
		return "Workers R2 Storage"
	case AIGateway:
		return "AI Gateway"
	case APIToken:
		return "Account API Tokens"
	}
	return string(kind)
}

// PermissionsTo are the permissions of which one is enough to read things of a kind, or
// to write them. The first is the one to ask for.
func PermissionsTo(kind Kind, write bool) []string {
	if write {
		return []string{product(kind) + " Write"}
	}
	return []string{product(kind) + " Read", product(kind) + " Write"}
}

// noun is a kind in a sentence.
func noun(kind Kind) string {
	switch kind {
	case KV:
		return "KV namespace"
	case D1:
		return "D1 database"
	case R2:
		return "R2 bucket"
	case Vectorize:
		return "Vectorize index"
	case APIToken:
		return "API token"
	}
	return "AI Gateway"
}

// article is the noun with its article.
func article(kind Kind) string {
	if kind == R2 || kind == AIGateway || kind == APIToken {
		return "an " + noun(kind)
	}
	return "a " + noun(kind)
}

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
		return "create metadata index of " + noun(kind)
	case DeleteIndex:
		return "delete metadata index of " + noun(kind)
	}
	return string(verb) + " " + noun(kind)
}
