"""
The desired state as a frame: raw cells in, checked users in normal form out.

Frames are Arrow text in pandas: one row a user, a
column `uid`, one column a managed field in normal form (see `core.users`), and `source_row`.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.core.cells import arrow, read_cells, texts
from reconcile.core.limits import check_sizes, check_text
from reconcile.core.lookup import repeated
from reconcile.core.mapping import ColumnRule, Mapping
from reconcile.core.problems import Mask, Problems, true
from reconcile.core.users import MISSING_UID

__all__ = [
    "SOURCE_ROW",
    "TEXT",
    "Desired",
    "QuarantineKind",
    "Quarantined",
    "as_frame",
    "desire",
    "frame_of",
    "joined",
    "keys",
    "with_roles",
]

SOURCE_ROW = "source_row"
TEXT = pd.ArrowDtype(pa.string())

_NAMED = 5  # other rows of a collision that each of its rows names
_UID = "^[A-Za-z0-9_-]{1,100}$"


class QuarantineKind(StrEnum):
    """Why a source row cannot be trusted."""

    INVALID = "invalid"
    COLLISION = "collision"
    UNKNOWN_ROLE = "unknown_role"
    PROTECTED_ROLE = "protected_role"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One source row that is left out. `uid` is the folded key where the row has a legal one."""

    source_row: int
    uid: str | None
    kind: QuarantineKind
    detail: str
    raw_uid: str = ""


@dataclass(frozen=True, slots=True)
class Desired:
    """
    The desired state, and what was left out of it.

    Law: rows == len(users) + len(quarantined). `users` has distinct uids, in source order.
    """

    users: pd.DataFrame
    quarantined: tuple[Quarantined, ...]
    rows: int
    mapping: Mapping

    @property
    def fields(self) -> tuple[str, ...]:
        """The managed fields, in the order in which they are always shown."""
        return self.mapping.fields

    @property
    def valid(self) -> int:
        """How many users there are."""
        return len(self.users)

    def role_names(self) -> set[str]:
        """Give the roles that its users are to have."""
        return {role for role in arrow(self.users["role"]).unique().to_pylist() if role}

    def only(self, uids: Collection[str]) -> "Desired":
        """Keep the rows that name one of these uids, and those of which nobody knows whom they name."""
        users = self.users[self.users["uid"].isin(list(uids))].reset_index(drop=True)
        quarantined = tuple(row for row in self.quarantined if row.uid is None or row.uid in uids)
        return replace(self, users=users, quarantined=quarantined, rows=len(users) + len(quarantined))

    @property
    def shielded_uids(self) -> frozenset[str]:
        """The uids that a quarantined row names: their directory users are never unmanaged."""
        return frozenset(row.uid for row in self.quarantined if row.uid)

    @property
    def nameless(self) -> int:
        """How many rows have no usable uid: nobody knows whom they meant."""
        return sum(1 for row in self.quarantined if row.uid is None)


def as_frame(columns: dict[str, pa.Array]) -> pd.DataFrame:
    """Give Arrow columns as a frame that keeps them as they are."""
    frame: pd.DataFrame = pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Give a table as such a frame, each column in one piece."""
    return as_frame({name: table[name].combine_chunks() for name in table.column_names})


def joined(parts: list[pa.Table]) -> pd.DataFrame:
    """Give tables of the same columns as one frame; the list is emptied, so no more than one column is there twice."""
    chunks = {name: [chunk for part in parts for chunk in part[name].chunks] for name in parts[0].column_names}
    parts.clear()
    return as_frame({name: pa.concat_arrays(chunks.pop(name)) for name in tuple(chunks)})


def keys(raw: pd.DataFrame, mapping: Mapping) -> pa.Array:
    """Give the key of each row; None where it has none that is legal."""
    *_, (_, made) = texts(raw, mapping.uid)
    return _folded(made, pc.match_substring_regex(made, _UID))


def desire(raw: pd.DataFrame, mapping: Mapping, ragged: Iterable[Quarantined] = ()) -> Desired:
    """
    Turn raw cells into checked users.

    Shape: `raw` has the mapping's columns as Arrow text (null counts as empty) and `source_row`.
    Law: every row of `raw` and of `ragged` is in the result exactly once.
    """
    rows = raw[SOURCE_ROW].to_numpy(dtype=np.int64)
    problems = Problems(len(raw))
    made = list(texts(raw, mapping.uid))
    raw_uid = made[0][1]
    uid, usable = _uids(made[-1][1], raw_uid, problems)
    columns = {"uid": uid} | {rule.field: _column(raw, rule, mapping, problems) for rule in mapping.rules}
    check_sizes(columns, problems)
    collided = _collisions(uid, usable, rows, raw_uid, problems)

    bad = problems.mask
    quarantined = [
        Quarantined(
            source_row=int(rows[i]),
            uid=uid[i].as_py() if usable[i] else None,
            kind=QuarantineKind.COLLISION if collided[i] else QuarantineKind.INVALID,
            detail=problems.text(i),
            raw_uid=raw_uid[i].as_py(),
        )
        for i in np.flatnonzero(bad).tolist()
    ]
    columns[SOURCE_ROW] = pa.array(rows)
    if bad.any():
        good = pa.array(~bad)
        # One by one, so that no more than one column is there twice.
        columns = {name: columns.pop(name).filter(good) for name in tuple(columns)}
    every = sorted((*ragged, *quarantined), key=lambda row: row.source_row)
    total = len(raw) + len(every) - len(quarantined)
    return Desired(as_frame(columns), tuple(every), total, mapping)


def _column(raw: pd.DataFrame, rule: ColumnRule, mapping: Mapping, problems: Problems) -> pa.Array:
    *_, (_, cells) = texts(raw, rule)
    values = read_cells(rule, cells, mapping.roles, problems)
    check_text(rule.field, values, problems)
    return values


def with_roles(desired: Desired, known: Collection[str], protected: Collection[str] = ()) -> Desired:
    """
    Move the users whose role the app does not have, or which is protected, into quarantine.

    `known` and `protected` are lower case.
    """
    if "role" not in desired.fields:
        return desired
    usable = sorted({*known} - {*protected})
    roles = arrow(desired.users["role"])
    refused = pc.and_kleene(
        pc.is_valid(roles), pc.invert(pc.is_in(roles, value_set=pa.array(usable, pa.string())))
    ).to_numpy(zero_copy_only=False)
    moved = desired.users[refused]
    rows = [
        Quarantined(int(row), uid, *_role_problem(role, protected), raw_uid=str(uid))
        for row, uid, role in zip(moved[SOURCE_ROW], moved["uid"], moved["role"], strict=True)
    ]
    every = tuple(sorted((*desired.quarantined, *rows), key=lambda row: row.source_row))
    kept = desired.users[~refused].reset_index(drop=True)
    return replace(desired, users=kept, quarantined=every)


def _role_problem(role: str, protected: Collection[str]) -> tuple[QuarantineKind, str]:
    if role in protected:
        return QuarantineKind.PROTECTED_ROLE, f"the role {role!r} is protected (policy.protect_roles)"
    return QuarantineKind.UNKNOWN_ROLE, f"the app has no role {role!r}"


def _uids(made: pa.Array, raw_uid: pa.Array, problems: Problems) -> tuple[pa.Array, Mask]:
    """Fold the uids that were made of the raw ones; also say which rows have a usable one."""
    legal = pc.match_substring_regex(made, _UID)
    folded = _folded(made, legal)
    # A transform may make a uid of the word for nobody, too.
    nobody = pa.array(sorted(MISSING_UID))
    placeholder = true(pc.is_in(folded, value_set=nobody)) | true(
        pc.is_in(pc.ascii_lower(raw_uid), value_set=nobody)
    )
    empty = true(pc.equal(made, ""))
    problems.add(empty, "the uid is empty")
    problems.add(
        ~true(legal) & ~empty, "the uid is not legal: 1 to 100 of the letters a-z, digits, dash, underscore"
    )
    problems.add(placeholder, lambda i: f"the uid {raw_uid[i].as_py()!r} stands for nobody")
    return folded, true(legal) & ~placeholder


def _folded(made: pa.Array, legal: pa.Array) -> pa.Array:
    return pc.if_else(legal, pc.ascii_lower(made), pa.scalar(None, pa.string()))


def _collisions(
    uid: pa.Array, usable: Mask, rows: npt.NDArray[np.int64], raw_uid: pa.Array, problems: Problems
) -> Mask:
    """Note every row whose folded uid stands in another row too, with each other's line numbers."""
    doubled: Mask = usable & repeated(uid)
    at = np.flatnonzero(doubled)
    groups: dict[str, list[int]] = {}
    for i in at.tolist():
        groups.setdefault(uid[i].as_py(), []).append(i)

    def say(i: int) -> str:
        same = groups[uid[i].as_py()]
        # Only the first few are looked at: where every row has one uid, each would name all.
        others = [f"row {rows[j]} ({raw_uid[j].as_py()!r})" for j in same[: _NAMED + 1] if j != i][:_NAMED]
        more = len(same) - 1 - len(others)
        rest = f" and {more} more" if more else ""
        own = f"row {rows[i]} ({raw_uid[i].as_py()!r})"
        return f"{own} folds to {uid[i].as_py()!r}, and so does {', '.join(others)}{rest}"

    problems.add(doubled, say)
    return doubled
