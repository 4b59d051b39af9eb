-- What a cluster needs beside runs and rows: reports that outlive replays, notices for people who do not watch,
-- and messages that nobody could read.

-- As of the closing, JSON; what the rows become by replays later does not change it.
ALTER TABLE run ADD COLUMN report TEXT;

-- An outbox: written in the transaction that makes the news, posted afterwards.
CREATE TABLE notice (
  number    INTEGER PRIMARY KEY,
  key       TEXT NOT NULL UNIQUE,                -- one notice of each change of state, whoever saw it first
  kind      TEXT NOT NULL,
  text      TEXT NOT NULL,
  detail    TEXT NOT NULL,                       -- JSON; no personal data
  noted_at  INTEGER NOT NULL,
  posted_at INTEGER,
  attempts  INTEGER NOT NULL DEFAULT 0           -- to post it, that failed
);
CREATE INDEX notice_open ON notice (number) WHERE posted_at IS NULL;

-- Messages that could not be decoded: their bodies may be anything, and are sealed.
CREATE TABLE stray (
  number       INTEGER PRIMARY KEY,
  queue        TEXT NOT NULL,
  message_id   TEXT,
  content_type TEXT,
  fault        TEXT NOT NULL,
  sealed       BLOB NOT NULL,
  kept_at      INTEGER NOT NULL,
  UNIQUE (queue, message_id)                     -- those without an id are all kept
);
