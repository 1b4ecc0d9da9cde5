"""The tables of the state file, and the version that says which ones they are."""

import re

__all__ = ["ADDED", "NUMBERING", "SCHEMA", "SCHEMA_VERSION", "TABLES", "added"]

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

# Made where they are missing; a version that does not know them works without:
# `answered`: it looks at the same users one by one;
# `intent_times`: when an intent was first recorded, unix seconds of this machine's clock;
# `last_writes`: when a run last recorded one, likewise;
# `skews`: how many seconds this machine's clock was ahead of the service's when a run began to write;
# `uncounted`: the classes of a run that no later limit counts, because a person released them, or it was a migration;
# `left_by_us`: the dates that a write left of a user, unix seconds of the service's clock;
# `run_numbers`: the order of the runs, with start and end in unix seconds of this machine's clock: a run id has a date,
# and the clock may have been wrong then;
# `replaced_metadata`: the metadata of a user, whole, as it was seen before a write of ours replaced it; a change that was
# sent again may have two;
# `tries`: how often a value of `never_sticks` was tried, and the unix seconds of the last try;
# `known_differences`: those values that a run only counted;
# `undoes`: which run a run took back;
# `waivers`: what a person released, accepted or agreed to, and as which system user.
ADDED = """
CREATE TABLE IF NOT EXISTS answered (
    run_id TEXT NOT NULL, uid TEXT NOT NULL, seq INTEGER NOT NULL, facts TEXT NOT NULL, PRIMARY KEY (run_id, uid, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intent_times (
    run_id TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS skews (run_id TEXT PRIMARY KEY, ahead INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS last_writes (run_id TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS intent_times_by_at ON intent_times (at);
CREATE TABLE IF NOT EXISTS uncounted (
    run_id TEXT NOT NULL, class TEXT NOT NULL, PRIMARY KEY (run_id, class)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS undoes (run_id TEXT PRIMARY KEY, target TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS waivers (
    run_id TEXT NOT NULL, what TEXT NOT NULL, value TEXT NOT NULL, by TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (run_id, what, value)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS left_by_us (
    run_id TEXT NOT NULL, seq INTEGER NOT NULL, uid TEXT NOT NULL, created_at INTEGER, deactivated_at INTEGER,
    PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS run_numbers (
    run_id TEXT PRIMARY KEY, number INTEGER NOT NULL, began INTEGER, ended INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS replaced_metadata (
    run_id TEXT NOT NULL, seq INTEGER NOT NULL, uid TEXT NOT NULL, whole TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS replaced_by_run ON replaced_metadata (run_id, seq);
CREATE INDEX IF NOT EXISTS replaced_by_uid ON replaced_metadata (uid);
CREATE TABLE IF NOT EXISTS tries (
    uid TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, tries INTEGER NOT NULL, tried_at INTEGER NOT NULL,
    PRIMARY KEY (uid, field)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known_differences (
    run_id TEXT NOT NULL, uid TEXT NOT NULL, field TEXT NOT NULL, PRIMARY KEY (run_id, uid, field)
) WITHOUT ROWID;
"""

# Runs that have no number, of older versions, get theirs by run id. The ids are found by jumping from one to the next:
# to read every row of a journal of millions would take seconds.
_IDS_IN = """
    {table}_ids(id) AS (
        SELECT min(run_id) FROM {table} UNION ALL
        SELECT (SELECT min(run_id) FROM {table} WHERE run_id > id) FROM {table}_ids WHERE id IS NOT NULL
    )"""
_TABLES = ("runs", "intents", "outcomes", "baselines")
NUMBERING = f"""
WITH RECURSIVE {", ".join(_IDS_IN.format(table=table) for table in _TABLES)},
    every(id) AS ({" UNION ".join(f"SELECT id FROM {table}_ids WHERE id IS NOT NULL" for table in _TABLES)})
INSERT INTO run_numbers (run_id, number, began, ended)
    SELECT id, (SELECT coalesce(max(number), 0) FROM run_numbers) + row_number() OVER (ORDER BY id),
        CAST(strftime('%s', started_at) AS INTEGER), CAST(strftime('%s', finished_at) AS INTEGER)
    FROM every LEFT JOIN runs ON runs.run_id = id WHERE id NOT IN (SELECT run_id FROM run_numbers)
"""  # noqa: S608 - our own words


_MADE: dict[str, str] = dict(
    re.findall(r"CREATE TABLE IF NOT EXISTS (\w+) (\([^;]*\)(?: WITHOUT ROWID)?);", ADDED)
)
TABLES = frozenset(_MADE)  # the names of those that are added


def added(lacking: frozenset[str]) -> list[str]:
    """Give the statements that make these of the added tables for one connection alone, in memory."""
    return [f"CREATE TEMP TABLE {name} {columns}" for name, columns in _MADE.items() if name in lacking]
