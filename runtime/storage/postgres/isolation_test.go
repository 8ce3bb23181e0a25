package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/postgres"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const secretText = "ce_c4nary_isolation"

var (
	owner  = storage.Owner{Caller: "user:c4nary@example.com"}
	minute = []storage.Window{{Name: "long", Limit: 5, Length: time.Minute}}
	tables = []string{
		"sessions", "messages", "windows", "budgets", "usage", "audit", "cache",
		"libraries", "documents", "removals", "parts", "passages", "vectors", "dropped", "queues", "jobs", "payloads",
	}
)

// furnish gives a tenant something in every table.
func furnish(t testing.TB, s storage.Store, id tenancy.ID, sessions int) {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	var errs []error
	for i := range sessions {
		m := []storage.Message{{Role: storage.RoleUser, Content: secretText, At: now}}
		errs = append(errs, s.Sessions().Append(ctx, id, owner, fmt.Sprint("s", i), m, storage.Keep{}))
	}
	_, err := s.Windows().Take(ctx, id, "key", minute, now)
	errs = append(errs, err)
	r, err := s.Budgets().Reserve(ctx, id, []storage.Limit{{Name: "day", Max: 1000, Until: now.Add(time.Hour)}}, []int64{5})
	errs = append(errs, err,
		s.Budgets().Settle(ctx, id, r, []int64{3}),
		s.Usage().Add(ctx, id, storage.UsageRecord{At: now, Model: secretText}),
		s.Audit().Record(ctx, id, storage.AuditRecord{At: now, Caller: owner.Caller, Tool: "search"}),
		s.Cache().Put(ctx, id, "k", []byte(secretText), time.Hour),
		s.Jobs().Add(ctx, id, storage.Job{ID: uuid.NewString(), Kind: "ingest", Created: now}, []byte(secretText)))
	version, err := s.Documents().NextVersion(ctx, id)
	passages := []storage.Passage{{Text: secretText, Vector: []float32{1, 2, 3}}}
	errs = append(errs, err,
		s.Documents().Stage(ctx, id, "staged", version, passages),
		s.Documents().Stage(ctx, id, "d"+fmt.Sprint(version), version, passages))
	_, err = s.Documents().Publish(ctx, id, storage.Document{ID: "d" + fmt.Sprint(version), Version: version, Title: secretText, Passages: 1, Updated: now})
	errs = append(errs, err)
	_, err = s.Documents().Remove(ctx, id, "gone")
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// furnish leaves a tenant with something in every table, and nobody who deletes what is
// dropped.
func (d *database) furnish(t testing.TB, id tenancy.ID, sessions int) {
	t.Helper()
	s := d.open(t, id)
	furnish(t, s, id, sessions)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	super := connect(t, d.server.Super(d.name))
	if _, err := super.Exec(t.Context(), "INSERT INTO enigma.dropped VALUES ($1, gen_random_uuid(), 0, 1)", statestore.Tag(id.Identity())); err != nil {
		t.Fatal(err)
	}
}

// neighbours are two tenants with something in every table, the second one's own
// connection as whoever takes over its pod has it, and a superuser who sees all.
func neighbours(t *testing.T) (d *database, a, b tenancy.ID, login, super *pgx.Conn) {
	t.Helper()
	d = share(t, servers.Postgres(t))
	a, b = newID(t, d.name+"/victim"), newID(t, d.name+"/taken-over")
	d.furnish(t, a, 300)
	d.furnish(t, b, 1)
	url, err := d.login(t.Context(), b, "a")
	if err != nil {
		t.Fatal(err)
	}
	return d, a, b, connect(t, url), connect(t, d.server.Super(d.name))
}

func count(t testing.TB, c *pgx.Conn, sql string, args ...any) int {
	t.Helper()
	var n int
	if err := c.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func wantCode(t *testing.T, what string, err error, codes ...string) {
	t.Helper()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || !strings.Contains(strings.Join(codes, " "), pg.Code) {
		t.Errorf("%s: got %v, want SQLSTATE %v", what, err, codes)
	}
}

// TestALoginSeesItsOwnRowsAlone reads, counts, changes, deletes and adds with a tenant's
// own credentials, whatever it sets in its session.
func TestALoginSeesItsOwnRowsAlone(t *testing.T) {
	t.Parallel()
	_, a, b, login, super := neighbours(t)
	victim, own := statestore.Tag(a.Identity()), statestore.Tag(b.Identity())
	before := map[string]int{}
	for _, table := range tables {
		before[table] = count(t, super, "SELECT count(*) FROM enigma."+table+" WHERE tenant = $1", victim)
		if before[table] == 0 {
			t.Fatalf("the neighbour has nothing in %s to be stolen", table)
		}
	}
	for _, session := range []string{
		"SELECT 1", "SET ROLE ce_" + own, "RESET ROLE", "SET ROLE ce_tenants", "RESET ROLE", "SET search_path = enigma, public",
		"SET enable_indexscan = off", "SET enable_bitmapscan = off", "SET enigma.tenant = '" + victim + "'", "SET application_name = 'ce_" + victim + "'",
	} {
		if _, err := login.Exec(t.Context(), session); err != nil {
			t.Fatalf("%s: %v", session, err)
		}
		for _, table := range tables {
			if n := count(t, login, "SELECT count(*) FROM enigma."+table+" WHERE tenant <> $1", own); n != 0 {
				t.Errorf("after %s: %d rows of others are read from %s", session, n, table)
			}
			for _, sql := range []string{"DELETE FROM enigma.%s WHERE tenant <> '%s'", "UPDATE enigma.%s SET tenant = tenant WHERE tenant <> '%s'"} {
				tag, err := login.Exec(t.Context(), fmt.Sprintf(sql, table, own))
				if err != nil || tag.RowsAffected() != 0 {
					t.Errorf("after %s: %s: %v, %v", session, fmt.Sprintf(sql, table, own), tag, err)
				}
			}
		}
	}
	for _, table := range tables {
		_, err := login.Exec(t.Context(), fmt.Sprintf("UPDATE enigma.%s SET tenant = '%s'", table, victim))
		wantCode(t, "giving rows of "+table+" to the neighbour", err, "42501")
		if n := count(t, super, "SELECT count(*) FROM enigma."+table+" WHERE tenant = $1", victim); n != before[table] {
			t.Errorf("%s: the neighbour had %d rows and has %d", table, before[table], n)
		}
	}
	// The functions have no more rights than who calls them.
	for what, sql := range map[string]string{
		"append": `SELECT enigma.append('%s', 'c', 's0', '{u}', '{x}', '{1}', '{0}', '{f}', 0)`, "take": `SELECT enigma.take('%s', 'k', '{w}', '{1}', '{1}', 1)`,
		"reserve": `SELECT enigma.reserve('%s', '{day}', '{9}', '{1}', '{0}')`, "settle": `SELECT enigma.settle('%s', '{day}', '{1}', '{1}', '{0}')`,
		"use": `SELECT enigma.use('%s', 1, 'm', 'f', 'o', 1, 1, 1, 1, 1)`, "note": `SELECT enigma.note('%s', 1, 'c', 't', 'p', 'o', 1)`,
		"put_cache": `SELECT enigma.put_cache('%s', 'k', 'v', 1, 2)`, "next_version": `SELECT enigma.next_version('%s')`,
		"add_job": `SELECT enigma.add_job('%s', gen_random_uuid(), 'k', 'c', '', 1, 0, 9, 9)`,
	} {
		_, err := login.Exec(t.Context(), fmt.Sprintf(sql, victim))
		wantCode(t, what+" as the neighbour", err, "42501")
	}
	for _, sql := range []string{"enigma.expire('%s', 9223372036854775807, 1000)", "enigma.prune('%s', 9223372036854775807, 9223372036854775807, 9223372036854775807, 1000)"} {
		if n := count(t, login, "SELECT "+fmt.Sprintf(sql, victim)); n != 0 {
			t.Errorf("%s removed %d rows of the neighbour's", sql, n)
		}
	}
	for sql, want := range map[string]string{
		"SELECT refused::text FROM enigma.stage('%s', 'd', 1, 1, 0, '{0}', '{0}', '{x}', '{x}', '{x}')":               "1",
		"SELECT refused::text FROM enigma.publish('%s', 'd', 1, 1, 1, 1, 1, '{}')":                                    "1",
		"SELECT was_there::text FROM enigma.remove_document('%s', 'staged', 1)":                                       "false",
		"SELECT was_mine::text FROM enigma.update_job('%s', gen_random_uuid(), 'w', 'done', true, '', 1, 1)":          "false",
		"SELECT enigma.sweep('%s', 1000)::text":                                                                       "false",
		"SELECT enigma.erase_documents('%s', 1000)::text":                                                             "false",
		"SELECT enigma.prune_documents('%s', 9223372036854775807, 9223372036854775807, 9223372036854775807, 9)::text": "0",
	} {
		var got string
		if err := login.QueryRow(t.Context(), fmt.Sprintf(sql, victim)).Scan(&got); err != nil || got != want {
			t.Errorf("%s as the neighbour: got %s, error %v, want %s", sql, got, err, want)
		}
	}
	if n := count(t, login, fmt.Sprintf("SELECT sessions FROM enigma.erase('%s', 1000)", victim)); n != 0 {
		t.Errorf("erase removed %d of the neighbour's sessions", n)
	}
	for _, table := range tables {
		if n := count(t, super, "SELECT count(*) FROM enigma."+table+" WHERE tenant = $1", victim); n != before[table] {
			t.Errorf("%s: after all of that the neighbour has %d rows of %d", table, n, before[table])
		}
	}
}

// TestALoginCanNotBecomeMore tries what would raise its rights or leave something behind.
func TestALoginCanNotBecomeMore(t *testing.T) {
	t.Parallel()
	_, a, _, login, _ := neighbours(t)
	victim := statestore.Tag(a.Identity())
	for _, sql := range []string{
		"SET ROLE ce_" + victim, "SET ROLE ce_" + victim + "_a", "SET ROLE postgres", "SET SESSION AUTHORIZATION ce_" + victim + "_a",
		"GRANT ce_" + victim + " TO CURRENT_USER", "CREATE ROLE ce_more", "CREATE SCHEMA mine", "CREATE DATABASE mine",
		"CREATE TABLE public.mine (x int)", "CREATE TABLE enigma.mine (x int)", "CREATE TEMP TABLE mine (x int)",
		"CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1", "CREATE FUNCTION enigma.tenant2() RETURNS int LANGUAGE sql RETURN 1",
		"CREATE OR REPLACE FUNCTION enigma.tenant() RETURNS text LANGUAGE sql RETURN '" + victim + "'",
		"ALTER TABLE enigma.messages DISABLE ROW LEVEL SECURITY", "ALTER TABLE enigma.messages NO FORCE ROW LEVEL SECURITY",
		"CREATE POLICY mine ON enigma.messages USING (true)", "DROP POLICY tenant ON enigma.messages",
		"CREATE VIEW enigma.v AS SELECT * FROM enigma.messages", "TRUNCATE enigma.messages",
		"UPDATE enigma.schema SET version = 9", "ALTER ROLE CURRENT_USER CONNECTION LIMIT 1000", "ALTER ROLE CURRENT_USER BYPASSRLS",
		"COPY enigma.messages TO PROGRAM 'cat'", "SELECT pg_read_file('postgresql.conf')", "SELECT * FROM pg_authid",
		"SELECT * FROM pg_statistic", "SET session_replication_role = replica", "VACUUM pg_authid", "ALTER SYSTEM SET fsync = off",
	} {
		_, err := login.Exec(t.Context(), sql)
		// VACUUM of what isn't one's own is a warning, and nothing.
		if err == nil && strings.HasPrefix(sql, "VACUUM") {
			continue
		}
		wantCode(t, sql, err, "42501", "42809", "0LP01")
	}
	// Asked to do without, the server refuses rather than obeys.
	if _, err := login.Exec(t.Context(), "SET row_security = off"); err != nil {
		t.Fatal(err)
	}
	_, err := login.Exec(t.Context(), "SELECT * FROM enigma.messages")
	wantCode(t, "reading without row security", err, "42501")
}

// TestALoginCanNotGuess looks for a neighbour's rows where they leave traces: plans,
// statistics, errors, activity and notifications.
func TestALoginCanNotGuess(t *testing.T) {
	t.Parallel()
	d, a, _, login, super := neighbours(t)
	victim := statestore.Tag(a.Identity())
	for _, table := range tables {
		if _, err := super.Exec(t.Context(), "ANALYZE enigma."+table); err != nil {
			t.Fatal(err)
		}
	}
	explain := func(sql string) string {
		rows, err := login.Query(t.Context(), "EXPLAIN "+sql, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("EXPLAIN %s: %v", sql, err)
		}
		return strings.Join(lines, "\n")
	}
	// A plan is the same for who has three hundred sessions and for who was never there,
	// for a value that the neighbour often has and for one that nobody has.
	nobody := statestore.Tag("nobody")
	for _, pair := range [][2]string{
		{"SELECT * FROM enigma.messages WHERE tenant = '" + victim + "'", "SELECT * FROM enigma.messages WHERE tenant = '" + nobody + "'"},
		{"SELECT * FROM enigma.sessions WHERE tenant = '" + victim + "'", "SELECT * FROM enigma.sessions WHERE tenant = '" + nobody + "'"},
		{"SELECT * FROM enigma.sessions WHERE caller = '" + owner.Caller + "'", "SELECT * FROM enigma.sessions WHERE caller = 'user:nobody@c4nary.example'"},
		{"SELECT * FROM enigma.messages WHERE content = '" + secretText + "'", "SELECT * FROM enigma.messages WHERE content = 'other'"},
	} {
		values := regexp.MustCompile(`'[^']*'`)
		one, other := values.ReplaceAllString(explain(pair[0]), "_"), values.ReplaceAllString(explain(pair[1]), "_")
		if one != other {
			t.Errorf("plans tell apart what is and what isn't:\n%s\n%s", one, other)
		}
	}
	for _, analyze := range []string{
		"(ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM enigma.sessions WHERE tenant = '" + victim + "'",
		"(ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM enigma.sessions WHERE tenant = '" + victim + "' AND caller = '" + owner.Caller + "'",
	} {
		if plan := explain(analyze); strings.Contains(plan, "Removed by Filter: 3") {
			t.Errorf("a plan counts the neighbour's rows:\n%s", plan)
		}
	}
	if n := count(t, login, "SELECT count(*) FROM pg_stats WHERE schemaname = 'enigma'"); n != 0 {
		t.Errorf("pg_stats shows %d columns", n)
	}
	if n := count(t, super, "SELECT count(*) FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'enigma'::regnamespace AND relname <> 'schema')"); n != 0 {
		t.Errorf("statistics of %d columns are gathered", n)
	}
	// A function that fails on what it sees is given nothing of the neighbour's to see.
	for _, leaky := range []string{
		"SELECT 1 FROM enigma.messages WHERE 1 / (length(content) - " + fmt.Sprint(len(secretText)) + ") > 0 AND tenant = '" + victim + "'",
		"SELECT 1 FROM enigma.messages WHERE tenant = '" + victim + "' AND encode(content, 'escape')::int > 0",
		"SELECT 1 FROM enigma.cache WHERE tenant = '" + victim + "' AND convert_from(value, 'UTF8')::uuid IS NOT NULL",
	} {
		if rows, err := login.Exec(t.Context(), leaky); err != nil || rows.RowsAffected() != 0 {
			t.Errorf("%s: %v, %v", leaky, rows, err)
		}
	}
	// That a key is taken shows nowhere: who isn't the tenant is refused before.
	for _, session := range []string{"s0", "nothing"} {
		_, err := login.Exec(t.Context(), "INSERT INTO enigma.sessions (tenant, caller, session, created, updated, first, next) VALUES ($1, $2, $3, 0, 0, 0, 0)",
			victim, []byte(owner.Caller), []byte(session))
		wantCode(t, "adding session "+session, err, "42501")
	}
	if n := count(t, super, "SELECT count(*) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'enigma'::regnamespace"); n != 0 {
		t.Errorf("%d sequences count over all tenants", n)
	}
	// Activity: another login's statements and its client are hidden.
	victimStore := d.open(t, a)
	if _, err := victimStore.Sessions().History(t.Context(), a, owner, "s0", storage.Page{Limit: 1}); err != nil {
		t.Fatal(err)
	}
	const foreign = " FROM pg_stat_activity WHERE usename <> current_user AND usename LIKE 'ce\\_%'"
	if n := count(t, login, "SELECT count(*)"+foreign); n == 0 {
		t.Fatal("the neighbour isn't connected")
	}
	if n := count(t, login, "SELECT count(*)"+foreign+" AND (query NOT LIKE '<insufficient privilege>' OR client_addr IS NOT NULL)"); n != 0 {
		t.Errorf("%d statements or addresses of other logins are shown", n)
	}
	_, err := login.Exec(t.Context(), "SELECT pg_terminate_backend(pid)"+foreign)
	wantCode(t, "ending the neighbour's connection", err, "42501")
}

// TestNobodyElseIsNotified: a tenant's documents are told of on a channel that nobody else
// knows, and there is nothing in what is told.
func TestNobodyElseIsNotified(t *testing.T) {
	t.Parallel()
	d, a, b, login, super := neighbours(t)
	victim := statestore.Tag(a.Identity())
	var channel, own string
	err := errors.Join(super.QueryRow(t.Context(), "SELECT channel FROM enigma.libraries WHERE tenant = $1", victim).Scan(&channel),
		login.QueryRow(t.Context(), "SELECT channel FROM enigma.libraries").Scan(&own))
	if err != nil || channel == own || !regexp.MustCompile(`^ce_[0-9a-f-]{36}$`).MatchString(channel) {
		t.Fatalf("channels %q and %q, error %v", channel, own, err)
	}
	listener := connect(t, d.server.Super(d.name))
	for _, c := range []*pgx.Conn{login, listener} {
		for _, guess := range []string{victim, "ce_" + victim, "ce_" + victim + "_a", "enigma", "ce_tenants", "libraries", "documents", own, a.Identity()} {
			if _, err := c.Exec(t.Context(), "LISTEN "+pgx.Identifier{guess[:min(60, len(guess))]}.Sanitize()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := listener.Exec(t.Context(), "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	s := d.open(t, a)
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	go func() { _, _ = s.Documents().Await(ctx, a, -1) }()
	furnish(t, s, a, 2)
	n, err := listener.WaitForNotification(ctx)
	if err != nil || n.Channel != channel || n.Payload != "" {
		t.Errorf("told %+v, error %v, want only that something changed", n, err)
	}
	// The neighbour's own change comes after whatever it might have heard.
	furnish(t, d.open(t, b), b, 1)
	if n, err = login.WaitForNotification(ctx); err != nil || n.Channel != own {
		t.Errorf("the neighbour heard %+v, error %v", n, err)
	}
	if n := count(t, login, "SELECT count(*) FROM pg_listening_channels() c WHERE c = $1", channel); n != 0 {
		t.Error("the neighbour sees who listens to what")
	}
	if n := count(t, super, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal"); n != 0 {
		t.Errorf("%d triggers", n)
	}
}

// TestALoginIsOneTenants: the driver refuses to look for another tenant with it.
func TestALoginIsOneTenants(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	a, b := newID(t, d.name+"/a"), newID(t, d.name+"/b")
	s := d.open(t, a)
	for range 2 { // before it has asked the server, and after
		err := s.Sessions().Append(t.Context(), b, owner, "s", []storage.Message{{Role: "user", At: time.Now()}}, storage.Keep{})
		if !errors.Is(err, postgres.ErrOtherTenant) {
			t.Errorf("got %v, want ErrOtherTenant", err)
		}
		furnish(t, s, a, 1)
	}
	if h := s.Health(); !h.OK {
		t.Errorf("a caller's bug makes the store unwell: %+v", h)
	}
}
