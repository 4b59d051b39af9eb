-- The ledger: what every run and row is, was and may become. The states are drawn in docs/state-machine.md.
-- Instants are microseconds since the Unix epoch. NIK and number never stand here in clear: *_hash is a keyed
-- hash (ID:HEX, ID naming the key), sealed* an AEAD-sealed value that begins with its key's name.

CREATE TABLE run (
  run_id             BLOB PRIMARY KEY,           -- UUIDv7
  job                TEXT NOT NULL,
  run_date           TEXT NOT NULL,              -- YYYY-MM-DD
  kind               TEXT NOT NULL CHECK (kind IN ('night', 'dry_run')),
  selection          TEXT NOT NULL,              -- JSON: limit, niks (hashes), reapply
  snapshot_order     INTEGER NOT NULL UNIQUE,    -- a later snapshot of the same date is newer
  state              TEXT NOT NULL CHECK (state IN ('seeding', 'open', 'closed', 'abandoned')),
  source             TEXT NOT NULL,
  started_by         TEXT NOT NULL,
  started_at         INTEGER NOT NULL,
  snapshot_at        INTEGER,
  closed_at          INTEGER,
  rows_read          INTEGER NOT NULL DEFAULT 0,
  changed_while_read INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX run_by_date ON run (job, run_date, snapshot_order);

-- The newest generation of each row. sweep_at is when the row comes due for the sweep: 0 before it is first
-- published, the lease's end while claimed, some time after its due time while retrying.
CREATE TABLE row (
  run_id      BLOB NOT NULL,
  sheet_row   INTEGER NOT NULL,
  generation  INTEGER NOT NULL DEFAULT 1,
  state       TEXT NOT NULL CHECK (state IN ('pending', 'claimed', 'retrying', 'failed', 'done')),
  outcome     TEXT,
  reason      TEXT,
  column_name TEXT,
  found       TEXT,                              -- masked, or the last error, scrubbed
  warnings    TEXT NOT NULL DEFAULT '',          -- codes, separated by spaces
  nik_hash    TEXT,
  number_hash TEXT,
  sealed      BLOB NOT NULL,
  attempts    INTEGER NOT NULL DEFAULT 0,        -- failed attempts, and the one that ended it
  requests    INTEGER NOT NULL DEFAULT 0,
  retries     INTEGER NOT NULL DEFAULT 0,
  turn        INTEGER NOT NULL DEFAULT 0,        -- messages of an older turn are stale
  epoch       INTEGER NOT NULL DEFAULT 0,
  crashes     INTEGER NOT NULL DEFAULT 0,        -- claims in a row that ended without a record
  published   INTEGER NOT NULL DEFAULT 0,        -- 1: the queue confirmed a message of this turn
  sweep_at    INTEGER NOT NULL DEFAULT 0,
  sweeps      INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run_id, sheet_row)
) WITHOUT ROWID;
CREATE INDEX row_open ON row (run_id, sweep_at, sheet_row) WHERE state <> 'done';
CREATE INDEX row_by_nik ON row (nik_hash, run_id);
CREATE INDEX row_by_outcome ON row (run_id, outcome, reason);

-- What generations before the newest ended in.
CREATE TABLE row_history (
  run_id     BLOB NOT NULL,
  sheet_row  INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  outcome    TEXT NOT NULL,
  reason     TEXT,
  found      TEXT,
  attempts   INTEGER NOT NULL,
  ended_at   INTEGER NOT NULL,
  PRIMARY KEY (run_id, sheet_row, generation)
) WITHOUT ROWID;

-- Written before the write it announces: what a crash leaves in doubt, and what an undo needs.
CREATE TABLE intent (
  run_id        BLOB NOT NULL,
  sheet_row     INTEGER NOT NULL,
  generation    INTEGER NOT NULL,
  patient_id    TEXT NOT NULL,                   -- sealed, in Base64: some servers use the NIK as id
  version_id    TEXT NOT NULL,
  sealed_before BLOB NOT NULL,
  intended_at   INTEGER NOT NULL,
  PRIMARY KEY (run_id, sheet_row, generation)
) WITHOUT ROWID;

CREATE TABLE success (
  run_date     TEXT NOT NULL,
  nik_hash     TEXT NOT NULL,
  number_hash  TEXT NOT NULL,
  run_id       BLOB NOT NULL,
  sheet_row    INTEGER NOT NULL,
  succeeded_at INTEGER NOT NULL,
  PRIMARY KEY (run_date, nik_hash, number_hash)
) WITHOUT ROWID;

CREATE TABLE newest_success (
  nik_hash       TEXT PRIMARY KEY,
  run_date       TEXT NOT NULL,
  snapshot_order INTEGER NOT NULL,
  number_hash    TEXT NOT NULL,
  run_id         BLOB NOT NULL,
  sheet_row      INTEGER NOT NULL,
  succeeded_at   INTEGER NOT NULL
) WITHOUT ROWID;

-- One writer per NIK, across runs, dates and replays.
CREATE TABLE nik_lease (
  nik_hash    TEXT PRIMARY KEY,
  run_id      BLOB NOT NULL,
  sheet_row   INTEGER NOT NULL,
  epoch       INTEGER NOT NULL,
  lease_until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE dead_letter (
  number      INTEGER PRIMARY KEY,
  run_id      BLOB NOT NULL,
  sheet_row   INTEGER NOT NULL,
  generation  INTEGER NOT NULL,
  reason      TEXT NOT NULL,
  error       TEXT NOT NULL,
  attempts    INTEGER NOT NULL,
  deaths      TEXT,                              -- what the queue told of the message's deaths
  nik_hash    TEXT NOT NULL,
  sealed      BLOB NOT NULL,
  died_at     INTEGER NOT NULL,
  replayed_at INTEGER,
  UNIQUE (run_id, sheet_row, generation)
);
CREATE INDEX dead_letter_open ON dead_letter (reason, number) WHERE replayed_at IS NULL;

CREATE TABLE act (
  number INTEGER PRIMARY KEY,
  at     INTEGER NOT NULL,
  who    TEXT NOT NULL,
  act    TEXT NOT NULL,
  detail TEXT NOT NULL
);

CREATE TABLE run_lock (
  job         TEXT NOT NULL,
  run_date    TEXT NOT NULL,
  holder      TEXT NOT NULL,
  epoch       INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,
  PRIMARY KEY (job, run_date)
) WITHOUT ROWID;

CREATE TABLE gate (
  only       INTEGER PRIMARY KEY CHECK (only = 1),
  kind       TEXT NOT NULL,
  reason     TEXT NOT NULL,
  shut_until INTEGER NOT NULL
);

CREATE TABLE duty (
  duty        TEXT PRIMARY KEY,
  holder      TEXT NOT NULL,
  lease_until INTEGER NOT NULL
) WITHOUT ROWID;
