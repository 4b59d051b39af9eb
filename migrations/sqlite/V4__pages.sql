-- What pages are made of: how claims went, counts that need no counting, and indexes in the order of the lists.

-- When a row got its outcome, unless with the snapshot; the others only where a worker ended it well: what failed is in
-- attempt.
ALTER TABLE row ADD COLUMN ended_at INTEGER;
ALTER TABLE row ADD COLUMN took INTEGER;          -- microseconds
ALTER TABLE row ADD COLUMN exchanges TEXT;        -- JSON: operation, answer, milliseconds; nothing of their content

-- Claims that came to no good end: one line for each, so a night without failures writes none.
CREATE TABLE attempt (
  run_id     BLOB NOT NULL,
  sheet_row  INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  epoch      INTEGER NOT NULL,                   -- of the claim
  ended_at   INTEGER NOT NULL,
  took       INTEGER NOT NULL,
  last       INTEGER NOT NULL,                   -- 1: its generation failed with it
  counted    INTEGER NOT NULL,                   -- 1: it used one of the row's attempts
  error      TEXT NOT NULL,                      -- scrubbed
  exchanges  TEXT NOT NULL,
  PRIMARY KEY (run_id, sheet_row, generation, epoch)
) WITHOUT ROWID;

-- What counting the rows would give, kept by what changes them. A line counts rows by outcome, by reason or by
-- warning, or all that were selected, or sums requests or retries.
CREATE TABLE run_count (
  run_id BLOB NOT NULL,
  what   TEXT NOT NULL CHECK (what IN ('selected', 'outcome', 'reason', 'warning', 'requests', 'retries')),
  code   TEXT NOT NULL,
  amount INTEGER NOT NULL,
  PRIMARY KEY (run_id, what, code)
) WITHOUT ROWID;
INSERT INTO run_count (run_id, what, code, amount)
  SELECT run_id, 'selected', '', COUNT(*) FROM row JOIN run USING (run_id) WHERE run.state <> 'seeding' GROUP BY run_id
  UNION ALL
  SELECT run_id, 'outcome', outcome, COUNT(*) FROM row JOIN run USING (run_id)
  WHERE run.state <> 'seeding' AND outcome IS NOT NULL GROUP BY run_id, outcome
  UNION ALL
  SELECT run_id, 'reason', reason, COUNT(*) FROM row JOIN run USING (run_id)
  WHERE run.state <> 'seeding' AND outcome IS NOT NULL AND reason IS NOT NULL GROUP BY run_id, reason
  UNION ALL
  SELECT run_id, 'warning', code.value, COUNT(*) FROM row JOIN run USING (run_id),
         json_each('["' || replace(warnings, ' ', '","') || '"]') AS code
  WHERE run.state <> 'seeding' AND outcome IS NOT NULL AND warnings <> '' GROUP BY run_id, code.value
  UNION ALL
  SELECT run_id, 'requests', '', SUM(requests) FROM row JOIN run USING (run_id) WHERE run.state <> 'seeding' GROUP BY run_id
  UNION ALL
  SELECT run_id, 'retries', '', SUM(retries) FROM row JOIN run USING (run_id) WHERE run.state <> 'seeding' GROUP BY run_id;

-- In the order of the sheet, so that a page of one outcome or reason reads no other rows.
DROP INDEX row_by_outcome;
CREATE INDEX row_by_outcome ON row (run_id, outcome, sheet_row);
CREATE INDEX row_by_reason ON row (run_id, reason, sheet_row) WHERE reason IS NOT NULL;
CREATE INDEX row_warned ON row (run_id, warnings, sheet_row) WHERE warnings <> '';
CREATE INDEX dead_letter_waiting ON dead_letter (number) WHERE replayed_at IS NULL;
CREATE INDEX dead_letter_of_run ON dead_letter (run_id, number);
CREATE INDEX dead_letter_of_nik ON dead_letter (nik_hash, number);

ALTER TABLE gate ADD COLUMN shut_at INTEGER NOT NULL DEFAULT 0;
