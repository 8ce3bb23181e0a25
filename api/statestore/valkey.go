package statestore

// On a Valkey or Redis server all of a tenant's keys begin with KeyPrefix. The braces
// make the tag the key's hash tag, so that a cluster keeps a tenant's keys on one node
// and a script may touch several of them.
func KeyPrefix(tag string) string { return "ce:{" + tag + "}:" }

// ACLUser is whom a tenant's pods log in as on a Valkey or Redis server.
func ACLUser(tag string) string { return "ce-" + tag }

// aclCommands are what the runtime's driver sends or its scripts call, and nothing
// else: no command that names keys of others (KEYS, SCAN), that tells about other
// logins (CLIENT LIST, MONITOR), that changes the server or that takes a channel.
var aclCommands = []string{
	"eval", "evalsha",
	"ping", "role", "select", "cluster|slots", "cluster|shards", "asking",
	"get", "set", "getrange", "setrange", "strlen", "append",
	"unlink", "pexpire", "pexpireat", "persist", "pttl", "pexpiretime", "time",
	"hget", "hmget", "hset", "hgetall", "hexists", "hlen", "exists", "rename",
	"lindex", "lrange", "llen", "rpush", "lrem", "ltrim",
	"zadd", "zcard", "zrem", "zrange", "zremrangebyscore", "zmscore",
	"incrby",
}

// ACLRules is what that login may do, as arguments of ACL SETUSER beside its password
// and "on": the tenant's own keys, no channel, and the commands that the runtime uses.
// Servers don't replicate it: it is set on every node, and again after a restart. They
// hold for Redis 7.0 and Valkey 7.2, and later.
//
// The login reads and writes its tenant's keys and no others. It can disturb: fill the
// memory, keep keys of its own in other databases, and run a script that doesn't end, which
// holds every tenant up until it is killed (SCRIPT KILL) or, if it has written, until the
// server is. Scripts run inside the server, so its version must have the fixes of
// CVE-2025-46818 and CVE-2025-49844.
func ACLRules(tag string) []string {
	rules := []string{"resetkeys", "~" + KeyPrefix(tag) + "*", "resetchannels", "-@all"}
	for _, c := range aclCommands {
		rules = append(rules, "+"+c)
	}
	return rules
}
