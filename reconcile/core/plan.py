"""
The plan: an ordered list of intended writes, split by guard class, and how it is written down.

How the changes are made from what the comparison found is `core.changes`; no frame is needed here.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from reconcile.core.guards import GuardClass, GuardVerdict
from reconcile.core.normal import canonical_json, canonical_raw
from reconcile.core.users import Reason, as_json, is_json_field

__all__ = [
    "Action",
    "Change",
    "Forecast",
    "Head",
    "PlanHeader",
    "PlanPolicy",
    "PlanSource",
    "by_class",
    "decode_change",
    "decoded",
    "encode_change",
    "encoded",
    "normal",
    "plain",
    "restoring",
]

PLAN_FORMAT = 1


class Action(StrEnum):
    """The kinds of write. There is no delete."""

    CREATE = "create"
    UPDATE = "update"
    REACTIVATE = "reactivate"
    DEACTIVATE = "deactivate"


class Change(msgspec.Struct, frozen=True):
    """
    One intended write to one user.

    `fields` are the managed fields that this change writes; `before` holds them as the plan saw them, and
    `desired` every managed field of the user, all in normal form. `fingerprint` sums up the directory record
    that the plan saw; None where there was none. `created_at` and `deactivated_at` (unix seconds) are the dates of the
    record that the plan is about, where it matters that it is still the same one.
    """

    seq: int
    uid: str
    action: Action
    guard_class: GuardClass
    fields: tuple[str, ...] = ()
    before: dict[str, str | None] = {}
    desired: dict[str, str | None] = {}
    reasons: tuple[Reason, ...] = ()
    fingerprint: str | None = None
    source_row: int | None = None
    created_at: int | None = None
    deactivated_at: int | None = None

    @property
    def after(self) -> dict[str, str | None]:
        """What the fields of this change are to hold."""
        return {field: self.desired.get(field) for field in self.fields}


class PlanPolicy(msgspec.Struct, frozen=True):
    """
    The choices that decide which findings become changes.

    `reactivate_foreign` comes from a person, for one plan: also those whom another hand switched off.
    """

    update_newer: bool = True
    deactivate_unmanaged: bool = False
    reactivate: bool = False
    reactivate_foreign: bool = False


class Forecast(msgspec.Struct, frozen=True):
    """
    What applying the plan will cost: `requests` by rate group, and `seconds` at the rates known now.

    `share` is how much of what the app may send in that time it takes, by rate group, as a fraction of 1; of a minute
    where it takes less, and None where the app's limit is not known.
    """

    requests: int
    core: int
    standard: int
    seconds: int
    note: str = ""
    share: dict[str, float | None] = {}


class PlanSource(msgspec.Struct, frozen=True):
    """
    The export that a plan was made from. `location` carries no secret.

    `as_of` is when it was true by CometChat's clock, and `earliest` the earliest that it can have been by the same; in plans of
    older versions `as_of` is by the clock of the machine that made them, and `earliest` is None.
    `since` is where a part of it begins; `mark` how far it was seen, where a run that leaves nobody may say so.
    """

    location: str
    rows: int
    sha256: str | None
    as_of: str | None
    since: str | None = None
    mark: str | None = None
    earliest: str | None = None


class PlanHeader(msgspec.Struct, frozen=True):
    """
    What stands in front of the changes: enough to refuse the plan where it does not belong.

    `visible` are the managed fields that a fingerprint covers; `settings` holds a digest each of the
    sections that decide what is written, and `declared` the mapping and the policy in words, by key;
    `unproven` the field groups that no directory row showed;
    `witnesses` a uid each that showed a group; `undoes` the run that this plan is the way back from;
    `unknown` how many users the directory could not say anything about; `clock_doubt` why the clocks did not allow
    deactivations when it was made.
    """

    run_id: str
    app_id: str
    host: str
    created_at: str
    fields: tuple[str, ...]
    visible: tuple[str, ...]
    settings: dict[str, str]
    declared: dict[str, str]
    source: PlanSource
    counts: dict[str, int]
    guards: tuple[GuardVerdict, ...]
    forecast: Forecast
    unproven: tuple[str, ...] = ()
    witnesses: dict[str, str] = {}
    undoes: str = ""
    unknown: int = 0
    format: int = PLAN_FORMAT
    clock_doubt: str = ""

    @property
    def held(self) -> frozenset[GuardClass]:
        """The classes that the guards keep back."""
        return frozenset(GuardClass(verdict.guard) for verdict in self.guards if verdict.is_held)


_CLASSES = (GuardClass.UPDATE, GuardClass.ROLE_CHANGE, GuardClass.CLEAR)


def classify(field: str, value: str | None) -> GuardClass:
    """Give the class of writing one field of an existing user."""
    if field == "role":
        return GuardClass.ROLE_CHANGE
    return GuardClass.CLEAR if value is None else GuardClass.UPDATE


def by_class(
    fields: Iterable[str], desired: Mapping[str, str | None]
) -> Iterator[tuple[GuardClass, tuple[str, ...]]]:
    """Split fields of an existing user by what a guard may hold: values set, the role, values lost."""
    kinds: dict[GuardClass, list[str]] = {}
    for field in fields:
        kinds.setdefault(classify(field, desired[field]), []).append(field)
    return ((kind, tuple(kinds[kind])) for kind in _CLASSES if kind in kinds)


def restoring(
    uid: str,
    values: Mapping[str, str | None],
    held: Mapping[str, str | None],
    seen: str,
    created_at: int | None = None,
) -> Iterator[Change]:
    """
    Give the updates that write `values` over what is `held`, one a class.

    `seen` sums up the record, and `created_at` says which record it is.
    """
    for kind, fields in by_class(values, values):
        before = {field: held.get(field) for field in fields}
        yield Change(
            0,
            uid,
            Action.UPDATE,
            kind,
            fields,
            before,
            {**held, **values},
            fingerprint=seen,
            created_at=created_at,
        )


class _Line(msgspec.Struct, rename={"guard_class": "class"}, omit_defaults=True):
    """A change as one line of the plan file: values as plain JSON, for people and other programs."""

    seq: int
    uid: str
    action: Action
    guard_class: GuardClass
    reasons: tuple[Reason, ...] = ()
    fields: tuple[str, ...] = ()
    before: dict[str, msgspec.Raw] = {}
    desired: dict[str, msgspec.Raw] = {}
    fingerprint: str | None = None
    source_row: int | None = None
    created_at: int | None = None
    deactivated_at: int | None = None


class Head(msgspec.Struct, rename={"guard_class": "class"}):
    """The part of a line that says whose it is, and of what kind."""

    uid: str
    action: Action
    guard_class: GuardClass


_LINE = msgspec.json.Decoder(_Line)
_TEXT = msgspec.json.Decoder(str | None)
_HEAD = msgspec.json.Decoder(Head)
_RAWS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def head_of(line: bytes) -> Head:
    """Read whose change a line of the plan file is, and no more."""
    return _HEAD.decode(line)


def plain(values: Mapping[str, str | None]) -> dict[str, Any]:
    """Give values as the JSON that a person expects to read."""
    return {field: as_json(field, text) for field, text in values.items()}


def normal(values: Mapping[str, Any]) -> dict[str, str | None]:
    """Give plain JSON values back in normal form."""
    return {field: canonical_json(value) if is_json_field(field) else value for field, value in values.items()}


def encoded(values: Mapping[str, str | None]) -> bytes:
    """Give the same as JSON text, without decoding what is JSON already."""
    return msgspec.json.encode(_raw(values))


def decoded(text: str) -> dict[str, str | None]:
    """Give back the values that `encoded` wrote."""
    return _normal(_RAWS.decode(text))


def _raw(values: Mapping[str, str | None]) -> dict[str, Any]:
    """Give values as they are to be encoded: what is JSON already goes as it is."""
    return {
        field: text if text is None or not is_json_field(field) else msgspec.Raw(text.encode())
        for field, text in values.items()
    }


def _normal(values: Mapping[str, msgspec.Raw]) -> dict[str, str | None]:
    return {
        field: canonical_raw(raw) if is_json_field(field) else _TEXT.decode(raw) for field, raw in values.items()
    }


def encode_change(change: Change) -> bytes:
    """Write one change as a line of the plan file, without its line break."""
    line = _Line(
        seq=change.seq,
        uid=change.uid,
        action=change.action,
        guard_class=change.guard_class,
        reasons=change.reasons,
        fields=change.fields,
        before=_raw(change.before),
        desired=_raw(change.desired),
        fingerprint=change.fingerprint,
        source_row=change.source_row,
        created_at=change.created_at,
        deactivated_at=change.deactivated_at,
    )
    return msgspec.json.encode(line)


def decode_change(line: bytes) -> Change:
    """
    Read one line of the plan file back.

    Raises: msgspec.DecodeError, msgspec.ValidationError where it is not a change.
    """
    read = _LINE.decode(line)
    return Change(
        seq=read.seq,
        uid=read.uid,
        action=read.action,
        guard_class=read.guard_class,
        fields=read.fields,
        before=_normal(read.before),
        desired=_normal(read.desired),
        reasons=read.reasons,
        fingerprint=read.fingerprint,
        source_row=read.source_row,
        created_at=read.created_at,
        deactivated_at=read.deactivated_at,
    )
