"""
The decision on one change, made at the look right before the write: what to send, or why nothing.

Pure. `reconcile.applying` looks, asks here, and sends. Metadata is always written whole, built on the record
of that look, because nobody documents whether an update merges or replaces it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from reconcile.core.freshness import Freshness
from reconcile.core.guards import GuardClass
from reconcile.core.metadata import (
    Path,
    RawObject,
    managed_metadata,
    metadata_field,
    metadata_path,
    obstructed,
    with_value,
)
from reconcile.core.normal import HALF
from reconcile.core.ours import OTHER_RECORD
from reconcile.core.outcome import UNPROVEN, Outcome, Settled
from reconcile.core.plan import Action, Change, classify
from reconcile.core.users import Record, Values, as_json, fingerprint

__all__ = [
    "Create",
    "Decision",
    "Update",
    "Verification",
    "create_body",
    "decide",
    "is_other",
    "refused_by_role",
    "replacing_bodies",
    "restoring_body",
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
    the managed fields, `visible` those of them that a fingerprint covers; `stuck` are those that earlier runs
    could not make hold what is desired; `seen` is what the plan saw in the fields of all changes of this uid;
    `sent` says that a write of this
    change left earlier; `expected` is the fingerprint that the record should have, where a write of our own
    moved it since the plan, and `left_at` the time that this write left. With `freshness`, users that others
    touched after the export are left alone. `doubtful` says that the record may be another's than the one that was sent.
    `more` says that another change of this uid follows. Users with one of the `protected_roles` (lower case) are not
    written.
    """

    planned: frozenset[GuardClass]
    exact: bool
    keeps: frozenset[str]
    compared: tuple[str, ...]
    visible: tuple[str, ...]
    stuck: frozenset[str] = frozenset()
    seen: Values | None = None
    sent: bool = False
    more: bool = False
    expected: str | None = None
    left_at: int | None = None
    doubtful: bool = False
    freshness: Freshness | None = None
    protected_roles: frozenset[str] = frozenset()


def decide(change: Change, look: Record | None, terms: Terms) -> Decision:
    """
    Say what to do about a create or an update, now that the user was looked at. `look` None is a 404.

    Once something was sent (`terms.sent`), agreement means that it was ours: applied, not already.
    """
    decision = _decide(change, look, terms)
    agrees = isinstance(decision, Settled) and decision.outcome in {Outcome.APPLIED, Outcome.ALREADY}
    refusal = None if agrees or look is None else refused_by_role(look.role, terms.protected_roles)
    return refusal or decision


def refused_by_role(role: str | None, protected_roles: Collection[str]) -> Settled | None:
    """Say that the role which a user has in the directory protects it; None where it does not."""
    if role is None or role.lower() not in protected_roles:
        return None
    return Settled(Outcome.SKIPPED, f"protected: the user has the role {role.lower()} (policy.protect_roles)")


def _decide(change: Change, look: Record | None, terms: Terms) -> Decision:
    if change.action is Action.CREATE:
        return _decide_create(change, look, terms)
    if look is None:
        return Settled(Outcome.SKIPPED, "vanished: the user is no longer in the directory")
    if is_other(change, look):
        return Settled(Outcome.SKIPPED, OTHER_RECORD)
    if not set(change.fields) & set(terms.compared):
        return Settled(Outcome.SKIPPED, f"{UNPROVEN}: no answer shows the fields of this change")
    if not look.active:
        return Settled(Outcome.SKIPPED, "deactivated since the plan")
    return _decide_update(change, look, terms)


def is_other(change: Change, look: Record) -> bool:
    """Whether a look shows another record than the one that the plan is about, under the same uid."""
    return change.created_at is not None and look.created_at != change.created_at


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
    if (terms.sent and not terms.doubtful) or (only_sets and not terms.exact):
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
        return "" if _is_as_planned(change, look, terms) else "the directory record moved since the plan"
    if change.guard_class is GuardClass.ROLE_CHANGE and look.values.get("role") != change.before.get("role"):
        return "the role moved since the plan"
    unplanned = {classify(field, change.desired[field]) for field in needed} - terms.planned
    serious = sorted(unplanned - {GuardClass.UPDATE})
    return f"would now need a {serious[0]} that the plan did not have" if serious else ""


def _is_as_planned(change: Change, look: Record, terms: Terms) -> bool:
    """Whether the record is the one that the plan saw, or that one with other changes of the plan made since."""
    found = fingerprint(look.values, terms.visible)
    made = {
        name: text
        for name, text in (terms.seen or {}).items()
        if name not in change.fields and look.values.get(name) == change.desired.get(name)
    }
    before = fingerprint({**look.values, **made}, terms.visible)
    return found == terms.expected or change.fingerprint in {found, before}


def _needed(change: Change, look: Record, terms: Terms) -> tuple[str, ...]:
    """The compared fields in which the record still differs from the desired state."""
    return tuple(
        field
        for field in terms.compared
        if field in change.desired
        and change.desired[field] != look.values.get(field)
        and not (change.desired[field] is None and field in terms.keeps)
        # What is known not to stick, and so was not planned, is no reason to leave the rest.
        and not (field in terms.stuck and field not in change.fields)
    )


def _agrees(look: Record, terms: Terms) -> Settled:
    return Settled(
        Outcome.APPLIED if terms.sent else Outcome.ALREADY,
        "" if terms.sent else "the look before the write agreed",
        updated_at=look.moved_at,
        fingerprint=fingerprint(look.values, terms.visible),
    )


def _write(change: Change, look: Record, fields: tuple[str, ...], terms: Terms) -> Decision:
    if _is_ahead(look, terms):
        return Settled(
            Outcome.SKIPPED, "newer: changed in the directory after the export, and policy.newer is skip"
        )
    blocked = [field for field in fields if (path := metadata_path(field)) and obstructed(look.metadata, path)]
    if blocked:
        # To write the inner key would take away a value that is not ours.
        return Settled(Outcome.REJECTED, f"{blocked[0]} leads through a value that is no object")
    if _is_marred(look.metadata, managed_metadata(fields)):
        return Settled(Outcome.REJECTED, "metadata holds half a character, which cannot be written back as it is")
    return Update(update_bodies(fields, change.desired, look), fields)


def _is_marred(metadata: RawObject, written: Iterable[Path]) -> bool:
    """Whether metadata would be written whole, and what is only passed on in it was not read as it stands."""
    paths = tuple(written)
    rest = _without(metadata, paths) if paths else {}
    return any(HALF in name or HALF.encode() in bytes(text) for name, text in rest.items())


def _is_ahead(look: Record, terms: Terms) -> bool:
    """Whether somebody else touched the user after the export, where such users are left alone."""
    is_woken = terms.planned & {GuardClass.REACTIVATE, GuardClass.REACTIVATE_FOREIGN}
    is_ours = terms.sent or is_woken or (look.moved_at or 0) <= (terms.left_at or 0)
    if terms.freshness is None or is_ours:
        return False
    return terms.freshness.is_newer(look.uid, look.created_at, look.updated_at)


def create_body(change: Change) -> dict[str, Any]:
    """Give the POST body: the uid and every desired value that is not empty."""
    values = {field: text for field, text in change.desired.items() if text is not None}
    body: dict[str, Any] = {"uid": change.uid}
    body |= {field: as_json(field, text) for field, text in values.items() if metadata_path(field) is None}
    metadata: dict[str, msgspec.Raw] = {}
    for field, text in values.items():
        path = metadata_path(field)
        metadata = metadata if path is None else with_value(metadata, path, text)
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
    metadata = look.metadata
    touches_metadata = False
    for field in fields:
        path, text = metadata_path(field), desired[field]
        if path is not None:
            touches_metadata = True
            metadata = with_value(metadata, path, text)
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


def replacing_bodies(
    fields: Iterable[str], desired: Mapping[str, str | None], look: Record
) -> tuple[dict[str, Any], ...]:
    """
    Give the bodies that take metadata keys away where an update only merges: unset it all, then write the rest.

    Empty where that is not needed, or where something would go that is not ours to write back.
    """
    gone = [path for path in managed_metadata(fields) if desired[metadata_field(path)] is None]
    rest = _without(look.metadata, gone)
    foreign = _without(look.metadata, managed_metadata(desired))
    if rest == look.metadata or foreign:
        return ()
    return ({"unset": ["metadata"]}, *([{"metadata": rest}] if rest else []))


def restoring_body(
    fields: Iterable[str], desired: Mapping[str, str | None], look: Record, whole: RawObject
) -> dict[str, Any] | None:
    """
    Give the body that puts back what a replacement took away with the rest; None where all is there.

    `whole` is the metadata object as it was before. Between the two calls of `replacing_bodies` a run may be
    killed, or an answer lost, and then the keys that were to stay are gone, too.
    """
    gone = [path for path in managed_metadata(fields) if desired[metadata_field(path)] is None]
    missing = {name: text for name, text in _without(whole, gone).items() if name not in look.metadata}
    return {"metadata": {**look.metadata, **missing}} if missing else None


def _without(metadata: RawObject, paths: Iterable[Path]) -> RawObject:
    for path in paths:
        metadata = with_value(metadata, path, None)
    return metadata


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
        group = "metadata" if metadata_path(field) is not None else field
        hidden = group in {"tags", "metadata"} and group not in look.shown
        if hidden and (group not in shows or desired.get(field) is not None):
            unshown.append(field)
        elif desired.get(field) != look.values.get(field):
            differing.append(field)
    return Verification(tuple(differing), tuple(unshown))
