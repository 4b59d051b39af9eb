-- Changing the data key: which key the hashes are made with, and what a hash under another key can be made of where the
-- row is gone.

-- Digests of NIK and number, sealed: a keyed hash is made of a digest, so no NIK has to be kept for that.
ALTER TABLE row ADD COLUMN digests BYTEA;
ALTER TABLE newest_success ADD COLUMN digests BYTEA;

CREATE TABLE data_key (
  single BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (single),
  hashes TEXT NOT NULL,                          -- the name of the key
  next   TEXT                                    -- that of the one a change under way leads to
);
INSERT INTO data_key (hashes)
  SELECT split_part(nik_hash, ':', 1) FROM row WHERE nik_hash IS NOT NULL ORDER BY run_id DESC LIMIT 1;
