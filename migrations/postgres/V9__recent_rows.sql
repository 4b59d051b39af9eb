-- How rows fare now, as opposed to in the whole night: those that ended last, by what they ended in.
CREATE INDEX row_ended ON row (run_id, ended_at, outcome) WHERE ended_at IS NOT NULL;
