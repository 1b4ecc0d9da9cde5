"""
What became of the rows of one user, step by step: cells, template, transforms, value.

It runs the very functions that a whole export goes through, on the few rows in question.
"""

from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.core.cells import cells_of, read_cells, texts
from reconcile.core.frame import SOURCE_ROW, keys
from reconcile.core.limits import check_text
from reconcile.core.mapping import ColumnRule, Mapping
from reconcile.core.outcome import PastChange
from reconcile.core.plan import Change
from reconcile.core.problems import Mask, Problems, true
from reconcile.core.users import Record, as_json, fold_uid

__all__ = ["Explanation", "FieldTrace", "RowTrace", "are_of", "trace"]


class FieldTrace(msgspec.Struct, frozen=True):
    """
    One field of one row: its cells by column, each step with the text it left, and the value.

    `problem` says why it cannot be read; empty where it can.
    """

    field: str
    cells: dict[str, str]
    steps: tuple[tuple[str, str], ...]
    value: Any
    problem: str = ""


class RowTrace(msgspec.Struct, frozen=True):
    """One row of the source, field by field, the uid first."""

    source_row: int
    fields: tuple[FieldTrace, ...]


class Explanation(msgspec.Struct, frozen=True):
    """
    Everything that is known of one user.

    `quarantined` says why a row is left out, by row; `situation` is one of `core.users.Situation`, or None
    where the source has no valid row; `decision` are the changes that a plan would have, and `why` says it in
    words.
    """

    uid: str
    rows: tuple[RowTrace, ...]
    quarantined: dict[int, str]
    record: Record | None
    situation: str | None
    decision: tuple[Change, ...]
    why: tuple[str, ...]
    history: tuple[PastChange, ...]


def are_of(raw: pd.DataFrame, mapping: Mapping, wanted: str) -> Mask:
    """
    Mark the rows whose uid is `wanted`: folded, as the source writes it, or on any step between.

    Also those that a step makes the same of: they collide.
    """
    uids = pa.array(_uids_of(mapping.uid, wanted), pa.string())
    hit = true(pc.is_in(keys(raw, mapping), value_set=uids))
    for _, made in texts(raw, mapping.uid):
        hit |= true(pc.equal(made, wanted.strip())) | true(pc.equal(pc.ascii_lower(made), fold_uid(wanted) or "-"))
    return hit


def _uids_of(rule: ColumnRule, text: str) -> list[str]:
    """Give the uids that a text may become: it may stand before any of the steps, or behind the last."""
    made = [text.strip()]
    for transform in rule.transforms:
        made = [text.strip(), *map(transform.function, made)]
    return [uid for uid in map(fold_uid, made) if uid]


def trace(rows: pd.DataFrame, mapping: Mapping) -> tuple[RowTrace, ...]:
    """Trace each of a few rows."""
    singles = (rows.iloc[[at]] for at in range(len(rows)))
    return tuple(
        RowTrace(int(row[SOURCE_ROW].iloc[0]), tuple(_field(row, rule, mapping) for rule in _rules(mapping)))
        for row in singles
    )


def _rules(mapping: Mapping) -> tuple[ColumnRule, ...]:
    by_field = {rule.field: rule for rule in mapping.rules}
    return (mapping.uid, *(by_field[name] for name in mapping.fields))


def _field(row: pd.DataFrame, rule: ColumnRule, mapping: Mapping) -> FieldTrace:
    steps = list(texts(row, rule))
    cells = {name: cells_of(row, name, rule)[0].as_py() or "" for name in rule.template.columns}
    value, problem = _value(rule, steps[-1][1], mapping)
    return FieldTrace(rule.field, cells, tuple((name, text[0].as_py()) for name, text in steps), value, problem)


def _value(rule: ColumnRule, made: Any, mapping: Mapping) -> tuple[Any, str]:
    if rule.field == "uid":
        folded = fold_uid(made[0].as_py())
        return folded, "" if folded else "not a legal uid"
    problems = Problems(1)
    values = read_cells(rule, made, mapping.roles, problems)
    check_text(rule.field, values, problems)
    return as_json(rule.field, values[0].as_py()), problems.text(0) if problems.mask[0] else ""
