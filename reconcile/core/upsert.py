"""
The decision on one change, made at the look right before the write: what to send, or why nothing.

Pure. `reconcile.apply` looks, asks here, and sends. Metadata is always written whole, built on the record
of that look, because nobody documents whether an update merges or replaces it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from reconcile.core.guards import GuardClass
from reconcile.core.outcome import Outcome, Settled
from reconcile.core.plan import Action, Change, classify
from reconcile.core.users import Record, as_json, fingerprint, metadata_key

__all__ = [
    "Create",
    "Decision",
    "Update",
    "Verification",
    "create_body",
    "decide",
    "replacing_bodies",
    "update_bodies",
    "verify",
]


@dataclass(frozen=True, slots=True)
class Create:
    """Send POST with this body."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Update:
    """Send PUT once for each body, in this order; together they write `fields`."""

    bodies: tuple[dict[str, Any], ...]
    fields: tuple[str, ...]


Decision = Create | Update | Settled


@dataclass(frozen=True, slots=True)
class Terms:
    """
    Under which terms the changes of one uid are carried out.

    `planned` are the classes that the plan has for this uid; `exact` is True for a saved plan, of which only
    what it says may happen; `keeps` are the fields that an empty desired value leaves alone; `compared` are
    the managed fields, `visible` those of them that a fingerprint covers; `sent` says that a write of this
    change left earlier; `expected` is the fingerprint that the record should have, where a write of our own
    moved it since the plan, and `written` are the fields that such writes brought in line.
    """

    planned: frozenset[GuardClass]
    exact: bool
    keeps: frozenset[str]
    compared: tuple[str, ...]
    visible: tuple[str, ...]
    metadata_proven: bool = True
    sent: bool = False
    expected: str | None = None
    written: frozenset[str] = frozenset()


def decide(change: Change, look: Record | None, terms: Terms) -> Decision:
    """
    Say what to do about a create or an update, now that the user was looked at. `look` None is a 404.

    Once something was sent (`terms.sent`), agreement means that it was ours: applied, not already.
    """
    if look is not None and terms.written:
        look = _with_own_writes(look, change.desired, terms.written)
    if change.action is Action.CREATE:
        return _decide_create(change, look, terms)
    if look is None:
        return Settled(Outcome.SKIPPED, "vanished: the user is no longer in the directory")
    if not set(change.fields) & set(terms.compared):
        return Settled(Outcome.SKIPPED, "unproven: no answer shows the fields of this change")
    if not look.active:
        return Settled(Outcome.SKIPPED, "deactivated since the plan")
    return _decide_update(change, look, terms)


def _with_own_writes(look: Record, desired: Mapping[str, str | None], written: Iterable[str]) -> Record:
    """
    Give the record with what this run wrote to it moments ago, which a look may not show yet.

    Metadata that is built on a look that lags would take our own write back.
    """
    fields = {field: desired.get(field) for field in written}
    keys = {key for field in fields if (key := metadata_key(field)) is not None}
    foreign = {key: raw for key, raw in look.metadata.items() if key not in keys}
    return msgspec.structs.replace(look, values=look.values | fields, metadata=foreign | _managed(fields))


def _decide_create(change: Change, look: Record | None, terms: Terms) -> Decision:
    if look is None:
        return Create(create_body(change))
    if not look.active:
        return Settled(Outcome.SKIPPED, "exists and is deactivated; policy.deactivated does not allow more")
    needed = _needed(change, look, terms)
    if not needed:
        return _agrees(look, terms)
    only_sets = all(classify(field, change.desired[field]) is GuardClass.UPDATE for field in needed)
    # After a create of ours was sent and its answer lost, what stands there may be ours, half taken.
    if terms.sent or (only_sets and not terms.exact):
        return _write(change, look, needed, terms)
    return Settled(Outcome.SKIPPED, "created by another since the plan")


def _decide_update(change: Change, look: Record, terms: Terms) -> Decision:
    needed = _needed(change, look, terms)
    own = tuple(field for field in needed if classify(field, change.desired[field]) is change.guard_class)
    if terms.exact or terms.sent:
        own = tuple(field for field in own if field in change.fields)
    if not own:
        return _agrees(look, terms)
    if not terms.sent:
        moved = _moved(change, look, needed, terms)
        if moved:
            return Settled(Outcome.SKIPPED, moved)
    return _write(change, look, own, terms)


def _moved(change: Change, look: Record, needed: tuple[str, ...], terms: Terms) -> str:
    """Say why the record is no longer one that this plan may write to; empty when it is."""
    if terms.exact:
        expected = terms.expected or change.fingerprint
        is_same = fingerprint(look.values, terms.visible) == expected
        return "" if is_same else "the directory record moved since the plan"
    unplanned = {classify(field, change.desired[field]) for field in needed} - terms.planned
    serious = sorted(unplanned - {GuardClass.UPDATE})
    return f"would now need a {serious[0]} that the plan did not have" if serious else ""


def _needed(change: Change, look: Record, terms: Terms) -> tuple[str, ...]:
    """The compared fields in which the record still differs from the desired state."""
    return tuple(
        field
        for field in terms.compared
        if field in change.desired
        and change.desired[field] != look.values.get(field)
        and not (change.desired[field] is None and field in terms.keeps)
    )


def _agrees(look: Record, terms: Terms) -> Settled:
    return Settled(
        Outcome.APPLIED if terms.sent else Outcome.ALREADY,
        "" if terms.sent else "the look before the write agreed",
        updated_at=look.updated_at,
        fingerprint=fingerprint(look.values, terms.visible),
    )


def _write(change: Change, look: Record, fields: tuple[str, ...], terms: Terms) -> Decision:
    if not terms.metadata_proven and any(metadata_key(field) for field in fields):
        return Settled(Outcome.SKIPPED, "unproven: no answer shows metadata, so it cannot be written whole")
    return Update(update_bodies(fields, change.desired, look), fields)


def create_body(change: Change) -> dict[str, Any]:
    """Give the POST body: the uid and every desired value that is not empty."""
    values = {field: text for field, text in change.desired.items() if text is not None}
    body: dict[str, Any] = {"uid": change.uid}
    body |= {field: as_json(field, text) for field, text in values.items() if metadata_key(field) is None}
    metadata = _managed(values)
    return body | ({"metadata": metadata} if metadata else {})


def update_bodies(
    fields: Iterable[str], desired: Mapping[str, str | None], look: Record
) -> tuple[dict[str, Any], ...]:
    """
    Give the least PUT bodies that write `fields`.

    Two where something is set and something is unset: what one call that does both means is not documented.
    """
    sets: dict[str, Any] = {}
    unset: list[str] = []
    metadata: dict[str, Any] = dict(look.metadata)
    touches_metadata = False
    for field in fields:
        key, text = metadata_key(field), desired[field]
        if key is not None:
            touches_metadata = True
            metadata = {k: v for k, v in metadata.items() if k != key}
            if text is not None:
                metadata[key] = msgspec.Raw(text.encode())
        elif text is None and field != "tags":
            unset.append(field)
        else:
            sets[field] = as_json(field, text) if text is not None else []
    if touches_metadata and metadata:
        sets["metadata"] = metadata
    elif touches_metadata:
        # Nothing foreign is left in it, so nothing foreign goes with it.
        unset.append("metadata")
    return tuple(body for body in (sets, {"unset": unset} if unset else {}) if body)


def _managed(values: Mapping[str, str | None]) -> dict[str, Any]:
    pairs = ((metadata_key(field), text) for field, text in values.items())
    return {key: msgspec.Raw(text.encode()) for key, text in pairs if key is not None and text is not None}


def replacing_bodies(
    fields: Iterable[str], desired: Mapping[str, str | None], look: Record
) -> tuple[dict[str, Any], ...]:
    """
    Give the bodies that take metadata keys away where an update only merges: unset it all, then write the rest.

    Empty where that is not needed, or where something would go that is not ours to write back.
    """
    gone = {key for field in fields if (key := metadata_key(field)) is not None and desired[field] is None}
    managed = {key for field in desired if (key := metadata_key(field)) is not None}
    if not gone & look.metadata.keys() or look.metadata.keys() - managed:
        return ()
    rest = {key: value for key, value in look.metadata.items() if key not in gone}
    return ({"unset": ["metadata"]}, *([{"metadata": rest}] if rest else []))


class Verification(msgspec.Struct, frozen=True):
    """What an answer proves of the fields that were written: those that agree not, and those it omits."""

    differing: tuple[str, ...]
    unshown: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every written field was seen to hold what was sent."""
        return not self.differing and not self.unshown


def verify(
    fields: Iterable[str], desired: Mapping[str, str | None], look: Record, shows: frozenset[str]
) -> Verification:
    """
    Compare what an answer shows with what was written.

    `shows` are the groups (`tags`, `metadata`) that this kind of answer is known to carry: only there does
    the absence of a group mean that it is empty.
    """
    differing: list[str] = []
    unshown: list[str] = []
    for field in fields:
        group = "metadata" if metadata_key(field) is not None else field
        hidden = group in {"tags", "metadata"} and group not in look.shown
        if hidden and (group not in shows or desired.get(field) is not None):
            unshown.append(field)
        elif desired.get(field) != look.values.get(field):
            differing.append(field)
    return Verification(tuple(differing), tuple(unshown))
