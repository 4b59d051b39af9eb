-- How far the newest replays are: the dead letters of one were all replayed at the same instant. In the rows' own order,
-- and with all that leads to them.
CREATE INDEX dead_letter_replayed ON dead_letter (replayed_at, run_id, sheet_row, generation)
  WHERE replayed_at IS NOT NULL;
