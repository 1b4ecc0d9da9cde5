"""Builders of plain values: a test names what it is about, the rest is filled in."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa

from reconcile.core.actual import GROUPS, actual_table
from reconcile.core.changes import list_changes
from reconcile.core.diff import Comparison
from reconcile.core.findings import Findings
from reconcile.core.found import Decided, Found, conclude
from reconcile.core.frame import SOURCE_ROW, Desired, as_frame, desire
from reconcile.core.freshness import Freshness
from reconcile.core.guards import GuardClass
from reconcile.core.mapping import ColumnKind, ColumnRule, Template
from reconcile.core.mapping import Mapping as ColumnMapping
from reconcile.core.ours import Left
from reconcile.core.plan import Action, Change, PlanPolicy
from reconcile.core.upsert import Terms
from reconcile.core.users import DirectoryUser, Record, as_record

FIELDS = ("name", "role")
_KINDS = {"role": ColumnKind.ROLE, "tags": ColumnKind.TAGS}

Row = Mapping[str, str | None]


def a_user(**but: Any) -> DirectoryUser:
    """A user of the directory; `metadata` may be given as plain JSON."""
    known: dict[str, Any] = {"uid": "kiwi", "name": "Kiwi", "role": "default", "created_at": 1_700_000_000}
    if "metadata" in but and not isinstance(but["metadata"], msgspec.Raw):
        but["metadata"] = msgspec.Raw(msgspec.json.encode(but["metadata"]))
    return DirectoryUser(**(known | but))


def a_record(fields: tuple[str, ...] = FIELDS, **but: Any) -> Record:
    """A look at one user, with the given managed fields, by answers that carry everything."""
    return as_record(a_user(**but), fields, frozenset(GROUPS))


def a_mapping(
    *rules: str | ColumnRule,
    roles: Mapping[str, str] | None = None,
    keep_empty: bool = False,
    uid: ColumnRule | None = None,
) -> ColumnMapping:
    """A mapping whose columns bear the names of their fields; the uid stands in the column `id`."""
    made = tuple(
        rule if isinstance(rule, ColumnRule) else a_rule(rule, rule, _KINDS.get(rule, ColumnKind.TEXT))
        for rule in rules or FIELDS
    )
    return ColumnMapping(uid or a_rule("uid", "id"), made, dict(roles or {}), keep_empty)


def a_rule(field: str, column: str, kind: ColumnKind = ColumnKind.TEXT, **but: Any) -> ColumnRule:
    """The rule of a field that is one column."""
    return ColumnRule(field, Template.of_column(column), kind, **but)


def a_typed(key: str, kind: ColumnKind) -> ColumnRule:
    """The rule of a typed metadata key."""
    return a_rule(f"metadata.{key}", f"metadata.{key}", kind)


def a_raw_frame(rows: Iterable[Row], columns: Iterable[str], first_row: int = 2) -> pd.DataFrame:
    """Raw cells as a reader gives them: text or nothing, and the line of each row."""
    listed = list(rows)
    data = {name: pa.array([row.get(name, "") for row in listed], pa.string()) for name in columns}
    return as_frame({**data, SOURCE_ROW: pa.array(range(first_row, first_row + len(listed)), pa.int64())})


def a_row(uid: str = "kiwi", **cells: str | None) -> dict[str, str | None]:
    """A row of an export; two underscores in a name stand for a dot."""
    named = {name.replace("__", "."): cell for name, cell in cells.items()}
    return {"id": uid, "name": "Kiwi"} | named


def a_desired(*rows: Row, mapping: ColumnMapping | None = None) -> Desired:
    """The desired state that these rows come to."""
    mapping = mapping or a_mapping()
    return desire(a_raw_frame(rows, mapping.columns), mapping)


def a_block(*users: DirectoryUser, fields: tuple[str, ...] = FIELDS) -> pa.Table:
    """A block of the directory."""
    return actual_table(users, fields)


def a_comparison(
    *rows: Row,
    mapping: ColumnMapping | None = None,
    protect: tuple[str, ...] = (),
    as_of: int | None = None,
    ours: Mapping[str, int] | None = None,
) -> Comparison:
    """A comparison that has seen nothing so far."""
    mapping = mapping or a_mapping()
    freshness = Freshness(as_of, dict(ours or {}))
    return Comparison(a_desired(*rows, mapping=mapping), protect=protect, freshness=freshness)


def feed(comparison: Comparison, *users: DirectoryUser) -> Comparison:
    """Show the comparison one walk of the active, one of the deactivated, and believe what stays unseen."""
    fields = comparison.fields
    comparison.see(a_block(*[user for user in users if not user.deactivated_at], fields=fields))
    comparison.see_deactivated(a_block(*[user for user in users if user.deactivated_at], fields=fields))
    comparison.settle_unseen()
    return comparison


def findings(rows: Iterable[Row], users: Iterable[DirectoryUser], **but: Any) -> Findings:
    """What comparing these rows with these users comes to."""
    return feed(a_comparison(*rows, **but), *users).close(whole=True)


def summed(found: Findings) -> Found:
    """What guards and reports ask of these findings."""
    return conclude(found, Decided())[1]


def the_changes(found: Findings, policy: PlanPolicy | None = None, ours: Iterable[str] = ()) -> list[Change]:
    """The changes that a plan made from these findings lists; `ours` are deactivated by us, whenever that was."""
    return list(list_changes(found, policy or PlanPolicy(), by_us(*ours)))


def by_us(*uids: str) -> dict[str, Left]:
    """Deactivations of our own, at whatever time."""
    return {uid: Left(between=(0, 1 << 40)) for uid in uids}


def a_change(**but: Any) -> Change:
    """One intended write: an update of the name unless told otherwise."""
    known: dict[str, Any] = {
        "seq": 1,
        "uid": "kiwi",
        "action": Action.UPDATE,
        "guard_class": GuardClass.UPDATE,
        "fields": ("name",),
        "before": {"name": "Kiwi"},
        "desired": {"name": "Lime", "role": "default"},
    }
    return Change(**(known | but))


def the_terms(**but: Any) -> Terms:
    """The terms of an update in one go, with nothing sent so far."""
    known: dict[str, Any] = {
        "planned": frozenset({GuardClass.UPDATE}),
        "exact": False,
        "keeps": frozenset({"role", "statusMessage"}),
        "compared": FIELDS,
        "visible": FIELDS,
    }
    return Terms(**(known | but))
