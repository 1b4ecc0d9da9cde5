"""
The decision on one change, made at the look right before the write: what to send, or why nothing.

Pure. `reconcile.applying` looks, asks here, and sends; what is sent is made in `core.bodies`. A field is left alone where a
write could lose what others keep in it: what a look did not show is unknown, never empty.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from reconcile.core.actual import managed_groups
from reconcile.core.bodies import create_body, update_bodies, without
from reconcile.core.freshness import Freshness
from reconcile.core.guards import GuardClass
from reconcile.core.metadata import (
    Path,
    Private,
    RawObject,
    managed_metadata,
    metadata_field,
    metadata_path,
    obstructed,
    with_value,
)
from reconcile.core.normal import HALF
from reconcile.core.ours import OTHER_RECORD
from reconcile.core.outcome import DID_NOT_STICK, LEFT_ALONE, UNPROVEN, Outcome, Settled
from reconcile.core.plan import Action, Change, classify
from reconcile.core.users import Record, Values, fingerprint

__all__ = [
    "HIDES_PRIVATE",
    "NEVER_EMPTIED",
    "ODD",
    "UNSEEN",
    "Create",
    "Decision",
    "Terms",
    "Update",
    "decide",
    "is_other",
    "left_alone",
    "refused_by_role",
]

# Why a field is left alone.
UNSEEN = "CometChat did not show the {} that the user has now"
HIDES_PRIVATE = "CometChat hides metadata.@private, and the write would erase it"
NEVER_EMPTIED = "nothing shows whether CometChat hides metadata.@private, so metadata is never taken away whole"
ODD = "the metadata is not an object, and the write would replace it"


@dataclass(frozen=True, slots=True)
class Create:
    """Send POST with this body."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Update:
    """
    Send PUT once for each body, in this order; together they write `fields`.

    `spared` are fields of the change that none of them writes, each with the reason.
    """

    bodies: tuple[dict[str, Any], ...]
    fields: tuple[str, ...]
    spared: Mapping[str, str] = field(default_factory=dict)


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

    `private` is what is known of `metadata.@private`; with `overwrites` metadata is replaced although that may lose
    something that CometChat hides. `guesses` are groups that this one change writes though no look has proven what
    the user has there.
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
    private: Private = Private.SHOWN
    overwrites: bool = False
    guesses: frozenset[str] = frozenset()

    @property
    def may_unset(self) -> bool:
        """Whether all metadata of a user may be taken away at once: not where answers may hide some of it."""
        return self.overwrites or self.private is Private.SHOWN


def decide(change: Change, look: Record | None, terms: Terms) -> Decision:
    """
    Say what to do about a create or an update, now that the user was looked at. `look` None is a 404.

    Once something was sent (`terms.sent`), agreement means that it was ours: applied, not already.
    """
    decision = _decide_safely(change, look, terms)
    agrees = isinstance(decision, Settled) and decision.outcome in {Outcome.APPLIED, Outcome.ALREADY}
    refusal = None if agrees or look is None else refused_by_role(look.role, terms.protected_roles)
    return refusal or decision


def refused_by_role(role: str | None, protected_roles: Collection[str]) -> Settled | None:
    """Say that the role which a user has in the directory protects it; None where it does not."""
    if role is None or role.lower() not in protected_roles:
        return None
    return Settled(Outcome.SKIPPED, f"protected: the user has the role {role.lower()} (policy.protect_roles)")


def _decide_safely(change: Change, look: Record | None, terms: Terms) -> Decision:
    if look is None or not look.active:
        return _decided(change, look, terms)
    unsafe = _unsafe_fields(change, look, terms)
    spared = {name: unsafe[name] for name in change.fields if name in unsafe}
    narrowed = replace(terms, compared=tuple(name for name in terms.compared if name not in unsafe))
    if spared and not set(change.fields) & set(narrowed.compared):
        return Settled(Outcome.SKIPPED, _sparing(spared))
    decision = _decided(change, look, narrowed)
    if isinstance(decision, Update):
        return replace(decision, spared={**spared, **decision.spared})
    return left_alone(decision, spared) if isinstance(decision, Settled) else decision


def left_alone(settled: Settled, spared: Mapping[str, str]) -> Settled:
    """
    Give the outcome of a change of which the `spared` fields, each with the reason, were not written.

    It does not end applied: the user still differs, and the next run has to try again.
    """
    if not spared or settled.outcome not in {Outcome.APPLIED, Outcome.ALREADY}:
        return settled
    if settled.outcome is Outcome.ALREADY:
        # Nothing was sent, so the time of the record is not ours.
        settled = msgspec.structs.replace(settled, updated_at=None, fingerprint=None)
    lost = [name for name, why in spared.items() if why == NEVER_EMPTIED]
    if lost:
        others = {name: why for name, why in spared.items() if name not in lost}
        detail = "; ".join(filter(None, (_never_emptied(lost), _sparing(others) if others else "")))
        return msgspec.structs.replace(settled, outcome=Outcome.REJECTED, detail=detail)
    detail = "; ".join(filter(None, (_sparing(spared), settled.detail)))
    return msgspec.structs.replace(settled, outcome=Outcome.SKIPPED, detail=detail)


def _sparing(spared: Mapping[str, str]) -> str:
    fields = {why: [name for name, given in spared.items() if given == why] for why in spared.values()}
    return f"{LEFT_ALONE}: " + "; ".join(f"{', '.join(names)}, because {why}" for why, names in fields.items())


def _never_emptied(fields: Iterable[str]) -> str:
    return f"{DID_NOT_STICK}: {', '.join(fields)} ({NEVER_EMPTIED})"


def _unsafe_fields(change: Change, look: Record, terms: Terms) -> dict[str, str]:
    """Give the fields that are not written to an existing user, each with the reason: others could lose what they keep."""
    why = _unsafe_groups(look, terms)
    needed = set(_needed(change, look, terms)) if why else set()
    groups = {name: name.split(".", 1)[0] for name in terms.compared}
    return {
        name: why[group]
        for name, group in groups.items()
        if group in why and (name in needed or group not in look.known)
    }


def _unsafe_groups(look: Record, terms: Terms) -> dict[str, str]:
    unknown = managed_groups(terms.compared) - look.known - terms.guesses
    why = {group: UNSEEN.format(group) for group in unknown}
    if terms.overwrites:
        return why
    if terms.private is Private.HIDDEN:
        why.setdefault("metadata", HIDES_PRIVATE)
    if look.odd is not None:
        why.setdefault("metadata", ODD)
    return why


def _decided(change: Change, look: Record | None, terms: Terms) -> Decision:
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
    kept = _that_empty_it(change, look, fields, terms)
    rest = tuple(name for name in fields if name not in kept)
    if not rest:
        return Settled(Outcome.REJECTED, _never_emptied(kept))
    return Update(update_bodies(rest, change.desired, look), rest, dict.fromkeys(kept, NEVER_EMPTIED))


def _that_empty_it(change: Change, look: Record, fields: tuple[str, ...], terms: Terms) -> tuple[str, ...]:
    """Give the metadata fields that cannot be cleared, because all that was seen would go, and may be more than that."""
    named = {metadata_field(path): path for path in managed_metadata(fields)}
    if terms.may_unset or not named or not look.metadata:
        return ()
    rest: RawObject = look.metadata
    for name, path in named.items():
        rest = with_value(rest, path, change.desired[name])
    return () if rest else tuple(name for name in fields if name in named)


def _is_marred(metadata: RawObject, written: Iterable[Path]) -> bool:
    """Whether metadata would be written whole, and what is only passed on in it was not read as it stands."""
    paths = tuple(written)
    rest = without(metadata, paths) if paths else {}
    return any(HALF in name or HALF.encode() in bytes(text) for name, text in rest.items())


def _is_ahead(look: Record, terms: Terms) -> bool:
    """Whether somebody else touched the user after the export, where such users are left alone."""
    is_woken = terms.planned & {GuardClass.REACTIVATE, GuardClass.REACTIVATE_FOREIGN}
    is_ours = terms.sent or is_woken or (look.moved_at or 0) <= (terms.left_at or 0)
    if terms.freshness is None or is_ours:
        return False
    return terms.freshness.is_newer(look.uid, look.created_at, look.updated_at)
