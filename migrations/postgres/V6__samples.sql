-- How a night went while it went: a point every so often, and the instants that its timeline lacked.

ALTER TABLE run
  ADD COLUMN published_at TIMESTAMPTZ,              -- when every row had been published and confirmed for the first time
  ADD COLUMN first_write_at TIMESTAMPTZ,            -- as of the closing: replays do not change these two
  ADD COLUMN last_write_at TIMESTAMPTZ;

-- A few hundred for each run: the longer its series, the further apart. Rows by how they ended; messages that waited in
-- the run's queue; and what the workers at it added, each once to a point.
CREATE TABLE sample (
  run_id            UUID NOT NULL REFERENCES run (run_id) ON DELETE CASCADE,
  number            INTEGER NOT NULL,
  at                TIMESTAMPTZ NOT NULL,
  updated           BIGINT NOT NULL,
  unwritten         BIGINT NOT NULL,
  dead_lettered     BIGINT NOT NULL,
  open              BIGINT NOT NULL,
  ready             BIGINT,                         -- null: the queue did not say
  waiting           BIGINT,
  workers           INTEGER NOT NULL DEFAULT 0,
  concurrency_limit DOUBLE PRECISION NOT NULL DEFAULT 0,
  in_flight         BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (run_id, number)
);
