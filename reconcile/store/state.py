"""
The state file: runs, intents and outcomes, what users held before, and what is remembered between runs.

SQLite in WAL mode with full synchronisation, and one writer: a thread that commits whatever has queued up
together, so that many workers share one sync. An intent is durable before its request leaves, in the file that stands
at the path at that moment (`reconcile.store.place`); an outcome rides along with the next commit. The tables are in
`reconcile.store.schema`.

No other process can lock the file while it is open here, and none can end this one by cutting the index that others
would share with it: SQLite's `unix-excl` keeps that index in memory.
"""

import queue
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from reconcile.core.baseline import Baseline
from reconcile.core.outcome import PastChange, Settled
from reconcile.core.plan import Change, encoded
from reconcile.core.sent import Sent
from reconcile.core.users import Values
from reconcile.core.waivers import Waiver
from reconcile.errors import SettingsError, StateError
from reconcile.store.beside import LOCKED
from reconcile.store.place import Place
from reconcile.store.reader import RunRow, StateReader
from reconcile.store.schema import ADDED, NUMBERING, SCHEMA, SCHEMA_VERSION

__all__ = ["RunRow", "State", "StateReader"]

_GROUP = 50  # operations in one commit: measured, more gain little
_WAIT_S = 10.0  # for another process to let go of the file
_KEPT = 4  # connections that are kept to read: more are asked for at one time only now and then


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
        self._readers: list[sqlite3.Connection] = []
        self._salt = ""
        self._failure: Exception | None = None
        try:
            self._place = Place(path)
        except OSError as error:
            raise self._cannot_open(error) from error
        try:
            self._connection = self._open()
            self._bind(app_id)
            self._place.check()
        except BaseException as error:
            self._close_all()
            if isinstance(error, sqlite3.Error | OSError):
                raise self._cannot_open(error) from error
            raise
        self._queue: queue.SimpleQueue[tuple[str, tuple[Any, ...], Future[None] | None] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._write_all, name="state-writer", daemon=True)
        self._thread.start()

    def _cannot_open(self, error: Exception) -> StateError:
        hint = "see that the disk has room and that this user may write there, and run it again"
        if LOCKED in str(error):
            hint = f"another program has it open, as a shell of SQLite does; close that one (fuser {self.path} names it)"
        return StateError(f"the state file {self.path} cannot be opened: {error}", hint=hint)

    def _open(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?vfs=unix-excl"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_WAIT_S)

    def _is_absent(self) -> bool:
        return False  # It is open: what was removed since can still be read.

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection for one question: kept, so that a question needs neither the path nor a free descriptor."""
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            if len(self._readers) < _KEPT:
                self._readers.append(connection)
            else:
                connection.close()

    def _bind(self, app_id: str) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise SettingsError(
                f"the state file {self.path} is of a newer version ({version})",
                hint="install the version that wrote it, or a newer one",
            )
        if version == 0:
            self._connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        self._connection.executescript(ADDED)
        self._connection.execute(NUMBERING)
        self._connection.execute("INSERT OR IGNORE INTO meta VALUES ('app_id', ?)", (app_id,))
        bound = self._connection.execute("SELECT value FROM meta WHERE key = 'app_id'").fetchone()[0]
        if bound != app_id:
            raise SettingsError(
                f"the run directory {self.path.parent} belongs to the app {bound}, not to {app_id}",
                hint="give each app a run directory of its own: --run-dir",
            )

    def begin(self, row: RunRow, *, settings: str, version: str) -> None:
        """Note that a run starts, and give it the next number."""
        self._put(
            "INSERT OR IGNORE INTO run_numbers (run_id, number, began)"
            " SELECT ?, coalesce(max(number), 0) + 1, ? FROM run_numbers",
            (row.run_id, int(self._now())),
            durable=False,
        )
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

        A second try of the same change keeps what stood there before the first, and the time of the first. The age of a
        run counts from its last write.
        Raises: StateError; then nothing may be sent.
        """
        at = int(self._now())
        row = (run_id, change.seq, at)
        self._put("INSERT OR IGNORE INTO intent_times VALUES (?, ?, ?)", row, durable=False)
        latest = (
            "INSERT INTO last_writes VALUES (?, ?) ON CONFLICT (run_id) DO UPDATE SET at = max(at, excluded.at)"
        )
        self._put(latest, (run_id, at), durable=False)
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

    def counts_later(self, run_id: str, *, but: Iterable[str], undoes: str = "") -> None:
        """Record which classes of a run no later limit counts, and which run it takes back, before it writes."""
        for kind in but:
            self._put("INSERT OR IGNORE INTO uncounted VALUES (?, ?)", (run_id, kind), durable=False)
        if undoes:
            self._put("INSERT OR IGNORE INTO undoes VALUES (?, ?)", (run_id, undoes), durable=False)
        self.flush()

    def waive(self, run_id: str, waivers: Iterable[Waiver]) -> None:
        """Record what a person let pass in a run; what is recorded already keeps its first name and time."""
        for waiver in waivers:
            row = (run_id, waiver.what, waiver.value, waiver.by, waiver.at)
            self._put("INSERT OR IGNORE INTO waivers VALUES (?, ?, ?, ?, ?)", row, durable=False)
        self.flush()

    def keep_replaced(self, run_id: str, change: Change, whole: msgspec.Raw) -> None:
        """
        Record the metadata of a user, whole, before a write of this change replaces it.

        It is durable when the intent is that is recorded next. Once is enough for what was seen twice.
        """
        sql = (
            "INSERT INTO replaced_metadata SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS"
            " (SELECT 1 FROM replaced_metadata WHERE run_id = ?1 AND seq = ?2 AND whole = ?4)"
        )
        self._put(sql, (run_id, change.seq, change.uid, bytes(whole).decode()), durable=False)

    def keep_skew(self, run_id: str, ahead_s: float) -> None:
        """Record how many seconds this machine's clock is ahead of the service's, before a run writes."""
        self._put("INSERT OR IGNORE INTO skews VALUES (?, ?)", (run_id, round(ahead_s)), durable=False)

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
        """Keep which values were taken and did not stick, how often each was tried, and that this was now."""
        count = (
            "INSERT INTO tries VALUES (?, ?, ?, 1, ?) ON CONFLICT (uid, field) DO UPDATE SET tried_at = excluded.tried_at,"
            " tries = CASE WHEN value = excluded.value THEN tries + 1 ELSE 1 END, value = excluded.value"
        )
        for name, text in values.items():
            value = text if text is not None else ""
            row = (uid, name, value, run_id)
            self._put("INSERT OR REPLACE INTO never_sticks VALUES (?, ?, ?, ?)", row, durable=False)
            self._put(count, (uid, name, value, int(self._now())), durable=False)

    def no_longer_stuck(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Drop known differences by (uid, field): the value holds now, or the source asks for it no more."""
        for pair in pairs:
            self._put("DELETE FROM never_sticks WHERE uid = ? AND field = ?", pair, durable=False)
            self._put("DELETE FROM tries WHERE uid = ? AND field = ?", pair, durable=False)

    def count_known(self, run_id: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Record, durably, which known differences (uid, field) a run counts and does not try: its retry tries them."""
        self._put("DELETE FROM known_differences WHERE run_id = ?", (run_id,), durable=False)
        sql = (
            "INSERT OR IGNORE INTO known_differences"
            " SELECT ?, json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)"
        )
        self._put(sql, (run_id, msgspec.json.encode(list(pairs)).decode()), durable=True)

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
        if settled.created_at is not None:
            self.keep_left(run_id, change.seq, change.uid, settled.created_at, None)

    def keep_left(
        self, run_id: str, seq: int, uid: str, created_at: int | None, deactivated_at: int | None
    ) -> None:
        """Keep the dates (unix seconds) that a write left of a user; durable with the next commit."""
        row = (run_id, seq, uid, created_at, deactivated_at)
        self._put("INSERT OR REPLACE INTO left_by_us VALUES (?, ?, ?, ?, ?)", row, durable=False)

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
        """Give the secret of this file's tombstones and sketches, made when it is first asked for. Raises: StateError."""
        if not self._salt:
            self._put("INSERT OR IGNORE INTO meta VALUES ('salt', ?)", (secrets.token_hex(16),), durable=True)
            self._salt = self.known_salt()
        return self._salt

    def forget_runs(self, run_ids: list[str]) -> None:
        """Drop the rows of runs that are let go; outcomes stay, they say what is ours."""
        for run_id in run_ids:
            self._put("DELETE FROM runs WHERE run_id = ?", (run_id,), durable=False)
            self._put("DELETE FROM known_differences WHERE run_id = ?", (run_id,), durable=False)
        self.flush()

    def flush(self) -> None:
        """Wait until everything so far is durable. Raises: StateError."""
        self._put("SELECT 1", (), durable=True)

    def see_in_place(self) -> None:
        """Raises: StateError where what was recorded is not in the file that stands at the path now: nothing may be sent."""
        self._check()
        try:
            self._place.check()
        except StateError as error:
            self._failure = error
            raise

    def close(self) -> None:
        """Commit what is queued and close the file."""
        self._queue.put(None)
        self._thread.join()
        self._close_all()

    def _close_all(self) -> None:
        for connection in (*self._readers, getattr(self, "_connection", None)):
            with suppress(sqlite3.Error):
                if connection is not None:
                    connection.close()
        self._readers.clear()
        self._place.close()

    def _put(self, sql: str, values: tuple[Any, ...], *, durable: bool) -> None:
        self._check()
        done: Future[None] | None = Future() if durable else None
        self._queue.put((sql, values, done))
        if done is not None:
            done.result()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._problem(self._failure) from self._failure

    def _problem(self, error: Exception) -> StateError:
        if isinstance(error, StateError):
            return StateError(error.message, hint=error.hint)
        return StateError(
            f"the state file {self.path} cannot be written: {error}",
            hint="check the disk's space and rights, then: reconcile resume",
        )

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
            self._place.check()
            self._connection.execute("BEGIN")
            for sql, values, _ in group:
                self._connection.execute(sql, values)
            self._connection.execute("COMMIT")
            self._place.check()
        except (sqlite3.Error, OSError, StateError, ArithmeticError, ValueError) as error:
            # Also a value that SQLite has no room for: a writer that died of it would leave everybody waiting.
            self._failure = error
            problem = self._problem(error)
            for done in waiting:
                done.set_exception(problem)
        else:
            for done in waiting:
                done.set_result(None)
