-- Version 2: documents and jobs. A part is the passages of one version, under an id of its
-- own: published when a document names it, staged while parts does, and deleted a little at
-- a time once dropped has it. Whoever publishes, removes or erases holds the tenant's row
-- of libraries; whoever stages keeps it from being held.

CREATE TABLE enigma.libraries (
  tenant text COLLATE "C" NOT NULL PRIMARY KEY,
  version bigint NOT NULL, head bigint NOT NULL, floor bigint NOT NULL, forgotten bigint NOT NULL,
  documents bigint NOT NULL, passages bigint NOT NULL,
  -- Whoever knows a channel hears when its tenant's documents change: nobody can guess it.
  channel text NOT NULL DEFAULT 'ce_' || gen_random_uuid()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE enigma.documents (
  tenant text COLLATE "C" NOT NULL, doc bytea NOT NULL, part uuid NOT NULL, version bigint NOT NULL, source bigint NOT NULL,
  change bigint NOT NULL, created bigint NOT NULL, updated bigint NOT NULL,
  passages int NOT NULL, bytes bigint NOT NULL, about bytea NOT NULL,
  PRIMARY KEY (tenant, doc)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX documents_by_change ON enigma.documents (tenant, change);

CREATE TABLE enigma.removals (
  tenant text COLLATE "C" NOT NULL, doc bytea NOT NULL, change bigint NOT NULL, floor bigint NOT NULL, at bigint NOT NULL,
  PRIMARY KEY (tenant, doc)
);
CREATE INDEX removals_by_change ON enigma.removals (tenant, change);

CREATE TABLE enigma.parts (
  tenant text COLLATE "C" NOT NULL, doc bytea NOT NULL, version bigint NOT NULL, part uuid NOT NULL DEFAULT gen_random_uuid(),
  dimensions int NOT NULL, passages int NOT NULL, next int NOT NULL, latest bigint NOT NULL,
  PRIMARY KEY (tenant, doc, version)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE enigma.passages (
  tenant text COLLATE "C" NOT NULL, part uuid NOT NULL, n int NOT NULL, page int NOT NULL, text bytea NOT NULL, headings bytea NOT NULL,
  PRIMARY KEY (tenant, part, n)
);

-- Vectors of up to 2000 dimensions lie in the row itself, so that one is one read. They
-- don't compress.
CREATE TABLE enigma.vectors (
  tenant text COLLATE "C" NOT NULL, part uuid NOT NULL, n int NOT NULL, vector bytea NOT NULL,
  PRIMARY KEY (tenant, part, n)
) WITH (toast_tuple_target = 8160);
ALTER TABLE enigma.vectors ALTER COLUMN vector SET STORAGE EXTERNAL;

CREATE TABLE enigma.dropped (
  tenant text COLLATE "C" NOT NULL, part uuid NOT NULL, next int NOT NULL, until int NOT NULL,
  PRIMARY KEY (tenant, part)
);

-- Whoever adds a job, or puts one back, holds the tenant's row of queues: turns are in the
-- order in which jobs can be seen.
CREATE TABLE enigma.queues (
  tenant text COLLATE "C" NOT NULL PRIMARY KEY, turn bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE enigma.jobs (
  tenant text COLLATE "C" NOT NULL, job uuid NOT NULL, kind bytea NOT NULL, caller bytea NOT NULL,
  state text NOT NULL, ended boolean NOT NULL, attempts int NOT NULL, note bytea NOT NULL,
  created bigint NOT NULL, updated bigint NOT NULL, lease bigint NOT NULL,
  worker bytea NOT NULL, turn bigint NOT NULL, size bigint NOT NULL,
  PRIMARY KEY (tenant, job)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX jobs_by_turn ON enigma.jobs (tenant, turn) WHERE NOT ended;
CREATE INDEX jobs_by_end ON enigma.jobs (tenant, updated) WHERE ended;

CREATE TABLE enigma.payloads (
  tenant text COLLATE "C" NOT NULL, job uuid NOT NULL, piece int NOT NULL, data bytea NOT NULL,
  PRIMARY KEY (tenant, job, piece)
);
ALTER TABLE enigma.payloads ALTER COLUMN data SET STORAGE EXTERNAL;

DO $rows$
DECLARE
  rel regclass;
  col name;
BEGIN
  FOREACH rel IN ARRAY ARRAY['enigma.libraries', 'enigma.documents', 'enigma.removals', 'enigma.parts', 'enigma.passages', 'enigma.vectors',
    'enigma.dropped', 'enigma.queues', 'enigma.jobs', 'enigma.payloads']::regclass[] LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', rel);
    EXECUTE format('CREATE POLICY tenant ON %s USING (tenant = (SELECT enigma.tenant())) WITH CHECK (tenant = (SELECT enigma.tenant()))', rel);
    FOR col IN SELECT attname FROM pg_attribute WHERE attrelid = rel AND attnum > 0 LOOP
      EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', rel, col);
    END LOOP;
  END LOOP;
END $rows$;

-- next_version counts from the time in microseconds, so that numbers from before an erasure
-- are old.
CREATE FUNCTION enigma.next_version(t text, OUT tenant text, OUT version bigint) LANGUAGE plpgsql AS $f$
#variable_conflict use_column
DECLARE
  now_us CONSTANT bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
BEGIN
  tenant := t;
  INSERT INTO enigma.libraries AS l (tenant, version, head, floor, forgotten, documents, passages)
  VALUES (t, now_us + 1, 0, now_us, now_us + 1, 0, 0)
  ON CONFLICT (tenant) DO UPDATE SET version = l.version + 1
  RETURNING l.version INTO next_version.version;
END $f$;

-- is_old tells whether a version of a document can't be published any more.
CREATE FUNCTION enigma.is_old(t text, d bytea, v bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS $f$
BEGIN
  RETURN NOT EXISTS (SELECT FROM enigma.libraries l WHERE l.tenant = t AND v > l.floor AND v <= l.version)
    OR EXISTS (SELECT FROM enigma.removals r WHERE r.tenant = t AND r.doc = d AND v <= r.floor)
    OR EXISTS (SELECT FROM enigma.documents x WHERE x.tenant = t AND x.doc = d AND v < x.version);
END $f$;

-- stage keeps passages of a version; vs has none where the vectors have no dimensions. A
-- version below 0 is one of another store that is loaded. It answers with 1 for an old
-- version, and with 2 for vectors of others than had dimensions.
CREATE FUNCTION enigma.stage(t text, d bytea, v bigint, at_ms bigint, dims int, ns int[], pages int[], texts bytea[], heads bytea[], vs bytea[],
  OUT tenant text, OUT refused int, OUT had int) LANGUAGE plpgsql AS $f$
#variable_conflict use_column
DECLARE
  p uuid;
  made int;
BEGIN
  tenant := t; refused := 0; had := dims;
  PERFORM FROM enigma.libraries l WHERE l.tenant = t FOR KEY SHARE;
  IF v > 0 THEN
    IF EXISTS (SELECT FROM enigma.documents x WHERE x.tenant = t AND x.doc = d AND x.version = v) THEN
      RETURN;
    ELSIF enigma.is_old(t, d, v) THEN
      refused := 1;
      RETURN;
    END IF;
  END IF;
  INSERT INTO enigma.parts AS x (tenant, doc, version, dimensions, passages, next, latest) VALUES (t, d, v, dims, 0, 0, at_ms)
  ON CONFLICT (tenant, doc, version) DO UPDATE SET latest = greatest(x.latest, excluded.latest)
  RETURNING x.part, x.dimensions INTO p, had;
  IF had <> dims THEN
    refused := 2;
    RETURN;
  END IF;
  WITH put AS (
    INSERT INTO enigma.passages AS x (tenant, part, n, page, text, headings)
    SELECT t, p, s.n, s.page, s.text, s.headings FROM unnest(ns, pages, texts, heads) AS s (n, page, text, headings)
    ON CONFLICT (tenant, part, n) DO UPDATE SET page = excluded.page, text = excluded.text, headings = excluded.headings
    RETURNING xmax = 0 AS is_new
  )
  SELECT count(*) INTO made FROM put WHERE is_new;
  IF dims > 0 THEN
    INSERT INTO enigma.vectors AS x (tenant, part, n, vector) SELECT t, p, s.n, s.vector FROM unnest(ns, vs) AS s (n, vector)
    ON CONFLICT (tenant, part, n) DO UPDATE SET vector = excluded.vector;
  END IF;
  UPDATE enigma.parts x SET passages = x.passages + made, next = greatest(x.next, (SELECT max(s.n) + 1 FROM unnest(ns) AS s (n)))
  WHERE x.tenant = t AND x.doc = d AND x.version = v;
END $f$;

-- drop_parts lets go of what is staged of a document below a version.
CREATE FUNCTION enigma.drop_parts(t text, d bytea, below bigint) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
  WITH went AS (DELETE FROM enigma.parts x WHERE x.tenant = t AND x.doc = d AND x.version < below RETURNING x.part, x.next)
  INSERT INTO enigma.dropped (tenant, part, next, until) SELECT t, went.part, 0, went.next FROM went;
END $f$;

-- publish makes the n passages that are staged as v the document's. A v below 0 is that of
-- another store, of which the passages were loaded; the document gets a version of this
-- one, unless it was loaded before. It answers with 1 for an old version, and with 2 if
-- passages are missing.
CREATE FUNCTION enigma.publish(t text, d bytea, v bigint, n int, made_ms bigint, at_ms bigint, size bigint, what bytea, OUT tenant text, OUT refused int)
LANGUAGE plpgsql AS $f$
#variable_conflict use_column
DECLARE
  lib enigma.libraries;
  have enigma.documents;
  staged enigma.parts;
  as_v bigint := v;
  whole boolean;
BEGIN
  tenant := t; refused := 0;
  IF v < 0 THEN
    SELECT x.version INTO as_v FROM enigma.next_version(t) x;
  END IF;
  SELECT * INTO lib FROM enigma.libraries l WHERE l.tenant = t FOR UPDATE;
  SELECT * INTO have FROM enigma.documents x WHERE x.tenant = t AND x.doc = d;
  IF have.version = v THEN
    RETURN;
  ELSIF v < 0 AND have.source = -v AND have.updated = at_ms AND have.passages = n THEN
    WITH went AS (DELETE FROM enigma.parts x WHERE x.tenant = t AND x.doc = d AND x.version = v RETURNING x.part, x.next)
    INSERT INTO enigma.dropped (tenant, part, next, until) SELECT t, went.part, 0, went.next FROM went;
    RETURN;
  ELSIF enigma.is_old(t, d, as_v) THEN
    refused := 1;
    RETURN;
  END IF;
  SELECT * INTO staged FROM enigma.parts x WHERE x.tenant = t AND x.doc = d AND x.version = v;
  whole := staged.passages >= n;
  IF whole AND staged.next > n THEN
    whole := n = (SELECT count(*) FROM enigma.passages x WHERE x.tenant = t AND x.part = staged.part AND x.n < publish.n);
  END IF;
  IF whole IS NOT TRUE THEN
    refused := 2;
    RETURN;
  END IF;
  IF staged.next > n THEN
    DELETE FROM enigma.passages x WHERE x.tenant = t AND x.part = staged.part AND x.n >= publish.n;
    DELETE FROM enigma.vectors x WHERE x.tenant = t AND x.part = staged.part AND x.n >= publish.n;
  END IF;
  DELETE FROM enigma.parts x WHERE x.tenant = t AND x.doc = d AND x.version = v;
  PERFORM enigma.drop_parts(t, d, as_v);
  IF have.part IS NOT NULL THEN
    INSERT INTO enigma.dropped (tenant, part, next, until) VALUES (t, have.part, 0, have.passages);
  END IF;
  UPDATE enigma.libraries l SET head = greatest(l.head, l.floor) + 1,
    documents = l.documents + (have.part IS NULL)::int, passages = l.passages + publish.n - coalesce(have.passages, 0)
  WHERE l.tenant = t RETURNING l.head, l.channel INTO lib.head, lib.channel;
  INSERT INTO enigma.documents (tenant, doc, part, version, source, change, created, updated, passages, bytes, about)
  VALUES (t, d, staged.part, as_v, greatest(0, -v), lib.head,
    CASE WHEN v > 0 AND have.part IS NOT NULL THEN have.created ELSE made_ms END, at_ms, publish.n, size, what)
  ON CONFLICT (tenant, doc) DO UPDATE SET part = excluded.part, version = excluded.version, source = excluded.source, change = excluded.change,
    created = excluded.created, updated = excluded.updated, passages = excluded.passages, bytes = excluded.bytes, about = excluded.about;
  DELETE FROM enigma.removals r WHERE r.tenant = t AND r.doc = d;
  PERFORM pg_notify(lib.channel, '');
END $f$;

CREATE FUNCTION enigma.remove_document(t text, d bytea, at_ms bigint, OUT tenant text, OUT was_there boolean) LANGUAGE plpgsql AS $f$
#variable_conflict use_column
DECLARE
  lib enigma.libraries;
  have enigma.documents;
  seq bigint := 0;
BEGIN
  tenant := t; was_there := false;
  SELECT * INTO lib FROM enigma.libraries l WHERE l.tenant = t FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  DELETE FROM enigma.documents x WHERE x.tenant = t AND x.doc = d RETURNING * INTO have;
  was_there := FOUND;
  IF was_there THEN
    INSERT INTO enigma.dropped (tenant, part, next, until) VALUES (t, have.part, 0, have.passages);
    UPDATE enigma.libraries l SET head = greatest(l.head, l.floor) + 1, documents = l.documents - 1, passages = l.passages - have.passages
    WHERE l.tenant = t RETURNING l.head INTO seq;
    PERFORM pg_notify(lib.channel, '');
  END IF;
  PERFORM enigma.drop_parts(t, d, 9223372036854775807);
  INSERT INTO enigma.removals AS r (tenant, doc, change, floor, at) VALUES (t, d, seq, lib.version, at_ms)
  ON CONFLICT (tenant, doc) DO UPDATE SET change = greatest(r.change, excluded.change), floor = excluded.floor, at = excluded.at;
END $f$;

-- sweep deletes up to most passages of one part that was dropped, and tells whether there
-- was one that nobody else is at.
CREATE FUNCTION enigma.sweep(t text, most int) RETURNS boolean LANGUAGE plpgsql AS $f$
DECLARE
  r enigma.dropped;
BEGIN
  SELECT * INTO r FROM enigma.dropped x WHERE x.tenant = t ORDER BY x.part LIMIT 1 FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  DELETE FROM enigma.passages x WHERE x.tenant = t AND x.part = r.part AND x.n >= r.next AND x.n < r.next + most;
  DELETE FROM enigma.vectors x WHERE x.tenant = t AND x.part = r.part AND x.n >= r.next AND x.n < r.next + most;
  IF r.next + most >= r.until THEN
    DELETE FROM enigma.dropped x WHERE x.tenant = t AND x.part = r.part;
  ELSE
    UPDATE enigma.dropped x SET next = r.next + most WHERE x.tenant = t AND x.part = r.part;
  END IF;
  RETURN true;
END $f$;

-- prune_documents lets go of versions that were left, and of removals and jobs that needn't
-- be told any more. It waits for nobody who publishes.
CREATE FUNCTION enigma.prune_documents(t text, left_ms bigint, told_ms bigint, ended_ms bigint, most int) RETURNS bigint LANGUAGE plpgsql AS $f$
DECLARE
  oldest bigint;
  gone bigint;
  total bigint := 0;
BEGIN
  PERFORM FROM enigma.libraries l WHERE l.tenant = t FOR UPDATE SKIP LOCKED;
  IF FOUND THEN
    WITH went AS (DELETE FROM enigma.parts x WHERE (x.tenant, x.doc, x.version) IN
      (SELECT y.tenant, y.doc, y.version FROM enigma.parts y WHERE y.tenant = t AND y.latest < left_ms LIMIT most) RETURNING x.part, x.next)
    INSERT INTO enigma.dropped (tenant, part, next, until) SELECT t, went.part, 0, went.next FROM went;
    GET DIAGNOSTICS total = ROW_COUNT;
    WITH went AS (DELETE FROM enigma.removals r WHERE (r.tenant, r.doc) IN
      (SELECT y.tenant, y.doc FROM enigma.removals y WHERE y.tenant = t AND y.at < told_ms ORDER BY y.change LIMIT most) RETURNING r.change)
    SELECT max(went.change), count(*) INTO oldest, gone FROM went;
    total := greatest(total, gone);
    UPDATE enigma.libraries l SET forgotten = oldest WHERE l.tenant = t AND l.forgotten < oldest;
  END IF;
  DELETE FROM enigma.jobs x WHERE (x.tenant, x.job) IN
    (SELECT y.tenant, y.job FROM enigma.jobs y WHERE y.tenant = t AND y.ended AND y.updated < ended_ms LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS gone = ROW_COUNT;
  RETURN greatest(total, gone);
END $f$;

-- add_job queues a job whose payload is there already, in the same transaction. It answers
-- with 1 for an id that is taken, and with 2 if too much is open.
CREATE FUNCTION enigma.add_job(t text, j uuid, k bytea, c bytea, nt bytea, made_ms bigint, payload bigint, most int, most_bytes bigint,
  OUT tenant text, OUT refused int) LANGUAGE plpgsql AS $f$
#variable_conflict use_column
DECLARE
  my_turn bigint;
BEGIN
  tenant := t; refused := 0;
  INSERT INTO enigma.queues AS q (tenant, turn) VALUES (t, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
  ON CONFLICT (tenant) DO UPDATE SET turn = q.turn + 1 RETURNING q.turn INTO my_turn;
  IF EXISTS (SELECT FROM enigma.jobs x WHERE x.tenant = t AND x.job = j) THEN
    refused := 1;
  ELSIF (SELECT count(*) >= most OR coalesce(sum(x.size), 0) + payload > most_bytes FROM enigma.jobs x WHERE x.tenant = t AND NOT x.ended) THEN
    refused := 2;
  ELSE
    INSERT INTO enigma.jobs (tenant, job, kind, caller, state, ended, attempts, note, created, updated, lease, worker, turn, size)
    VALUES (t, j, k, c, 'queued', false, 0, nt, made_ms, made_ms, 0, '', my_turn, payload);
  END IF;
END $f$;

CREATE FUNCTION enigma.update_job(t text, j uuid, w bytea, st text, ends boolean, nt bytea, now_ms bigint, until_ms bigint,
  OUT tenant text, OUT was_mine boolean) LANGUAGE plpgsql AS $f$
#variable_conflict use_column
DECLARE
  my_turn bigint;
BEGIN
  tenant := t;
  PERFORM FROM enigma.jobs x WHERE x.tenant = t AND x.job = j AND x.state = 'running' AND x.worker = w FOR UPDATE;
  was_mine := FOUND;
  IF NOT was_mine THEN
    RETURN;
  ELSIF st = 'running' THEN
    UPDATE enigma.jobs x SET note = nt, updated = now_ms, lease = until_ms WHERE x.tenant = t AND x.job = j;
    RETURN;
  ELSIF ends THEN
    DELETE FROM enigma.payloads x WHERE x.tenant = t AND x.job = j;
  ELSE
    INSERT INTO enigma.queues AS q (tenant, turn) VALUES (t, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
    ON CONFLICT (tenant) DO UPDATE SET turn = q.turn + 1 RETURNING q.turn INTO my_turn;
  END IF;
  UPDATE enigma.jobs x SET state = st, ended = ends, note = nt, updated = now_ms, lease = 0, worker = '', turn = coalesce(my_turn, x.turn)
  WHERE x.tenant = t AND x.job = j;
END $f$;

-- erase_documents removes up to most documents and jobs, and some of the passages, and tells
-- whether more is left.
CREATE FUNCTION enigma.erase_documents(t text, most int) RETURNS boolean LANGUAGE plpgsql AS $f$
DECLARE
  gone bigint;
  more boolean;
  known text;
BEGIN
  PERFORM FROM enigma.libraries l WHERE l.tenant = t FOR UPDATE;
  WITH went AS (DELETE FROM enigma.documents x WHERE (x.tenant, x.doc) IN
    (SELECT y.tenant, y.doc FROM enigma.documents y WHERE y.tenant = t LIMIT most) RETURNING x.part, x.passages)
  INSERT INTO enigma.dropped (tenant, part, next, until) SELECT t, went.part, 0, went.passages FROM went;
  GET DIAGNOSTICS gone = ROW_COUNT; more := gone = most;
  WITH went AS (DELETE FROM enigma.parts x WHERE (x.tenant, x.doc, x.version) IN
    (SELECT y.tenant, y.doc, y.version FROM enigma.parts y WHERE y.tenant = t LIMIT most) RETURNING x.part, x.next)
  INSERT INTO enigma.dropped (tenant, part, next, until) SELECT t, went.part, 0, went.next FROM went;
  GET DIAGNOSTICS gone = ROW_COUNT; more := more OR gone = most;
  DELETE FROM enigma.removals WHERE (tenant, doc) IN (SELECT r.tenant, r.doc FROM enigma.removals r WHERE r.tenant = t LIMIT most);
  GET DIAGNOSTICS gone = ROW_COUNT; more := more OR gone = most;
  DELETE FROM enigma.payloads WHERE tenant = t;
  DELETE FROM enigma.jobs WHERE (tenant, job) IN (SELECT j.tenant, j.job FROM enigma.jobs j WHERE j.tenant = t LIMIT most);
  GET DIAGNOSTICS gone = ROW_COUNT; more := more OR gone = most;
  IF NOT more THEN
    DELETE FROM enigma.queues WHERE tenant = t;
    DELETE FROM enigma.libraries WHERE tenant = t RETURNING channel INTO known;
    IF known IS NOT NULL THEN
      PERFORM pg_notify(known, '');
    END IF;
  END IF;
  FOR i IN 1..20 LOOP
    EXIT WHEN NOT enigma.sweep(t, most);
  END LOOP;
  RETURN more OR EXISTS (SELECT FROM enigma.dropped x WHERE x.tenant = t);
END $f$;

-- erase is that of version 1, and documents and jobs.
CREATE OR REPLACE FUNCTION enigma.erase(t text, most int, OUT sessions bigint, OUT more boolean)
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
  more := enigma.erase_documents(t, most) OR more;
END $f$;
