package statestore

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// PostgresVersion is the version of the schema that this binary makes. Schemas only grow:
// a runtime works on its own version and on later ones.
const PostgresVersion = 2

// postgresSteps[i] takes a database from version i to i+1. A step that was shipped never
// changes.
var postgresSteps = [PostgresVersion]string{schemaSQL, documentsSQL}

var (
	//go:embed schema.sql
	schemaSQL string
	//go:embed documents.sql
	documentsSQL string
)

// postgresTables are all that hold rows of tenants.
const postgresTables = "enigma.sessions, enigma.messages, enigma.windows, enigma.budgets, enigma.usage, enigma.audit, enigma.cache, " +
	"enigma.libraries, enigma.documents, enigma.removals, enigma.parts, enigma.passages, enigma.vectors, enigma.dropped, " +
	"enigma.queues, enigma.jobs, enigma.payloads"

// migrationLock is the advisory lock under which the schema is changed: "enigma".
const migrationLock = 0x656e69676d61

// ErrBadPostgres: a tag, slot or password from which no statement can be made.
var ErrBadPostgres = errors.New("statestore: not a tag, slot or password that a PostgreSQL role can have")

// PostgresSchema makes the schema "enigma" or brings it to PostgresVersion, and changes
// nothing that is there already. It is a script for the simple protocol and one
// transaction. Who runs it owns the schema; it waits ten seconds for others that run it.
func PostgresSchema() string {
	var b strings.Builder
	fmt.Fprintf(&b, `SELECT set_config('lock_timeout', '10s', true), set_config('client_min_messages', 'warning', true);
SELECT pg_advisory_xact_lock(%d);
CREATE SCHEMA IF NOT EXISTS enigma;
CREATE TABLE IF NOT EXISTS enigma.schema (single boolean PRIMARY KEY DEFAULT true CHECK (single), version int NOT NULL);
INSERT INTO enigma.schema (version) VALUES (0) ON CONFLICT DO NOTHING;
DO $migrate$ BEGIN
`, migrationLock)
	for i, step := range postgresSteps {
		fmt.Fprintf(&b, "IF (SELECT version FROM enigma.schema) = %d THEN\nEXECUTE $step$%s$step$;\nUPDATE enigma.schema SET version = %d;\nEND IF;\n", i, step, i+1)
	}
	b.WriteString("END $migrate$;")
	return b.String()
}

// PostgresShare opens the database to tenants' roles and to nobody else. The operator's
// login runs it once after PostgresSchema; it owns the database and may make roles. The
// role ce_tenants, of which all tenants are members, carries the rights and sees no row.
func PostgresShare() string {
	return `DO $share$ BEGIN
BEGIN CREATE ROLE ce_tenants NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
EXECUTE format('GRANT CONNECT ON DATABASE %I TO ce_tenants', current_database());
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA enigma FROM PUBLIC;
GRANT USAGE ON SCHEMA enigma TO ce_tenants;
GRANT SELECT ON enigma.schema TO ce_tenants;
GRANT SELECT, INSERT, UPDATE, DELETE ON ` + postgresTables + ` TO ce_tenants;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA enigma TO ce_tenants;
END $share$;`
}

// PostgresTenant makes the role that a tenant's logins are members of, or leaves it. The
// login that runs it becomes a member too, so that it can erase what the tenant has.
func PostgresTenant(tag string) (string, error) {
	role, err := postgresRole(tag)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`DO $tenant$ BEGIN
BEGIN CREATE ROLE %[1]s NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
GRANT ce_tenants TO %[1]s;
GRANT %[1]s TO CURRENT_USER;
END $tenant$;`, role), nil
}

// PostgresUser names one of the two logins of a tenant, slot "a" or "b": while one is in
// use the other gets its new password, so that a password changes without a gap.
func PostgresUser(tag, slot string) (string, error) {
	role, err := postgresRole(tag)
	if err != nil {
		return "", err
	}
	if slot != "a" && slot != "b" {
		return "", ErrBadPostgres
	}
	return role + "_" + slot, nil
}

// PostgresLogin makes a login of the tenant, or gives it another password. verifier is of
// PostgresVerifier. connections bounds how many the login may have open over all pods.
//
// The login reads and writes its tenant's rows and no others, and makes no table, function
// or role. It still sees the names of roles, and so whether a tenant of a guessed identity
// is there, who is connected, and how many rows and bytes all tenants have together. And it
// can disturb: who may delete rows may also lock a table, keep the lock of PostgresSchema,
// change its own password, lift the timeouts that are set here, and fill the queue of
// notifications, after which no tenant publishes documents until it is disconnected. PostgresCloseLogin ends
// that. Every login of a server may keep large objects, which PostgresDrop removes but for
// those that it gave to ce_tenants, and may enter databases that are open to PUBLIC: close
// those that tenants' logins have no business in.
func PostgresLogin(tag, slot, verifier string, connections int) (string, error) {
	user, err := PostgresUser(tag, slot)
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(verifier, "SCRAM-SHA-256$") || strings.ContainsAny(verifier, `'\`) || connections < 1 {
		return "", ErrBadPostgres
	}
	role, err := postgresRole(tag)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`DO $login$ BEGIN
BEGIN CREATE ROLE %[1]s NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
GRANT %[2]s TO %[1]s;
ALTER ROLE %[1]s SET search_path = '';
ALTER ROLE %[1]s SET statement_timeout = '10s';
ALTER ROLE %[1]s SET lock_timeout = '5s';
ALTER ROLE %[1]s SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE %[1]s LOGIN CONNECTION LIMIT %[3]d PASSWORD '%[4]s';
END $login$;`, user, role, connections, verifier), nil
}

// PostgresCloseLogin takes the password of one login and ends its connections: the last
// step of a rotation.
func PostgresCloseLogin(tag, slot string) (string, error) {
	user, err := PostgresUser(tag, slot)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`DO $close$ BEGIN
IF EXISTS (SELECT FROM pg_roles WHERE rolname = '%[1]s') THEN
  ALTER ROLE %[1]s NOLOGIN PASSWORD NULL;
  GRANT %[1]s TO CURRENT_USER;
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '%[1]s';
END IF;
END $close$;`, user), nil
}

// PostgresErase removes up to 1000 rows a table of what the tenant has, with no other
// rights than the tenant's own, and returns one row: how many sessions went, and whether
// more is left. It is run until nothing is. It takes a transaction of its own and must
// come before PostgresDrop.
func PostgresErase(tag string) (string, error) {
	role, err := postgresRole(tag)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("SET LOCAL ROLE %s; SELECT sessions, more FROM enigma.erase('%s', 1000)", role, tag), nil
}

// PostgresDrop removes a tenant's roles and what they own, and ends their connections. Rows
// stay; nobody sees them but a later role of the same tag.
func PostgresDrop(tag string) (string, error) {
	role, err := postgresRole(tag)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`DO $drop$
DECLARE r name;
BEGIN
FOR r IN SELECT rolname FROM pg_roles WHERE rolname IN ('%[1]s_a', '%[1]s_b', '%[1]s') ORDER BY rolname DESC LOOP
  EXECUTE format('ALTER ROLE %%I NOLOGIN', r);
  EXECUTE format('GRANT %%I TO CURRENT_USER', r);
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = r;
  EXECUTE format('DROP OWNED BY %%I', r);
  EXECUTE format('DROP ROLE %%I', r);
END LOOP;
END $drop$;`, role), nil
}

// PostgresOwn gives a database that one tenant has to itself to that tenant: the owner of
// the schema, whom row security binds too, may touch its rows and no others. It fails,
// with SQLSTATE 42710, if another tenant has the database. Only the owner can run it, so
// that no login of a shared database can choose whose rows it sees.
func PostgresOwn(tag string) (string, error) {
	if _, err := postgresRole(tag); err != nil {
		return "", err
	}
	return fmt.Sprintf(`DO $own$
DECLARE
  rel regclass;
  rule text;
BEGIN
PERFORM pg_advisory_xact_lock(%[2]d);
FOREACH rel IN ARRAY string_to_array('%[3]s', ', ')::regclass[] LOOP
  SELECT pg_get_expr(polqual, polrelid) INTO rule FROM pg_policy WHERE polrelid = rel AND polname = 'own';
  IF rule IS NULL THEN
    EXECUTE format('CREATE POLICY own ON %%s TO %%I USING (tenant = %%L) WITH CHECK (tenant = %%L)',
      rel, (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = rel), '%[1]s', '%[1]s');
  ELSIF position('%[1]s' IN rule) = 0 THEN
    RAISE EXCEPTION 'this database belongs to another tenant' USING ERRCODE = 'duplicate_object',
      HINT = 'Give each tenant a database of its own, or give the operator an administrator''s login, so that it makes a login for each.';
  END IF;
END LOOP;
END $own$;`, tag, migrationLock, postgresTables), nil
}

// PostgresVerifier is what the server keeps of a password (SCRAM-SHA-256): statements carry
// it in place of the password, which then is in no log. The password is printable ASCII.
func PostgresVerifier(password string) (string, error) {
	if password == "" || strings.ContainsFunc(password, func(r rune) bool { return r < '!' || r > '~' }) {
		return "", ErrBadPostgres
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("making a salt: %w", err)
	}
	const rounds = 4096
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	client := sha256.Sum256(hmacOf(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, b64(salt), b64(client[:]), b64(hmacOf(salted, "Server Key"))), nil
}

func hmacOf(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// postgresRole is the role of a tenant. A tag needs no quoting.
func postgresRole(tag string) (string, error) {
	if len(tag) != 32 || strings.Trim(tag, "0123456789abcdef") != "" {
		return "", ErrBadPostgres
	}
	return "ce_" + tag, nil
}
