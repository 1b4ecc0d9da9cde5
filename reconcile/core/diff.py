"""
The comparison: the desired state against the directory, block by block.

A comparison is fed what the directory shows (`see`, `see_deactivated`, `settle_*`), holds one state a
desired user and the uids it saw, and closes into `Findings`. Of a directory user in step nothing is kept
but the count; the frame ends here.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.core.actual import managed_groups, no_rows, shown_column
from reconcile.core.cells import arrow
from reconcile.core.findings import Counts, Findings
from reconcile.core.frame import SOURCE_ROW, TEXT, Desired, as_frame
from reconcile.core.freshness import Freshness
from reconcile.core.lookup import UidIndex
from reconcile.core.patterns import matches, matching
from reconcile.core.problems import Mask, true
from reconcile.core.users import Situation

__all__ = ["LIKELY", "Comparison", "differs", "likely"]

LIKELY = 10  # users that are asked for at most to find out what a look shows

Rows = npt.NDArray[np.int64]


class _State(IntEnum):
    """One byte a desired user: its situation, or not seen so far."""

    UNSEEN = 0
    IN_STEP = 1
    MISSING = 2
    DRIFTED = 3
    DEACTIVATED = 4
    PROTECTED = 5
    UNKNOWN = 6


_SITUATION = {state: Situation(state.name.lower()) for state in _State if state is not _State.UNSEEN}


def differs(desired: pa.Array, actual: pa.Array, *, keep_empty: bool) -> Mask:
    """
    Compare two columns of normal forms. Two missing values agree.

    With `keep_empty` a missing desired value agrees with anything.
    """
    unequal = pc.fill_null(pc.not_equal(desired, actual), fill_value=False)
    one_missing = pc.xor(pc.is_valid(desired), pc.is_valid(actual))
    if keep_empty:
        one_missing = pc.and_(one_missing, pc.is_valid(desired))
    result: Mask = pc.or_(unequal, one_missing).to_numpy(zero_copy_only=False)
    return result


class Comparison:
    """
    Compare the directory with the desired users as it streams by. One thread feeds it.

    Order: every active row first (`see`), then every deactivated one (`see_deactivated`); a uid that was in
    both is `disputed` until a look at the user settles it.
    """

    def __init__(
        self,
        desired: Desired,
        *,
        protect: Sequence[str] = (),
        protect_roles: Sequence[str] = (),
        uncompared: Iterable[str] = (),
        freshness: Freshness | None = None,
        forgotten: Callable[[Iterable[str]], Collection[str]] = lambda _uids: (),
    ) -> None:
        """
        `protect` are patterns of uids, `protect_roles` roles in lower case: users that have one are left alone.

        `forgotten` gives those of some uids that were forgotten: they are left alone like protected ones.
        """
        self._desired = desired
        self._users = desired.users
        self._uids = arrow(desired.users["uid"])
        self._fields = desired.fields
        self._compared = tuple(field for field in desired.fields if field not in set(uncompared))
        self._keeps = frozenset(field for field in desired.fields if desired.mapping.keeps_where_empty(field))
        self._columns = {field: arrow(desired.users[field]) for field in desired.fields}
        self._freshness = freshness or Freshness()
        self._index = UidIndex(self._uids)
        self._protect = protect
        self._protect_roles = tuple(protect_roles)
        self._by_role: dict[str, set[str]] = {role: set() for role in protect_roles}
        self._state = np.zeros(len(self._uids), dtype=np.int8)
        self._state[matches(self._uids, protect)] = _State.PROTECTED
        self._forgotten = forgotten
        self._gone = frozenset(forgotten(map(str, self._uids)))
        self._state[self._index.rows(pa.array(sorted(self._gone), pa.string()))] = _State.PROTECTED
        self._active = np.zeros(len(self._uids), dtype=bool)
        self._deactivated = np.zeros(len(self._uids), dtype=bool)
        self._drift: list[pd.DataFrame] = []
        self._switched_off: list[pd.DataFrame] = []
        self._outside: dict[str, tuple[int, int]] = {}
        self._outside_deactivated: set[str] = set()

    @property
    def fields(self) -> tuple[str, ...]:
        """The managed fields."""
        return self._fields

    def see(self, block: pa.Table) -> int:
        """
        Take in rows of the default list (any that is deactivated counts as such); how many were news.

        Shape: see `read_rows`.
        """
        off = true(block["deactivated"])
        self._protect_by_role(block)
        news = self._see_deactivated(block.filter(pa.array(off))) if off.any() else 0
        active = block.filter(pa.array(~off)) if off.any() else block
        active = active.combine_chunks()
        rows = self._index.rows(_only(active["uid"]))
        fresh = self._fresh(rows)
        self._compare(active, rows, fresh)
        return news + int(fresh.sum()) + self._note_outside(active, rows)

    def is_news(self, uids: pa.Array) -> bool:
        """Whether one of these (in lower case) was not seen so far. Thread-safe: what is seen stays seen."""
        rows = self._index.rows(uids)
        if (self._state[rows[rows >= 0]] == _State.UNSEEN).any():
            return True
        return any(uid not in self._outside for uid in uids.filter(pa.array(rows < 0)).to_pylist())

    def see_deactivated(self, block: pa.Table) -> int:
        """Take in rows of the walk of the deactivated; how many of them were news."""
        self._protect_by_role(block)
        return self._see_deactivated(block.filter(block["deactivated"]))

    def disputed(self) -> list[str]:
        """The uids that were seen both active and deactivated."""
        inside = self._uids.filter(pa.array(self._active & self._deactivated)).to_pylist()
        return sorted({*inside, *(self._outside.keys() & self._outside_deactivated)})

    def unseen(self) -> list[str]:
        """The desired uids that nothing has shown so far: absent, as far as the walk can tell."""
        found: list[str] = self._uids.filter(pa.array(self._state == _State.UNSEEN)).to_pylist()
        return found

    def likely(self, group: str, among: Collection[str]) -> list[str]:
        """Give a few desired uids of `among` that should have some of a group (tags, metadata)."""
        return [uid for _, uid in likely(self._desired, group, among)]

    def is_tracked(self, uid: str) -> bool:
        """Whether the desired state has this uid."""
        return bool(self._index.rows(pa.array([uid], pa.string()))[0] >= 0)

    def settle_active(self, uid: str) -> None:
        """A look says that a disputed user is active."""
        row = self._row(uid)
        self._outside_deactivated.discard(uid)
        if row >= 0:
            self._deactivated[row] = False

    def settle_deactivated(self, uid: str) -> None:
        """A look says that a disputed user is not active."""
        row = self._row(uid)
        self._outside.pop(uid, None)
        if row >= 0:
            self._active[row] = False
            if self._state[row] != _State.PROTECTED:
                self._state[row] = _State.DEACTIVATED

    def settle_unsure(self, uid: str) -> None:
        """No look could settle a disputed user: it is counted once, as deactivated, and left alone."""
        row = self._row(uid)
        self._outside.pop(uid, None)
        if row >= 0:
            self._active[row] = False
            if self._state[row] != _State.PROTECTED:
                self._state[row] = _State.UNKNOWN

    def settle_unseen(self) -> None:
        """A second look showed nobody more: whom nothing has shown so far is missing."""
        self._state[self._state == _State.UNSEEN] = _State.MISSING

    def settle_unknown(self, uids: Iterable[str]) -> None:
        """The directory could not say."""
        rows = self._index.rows(pa.array(list(uids), pa.string()))
        rows = rows[rows >= 0]
        self._state[rows[self._state[rows] == _State.UNSEEN]] = _State.UNKNOWN

    def close(
        self,
        *,
        whole: bool,
        hidden: frozenset[str] = frozenset(),
        known: Collection[tuple[str, str, str]] = (),
    ) -> Findings:
        """
        Give the findings.

        `whole` is False where not all of the directory or of the source was read: unmanaged users are then unknown,
        and no user of the directory counts that is active and outside the source. `hidden` are
        the managed fields that not every kind of answer shows: no fingerprint covers them. `known` are values
        (uid, field, value) that CometChat took earlier and did not keep.
        """
        states = np.bincount(self._state, minlength=len(_State))
        drifted = self._rows_in(self._drift, _State.DRIFTED)
        outside = [] if not whole else list(self._outside)
        shielding = self._desired.shielded_uids
        protected = set(matching(outside, self._protect)).union(*self._by_role.values())
        gone = set(self._forgotten(outside))
        shielded = {uid for uid in outside if uid in shielding or uid in protected or uid in gone}
        unmanaged = sorted(uid for uid in outside if uid not in shielded)
        role = drifted["differs role"].to_numpy(dtype=bool) if "role" in self._fields else _none(drifted)
        newer = drifted["newer"].to_numpy(dtype=bool)
        outside_rows = self._unmanaged_rows(unmanaged)
        profile = _any_of(drifted, [field for field in self._fields if field != "role"])
        counts = Counts(
            situations={situation: int(states[state]) for state, situation in _SITUATION.items()},
            seen=int(self._active.sum() + self._deactivated.sum()) + len(outside) + len(self._outside_deactivated),
            seen_deactivated=int(self._deactivated.sum()) + len(self._outside_deactivated),
            matched=int((self._active | self._deactivated).sum()),
            matched_active=int(self._active.sum()),
            unmanaged=len(unmanaged) if whole else None,
            shielded=len(shielded),
            deactivated_outside=len(self._outside_deactivated),
            stale=int(profile.sum()),
            role_mismatched=int(role.sum()),
            newer=int(newer.sum()),
            newer_roles=int((newer & role).sum()),
            newer_unmanaged=int(outside_rows["newer"].sum()),
            forgotten=len(self._gone),
            forgotten_outside=len(gone),
        )
        outdated, elsewhere = self._about(known, drifted)
        return Findings(
            counts=counts,
            missing_rows=self._missing_rows(),
            drifted_rows=drifted,
            deactivated_rows=self._rows_in(
                self._switched_off or [self._beside_off(*self._nobody())], _State.DEACTIVATED
            ),
            unmanaged_rows=outside_rows,
            fields=self._fields,
            visible=tuple(name for name in self._fields if name not in hidden),
            protected_by=self._protected_by(outside),
            protected_by_role={role: self._named(uids) for role, uids in self._by_role.items()},
            outdated=outdated,
            elsewhere=elsewhere,
        )

    def _about(
        self, known: Collection[tuple[str, str, str]], drifted: pd.DataFrame
    ) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        """Give those of the known differences that are none any more, and those of users that are not here."""
        uids = sorted({uid for uid, _, _ in known})
        rows = self._index.rows(pa.array(uids, pa.string()))
        states = {uid: self._state[row] for uid, row in zip(uids, rows, strict=True) if row >= 0}
        named = drifted[drifted["uid"].isin(uids).to_numpy(dtype=bool)]
        still: set[tuple[str, str, str]] = set()
        for field in self._compared:
            differing = named[named[f"differs {field}"].to_numpy(dtype=bool)]
            still |= {
                (uid, field, text) for uid, text in zip(differing["uid"], differing[field].fillna(""), strict=True)
            }
        outdated, elsewhere = [], []
        for uid, field, value in sorted(known):
            if uid not in states:
                elsewhere.append((uid, field))
            # Of a user that the directory could not say anything about nothing has changed.
            elif states[uid] != _State.UNKNOWN and (uid, field, value) not in still:
                outdated.append((uid, field))
        return tuple(outdated), tuple(elsewhere)

    def _protected_by(self, outside: list[str]) -> dict[str, tuple[str, ...]]:
        every = pa.concat_arrays([self._uids, pa.array([*outside, *self._outside_deactivated], pa.string())])
        found = {pattern: matching(every, [pattern]) for pattern in self._protect}
        return {pattern: self._named(uids) for pattern, uids in found.items()}

    def _named(self, uids: Collection[str]) -> tuple[str, ...]:
        """Give uids in order, without those that were forgotten: nothing names these, and they are counted elsewhere."""
        return tuple(sorted({*uids} - {*self._forgotten(uids)}))

    def _protect_by_role(self, block: pa.Table) -> None:
        """Leave alone the users that any row shows with a protected role, whatever other rows show."""
        if not self._protect_roles:
            return
        roles = _only(block["role"])
        hit = pc.is_in(roles, value_set=pa.array(self._protect_roles, pa.string()))
        held, roles = block.filter(hit), roles.filter(hit)
        uids = _only(held["uid"])
        rows = self._index.rows(uids)
        self._state[rows[rows >= 0]] = _State.PROTECTED
        for uid, role in zip(uids.to_pylist(), roles.to_pylist(), strict=True):
            self._by_role[role].add(uid)

    def _row(self, uid: str) -> int:
        return int(self._index.rows(pa.array([uid], pa.string()))[0])

    def _fresh(self, rows: Rows) -> Mask:
        """Mark the first showing of each desired user: a shifted page shows some twice."""
        inside = np.flatnonzero(rows >= 0)
        _, first = np.unique(rows[inside], return_index=True)
        fresh = np.zeros(len(rows), dtype=bool)
        fresh[inside[first]] = True
        fresh[inside] &= ~self._active[rows[inside]]
        return fresh

    def _compare(self, block: pa.Table, rows: Rows, fresh: Mask) -> None:
        self._active[rows[fresh]] = True
        at = np.flatnonzero(fresh)
        at = at[self._state[rows[at]] != _State.PROTECTED]
        drifted = np.zeros(len(at), dtype=bool)
        held = block if len(at) == len(block) else block.take(pa.array(at))
        wanted = pa.array(rows[at])
        unseen = self._unseen_fields(held)
        agrees = np.full(len(at), _State.IN_STEP, dtype=np.int8)
        for hidden in unseen.values():
            # A user is not known to be in step while one of its groups could not be seen.
            agrees[hidden] = _State.UNKNOWN
        for field in self._compared:
            differing = self._differs(field, self._columns[field].take(wanted), _only(held[field]))
            drifted |= differing & ~unseen[field] if field in unseen else differing
        self._state[rows[at]] = np.where(drifted, _State.DRIFTED, agrees)
        if drifted.any():
            self._drift.append(self._beside(held.filter(pa.array(drifted)), rows[at][drifted]))

    def _unseen_fields(self, block: pa.Table) -> dict[str, Mask]:
        """Give the compared fields that a look could not show, each with the rows of which that is so."""
        masks = {}
        for group in managed_groups(self._fields):
            column = block[shown_column(group)]
            if column.null_count:
                masks[group] = true(pc.is_null(column))
        return {name: masks[name.split(".", 1)[0]] for name in self._compared if name.split(".", 1)[0] in masks}

    def _differs(self, field: str, desired: pa.Array, actual: pa.Array) -> Mask:
        return differs(desired, actual, keep_empty=field in self._keeps)

    def _beside(self, block: pa.Table, rows: Rows) -> pd.DataFrame:
        """Set desired and actual values side by side, one row a user, with what differs."""
        at = pa.array(rows)
        columns = {"row": at, "uid": self._uids.take(at)}
        columns[SOURCE_ROW] = arrow(self._users[SOURCE_ROW]).take(at)
        unseen = self._unseen_fields(block)
        for field in self._fields:
            wanted, held = self._columns[field].take(at), _only(block[field])
            columns[field], columns[f"actual {field}"] = wanted, held
            unequal = self._differs(field, wanted, held)
            is_seen = ~unseen[field] if field in unseen else field in self._compared
            columns[f"differs {field}"] = pa.array(unequal & is_seen)
        columns["newer"] = pa.array(self._newer_of(block), pa.bool_())
        return as_frame(columns)

    def _beside_off(self, block: pa.Table, rows: Rows) -> pd.DataFrame:
        """The same of deactivated users, with the dates that tell who deactivated them."""
        dates = as_frame({name: _only(block[name]) for name in ("created_at", "deactivated_at")})
        return self._beside(block, rows).join(dates)

    def _nobody(self) -> tuple[pa.Table, Rows]:
        return no_rows(self._fields), np.empty(0, dtype=np.int64)

    def _newer_of(self, block: pa.Table) -> Mask:
        newer = np.zeros(len(block), dtype=bool)
        as_of = self._freshness.as_of_unix_s
        if as_of is None:
            return newer
        made, moved = (pc.fill_null(_only(block[name]), 0) for name in ("created_at", "updated_at"))
        last = pc.max_element_wise(made, moved).to_numpy(zero_copy_only=False)
        # Most users moved long before the export; only the others are asked about one by one.
        hits = np.flatnonzero(last >= as_of)
        facts = (column.take(pa.array(hits)).to_pylist() for column in (_only(block["uid"]), made, moved))
        newer[hits] = [self._freshness.is_newer(*user) for user in zip(*facts, strict=True)]
        return newer

    def _see_deactivated(self, block: pa.Table) -> int:
        uids = _only(block["uid"])
        _, first = np.unique(uids.to_numpy(zero_copy_only=False), return_index=True)
        block = block.take(pa.array(np.sort(first)))
        uids = _only(block["uid"])
        rows = self._index.rows(uids)
        inside = np.flatnonzero(rows >= 0)
        inside = inside[~self._deactivated[rows[inside]]]
        at = rows[inside]
        self._deactivated[at] = True
        # What no look at the user could say, this walk says.
        open_ = np.isin(self._state[at], [_State.UNSEEN, _State.UNKNOWN])
        self._state[at[open_]] = _State.DEACTIVATED
        self._switched_off.append(self._beside_off(block.take(pa.array(inside)), at))
        known = len(self._outside_deactivated)
        self._outside_deactivated.update(uids.filter(pa.array(rows < 0)).to_pylist())
        return len(at) + len(self._outside_deactivated) - known

    def _note_outside(self, block: pa.Table, rows: Rows) -> int:
        known = len(self._outside)
        rest = block.filter(pa.array(rows < 0))
        facts = (rest[name].to_pylist() for name in ("uid", "created_at", "updated_at"))
        for uid, made, moved in zip(*facts, strict=True):
            self._outside.setdefault(uid, (made or 0, moved or 0))
        return len(self._outside) - known

    def _missing_rows(self) -> pd.DataFrame:
        found: pd.DataFrame = self._users[self._state == _State.MISSING]
        return found.sort_values("uid", ignore_index=True)

    def _rows_in(self, parts: list[pd.DataFrame], state: _State) -> pd.DataFrame:
        if not parts:
            parts = [self._beside(*self._nobody())]
        every = pd.concat(parts, ignore_index=True)
        still: pd.DataFrame = every[self._state[every["row"].to_numpy(dtype=np.int64)] == state]
        return still.drop_duplicates("uid", keep="last").sort_values("uid", ignore_index=True)

    def _unmanaged_rows(self, uids: list[str]) -> pd.DataFrame:
        newer = [self._freshness.may_be_newer(uid, *self._outside[uid]) for uid in uids]
        return pd.DataFrame({"uid": pd.Series(uids, dtype=TEXT), "newer": pd.Series(newer, dtype=bool)})


def likely(desired: Desired, group: str, among: Collection[str]) -> list[tuple[int, str]]:
    """Give a few desired users of `among`, row and uid, that should have some of a group (tags, metadata)."""
    uids, rows = arrow(desired.users["uid"]), arrow(desired.users[SOURCE_ROW])
    filled = np.zeros(len(uids), dtype=bool)
    for field in desired.fields:
        if field.split(".", 1)[0] == group:
            filled |= pc.is_valid(arrow(desired.users[field])).to_numpy(zero_copy_only=False)
    present = pc.is_in(uids, value_set=pa.array(sorted(among), pa.string()))
    hit = pa.array(filled & present.to_numpy(zero_copy_only=False))
    return list(zip(*(column.filter(hit).slice(0, LIKELY).to_pylist() for column in (rows, uids)), strict=True))


def _any_of(rows: pd.DataFrame, fields: Iterable[str]) -> Mask:
    hit = _none(rows)
    for field in fields:
        hit |= rows[f"differs {field}"].to_numpy(dtype=bool)
    return hit


def _none(rows: pd.DataFrame) -> Mask:
    return np.zeros(len(rows), dtype=bool)


def _only(column: pa.ChunkedArray) -> pa.Array:
    """Give a column that is in one piece, or in none, as an array."""
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
