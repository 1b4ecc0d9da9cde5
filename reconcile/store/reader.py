"""
The state file, to read: what earlier runs did and what they learnt.

Nothing here writes; `reconcile.store.state` is the one writer. While a run has the file for itself, other processes read
a copy (`reconcile.store.beside`).
"""

import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from reconcile.core.baseline import Baseline
from reconcile.core.guards import GuardClass
from reconcile.core.metadata import RawObject
from reconcile.core.ours import Left, left_by
from reconcile.core.outcome import DID_NOT_STICK, Outcome, PastChange, Settled
from reconcile.core.plan import Action, Change, decoded
from reconcile.core.report import Report
from reconcile.core.sent import Sent
from reconcile.core.sticking import Tried
from reconcile.core.tombstones import forgotten_among
from reconcile.core.trend import Flapping, RunRow, Turn, turn_of
from reconcile.core.users import fold_uid
from reconcile.core.waivers import Waiver
from reconcile.core.written import Written, id_at, time_in_id
from reconcile.errors import StateError
from reconcile.store.artifacts import RUN_NAME
from reconcile.store.beside import LOCKED, private_copy
from reconcile.store.schema import NUMBERING, TABLES, added
from reconcile.trust import see_state

__all__ = ["RunRow", "StateReader"]

T = TypeVar("T")

_RUN = (  # the fields of a RunRow
    "run_id, command, state, started_at, finished_at, exit_code, verdict, headline, writes,"
    " json_extract(report, '$.source.since')"
)
# The order of the runs is that of their numbers; a run that another version began since has none yet, and is newer.
_NUMBER = "coalesce(n.number, 1e18)"
_NUMBERED = "LEFT JOIN run_numbers n USING (run_id)"
_NEWEST_FIRST = f"{_NUMBERED} ORDER BY {_NUMBER} DESC, run_id DESC"
_WHOLE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SENT = msgspec.json.Decoder(Sent)
_JSON = msgspec.json.Decoder(dict[str, Any])
_BASELINE = msgspec.json.Decoder(Baseline)
_MARKS = msgspec.json.Decoder(frozenset[str])
_OWN_WRITES = partial(msgspec.convert, type=dict[str, int])
_UNCONFIRMED = (
    " FROM answered a WHERE a.run_id = ?1"
    " AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.run_id = a.run_id AND o.seq = a.seq)"
)
_LEFT_OPEN = " FROM intents a WHERE a.run_id = ?1 AND a.seq NOT IN (SELECT seq FROM outcomes WHERE run_id = ?1)"
# When an intent was recorded, by the service's clock: what this machine's was ahead is taken out.
_AT = "t.at - coalesce((SELECT ahead FROM skews k WHERE k.run_id = t.run_id), 0)"
# What the journal has of the dates that the writes in `outcomes o` left (see `left_by`).
_DATES = f"l.created_at, l.deactivated_at, {_AT}, n.began, n.ended"
_DATED = (
    "LEFT JOIN left_by_us l ON l.run_id = o.run_id AND l.seq = o.seq"
    " LEFT JOIN intent_times t ON t.run_id = o.run_id AND t.seq = o.seq"
    " LEFT JOIN run_numbers n ON n.run_id = o.run_id"
)
_UNCOUNTED_BEFORE = (  # as the reports of older versions have it: released, or created in an empty directory
    "SELECT r.run_id || ' ' || g.key FROM runs r, json_each(r.report, '$.guards') g WHERE r.run_id >= ?2"
    " AND (json_extract(g.value, '$.verdict') = 'released'"
    " OR (g.key = 'create' AND json_extract(g.value, '$.limit') IS NULL))"
)
_AMONG = " AND a.uid IN (SELECT value FROM json_each(?2))"
_WAIT_S = 0.3  # for whoever writes a moment; a run keeps the file until it ends


class StateReader:
    """The state file, to read. Every call opens it anew, so it never holds up a writer; a copy is kept."""

    def __init__(self, path: Path, *, acts: bool = False) -> None:
        """
        Look at the file. `acts` is whether something is done because of what it says (see `reconcile.trust`).

        Raises: StateError where the file is not to be trusted.
        """
        see_state(path, acts=acts)
        self.path = path
        self._copy: sqlite3.Connection | None = None

    def runs(self, limit: int | None = None) -> list[RunRow]:
        """Give the runs, newest first; none where there is no state file."""
        sql = f"SELECT {_RUN} FROM runs {_NEWEST_FIRST} LIMIT ?"  # noqa: S608 - our own words
        return list(self._each(_run_of, sql, -1 if limit is None else limit))

    def turns(self, limit: int) -> list[Turn]:
        """Give the newest runs with what their reports say, newest first; none where there is no state file."""
        sql = f"SELECT {_RUN}, report FROM runs {_NEWEST_FIRST} LIMIT ?"  # noqa: S608 - our own words
        found = self._each(_turn_of, sql, limit)
        return [msgspec.structs.replace(turn, waivers=self.waivers(turn.run_id)) for turn in found]

    def flapped(self, limit: int) -> list[Flapping]:
        """Give the users to whom the newest runs wrote one value more than once, most often first."""
        sql = (
            "SELECT i.uid, f.key, count(DISTINCT i.run_id) FROM intents i"  # noqa: S608 - our own words
            " JOIN outcomes o ON o.run_id = i.run_id AND o.seq = i.seq AND o.outcome = 'applied', json_each(i.after) f"
            # Only whom two runs are about: in the first run everybody is written once.
            " WHERE i.uid IN (SELECT uid FROM outcomes GROUP BY uid HAVING count(DISTINCT run_id) > 1)"
            f" AND i.run_id IN (SELECT run_id FROM runs {_NEWEST_FIRST} LIMIT ?)"
            " GROUP BY i.uid, f.key, f.value HAVING count(DISTINCT i.run_id) > 1 ORDER BY 3 DESC, 1, 2"
        )
        return [Flapping(*row) for row in self._rows(sql, limit)]

    def outcomes(self, run_id: str) -> Iterator[tuple[int, Settled]]:
        """Give the outcomes of a run with the number of their change, in plan order."""
        sql = "SELECT seq, outcome, detail, updated_at, fingerprint FROM outcomes WHERE run_id = ? ORDER BY seq"
        return self._each(_settled_of, sql, run_id)

    def history(self, uid: str) -> Iterator[PastChange]:
        """Give what past runs did about one user, oldest first."""
        sql = (
            "SELECT h.* FROM ("  # noqa: S608 - our own words
            "SELECT o.run_id, o.seq, o.uid, o.action, o.outcome, o.detail, i.before, i.after FROM outcomes o"
            " LEFT JOIN intents i ON i.run_id = o.run_id AND i.seq = o.seq WHERE o.uid = ?1"
            " UNION ALL SELECT i.run_id, i.seq, i.uid, i.action, NULL, '', i.before, i.after FROM intents i"
            " WHERE i.uid = ?1"
            " AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.run_id = i.run_id AND o.seq = i.seq)"
            f") h {_NUMBERED} ORDER BY {_NUMBER}, run_id, seq"
        )
        yield from self._past(sql, uid)

    def written(self, run_id: str) -> Iterator[PastChange]:
        """
        Give the changes of a run that reached the directory, or may have, by uid.

        What was sent and then rejected, skipped or failed counts too: some of it may have landed.
        """
        sql = (
            "SELECT o.run_id, o.seq, o.uid, o.action, o.outcome, o.detail, i.before, i.after, o.updated_at,"  # noqa: S608 - our own words
            f" {_DATES} FROM outcomes o JOIN intents i ON i.run_id = o.run_id AND i.seq = o.seq {_DATED}"
            " WHERE o.run_id = ? AND o.outcome IN ('applied', 'rejected', 'skipped', 'failed') ORDER BY o.uid, o.seq"
        )
        for *known, before, after, updated_at, made, off, at, began, ended in self._rows(sql, run_id):
            yield msgspec.structs.replace(
                self._read(_past_of, (*known, before, after)),
                updated_at=updated_at,
                left=left_by(made, off, at, began, ended),
                intended_at=at,
            )

    def troubled(self, run_id: str) -> frozenset[str]:
        """Give the uids of a run that had a change which was rejected, skipped or failed."""
        sql = "SELECT DISTINCT uid FROM outcomes WHERE run_id = ? AND outcome IN ('rejected', 'skipped', 'failed')"
        return frozenset(self._each(_legal_of, sql, run_id))

    def wrote_to(self, run_id: str) -> frozenset[str]:
        """Return the uids of a run's changes that reached the directory, or may have."""
        sql = (
            "SELECT DISTINCT uid FROM outcomes WHERE run_id = ?"
            " AND outcome IN ('applied', 'rejected', 'skipped', 'failed')"
        )
        return frozenset(uid for (uid,) in self._rows(sql, run_id))

    def knows(self, run_id: str) -> bool:
        """Whether there was such a run, also one whose files were let go."""
        sql = "SELECT 1 FROM runs WHERE run_id = ?1 UNION SELECT 1 FROM outcomes WHERE run_id = ?1 LIMIT 1"
        return any(self._rows(sql, run_id))

    def _past(self, sql: str, *keys: str) -> Generator[PastChange, None, None]:
        return self._each(_past_of, sql, *keys)

    def newly(self, run_id: str) -> dict[str, int]:
        """Count the changes of a run by outcome whose user never had that outcome in another run."""
        sql = (
            "SELECT outcome, count(*) FROM outcomes o WHERE run_id = ? AND NOT EXISTS (SELECT 1 FROM outcomes p"
            " WHERE p.uid = o.uid AND p.outcome = o.outcome AND p.run_id <> o.run_id) GROUP BY outcome"
        )
        return dict(self._rows(sql, run_id))

    def flapping(self, run_id: str, runs: int) -> list[tuple[str, str]]:
        """
        Give (uid, fields) of users to whom a run wrote a value that one of the last `runs` runs wrote, too.

        Somebody else writes another one in between, or the export goes back and forth.
        """
        sql = (
            "SELECT i.uid, group_concat(DISTINCT f.key) FROM intents i"  # noqa: S608 - our own words
            " JOIN outcomes o ON o.run_id = i.run_id AND o.seq = i.seq AND o.outcome = 'applied', json_each(i.after) f"
            " WHERE i.run_id = ?1 AND EXISTS (SELECT 1 FROM intents p"
            " JOIN outcomes q ON q.run_id = p.run_id AND q.seq = p.seq AND q.outcome = 'applied', json_each(p.after) g"
            " WHERE p.uid = i.uid AND p.run_id <> i.run_id AND g.key = f.key AND g.value IS f.value AND p.run_id IN"
            f" (SELECT run_id FROM runs {_NEWEST_FIRST} LIMIT ?2))"
            " GROUP BY i.uid ORDER BY i.uid"
        )
        return list(self._rows(sql, run_id, runs))

    def forgotten(self, uids: Iterable[str]) -> tuple[str, ...]:
        """Give those of the uids that were forgotten."""
        return forgotten_among(uids, self.known_salt(), self.tombstones())

    def tombstones(self) -> frozenset[str]:
        """Give the marks of everybody who was forgotten."""
        return frozenset(mark for (mark,) in self._rows("SELECT uid_hash FROM tombstones"))

    def open_intents(self, run_id: str) -> set[int]:
        """Give the numbers of the changes that may have been sent, with no answer and no outcome."""
        sql = (
            "SELECT seq FROM intents WHERE run_id = ?1 AND seq NOT IN (SELECT seq FROM outcomes WHERE run_id = ?1)"
            " AND seq NOT IN (SELECT seq FROM answered WHERE run_id = ?1)"
        )
        return {seq for (seq,) in self._rows(sql, run_id)}

    def unconfirmed(
        self, run_id: str, uids: Iterable[str] | None = None
    ) -> Generator[tuple[Change, Sent], None, None]:
        """
        Give the changes of a run that were answered and wait to be confirmed, of these users or of all.

        They come from the journal: of what is desired they hold the fields that were written.
        """
        sql = (
            "SELECT a.seq, a.uid, i.action, i.class, i.after, a.facts"
            + _UNCONFIRMED.replace(
                "answered a", "answered a JOIN intents i ON i.run_id = a.run_id AND i.seq = a.seq"
            )
            + ("" if uids is None else _AMONG)
        )
        named = () if uids is None else (msgspec.json.encode(list(uids)).decode(),)
        return self._each(_unconfirmed_of, sql, run_id, *named)

    def unconfirmed_seqs(self, run_id: str) -> Iterator[int]:
        """Give the numbers of the changes that wait to be confirmed, in plan order."""
        return (seq for (seq,) in self._rows(f"SELECT a.seq{_UNCONFIRMED} ORDER BY a.seq", run_id))

    def count_unconfirmed(self, run_id: str) -> int:
        """Count the changes of a run that were answered and wait to be confirmed."""
        return next((count for (count,) in self._rows(f"SELECT count(*){_UNCONFIRMED}", run_id)), 0)

    def applied_since(self, since: float) -> Iterator[Written]:
        """
        Give the changes that were applied from this time (unix seconds) on, in every run whose classes count.

        Older versions recorded no times: their changes are of the time that the run's id begins with.
        """
        begins = id_at(since)
        timed = "SELECT t.run_id, t.seq, t.at FROM intent_times t WHERE t.at >= ?1"
        untimed = (
            "SELECT i.run_id, i.seq, NULL FROM intents i WHERE i.run_id >= ?2 AND i.run_id < ':' AND NOT EXISTS"
            " (SELECT 1 FROM intent_times t WHERE t.run_id = i.run_id AND t.seq = i.seq)"
        )
        sql = (
            f"SELECT w.run_id, w.seq, i.uid, i.class, w.at FROM ({timed} UNION ALL {untimed}) w"  # noqa: S608 - our own words
            " JOIN intents i ON i.run_id = w.run_id AND i.seq = w.seq"
            " JOIN outcomes o ON o.run_id = w.run_id AND o.seq = w.seq AND o.outcome = 'applied'"
            " WHERE NOT EXISTS (SELECT 1 FROM uncounted u WHERE u.run_id = w.run_id AND u.class = i.class)"
            f" AND (w.at IS NOT NULL OR w.run_id || ' ' || i.class NOT IN ({_UNCOUNTED_BEFORE}))"
        )
        for run_id, seq, uid, kind, at in self._rows(sql, int(since), begins):
            known = time_in_id(run_id) if at is None else at
            yield Written(run_id, seq, uid, GuardClass(kind), int(since) if known is None else known)

    def runs_since(self, since: float) -> frozenset[str]:
        """Give the runs that recorded a change from this time (unix seconds) on."""
        rows = self._rows("SELECT DISTINCT run_id FROM intent_times WHERE at >= ?", int(since))
        return frozenset(run_id for (run_id,) in rows)

    def undoes(self) -> dict[str, str]:
        """
        Give, for every undo run, the run that it took back, in the order of the runs.

        The target is empty where an older version did not record which.
        """
        old = "SELECT run_id, '' FROM runs WHERE command = 'undo' AND run_id NOT IN (SELECT run_id FROM undoes)"
        every = f"SELECT h.* FROM (SELECT run_id, target FROM undoes UNION ALL {old}) h"  # noqa: S608 - our own words
        return dict(self._rows(f"{every} {_NUMBERED} ORDER BY {_NUMBER}, run_id"))

    def waivers(self, run_id: str) -> tuple[Waiver, ...]:
        """Give what a person let pass in a run, in the order of time."""
        sql = "SELECT what, value, by, at FROM waivers WHERE run_id = ? ORDER BY at, what, value"
        return tuple(Waiver(*row) for row in self._rows(sql, run_id))

    def kept_whole(self, run_id: str, change: Change) -> RawObject | None:
        """Give the metadata object that a change took away to write it anew, as it was; None where it did not."""
        sql = "SELECT whole FROM intents WHERE run_id = ? AND seq = ? AND whole IS NOT NULL"
        return next((self._read(_WHOLE.decode, whole) for (whole,) in self._rows(sql, run_id, change.seq)), None)

    def replaced_metadata(self, run_id: str) -> dict[str, RawObject]:
        """
        Give the metadata objects, whole, that writes of a run replaced, by uid; of what was seen twice the first counts.

        What was not an object is left out. None where the run is of a version that kept none.
        """
        wholes: dict[str, RawObject] = {}
        sql = "SELECT uid, whole FROM replaced_metadata WHERE run_id = ? ORDER BY seq, rowid"
        for uid, text in self._rows(sql, run_id):
            if text.startswith("{"):
                wholes[uid] = {**_WHOLE.decode(text), **wholes.get(uid, {})}
        return wholes

    def replaced_odd(self, run_id: str) -> frozenset[str]:
        """Give the uids of users whose metadata a run replaced although it was no object: CometChat takes none back."""
        sql = "SELECT uid FROM replaced_metadata WHERE run_id = ? AND substr(whole, 1, 1) <> '{'"
        return frozenset(self._uids(sql, run_id))

    def left_open(self, run_id: str, uids: Iterable[str] | None = None) -> Generator[PastChange, None, None]:
        """Give the changes of a run that may have been sent and have no outcome, of these users or of all, in plan order."""
        sql = (
            "SELECT run_id, seq, uid, action, NULL, '', before, after,"  # noqa: S608 - our own words
            f" (SELECT {_AT} FROM intent_times t WHERE t.run_id = a.run_id AND t.seq = a.seq)"
            + _LEFT_OPEN
            + ("" if uids is None else _AMONG)
            + " ORDER BY seq"
        )
        named = () if uids is None else (msgspec.json.encode(list(uids)).decode(),)
        for *known, before, after, at in self._rows(sql, run_id, *named):
            yield msgspec.structs.replace(self._read(_past_of, (*known, before, after)), intended_at=at)

    def intended_at(self, run_id: str, seq: int) -> int | None:
        """Give when a change was first recorded, in unix seconds by the service's clock; None where nobody knows."""
        sql = f"SELECT {_AT} FROM intent_times t WHERE run_id = ? AND seq = ?"  # noqa: S608 - our own words
        return next((at for (at,) in self._rows(sql, run_id, seq)), None)

    def undated(self, run_id: str) -> list[tuple[int, str, int | None]]:
        """
        Give the deactivations that a run made and of which no date was kept: number, uid, and when it was recorded.

        The time is in unix seconds by the service's clock, None where nobody knows.
        """
        sql = (
            f"SELECT o.seq, o.uid, {_AT} FROM outcomes o {_DATED} WHERE o.run_id = ?"  # noqa: S608 - our own words
            " AND o.action = 'deactivate' AND o.outcome = 'applied' AND l.deactivated_at IS NULL ORDER BY o.seq"
        )
        return list(self._rows(sql, run_id))

    def count_left_open(self, run_id: str) -> int:
        """Count the changes of a run that may have been sent and have no outcome."""
        return next((count for (count,) in self._rows(f"SELECT count(*){_LEFT_OPEN}", run_id)), 0)

    def intents(self, run_id: str) -> int:
        """Count the changes that a run was about to send, or sent."""
        return next((count for (count,) in self._rows("SELECT count(*) FROM intents WHERE run_id = ?", run_id)), 0)

    def last_write(self, run_id: str) -> int | None:
        """Give when a run last recorded a write, in unix seconds of the clock then; None where no version dated it."""
        found = self._rows("SELECT at FROM last_writes WHERE run_id = ?", run_id)
        return next((at for (at,) in found), None) or None

    def settings_of(self, run_id: str) -> str:
        """Give the recorded settings of a run, as JSON."""
        return next((text for (text,) in self._rows("SELECT settings FROM runs WHERE run_id = ?", run_id)), "")

    def report_of(self, run_id: str) -> str:
        """Give the report of a run, as JSON; empty where none was written."""
        return next((text or "" for (text,) in self._rows("SELECT report FROM runs WHERE run_id = ?", run_id)), "")

    def reports(self, before: str, limit: int) -> Iterator[str]:
        """Give the reports of the runs before this one, as JSON, newest first."""
        sql = (
            f"SELECT report FROM runs {_NUMBERED} WHERE report IS NOT NULL AND {_NUMBER} <"  # noqa: S608 - our own words
            " coalesce((SELECT number FROM run_numbers WHERE run_id = ?), 1e18) ORDER BY n.number DESC LIMIT ?"
        )
        return (text for (text,) in self._rows(sql, before, limit))

    def known_salt(self) -> str:
        """Give the secret of this file's hashes; empty where none was made so far."""
        return next((salt for (salt,) in self._rows("SELECT value FROM meta WHERE key = 'salt'")), "")

    def remembered(self, name: str) -> str:
        """Give what an earlier run learnt about the service; empty where nothing was."""
        return next((answer for (answer,) in self._rows("SELECT answer FROM probes WHERE name = ?", name)), "")

    def created_roles(self, run_id: str) -> frozenset[str]:
        """Give the roles that a run created, or was about to."""
        return frozenset(filter(None, self.remembered(f"roles.{run_id}").split("\n")))

    def stuck(self) -> frozenset[tuple[str, str, str]]:
        """Give every (uid, field, value) that was taken and did not stick; an empty value is a clear."""
        return frozenset(self._rows("SELECT uid, field, value FROM never_sticks"))

    def tried(self) -> list[Tried]:
        """Give every value that was taken and did not stick, with how often and when it was tried last, in order."""
        sql = (
            "SELECT n.uid, n.field, n.value, coalesce(t.tries, 0), t.tried_at FROM never_sticks n"
            " LEFT JOIN tries t ON t.uid = n.uid AND t.field = n.field AND t.value = n.value ORDER BY 1, 2"
        )
        return [Tried(*row) for row in self._rows(sql)]

    def counted(self, run_id: str) -> list[tuple[str, str]]:
        """Give the known differences (uid, field) that a run counted and did not try, in order."""
        sql = "SELECT uid, field FROM known_differences WHERE run_id = ? ORDER BY uid, field"
        return list(self._rows(sql, run_id))

    def count_unstuck(self, run_id: str) -> int:
        """Count the changes of a run that CometChat took and did not keep."""
        sql = (
            "SELECT count(*) FROM outcomes WHERE run_id = ? AND outcome = 'rejected' AND substr(detail, 1, ?) = ?"
        )
        return next((n for (n,) in self._rows(sql, run_id, len(DID_NOT_STICK), DID_NOT_STICK)), 0)

    def own_writes(self, since_unix_s: int = 0) -> dict[str, int]:
        """Give the latest directory time (unix seconds) that a write of ours left, by uid; none from before that time."""
        # What agreed before we sent anything was moved by somebody else.
        sql = (
            "SELECT uid, max(updated_at) FROM outcomes WHERE updated_at IS NOT NULL"
            " AND outcome IN ('applied', 'rejected', 'skipped') GROUP BY uid HAVING max(updated_at) >= ?"
        )
        return self._read(_OWN_WRITES, dict(self._rows(sql, since_unix_s)))

    def own_deactivations(self) -> dict[str, Left]:
        """
        Give the users that our own runs deactivated and did not activate since, with the dates that this left.

        A user that others had deactivated, and that a person had us switch on, is theirs again where we undo that.
        """
        sql = (
            f"SELECT o.uid, o.action, i.class, {_DATES} FROM outcomes o LEFT JOIN intents i ON i.run_id = o.run_id"  # noqa: S608 - our own words
            f" AND i.seq = o.seq {_DATED}"
            " WHERE o.outcome = 'applied' AND o.action IN ('deactivate', 'reactivate')"
            f" ORDER BY {_NUMBER}, o.run_id, o.seq"
        )
        ours: dict[str, Left] = {}
        foreign: set[str] = set()
        for uid, action, kind, *dates in self._rows(sql):
            if action == Action.REACTIVATE:
                ours.pop(uid, None)
                foreign.discard(uid)
                foreign |= {uid} if kind == GuardClass.REACTIVATE_FOREIGN else set()
            elif uid not in foreign:
                ours[uid] = left_by(*dates)
        return ours

    def own_users(self) -> Iterator[str]:
        """
        Give the uids that our runs created; of versions that did not keep the users of an export, all that came from one.

        Those versions kept no time of what they wrote either. A uid may come twice.
        """
        yield from self._uids(
            "SELECT uid FROM outcomes WHERE action = 'create' AND (outcome = 'applied' OR detail LIKE ? || '%')",
            DID_NOT_STICK,
        )
        yield from self._uids(
            "SELECT uid FROM intents i WHERE action IN ('create', 'update')"
            " AND NOT EXISTS (SELECT 1 FROM intent_times t WHERE t.run_id = i.run_id AND t.seq = i.seq)"
        )

    def _uids(self, sql: str, *values: str) -> Iterator[str]:
        return (uid for (uid,) in self._rows(sql, *values))

    def baselines(self) -> Iterator[Baseline]:
        """Give what the good runs measured, newest first, whatever their sources were called: exports bear dates."""
        sql = (
            f"SELECT facts FROM baselines {_NUMBERED}"  # noqa: S608 - our own words
            f" ORDER BY json_extract(facts, '$.order') DESC, {_NUMBER} DESC, run_id DESC"
        )
        return (self._read(_BASELINE.decode, facts) for (facts,) in self._rows(sql))

    def baseline(self) -> Baseline | None:
        """Give what the last good run measured."""
        return next(self.baselines(), None)

    def quarantine(self) -> frozenset[str] | None:
        """Give the marks of the rows that the last good run quarantined; None where there was none."""
        rows = self._rows("SELECT value FROM meta WHERE key = 'quarantine'")
        return next((self._read(_MARKS.decode, text) for (text,) in rows), None)

    def remembered_as(self, name: str, kind: type[T]) -> T | None:
        """Return what was remembered under a name as a value of this kind; None where nothing was. Raises: StateError."""
        text = self.remembered(name)
        return self._read(partial(msgspec.json.decode, type=kind), text) if text else None

    def _each(self, read: Callable[[tuple[Any, ...]], T], sql: str, *values: Any) -> Generator[T, None, None]:
        """Give each row as `read` understands it. Raises: StateError."""
        with closing(self._rows(sql, *values)) as rows:
            for row in rows:
                yield self._read(read, row)

    def _read(self, read: Callable[[Any], T], found: Any) -> T:
        """Read what the file holds. Raises: StateError where no run of ours writes that."""
        try:
            return read(found)
        except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
            raise StateError(
                f"the state file {self.path} holds what reconcile does not write: {error}",
                hint="put back a copy of it, or name a new --run-dir; nothing in it was acted on",
            ) from error

    def _rows(self, sql: str, *values: Any) -> Generator[tuple[Any, ...], None, None]:
        if self._is_absent():
            return
        try:
            with self._reading() as connection, closing(connection.cursor()) as cursor:
                yield from cursor.execute(sql, values)
        except (sqlite3.Error, OSError) as error:
            raise StateError(
                f"the state file {self.path} cannot be read: {error}",
                hint="look at the disk; where the file is broken, put back a copy, or name a new --run-dir",
            ) from error

    def _is_absent(self) -> bool:
        return not self.path.exists()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection for one question."""
        if self._copy is not None:
            yield self._copy
            return
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        # Python may free a read that an error ended in another thread.
        with closing(sqlite3.connect(uri, uri=True, timeout=_WAIT_S, check_same_thread=False)) as connection:
            if not _is_held(connection):
                _complete(connection)
                yield connection
                return
        self._copy = private_copy(self.path.absolute())
        _complete(self._copy)
        yield self._copy


def _is_held(connection: sqlite3.Connection) -> bool:
    """Whether another process has the file for itself."""
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        if LOCKED in str(error):
            return True
        raise
    return False


def _complete(connection: sqlite3.Connection) -> None:
    """Give a file of an older version the tables that it lacks, for this connection alone."""
    lacking = TABLES - {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    for statement in added(lacking):
        connection.execute(statement)
    if "run_numbers" in lacking:
        connection.execute(NUMBERING)


def _run_of(row: tuple[Any, ...]) -> RunRow:
    run = msgspec.convert(dict(zip(RunRow.__struct_fields__, row, strict=True)), RunRow)
    if not RUN_NAME.fullmatch(run.run_id):
        # It becomes the name of a folder, which may be removed.
        raise ValueError(f"{run.run_id!r} is not the id of a run")
    return run


def _turn_of(row: tuple[Any, ...]) -> Turn:
    *known, text = row
    return turn_of(msgspec.structs.astuple(_run_of(tuple(known))), _report(text))


def _settled_of(row: tuple[Any, ...]) -> tuple[int, Settled]:
    found = dict(zip(Settled.__struct_fields__, row[1:], strict=False))
    return msgspec.convert((row[0], found), tuple[int, Settled])


def _past_of(row: tuple[Any, ...]) -> PastChange:
    *known, before, after = row
    states = (_JSON.decode(text or "{}") for text in (before, after))
    # The fields behind these have defaults.
    found = dict(zip(PastChange.__struct_fields__, (*known, *states), strict=False))
    past = msgspec.convert(found, PastChange)
    if Action(past.action) not in {Action.DEACTIVATE, Action.REACTIVATE}:
        _legal(
            past.uid
        )  # It becomes part of a path; the switches name users in a body, as the directory has them.
    if past.outcome is not None:
        Outcome(past.outcome)
    return past


def _unconfirmed_of(row: tuple[Any, ...]) -> tuple[Change, Sent]:
    seq, uid, action, kind, after, facts = row
    desired = decoded(after)
    change = Change(seq, _legal(uid), Action(action), GuardClass(kind), tuple(desired), desired=desired)
    return change, _SENT.decode(facts)


def _legal_of(row: tuple[Any, ...]) -> str:
    return _legal(row[0])


def _legal(uid: str) -> str:
    if fold_uid(uid) != uid:
        raise ValueError(f"{uid!r} is no uid")
    return uid


def _report(text: str | None) -> Report | None:
    """Read a report of any version; one that this version does not understand says nothing."""
    try:
        return msgspec.json.decode(text, type=Report) if text else None
    except msgspec.DecodeError:
        return None
