-- Version 1. Rows carry the tenant's Tag in every table and every key. Names and texts are
-- bytea: they may hold NUL and what is no UTF-8. Times are Unix milliseconds, but for takes,
-- which are nanoseconds.
--
-- No sequence counts over tenants and no column has statistics: both would tell a tenant
-- how much its neighbours have. Functions run with the rights of who calls them.

-- tenant is told by the name of the role alone, which nobody but a maker of roles chooses.
-- It is no tag, and so nobody's, for every other role.
CREATE FUNCTION enigma.tenant() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN starts_with(current_user::text, 'ce_') THEN substr(current_user::text, 4, 32) END;

-- later orders what was made on this server; near enough unique to break ties.
CREATE FUNCTION enigma.later() RETURNS bigint LANGUAGE sql VOLATILE
RETURN (((extract(epoch FROM clock_timestamp()) - 1700000000) * 1000000)::bigint << 12) + floor(random() * 4096)::bigint;

CREATE TABLE enigma.sessions (
  tenant text COLLATE "C" NOT NULL, caller bytea NOT NULL, session bytea NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(), seq bigint NOT NULL DEFAULT enigma.later(),
  created bigint NOT NULL, updated bigint NOT NULL, first bigint NOT NULL, next bigint NOT NULL,
  caller_hash bytea NOT NULL GENERATED ALWAYS AS (sha256(caller)) STORED,
  PRIMARY KEY (tenant, session, caller)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
-- By the hash, so that without statistics nothing finds one session by way of all its
-- caller's: lists alone ask for the hash.
CREATE INDEX sessions_by_caller ON enigma.sessions (tenant, caller_hash, updated, seq);
CREATE INDEX sessions_by_update ON enigma.sessions (tenant, updated, seq);

CREATE TABLE enigma.messages (
  tenant text COLLATE "C" NOT NULL, session uuid NOT NULL, n bigint NOT NULL,
  role bytea NOT NULL, content bytea NOT NULL, at bigint NOT NULL, tokens bigint NOT NULL, partial boolean NOT NULL,
  PRIMARY KEY (tenant, session, n)
);

CREATE UNLOGGED TABLE enigma.windows (
  tenant text COLLATE "C" NOT NULL, key bytea NOT NULL, name bytea NOT NULL,
  until bigint NOT NULL, takes bigint[] NOT NULL,
  PRIMARY KEY (tenant, key, name)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE enigma.budgets (
  tenant text COLLATE "C" NOT NULL, name bytea NOT NULL,
  used bigint NOT NULL, reserved bigint NOT NULL, until bigint NOT NULL,
  PRIMARY KEY (tenant, name)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE enigma.usage (
  tenant text COLLATE "C" NOT NULL, minute bigint NOT NULL, model bytea NOT NULL, feature bytea NOT NULL, outcome bytea NOT NULL,
  calls bigint NOT NULL, tokens_in bigint NOT NULL, tokens_out bigint NOT NULL, micro_usd bigint NOT NULL, latency_ns bigint NOT NULL,
  PRIMARY KEY (tenant, minute, model, feature, outcome)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE enigma.audit (
  tenant text COLLATE "C" NOT NULL, at bigint NOT NULL, seq bigint NOT NULL DEFAULT enigma.later(),
  caller bytea NOT NULL, tool bytea NOT NULL, params_hash bytea NOT NULL, outcome bytea NOT NULL, duration_ns bigint NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  PRIMARY KEY (tenant, at, seq, id)
);

CREATE UNLOGGED TABLE enigma.cache (
  tenant text COLLATE "C" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, until bigint NOT NULL,
  PRIMARY KEY (tenant, key)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX cache_by_end ON enigma.cache (tenant, until);

DO $rows$
DECLARE
  rel regclass;
  col name;
BEGIN
  FOREACH rel IN ARRAY ARRAY['enigma.sessions', 'enigma.messages', 'enigma.windows', 'enigma.budgets', 'enigma.usage', 'enigma.audit', 'enigma.cache']::regclass[] LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', rel);
    EXECUTE format('CREATE POLICY tenant ON %s USING (tenant = (SELECT enigma.tenant())) WITH CHECK (tenant = (SELECT enigma.tenant()))', rel);
    FOR col IN SELECT attname FROM pg_attribute WHERE attrelid = rel AND attnum > 0 LOOP
      EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', rel, col);
    END LOOP;
  END LOOP;
END $rows$;

-- append adds messages whose times have been checked to rise, and keeps the last keep of
-- all; 0 keeps all.
CREATE FUNCTION enigma.append(t text, c bytea, s bytea, roles bytea[], contents bytea[], ats bigint[], token_counts bigint[], partials boolean[], keep bigint)
RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
  many CONSTANT bigint := cardinality(ats);
  head CONSTANT bigint := ats[1];
  tail CONSTANT bigint := ats[many];
  r record;
BEGIN
  INSERT INTO enigma.sessions AS old (tenant, caller, session, created, updated, first, next)
  VALUES (t, c, s, head, tail, CASE WHEN keep > 0 THEN greatest(0, many - keep) ELSE 0 END, many)
  ON CONFLICT (tenant, session, caller) DO UPDATE SET
    updated = tail + greatest(0, old.updated + 1 - head), next = old.next + many,
    first = CASE WHEN keep > 0 THEN greatest(old.first, old.next + many - keep) ELSE old.first END
  RETURNING old.id, old.first, old.next, old.updated - tail AS move INTO r;
  INSERT INTO enigma.messages (tenant, session, n, role, content, at, tokens, partial)
  SELECT t, r.id, r.next - many + m.i - 1, m.role, m.content, m.at + r.move, m.tokens, m.partial
  FROM unnest(roles, contents, ats, token_counts, partials) WITH ORDINALITY AS m (role, content, at, tokens, partial, i)
  WHERE r.next - many + m.i - 1 >= r.first;
  IF keep > 0 AND r.first > 0 THEN
    DELETE FROM enigma.messages WHERE tenant = t AND session = r.id AND n < r.first;
  END IF;
  RETURN t;
END $f$;

-- drop_sessions is two statements so that the second sees what an append, for which the
-- first waited, has added.
CREATE FUNCTION enigma.drop_sessions(t text, s bytea, c bytea, everyone boolean)
RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
  ids uuid[];
BEGIN
  WITH gone AS (DELETE FROM enigma.sessions WHERE tenant = t AND session = s AND (everyone OR caller = c) RETURNING id)
  SELECT array_agg(id) INTO ids FROM gone;
  IF ids IS NOT NULL THEN
    DELETE FROM enigma.messages WHERE tenant = t AND session = ANY (ids);
  END IF;
  RETURN t;
END $f$;

-- expire removes up to most sessions that were last updated before edge.
CREATE FUNCTION enigma.expire(t text, edge bigint, most int)
RETURNS bigint LANGUAGE plpgsql AS $f$
DECLARE
  ids uuid[];
BEGIN
  WITH old AS (
    SELECT caller, session FROM enigma.sessions WHERE tenant = t AND updated < edge ORDER BY updated, seq LIMIT most FOR UPDATE
  ), gone AS (
    DELETE FROM enigma.sessions x USING old WHERE x.tenant = t AND x.session = old.session AND x.caller = old.caller AND x.updated < edge RETURNING x.id
  )
  SELECT array_agg(id) INTO ids FROM gone;
  IF ids IS NULL THEN
    RETURN 0;
  END IF;
  DELETE FROM enigma.messages WHERE tenant = t AND session = ANY (ids);
  RETURN cardinality(ids);
END $f$;

-- prune removes up to most rows a table of what has run out by now.
-- Windows stay a day longer: callers' clocks may differ from this one.
CREATE FUNCTION enigma.prune(t text, now_ms bigint, usage_minute bigint, audit_ms bigint, most int)
RETURNS bigint LANGUAGE plpgsql AS $f$
DECLARE
  gone bigint;
  total bigint := 0;
BEGIN
  DELETE FROM enigma.windows WHERE (tenant, key, name) IN
    (SELECT tenant, key, name FROM enigma.windows WHERE tenant = t AND until < now_ms - 86400000 LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS gone = ROW_COUNT; total := greatest(total, gone);
  DELETE FROM enigma.budgets WHERE (tenant, name) IN
    (SELECT tenant, name FROM enigma.budgets WHERE tenant = t AND until > 0 AND until < now_ms - 3600000 LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS gone = ROW_COUNT; total := greatest(total, gone);
  DELETE FROM enigma.usage WHERE (tenant, minute, model, feature, outcome) IN
    (SELECT tenant, minute, model, feature, outcome FROM enigma.usage WHERE tenant = t AND minute < usage_minute LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS gone = ROW_COUNT; total := greatest(total, gone);
  DELETE FROM enigma.audit WHERE (tenant, at, seq, id) IN
    (SELECT tenant, at, seq, id FROM enigma.audit WHERE tenant = t AND at < audit_ms LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS gone = ROW_COUNT; total := greatest(total, gone);
  DELETE FROM enigma.cache WHERE (tenant, key) IN
    (SELECT tenant, key FROM enigma.cache WHERE tenant = t AND until <= now_ms LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS gone = ROW_COUNT; total := greatest(total, gone);
  RETURN total;
END $f$;

-- take is one decision over windows with a bound, each given once. tightest counts from 1.
-- Rows are locked in the order of their names, so that takes never wait for each other in
-- a ring.
CREATE FUNCTION enigma.take(t text, k bytea, names bytea[], limits bigint[], lengths bigint[], at_ns bigint,
  OUT tenant text, OUT ok boolean, OUT tightest int, OUT remaining bigint, OUT retry bigint, OUT reset bigint)
LANGUAGE plpgsql AS $f$
#variable_conflict use_column
DECLARE
  r record;
  log bigint[];
  found_rows int;
  i int; n int; drops int; over bigint; last bigint; counted bigint; wait bigint; left_over bigint; until_empty bigint;
  seen int[] := '{}'; shed int[] := '{}'; times bigint[] := '{}';
  shed_any boolean := false;
BEGIN
  tenant := t;
  LOOP
    found_rows := 0; ok := true; tightest := 0; remaining := 9223372036854775807; retry := 0; reset := 0;
    seen := '{}'; shed := '{}'; times := '{}'; shed_any := false;
    FOR r IN SELECT w.name, w.takes FROM enigma.windows w WHERE w.tenant = t AND w.key = k AND w.name = ANY (names) ORDER BY w.name FOR UPDATE LOOP
      found_rows := found_rows + 1;
      i := array_position(names, r.name);
      log := r.takes;
      n := cardinality(log);
      counted := at_ns;
      IF n > 0 THEN
        last := log[n];
        IF last - at_ns > lengths[i] THEN
          -- The clock was set back: former takes count as made now.
          log := array_fill(at_ns, ARRAY[n]);
          UPDATE enigma.windows w SET takes = log WHERE w.tenant = t AND w.key = k AND w.name = r.name;
        ELSIF last > at_ns THEN
          counted := last;
        END IF;
      END IF;
      drops := 0;
      WHILE drops < n AND counted - log[drops + 1] >= lengths[i] LOOP
        drops := drops + 1;
      END LOOP;
      shed_any := shed_any OR drops > 0;
      seen := seen || i; shed := shed || drops; times := times || counted;
      over := n - drops - limits[i];
      IF over >= 0 THEN
        wait := lengths[i] - (at_ns - log[(drops + over + 1)::int]);
        IF ok OR wait > retry OR wait = retry AND i < tightest THEN
          retry := wait; tightest := i; reset := lengths[i] - (at_ns - log[n]);
        END IF;
        ok := false; remaining := 0;
      ELSIF ok THEN
        left_over := -over - 1;
        until_empty := lengths[i] + counted - at_ns;
        IF left_over < remaining OR left_over = remaining AND (until_empty > reset OR until_empty = reset AND i < tightest) THEN
          remaining := left_over; tightest := i; reset := until_empty;
        END IF;
      END IF;
    END LOOP;
    EXIT WHEN found_rows = cardinality(names);
    INSERT INTO enigma.windows (tenant, key, name, until, takes) SELECT t, k, x, 0, '{}' FROM unnest(names) x ORDER BY x ON CONFLICT DO NOTHING;
  END LOOP;
  IF ok THEN
    UPDATE enigma.windows w SET takes = w.takes[v.shed + 1:] || v.at, until = (v.at + lengths[v.i]) / 1000000
    FROM unnest(seen, shed, times) AS v (i, shed, at) WHERE w.tenant = t AND w.key = k AND w.name = names[v.i];
  ELSIF shed_any THEN
    UPDATE enigma.windows w SET takes = w.takes[v.shed + 1:]
    FROM unnest(seen, shed) AS v (i, shed) WHERE v.shed > 0 AND w.tenant = t AND w.key = k AND w.name = names[v.i];
  END IF;
END $f$;

-- give_back undoes one take of that time. One that came late was put down at the time of
-- the one before it, so the first that isn't earlier stands for it.
CREATE FUNCTION enigma.give_back(t text, k bytea, names bytea[], at_ns bigint)
RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
  r record;
  n int;
BEGIN
  FOR r IN SELECT w.name, w.takes FROM enigma.windows w WHERE w.tenant = t AND w.key = k AND w.name = ANY (names) ORDER BY w.name FOR UPDATE LOOP
    SELECT min(x.i) INTO n FROM unnest(r.takes) WITH ORDINALITY AS x (at, i) WHERE x.at >= at_ns;
    IF n IS NOT NULL THEN
      UPDATE enigma.windows w SET takes = r.takes[:n - 1] || r.takes[n + 1:] WHERE w.tenant = t AND w.key = k AND w.name = r.name;
    END IF;
  END LOOP;
  RETURN t;
END $f$;

-- reserve sets amounts aside in all budgets or in none; refused is the first, from 1, that
-- has no room, 0 if all have. A row that exists is locked by the insert though it has none.
CREATE FUNCTION enigma.reserve(t text, names bytea[], mosts bigint[], amounts bigint[], untils bigint[], OUT tenant text, OUT refused int)
LANGUAGE plpgsql AS $f$
#variable_conflict use_column
DECLARE
  got bytea[];
BEGIN
  tenant := t; refused := 0;
  WITH asked AS (
    SELECT a.name, sum(a.amount) AS amount, min(a.most) AS most, max(a.until) AS until
    FROM unnest(names, mosts, amounts, untils) AS a (name, most, amount, until) GROUP BY a.name
  ), put AS (
    INSERT INTO enigma.budgets AS b (tenant, name, used, reserved, until)
    SELECT t, asked.name, 0, asked.amount::bigint, asked.until FROM asked WHERE asked.amount <= asked.most ORDER BY asked.name
    ON CONFLICT (tenant, name) DO UPDATE SET reserved = b.reserved + excluded.reserved
    WHERE b.used::numeric + b.reserved + excluded.reserved <= (SELECT asked.most FROM asked WHERE asked.name = b.name)
    RETURNING b.name
  )
  SELECT array_agg(put.name) INTO got FROM put;
  SELECT min(a.i) INTO refused FROM unnest(names) WITH ORDINALITY AS a (name, i) WHERE got IS NULL OR a.name <> ALL (got);
  IF refused IS NULL THEN
    refused := 0;
  ELSIF got IS NOT NULL THEN
    UPDATE enigma.budgets b SET reserved = b.reserved - a.amount
    FROM (SELECT x.name, sum(x.amount)::bigint AS amount FROM unnest(names, amounts) AS x (name, amount) WHERE x.name = ANY (got) GROUP BY x.name) a
    WHERE b.tenant = t AND b.name = a.name;
  END IF;
END $f$;

-- settle needs no wait for the disk: the log keeps its order, and is written within a second.
CREATE FUNCTION enigma.settle(t text, names bytea[], amounts bigint[], useds bigint[], untils bigint[])
RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  INSERT INTO enigma.budgets AS b (tenant, name, used, reserved, until)
  SELECT t, a.name, least(9223372036854775807, sum(a.used))::bigint, 0, max(a.until)
  FROM unnest(names, useds, untils) AS a (name, used, until) GROUP BY a.name ORDER BY a.name
  ON CONFLICT (tenant, name) DO UPDATE SET
    used = least(9223372036854775807, b.used::numeric + excluded.used)::bigint,
    reserved = greatest(0, b.reserved - (SELECT sum(x.amount) FROM unnest(names, amounts) AS x (name, amount) WHERE x.name = b.name))::bigint;
  RETURN t;
END $f$;

CREATE FUNCTION enigma.use(t text, at_minute bigint, m bytea, f bytea, o bytea, calls bigint, tin bigint, tout bigint, usd bigint, ns bigint)
RETURNS text LANGUAGE plpgsql AS $f$
#variable_conflict use_column
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  INSERT INTO enigma.usage AS u VALUES (t, at_minute, m, f, o, $6, tin, tout, usd, ns)
  ON CONFLICT (tenant, minute, model, feature, outcome) DO UPDATE SET
    calls = least(9223372036854775807, u.calls::numeric + excluded.calls)::bigint,
    tokens_in = least(9223372036854775807, u.tokens_in::numeric + excluded.tokens_in)::bigint,
    tokens_out = least(9223372036854775807, u.tokens_out::numeric + excluded.tokens_out)::bigint,
    micro_usd = least(9223372036854775807, u.micro_usd::numeric + excluded.micro_usd)::bigint,
    latency_ns = least(9223372036854775807, u.latency_ns::numeric + excluded.latency_ns)::bigint;
  RETURN t;
END $f$;

CREATE FUNCTION enigma.note(t text, at_ms bigint, c bytea, tool bytea, params bytea, o bytea, ns bigint)
RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  INSERT INTO enigma.audit (tenant, at, caller, tool, params_hash, outcome, duration_ns) VALUES (t, at_ms, c, $4, params, o, ns);
  RETURN t;
END $f$;

-- put_cache also removes a few entries that have run out, so that a cache in use stays as
-- small as what lives in it.
CREATE FUNCTION enigma.put_cache(t text, k bytea, v bytea, now_ms bigint, until_ms bigint)
RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
  DELETE FROM enigma.cache WHERE (tenant, key) IN
    (SELECT tenant, key FROM enigma.cache WHERE tenant = t AND until <= now_ms AND key <> k ORDER BY until LIMIT 4 FOR UPDATE SKIP LOCKED);
  INSERT INTO enigma.cache (tenant, key, value, until) VALUES (t, k, v, until_ms)
  ON CONFLICT (tenant, key) DO UPDATE SET value = excluded.value, until = excluded.until;
  RETURN t;
END $f$;

-- erase removes up to most rows a table and tells how many sessions, and whether more is left.
CREATE FUNCTION enigma.erase(t text, most int, OUT sessions bigint, OUT more boolean)
LANGUAGE plpgsql AS $f$
DECLARE
  gone bigint;
BEGIN
  sessions := enigma.expire(t, 9223372036854775807, most);
  more := sessions = most;
  DELETE FROM enigma.messages WHERE (tenant, session, n) IN (SELECT m.tenant, m.session, m.n FROM enigma.messages m WHERE m.tenant = t LIMIT 20 * most);
  GET DIAGNOSTICS gone = ROW_COUNT; more := more OR gone = 20 * most;
  DELETE FROM enigma.windows WHERE (tenant, key, name) IN (SELECT w.tenant, w.key, w.name FROM enigma.windows w WHERE w.tenant = t LIMIT most);
  GET DIAGNOSTICS gone = ROW_COUNT; more := more OR gone = most;
  DELETE FROM enigma.budgets WHERE (tenant, name) IN (SELECT b.tenant, b.name FROM enigma.budgets b WHERE b.tenant = t LIMIT most);
  GET DIAGNOSTICS gone = ROW_COUNT; more := more OR gone = most;
  DELETE FROM enigma.usage WHERE (tenant, minute, model, feature, outcome) IN
    (SELECT u.tenant, u.minute, u.model, u.feature, u.outcome FROM enigma.usage u WHERE u.tenant = t LIMIT most);
  GET DIAGNOSTICS gone = ROW_COUNT; more := more OR gone = most;
  DELETE FROM enigma.audit WHERE (tenant, at, seq, id) IN (SELECT a.tenant, a.at, a.seq, a.id FROM enigma.audit a WHERE a.tenant = t LIMIT most);
  GET DIAGNOSTICS gone = ROW_COUNT; more := more OR gone = most;
  DELETE FROM enigma.cache WHERE (tenant, key) IN (SELECT c.tenant, c.key FROM enigma.cache c WHERE c.tenant = t LIMIT most);
  GET DIAGNOSTICS gone = ROW_COUNT; more := more OR gone = most;
END $f$;
