"""Erase one user from the state file, so that no byte of the file tells of it any more."""

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from reconcile.core.baseline import Baseline
from reconcile.core.report import Report
from reconcile.core.review import Declared
from reconcile.core.sketch import without
from reconcile.core.tombstones import tombstone
from reconcile.errors import StateError

__all__ = ["erase", "named", "redacted", "without_protected"]

_FORGOTTEN = "(forgotten)"
_ABOUT_USERS = (
    "intents",
    "outcomes",
    "answered",
    "never_sticks",
    "left_by_us",
    "replaced_metadata",
    "tries",
    "known_differences",
)
_NAMING = (("policy", "protect"), ("guards", "sentinels"))


def erase(path: Path, uid: str, salt: str, at: str) -> int:
    """
    Delete every row about a user, take its uid out of every text, and put a tombstone there.

    The caller holds the locks of the run directory. Gives the number of rows. Raises: StateError.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            # Else the freed pages keep what stood in them.
            connection.execute("PRAGMA secure_delete = ON")
            connection.create_function("redacted", 1, lambda text: _redacted_text(text, uid), deterministic=True)
            connection.create_function("unnamed", 1, lambda text: _settings_without(text, uid), deterministic=True)
            connection.create_function("undeclared", 1, lambda text: _undeclared(text, uid), deterministic=True)
            connection.create_function("less", 1, lambda facts: _less(facts, uid, salt), deterministic=True)
            connection.execute("BEGIN IMMEDIATE")
            count = sum(
                connection.execute(f"DELETE FROM {table} WHERE uid = ?", (uid,)).rowcount  # noqa: S608 - ours
                for table in _ABOUT_USERS
            )
            connection.execute("UPDATE runs SET report = redacted(report) WHERE report IS NOT NULL")
            connection.execute("UPDATE runs SET settings = unnamed(settings)")
            connection.execute(
                "UPDATE probes SET answer = undeclared(answer) WHERE name = 'declared' AND answer <> ''"
            )
            # The marks of quarantined rows could be tried against uids; the next good run makes them anew.
            connection.execute("DELETE FROM meta WHERE key = 'quarantine'")
            connection.execute(
                "UPDATE baselines SET facts = less(facts) WHERE json_type(facts, '$.sketch') = 'object'"
            )
            connection.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?)", (tombstone(uid, salt), at))
            connection.execute("COMMIT")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return count
    except sqlite3.Error as error:
        raise StateError(
            f"the state file {path} cannot be written: {error}",
            hint="see that the disk has room and that this user may write there, and run it again",
        ) from error


def _redacted_text(text: str, uid: str) -> str:
    return msgspec.json.encode(redacted(msgspec.json.decode(text, type=Report), uid)).decode()


def _less(facts: str, uid: str, salt: str) -> str:
    baseline = msgspec.json.decode(facts, type=Baseline)
    sketch = baseline.sketch and without(baseline.sketch, uid, salt)
    return msgspec.json.encode(msgspec.structs.replace(baseline, sketch=sketch)).decode()


def _settings_without(text: str, uid: str) -> str:
    """Take a uid out of the recorded settings of a run, where a setting names users; a query may quote it."""
    recorded = msgspec.json.decode(text) if text else {}
    settings = recorded.get("settings", {})
    for section, name in _NAMING:
        listed = settings.get(section, {}).get(name)
        if listed is not None:
            settings[section][name] = [entry for entry in listed if entry.lower() != uid]
    query = settings.get("source", {}).get("query")
    if query:
        settings["source"]["query"] = re.sub(rf"'{re.escape(uid)}'", f"'{_FORGOTTEN}'", query, flags=re.IGNORECASE)
    return msgspec.json.encode(recorded).decode() if text else text


def _undeclared(text: str, uid: str) -> str:
    declared = msgspec.json.decode(text, type=Declared)
    words = without_protected(declared.words, uid)
    return msgspec.json.encode(msgspec.structs.replace(declared, words=words)).decode()


def without_protected(declared: Mapping[str, str], uid: str) -> dict[str, str]:
    """Take a uid out of a policy in words: its patterns may name one user."""
    return {
        key: named(uid).sub(_FORGOTTEN, words) if key == "policy.protect" else words
        for key, words in declared.items()
    }


def redacted(report: Report, uid: str) -> Report:
    """Take a uid out of the sentences of a report. Its counts stay: a uid may well look like one of them."""
    word = named(uid)

    def lines(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word.sub(_FORGOTTEN, text) for text in texts)

    return msgspec.structs.replace(
        report,
        notes=lines(report.notes),
        needs=lines(report.needs),
        unmanaged_users=tuple(user for user in report.unmanaged_users if user != uid),
        error=report.error and {name: word.sub(_FORGOTTEN, text) for name, text in report.error.items()},
        guards={
            name: msgspec.structs.replace(guard, because=word.sub(_FORGOTTEN, guard.because))
            for name, guard in report.guards.items()
        },
    )


def named(uid: str) -> re.Pattern[str]:
    """Find a uid in a text; a longer uid that has it as a part is another."""
    return re.compile(rf"(?<![A-Za-z0-9_-]){re.escape(uid)}(?![A-Za-z0-9_-])", re.IGNORECASE)
