"""The tables of the state file, and the version that says which ones they are."""

__all__ = ["ADDED", "SCHEMA", "SCHEMA_VERSION"]

SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, command TEXT NOT NULL, state TEXT NOT NULL, started_at TEXT NOT NULL,
    finished_at TEXT, exit_code INTEGER, verdict TEXT, headline TEXT, writes INTEGER NOT NULL DEFAULT 0,
    settings TEXT NOT NULL, report TEXT, tool_version TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE intents (
    run_id TEXT NOT NULL, seq INTEGER NOT NULL, uid TEXT NOT NULL, action TEXT NOT NULL, class TEXT NOT NULL,
    before TEXT NOT NULL, after TEXT NOT NULL, whole TEXT, PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;
CREATE TABLE outcomes (
    run_id TEXT NOT NULL, seq INTEGER NOT NULL, uid TEXT NOT NULL, action TEXT NOT NULL, outcome TEXT NOT NULL,
    detail TEXT NOT NULL, updated_at INTEGER, fingerprint TEXT, PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;
CREATE INDEX outcomes_by_uid ON outcomes (uid, run_id);
CREATE INDEX intents_by_uid ON intents (uid, run_id);
CREATE TABLE baselines (
    run_id TEXT PRIMARY KEY, location TEXT NOT NULL, rows INTEGER NOT NULL, facts TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE probes (name TEXT PRIMARY KEY, answer TEXT NOT NULL, learnt_at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE never_sticks (
    uid TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, run_id TEXT NOT NULL, PRIMARY KEY (uid, field)
) WITHOUT ROWID;
CREATE TABLE tombstones (uid_hash TEXT PRIMARY KEY, forgotten_at TEXT NOT NULL) WITHOUT ROWID;
"""

# Made where they are missing; a version that does not know them works without: `answered` (it looks at the same users
# one by one), `intent_times` (when an intent was recorded, unix seconds of this machine's clock), `tries` (how often a value
# of `never_sticks` was tried, and the unix seconds of the last try) and `known_differences` (those that a run only counted).
ADDED = """
CREATE TABLE IF NOT EXISTS answered (
    run_id TEXT NOT NULL, uid TEXT NOT NULL, seq INTEGER NOT NULL, facts TEXT NOT NULL, PRIMARY KEY (run_id, uid, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intent_times (
    run_id TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tries (
    uid TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, tries INTEGER NOT NULL, tried_at INTEGER NOT NULL,
    PRIMARY KEY (uid, field)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known_differences (
    run_id TEXT NOT NULL, uid TEXT NOT NULL, field TEXT NOT NULL, PRIMARY KEY (run_id, uid, field)
) WITHOUT ROWID;
"""
