"""
The state file: runs, intents and outcomes, what users held before, and what is remembered between runs.

SQLite in WAL mode with full synchronisation, and one writer: a thread that commits whatever has queued up
together, so that many workers share one sync. An intent is durable before its request leaves; an outcome
rides along with the next commit.
"""

import os
import queue
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from reconcile.core.guards import Bases
from reconcile.core.outcome import Outcome, PastChange, Settled
from reconcile.core.plan import Action, Change, plain
from reconcile.core.users import Values
from reconcile.errors import SettingsError, StateError

__all__ = ["Baseline", "RunRow", "State", "StateReader"]

SCHEMA_VERSION = 1
_GROUP = 50  # operations in one commit: measured, more gain little

_SCHEMA = """
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


class RunRow(msgspec.Struct, frozen=True):
    """One run as the state file knows it. Times are ISO 8601."""

    run_id: str
    command: str
    state: str
    started_at: str
    finished_at: str | None = None
    exit_code: int | None = None
    verdict: str | None = None
    headline: str | None = None
    writes: int = 0


class Baseline(msgspec.Struct, frozen=True):
    """What the last good run measured: its source, and the directory where one was walked whole."""

    run_id: str
    rows: int
    bases: Bases | None = None


class StateReader:
    """The state file, to read. Every call opens it anew, so it never holds up a writer."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def runs(self, limit: int | None = None) -> list[RunRow]:
        """Give the runs, newest first; none where there is no state file."""
        sql = (
            "SELECT run_id, command, state, started_at, finished_at, exit_code, verdict, headline, writes"
            " FROM runs ORDER BY run_id DESC LIMIT ?"
        )
        return [RunRow(*row) for row in self._rows(sql, -1 if limit is None else limit)]

    def outcomes(self, run_id: str) -> Iterator[tuple[int, Settled]]:
        """Give the outcomes of a run with the number of their change, in plan order."""
        sql = "SELECT seq, outcome, detail, updated_at, fingerprint FROM outcomes WHERE run_id = ? ORDER BY seq"
        for seq, outcome, detail, updated_at, fingerprint in self._rows(sql, run_id):
            yield seq, Settled(Outcome(outcome), detail, updated_at, fingerprint)

    def history(self, uid: str) -> Iterator[PastChange]:
        """Give what past runs did about one user, oldest first."""
        sql = (
            "SELECT o.run_id, o.seq, o.uid, o.action, o.outcome, o.detail, i.before, i.after FROM outcomes o"
            " LEFT JOIN intents i ON i.run_id = o.run_id AND i.seq = o.seq WHERE o.uid = ?1"
            " UNION ALL SELECT i.run_id, i.seq, i.uid, i.action, NULL, '', i.before, i.after FROM intents i"
            " WHERE i.uid = ?1"
            " AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.run_id = i.run_id AND o.seq = i.seq) ORDER BY 1, 2"
        )
        yield from self._past(sql, uid)

    def written(self, run_id: str) -> Iterator[PastChange]:
        """
        Give the changes of a run that reached the directory, by uid.

        A change that did not stick counts too: some of its fields may have stuck.
        """
        sql = (
            "SELECT o.run_id, o.seq, o.uid, o.action, o.outcome, o.detail, i.before, i.after FROM outcomes o"
            " JOIN intents i ON i.run_id = o.run_id AND i.seq = o.seq"
            " WHERE o.run_id = ? AND o.outcome IN ('applied', 'rejected') ORDER BY o.uid, o.seq"
        )
        yield from self._past(sql, run_id)

    def troubled(self, run_id: str) -> frozenset[str]:
        """Give the uids of a run that had a change which was rejected, skipped or failed."""
        sql = "SELECT DISTINCT uid FROM outcomes WHERE run_id = ? AND outcome IN ('rejected', 'skipped', 'failed')"
        return frozenset(uid for (uid,) in self._rows(sql, run_id))

    def knows(self, run_id: str) -> bool:
        """Whether there was such a run, also one whose files were let go."""
        sql = "SELECT 1 FROM runs WHERE run_id = ?1 UNION SELECT 1 FROM outcomes WHERE run_id = ?1 LIMIT 1"
        return any(self._rows(sql, run_id))

    def _past(self, sql: str, key: str) -> Iterator[PastChange]:
        for *known, before, after in self._rows(sql, key):
            states = (msgspec.json.decode(text or "{}", type=dict[str, Any]) for text in (before, after))
            yield PastChange(*known, *states)

    def open_intents(self, run_id: str) -> set[int]:
        """Give the numbers of the changes that may have been sent and have no outcome."""
        sql = (
            "SELECT seq FROM intents WHERE run_id = ?1 AND seq NOT IN (SELECT seq FROM outcomes WHERE run_id = ?1)"
        )
        return {seq for (seq,) in self._rows(sql, run_id)}

    def intents(self, run_id: str) -> int:
        """Count the changes that a run was about to send, or sent."""
        return next((count for (count,) in self._rows("SELECT count(*) FROM intents WHERE run_id = ?", run_id)), 0)

    def settings_of(self, run_id: str) -> str:
        """Give the recorded settings of a run, as JSON."""
        return next((text for (text,) in self._rows("SELECT settings FROM runs WHERE run_id = ?", run_id)), "")

    def remembered(self, name: str) -> str:
        """Give what an earlier run learnt about the service; empty where nothing was."""
        return next((answer for (answer,) in self._rows("SELECT answer FROM probes WHERE name = ?", name)), "")

    def stuck(self) -> frozenset[tuple[str, str, str]]:
        """Give every (uid, field, value) that was taken and did not stick; an empty value is a clear."""
        return frozenset(self._rows("SELECT uid, field, value FROM never_sticks"))

    def own_writes(self) -> dict[str, int]:
        """Give the latest directory time (unix seconds) that a write of ours left, by uid."""
        sql = "SELECT uid, max(updated_at) FROM outcomes WHERE updated_at IS NOT NULL GROUP BY uid"
        return dict(self._rows(sql))

    def own_deactivations(self) -> frozenset[str]:
        """Give the uids that our own runs deactivated and did not activate since."""
        sql = (
            "SELECT uid, action FROM outcomes WHERE outcome = 'applied' AND action IN ('deactivate', 'reactivate')"
            " ORDER BY run_id, seq"
        )
        last = dict(self._rows(sql))
        return frozenset(uid for uid, action in last.items() if action == Action.DEACTIVATE)

    def baseline(self) -> Baseline | None:
        """Give what the last good run measured, whatever its source was called: exports bear dates."""
        sql = "SELECT facts FROM baselines ORDER BY run_id DESC LIMIT 1"
        return next((msgspec.json.decode(facts, type=Baseline) for (facts,) in self._rows(sql)), None)

    def _rows(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        if not self.path.exists():
            return
        try:
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                yield from connection.execute(sql, values)
        except sqlite3.Error as error:
            raise StateError(
                f"the state file {self.path} cannot be read: {error}", hint="check the disk"
            ) from error


class State(StateReader):
    """The state file, to write. One process at a time: the run's locks see to that."""

    def __init__(self, path: Path, app_id: str) -> None:
        """
        Open the state file, made where it is missing.

        Raises: SettingsError when it belongs to another app or to a newer version; StateError.
        """
        super().__init__(path)
        self.is_new = not path.exists()
        try:
            self._connection = self._open(path)
            self._bind(app_id)
        except (sqlite3.Error, OSError) as error:
            raise StateError(
                f"the state file {path} cannot be opened: {error}", hint="check disk and rights"
            ) from error
        self._queue: queue.SimpleQueue[tuple[str, tuple[Any, ...], Future[None] | None] | None] = (
            queue.SimpleQueue()
        )
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._write_all, name="state-writer", daemon=True)
        self._thread.start()

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        # The file gets its mode before anything is in it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _bind(self, app_id: str) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            self._connection.close()
            raise SettingsError(
                f"the state file {self.path} is of a newer version ({version})", hint="update reconcile"
            )
        if version == 0:
            self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        self._connection.execute("INSERT OR IGNORE INTO meta VALUES ('app_id', ?)", (app_id,))
        bound = self._connection.execute("SELECT value FROM meta WHERE key = 'app_id'").fetchone()[0]
        if bound != app_id:
            self._connection.close()
            raise SettingsError(
                f"the run directory {self.path.parent} belongs to the app {bound}, not to {app_id}",
                hint="give each app a run directory of its own: --run-dir",
            )

    def begin(self, row: RunRow, *, settings: str, version: str) -> None:
        """Note that a run starts."""
        self._put(
            "INSERT INTO runs (run_id, command, state, started_at, settings, tool_version) VALUES (?, ?, ?, ?, ?, ?)",
            (row.run_id, row.command, row.state, row.started_at, settings, version),
            durable=True,
        )

    def advance(self, run_id: str, state: str) -> None:
        """Note the stage that a run has reached: planning, applying, applying_saved, superseded."""
        self._put("UPDATE runs SET state = ? WHERE run_id = ?", (state, run_id), durable=True)

    def finish(self, row: RunRow, report: bytes) -> None:
        """Note how a run ended; `report` is its report.json."""
        sql = (
            "UPDATE runs SET state = ?, finished_at = ?, exit_code = ?, verdict = ?, headline = ?, writes = ?,"
            " report = ? WHERE run_id = ?"
        )
        facts = (row.state, row.finished_at, row.exit_code, row.verdict, row.headline, row.writes)
        self._put(sql, (*facts, report.decode(), row.run_id), durable=True)

    def intend(self, run_id: str, change: Change, before: Values, after: Values | None = None) -> None:
        """
        Record what is about to be sent, durably: the fields to write, as they are and as they are to be
        (None: what the change says).

        A second try of the same change keeps what stood there before the first.
        Raises: StateError; then nothing may be sent.
        """
        self._put(
            "INSERT OR IGNORE INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                run_id,
                change.seq,
                change.uid,
                change.action,
                change.guard_class,
                msgspec.json.encode(plain(before)).decode(),
                msgspec.json.encode(plain(change.after if after is None else after)).decode(),
            ),
            durable=True,
        )

    def keep_whole(self, run_id: str, change: Change, metadata: Mapping[str, msgspec.Raw]) -> None:
        """Record a whole metadata object, durably, before all of it is taken away and written anew."""
        whole = msgspec.json.encode(metadata).decode()
        sql = "UPDATE intents SET whole = ? WHERE run_id = ? AND seq = ?"
        self._put(sql, (whole, run_id, change.seq), durable=True)

    def remember(self, name: str, answer: str, learnt_at: str) -> None:
        """Keep what was learnt about the service for later runs."""
        self._put("INSERT OR REPLACE INTO probes VALUES (?, ?, ?)", (name, answer, learnt_at), durable=True)

    def never_sticks(self, run_id: str, uid: str, values: Mapping[str, str | None]) -> None:
        """Keep which values were taken and did not stick, so that they are not planned every night."""
        for name, text in values.items():
            row = (uid, name, text if text is not None else "", run_id)
            self._put("INSERT OR REPLACE INTO never_sticks VALUES (?, ?, ?, ?)", row, durable=False)

    def settle(self, run_id: str, change: Change, settled: Settled) -> None:
        """Record an outcome; it is durable with the next commit. Raises: StateError of an earlier one."""
        self._put(
            "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run_id,
                change.seq,
                change.uid,
                change.action,
                settled.outcome,
                settled.detail,
                settled.updated_at,
                settled.fingerprint,
            ),
            durable=False,
        )

    def keep_baseline(self, baseline: Baseline, location: str) -> None:
        """Remember what a good run measured."""
        facts = msgspec.json.encode(baseline).decode()
        self._put(
            "INSERT OR REPLACE INTO baselines VALUES (?, ?, ?, ?)",
            (baseline.run_id, location, baseline.rows, facts),
            durable=True,
        )

    def forget_runs(self, run_ids: list[str]) -> None:
        """Drop the rows of runs that are let go; outcomes stay, they say what is ours."""
        for run_id in run_ids:
            self._put("DELETE FROM runs WHERE run_id = ?", (run_id,), durable=False)
        self.flush()

    def flush(self) -> None:
        """Wait until everything so far is durable. Raises: StateError."""
        self._put("SELECT 1", (), durable=True)

    def close(self) -> None:
        """Commit what is queued and close the file."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _put(self, sql: str, values: tuple[Any, ...], *, durable: bool) -> None:
        self._check()
        done: Future[None] | None = Future() if durable else None
        self._queue.put((sql, values, done))
        if done is not None:
            done.result()

    def _check(self) -> None:
        if self._failure is not None:
            raise StateError(
                f"the state file {self.path} cannot be written: {self._failure}",
                hint="check the disk's space and rights, then: reconcile resume",
            ) from self._failure

    def _write_all(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            while len(group) < _GROUP and not self._queue.empty():
                after = self._queue.get()
                if after is None:
                    self._queue.put(None)
                    break
                group.append(after)
            self._commit(group)

    def _commit(self, group: list[tuple[str, tuple[Any, ...], Future[None] | None]]) -> None:
        waiting = [done for _, _, done in group if done is not None]
        try:
            if self._failure is not None:
                raise self._failure
            self._connection.execute("BEGIN")
            for sql, values, _ in group:
                self._connection.execute(sql, values)
            self._connection.execute("COMMIT")
        except (sqlite3.Error, ArithmeticError, ValueError) as error:
            # Also a value that SQLite has no room for: a writer that died of it would leave everybody waiting.
            self._failure = error
            problem = StateError(
                f"the state file {self.path} cannot be written: {error}",
                hint="check the disk's space and rights, then: reconcile resume",
            )
            for done in waiting:
                done.set_exception(problem)
        else:
            for done in waiting:
                done.set_result(None)
