-- How a night went while it went: a point every so often, and the instants that its timeline lacked.

ALTER TABLE run ADD COLUMN published_at INTEGER;    -- when every row had been published and confirmed for the first time
ALTER TABLE run ADD COLUMN first_write_at INTEGER;  -- as of the closing: replays do not change these two
ALTER TABLE run ADD COLUMN last_write_at INTEGER;

-- A few hundred for each run: the longer its series, the further apart. Rows by how they ended; messages that waited in
-- the run's queue; and what the workers at it added, each once to a point.
CREATE TABLE sample (
  run_id            BLOB NOT NULL REFERENCES run (run_id) ON DELETE CASCADE,
  number            INTEGER NOT NULL,
  at                INTEGER NOT NULL,
  updated           INTEGER NOT NULL,
  unwritten         INTEGER NOT NULL,
  dead_lettered     INTEGER NOT NULL,
  open              INTEGER NOT NULL,
  ready             INTEGER,                        -- null: the queue did not say
  waiting           INTEGER,
  workers           INTEGER NOT NULL DEFAULT 0,
  concurrency_limit REAL NOT NULL DEFAULT 0,
  in_flight         INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run_id, number)
) WITHOUT ROWID;
