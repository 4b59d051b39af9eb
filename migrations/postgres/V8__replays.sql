-- How far the newest replays are: the dead letters of one were all replayed at the same instant.
CREATE INDEX dead_letter_replayed ON dead_letter (replayed_at) WHERE replayed_at IS NOT NULL;
