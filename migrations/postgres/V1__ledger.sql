-- The ledger: what every run and row is, was and may become. The states are drawn in docs/state-machine.md.
-- NIK and number never stand here in clear: *_hash is a keyed hash (ID:HEX, ID naming the key), sealed* an
-- AEAD-sealed value that begins with its key's name. Hashes collate by bytes, so that every session locks them
-- in the same order. 'epoch' stands for "at once" in sweep_at and for "given back" in lease_until.

-- The ledger's clock: every lease is judged by it. It goes on within a transaction, unlike now(), so that one
-- that waited for a lock does not judge by the time at which it began.
CREATE FUNCTION ledger_now() RETURNS TIMESTAMPTZ LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()';

CREATE TABLE run (
  run_id             UUID PRIMARY KEY,           -- version 7
  job                TEXT NOT NULL,
  run_date           DATE NOT NULL,
  kind               TEXT NOT NULL CHECK (kind IN ('night', 'dry_run')),
  selection          JSONB NOT NULL,             -- limit, niks (hashes), reapply
  snapshot_order     BIGINT GENERATED ALWAYS AS IDENTITY UNIQUE, -- a later snapshot of the same date is newer
  state              TEXT NOT NULL CHECK (state IN ('seeding', 'open', 'closed', 'abandoned')),
  source             TEXT NOT NULL,
  started_by         TEXT NOT NULL,
  started_at         TIMESTAMPTZ NOT NULL,
  snapshot_at        TIMESTAMPTZ,
  closed_at          TIMESTAMPTZ,
  rows_read          BIGINT NOT NULL DEFAULT 0,
  rows_selected      BIGINT,                     -- counted when the snapshot is complete: it changes no more
  changed_while_read BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE INDEX run_by_date ON run (job, run_date, snapshot_order);

-- The newest generation of each row. sweep_at is when the row comes due for the sweep: at once before it is
-- first published, the lease's end while claimed, some time after its due time while retrying.
CREATE TABLE row (
  run_id      UUID NOT NULL,
  sheet_row   INTEGER NOT NULL,
  generation  INTEGER NOT NULL DEFAULT 1,
  state       TEXT NOT NULL CHECK (state IN ('pending', 'claimed', 'retrying', 'failed', 'done')),
  outcome     TEXT,
  reason      TEXT,
  column_name TEXT,
  found       TEXT,                              -- masked, or the last error, scrubbed
  warnings    TEXT NOT NULL DEFAULT '',          -- codes, separated by spaces
  nik_hash    TEXT COLLATE "C",
  number_hash TEXT COLLATE "C",
  sealed      BYTEA NOT NULL,
  attempts    INTEGER NOT NULL DEFAULT 0,        -- failed attempts, and the one that ended it
  requests    INTEGER NOT NULL DEFAULT 0,
  retries     INTEGER NOT NULL DEFAULT 0,
  turn        INTEGER NOT NULL DEFAULT 0,        -- messages of an older turn are stale
  epoch       BIGINT NOT NULL DEFAULT 0,
  crashes     INTEGER NOT NULL DEFAULT 0,        -- claims in a row that ended without a record
  published   BOOLEAN NOT NULL DEFAULT FALSE,    -- the queue confirmed a message of this turn
  sweep_at    TIMESTAMPTZ NOT NULL DEFAULT 'epoch',
  sweeps      INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run_id, sheet_row)
);
-- Each row is rewritten a few times in one night: clean up sooner than after a fifth of the table.
ALTER TABLE row SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX row_open ON row (run_id, sweep_at, sheet_row) WHERE state <> 'done';
CREATE INDEX row_by_nik ON row (nik_hash, run_id);
-- Partial, so that a row enters it once, when it ends.
CREATE INDEX row_by_outcome ON row (run_id, outcome, reason) WHERE outcome IS NOT NULL;

-- What generations before the newest ended in.
CREATE TABLE row_history (
  run_id     UUID NOT NULL,
  sheet_row  INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  outcome    TEXT NOT NULL,
  reason     TEXT,
  found      TEXT,
  attempts   INTEGER NOT NULL,
  ended_at   TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (run_id, sheet_row, generation)
);

-- Written before the write it announces: what a crash leaves in doubt, and what an undo needs.
CREATE TABLE intent (
  run_id        UUID NOT NULL,
  sheet_row     INTEGER NOT NULL,
  generation    INTEGER NOT NULL,
  patient_id    TEXT NOT NULL,                   -- sealed, in Base64: some servers use the NIK as id
  version_id    TEXT NOT NULL,
  sealed_before BYTEA NOT NULL,
  intended_at   TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (run_id, sheet_row, generation)
);

CREATE TABLE success (
  run_date     DATE NOT NULL,
  nik_hash     TEXT COLLATE "C" NOT NULL,
  number_hash  TEXT COLLATE "C" NOT NULL,
  run_id       UUID NOT NULL,
  sheet_row    INTEGER NOT NULL,
  succeeded_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (run_date, nik_hash, number_hash)
);

CREATE TABLE newest_success (
  nik_hash       TEXT COLLATE "C" PRIMARY KEY,
  run_date       DATE NOT NULL,
  snapshot_order BIGINT NOT NULL,
  number_hash    TEXT COLLATE "C" NOT NULL,
  run_id         UUID NOT NULL,
  sheet_row      INTEGER NOT NULL,
  succeeded_at   TIMESTAMPTZ NOT NULL
);

-- One writer per NIK, across runs, dates and replays.
CREATE TABLE nik_lease (
  nik_hash    TEXT COLLATE "C" PRIMARY KEY,
  run_id      UUID NOT NULL,
  sheet_row   INTEGER NOT NULL,
  epoch       BIGINT NOT NULL,
  lease_until TIMESTAMPTZ NOT NULL
);

CREATE TABLE dead_letter (
  number      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id      UUID NOT NULL,
  sheet_row   INTEGER NOT NULL,
  generation  INTEGER NOT NULL,
  reason      TEXT NOT NULL,
  error       TEXT NOT NULL,
  attempts    INTEGER NOT NULL,
  deaths      TEXT,                              -- what the queue told of the message's deaths
  nik_hash    TEXT COLLATE "C" NOT NULL,
  sealed      BYTEA NOT NULL,
  died_at     TIMESTAMPTZ NOT NULL,
  replayed_at TIMESTAMPTZ,
  UNIQUE (run_id, sheet_row, generation)
);
CREATE INDEX dead_letter_open ON dead_letter (reason, number) WHERE replayed_at IS NULL;

CREATE TABLE act (
  number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at     TIMESTAMPTZ NOT NULL,
  who    TEXT NOT NULL,
  act    TEXT NOT NULL,
  detail JSONB NOT NULL
);

CREATE TABLE run_lock (
  job         TEXT NOT NULL,
  run_date    DATE NOT NULL,
  holder      TEXT NOT NULL,
  epoch       BIGINT NOT NULL,
  lease_until TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (job, run_date)
);

CREATE TABLE gate (
  single     BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (single),
  kind       TEXT NOT NULL,
  reason     TEXT NOT NULL,
  shut_until TIMESTAMPTZ NOT NULL
);

CREATE TABLE duty (
  duty        TEXT PRIMARY KEY,
  holder      TEXT NOT NULL,
  lease_until TIMESTAMPTZ NOT NULL
);
