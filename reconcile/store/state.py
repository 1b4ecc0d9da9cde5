"""
The state file: runs, intents and outcomes, what users held before, and what is remembered between runs.

SQLite in WAL mode with full synchronisation, and one writer: a thread that commits whatever has queued up
together, so that many workers share one sync. An intent is durable before its request leaves; an outcome
rides along with the next commit. Its tables are in `reconcile.store.schema`.
"""

import os
import queue
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from reconcile.core.baseline import Baseline
from reconcile.core.outcome import PastChange, Settled
from reconcile.core.plan import Change, encoded
from reconcile.core.sent import Sent
from reconcile.core.users import Values
from reconcile.errors import SettingsError, StateError
from reconcile.store.reader import RunRow, StateReader
from reconcile.store.schema import ADDED, SCHEMA, SCHEMA_VERSION

__all__ = ["RunRow", "State", "StateReader"]

_GROUP = 50  # operations in one commit: measured, more gain little


class State(StateReader):
    """The state file, to write. One process at a time: the run's locks see to that."""

    def __init__(self, path: Path, app_id: str, now: Callable[[], float] | None = None) -> None:
        """
        Open the state file, made where it is missing. `now` gives the time of an intent, in unix seconds.

        Raises: SettingsError when it belongs to another app or to a newer version; StateError.
        """
        super().__init__(path, acts=True)
        self._now = now or (lambda: 0.0)
        self.is_new = not (path.exists() and path.stat().st_size)
        try:
            self._connection = self._open(path)
            self._bind(app_id)
        except (sqlite3.Error, OSError) as error:
            raise StateError(
                f"the state file {path} cannot be opened: {error}",
                hint="see that the disk has room and that this user may write there, and run it again",
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
                f"the state file {self.path} is of a newer version ({version})",
                hint="install the version that wrote it, or a newer one",
            )
        if version == 0:
            self._connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        self._connection.executescript(ADDED)
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

        A second try of the same change keeps what stood there before the first, and the time of the first.
        Raises: StateError; then nothing may be sent.
        """
        row = (run_id, change.seq, int(self._now()))
        self._put("INSERT OR IGNORE INTO intent_times VALUES (?, ?, ?)", row, durable=False)
        self._put(
            "INSERT OR IGNORE INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                run_id,
                change.seq,
                change.uid,
                change.action,
                change.guard_class,
                encoded(before).decode(),
                encoded(change.after if after is None else after).decode(),
            ),
            durable=True,
        )

    def keep_whole(self, run_id: str, change: Change, metadata: Mapping[str, msgspec.Raw]) -> None:
        """Record a whole metadata object, durably, before all of it is taken away and written anew."""
        whole = msgspec.json.encode(metadata).decode()
        sql = "UPDATE intents SET whole = ? WHERE run_id = ? AND seq = ?"
        self._put(sql, (whole, run_id, change.seq), durable=True)

    def leave_unconfirmed(self, run_id: str, change: Change, sent: Sent) -> None:
        """
        Record that a change was sent and answered, and is still to be confirmed; durable with the next commit.

        A run that is killed before that finds an open intent, and settles it by a look.
        """
        facts = msgspec.json.encode(sent).decode()
        row = (run_id, change.uid, change.seq, facts)
        self._put("INSERT OR REPLACE INTO answered VALUES (?, ?, ?, ?)", row, durable=False)

    def all_confirmed(self, run_id: str) -> None:
        """Let go of what a run had left to be confirmed: all of it has an outcome."""
        self._put("DELETE FROM answered WHERE run_id = ?", (run_id,), durable=False)

    def remember(self, name: str, answer: str, learnt_at: str) -> None:
        """Keep what was learnt about the service for later runs."""
        self._put("INSERT OR REPLACE INTO probes VALUES (?, ?, ?)", (name, answer, learnt_at), durable=True)

    def creates_roles(self, run_id: str, roles: Iterable[str], at: str) -> None:
        """Record which roles a run is about to create; those of an earlier start of it stay."""
        self.remember(f"roles.{run_id}", "\n".join(sorted({*self.created_roles(run_id), *roles})), at)

    def never_sticks(self, run_id: str, uid: str, values: Mapping[str, str | None]) -> None:
        """Keep which values were taken and did not stick, so that they are not planned every night."""
        for name, text in values.items():
            row = (uid, name, text if text is not None else "", run_id)
            self._put("INSERT OR REPLACE INTO never_sticks VALUES (?, ?, ?, ?)", row, durable=False)

    def settle(self, run_id: str, change: Change | PastChange, settled: Settled) -> None:
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
        # One sketch more, should this run turn out to be no good one; all of them would fill the disk.
        sql = (
            "UPDATE baselines SET facts = json_remove(facts, '$.sketch') WHERE json_type(facts, '$.sketch') = 'object'"
            " AND run_id <> (SELECT run_id FROM baselines WHERE run_id <> ? ORDER BY json_extract(facts, '$.order') DESC LIMIT 1)"
        )
        self._put(sql, (baseline.run_id,), durable=False)
        facts = msgspec.json.encode(baseline).decode()
        self._put(
            "INSERT OR REPLACE INTO baselines VALUES (?, ?, ?, ?)",
            (baseline.run_id, location, baseline.rows, facts),
            durable=True,
        )

    def drop_baseline(self, run_id: str) -> None:
        """Take back what a run measured that turned out to be no good one."""
        self._put("DELETE FROM baselines WHERE run_id = ?", (run_id,), durable=True)

    def keep_quarantine(self, marks: frozenset[str]) -> None:
        """Remember which rows a good run quarantined, in place of those of the run before."""
        text = msgspec.json.encode(sorted(marks)).decode()
        self._put("INSERT OR REPLACE INTO meta VALUES ('quarantine', ?)", (text,), durable=True)

    def salt(self) -> str:
        """Give the secret of this file's tombstones and sketches, made when it is first asked for."""
        self._put("INSERT OR IGNORE INTO meta VALUES ('salt', ?)", (secrets.token_hex(16),), durable=True)
        return self.known_salt()

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
