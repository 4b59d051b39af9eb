-- What pages are made of: how claims went, counts that need no counting, and indexes in the order of the lists.

-- When a row got its outcome, unless with the snapshot; the others only where a worker ended it well: what failed is in
-- attempt. Took is in microseconds;
-- exchanges is JSON (operation, answer, milliseconds; nothing of their content) that no statement looks into.
ALTER TABLE row ADD COLUMN ended_at TIMESTAMPTZ, ADD COLUMN took BIGINT, ADD COLUMN exchanges TEXT;

-- Claims that came to no good end: one line for each, so a night without failures writes none.
CREATE TABLE attempt (
  run_id     UUID NOT NULL,
  sheet_row  INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  epoch      BIGINT NOT NULL,                    -- of the claim
  ended_at   TIMESTAMPTZ NOT NULL,
  took       BIGINT NOT NULL,
  last       BOOLEAN NOT NULL,                   -- its generation failed with it
  counted    BOOLEAN NOT NULL,                   -- it used one of the row's attempts
  error      TEXT NOT NULL,                      -- scrubbed
  exchanges  TEXT NOT NULL,
  PRIMARY KEY (run_id, sheet_row, generation, epoch)
);

-- What counting the rows would give, kept by what changes them. A line counts rows by outcome, by reason or by
-- warning, or all that were selected, or sums requests or retries. Each is spread over slots, so that transactions
-- seldom wait for each other; room is left in each page, so that a line stays where it is when it grows.
CREATE TABLE run_count (
  run_id UUID NOT NULL,
  what   TEXT COLLATE "C" NOT NULL CHECK (what IN ('selected', 'outcome', 'reason', 'warning', 'requests', 'retries')),
  code   TEXT COLLATE "C" NOT NULL,
  slot   INTEGER NOT NULL,
  amount BIGINT NOT NULL,
  PRIMARY KEY (run_id, what, code, slot)
) WITH (fillfactor = 30);

INSERT INTO run_count (run_id, what, code, slot, amount)
  SELECT run_id, 'selected', '', 0, count(*) FROM row JOIN run USING (run_id) WHERE run.state <> 'seeding' GROUP BY run_id
  UNION ALL
  SELECT run_id, 'outcome', outcome, 0, count(*) FROM row JOIN run USING (run_id)
  WHERE run.state <> 'seeding' AND outcome IS NOT NULL GROUP BY run_id, outcome
  UNION ALL
  SELECT run_id, 'reason', reason, 0, count(*) FROM row JOIN run USING (run_id)
  WHERE run.state <> 'seeding' AND outcome IS NOT NULL AND reason IS NOT NULL GROUP BY run_id, reason
  UNION ALL
  SELECT run_id, 'warning', code, 0, count(*) FROM row JOIN run USING (run_id), unnest(string_to_array(warnings, ' ')) AS code
  WHERE run.state <> 'seeding' AND outcome IS NOT NULL AND warnings <> '' GROUP BY run_id, code
  UNION ALL
  SELECT run_id, 'requests', '', 0, sum(requests) FROM row JOIN run USING (run_id) WHERE run.state <> 'seeding' GROUP BY run_id
  UNION ALL
  SELECT run_id, 'retries', '', 0, sum(retries) FROM row JOIN run USING (run_id) WHERE run.state <> 'seeding' GROUP BY run_id;

-- In the order of the sheet, so that a page of one outcome or reason reads no other rows.
DROP INDEX row_by_outcome;
CREATE INDEX row_by_outcome ON row (run_id, outcome, sheet_row) WHERE outcome IS NOT NULL;
CREATE INDEX row_by_reason ON row (run_id, reason, sheet_row) WHERE reason IS NOT NULL;
CREATE INDEX row_unfinished ON row (run_id, sheet_row) WHERE outcome IS NULL;
CREATE INDEX row_warned ON row (run_id, warnings, sheet_row) WHERE warnings <> '';
CREATE INDEX dead_letter_waiting ON dead_letter (number) WHERE replayed_at IS NULL;
CREATE INDEX dead_letter_of_run ON dead_letter (run_id, number);
CREATE INDEX dead_letter_of_nik ON dead_letter (nik_hash, number);

ALTER TABLE gate ADD COLUMN shut_at TIMESTAMPTZ NOT NULL DEFAULT 'epoch';
