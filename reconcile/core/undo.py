"""
The way back: the changes that take away what a run wrote, and nothing that somebody else wrote since.

Pure. It compares the journal of the run with the directory as it is now, field by field.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

import msgspec

from reconcile.core.actual import managed_groups
from reconcile.core.guards import GuardClass
from reconcile.core.mapping import field_order
from reconcile.core.metadata import RawObject, lost, managed_metadata, metadata_field
from reconcile.core.normal import HALF
from reconcile.core.ours import NEAR_S, Left
from reconcile.core.outcome import DID_NOT_STICK, Outcome, PastChange
from reconcile.core.plan import Action, Change, normal, restoring
from reconcile.core.users import Record, fingerprint

__all__ = ["Undoing", "lost_metadata", "undo_changes", "undone_fields"]


@dataclass(frozen=True, slots=True)
class Undoing:
    """The changes back, numbered and in plan order, and (uid, what) for everything that is left as it is."""

    changes: tuple[Change, ...]
    left: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Deed:
    """
    What a run did to one user: fields before and after, and whether it ended switched on, off, or neither.

    `unsure` is what it may have done besides: it was sent, and nobody learnt what became of it. `by` is the change that
    decided the activity, and `moved_at` the time (unix seconds) of the last write of fields: the record is no younger.
    """

    uid: str
    before: dict[str, str | None]
    after: dict[str, str | None]
    activity: Action | None
    unsure: Action | None = None
    by: PastChange | None = None
    moved_at: int | None = None


def undone_fields(written: Iterable[PastChange]) -> tuple[str, ...]:
    """Give every field that a run wrote, in the order in which fields are shown."""
    return tuple(sorted({field for past in written for field in past.after}, key=field_order))


def lost_metadata(
    wholes: Mapping[str, RawObject], looks: Mapping[str, Record | None], fields: Iterable[str]
) -> dict[str, dict[str, str]]:
    """
    Give what users held beside the managed `fields` before a run replaced their metadata, and lack now.

    `wholes` are the objects that were replaced. Each lost value is a field of its own, in normal form, by uid.
    """
    managed = managed_metadata(fields)
    found = {}
    for uid, whole in wholes.items():
        look = looks.get(uid)
        if look is not None and "metadata" in look.known and look.odd is None:
            found[uid] = {metadata_field(path): text for path, text in lost(whole, look.metadata, managed)}
    return {uid: values for uid, values in found.items() if values}


def undo_changes(
    written: Iterable[PastChange],
    looks: Mapping[str, Record | None],
    visible: tuple[str, ...],
    lacking: Mapping[str, Mapping[str, str]] | None = None,
) -> Undoing:
    """
    Say how to take back what a run wrote.

    `written` are its changes that reached the directory; `looks` the users as they are now, of those that it deactivated
    also where they still are (None: no look shows the user); `visible` the fields that fingerprints cover; `lacking` what they lost beside the fields that it wrote.
    A user that it created ends deactivated, one that it switched off is switched on, and a field is put back
    where it still holds what was written. A user that was deleted and made anew since, and a deactivation that is not
    the one of the run, are left, and so is what cannot be compared.
    """
    changes: list[Change] = []
    left: list[tuple[str, str]] = []
    for deed in _deeds(written):
        lost_there = (lacking or {}).get(deed.uid, {})
        deed = replace(  # noqa: PLW2901 - the same deed, with all that it did
            deed,
            before={**deed.before, **lost_there},
            after={**deed.after, **dict.fromkeys(lost_there)},
        )
        look = looks.get(deed.uid)
        changes += _back(deed, look, visible)
        left += _left(deed, look)
    order = {Action.UPDATE: 0, Action.REACTIVATE: 1, Action.DEACTIVATE: 2}
    changes.sort(key=lambda change: (order[change.action], change.uid))
    numbered = (msgspec.structs.replace(change, seq=seq) for seq, change in enumerate(changes, start=1))
    return Undoing(tuple(numbered), tuple(left))


def _deeds(written: Iterable[PastChange]) -> Iterator[_Deed]:
    by_user = sorted(written, key=lambda past: (past.uid, past.seq))
    for uid, changes in groupby(by_user, key=lambda past: past.uid):
        deed = _Deed(uid, {}, {}, None)
        for past in changes:
            deed = _with(deed, past)
        yield deed


def _with(deed: _Deed, past: PastChange) -> _Deed:
    action = Action(past.action)
    # A create that met a user which was there already, and so has a record before, was an update.
    if action is Action.CREATE and not past.before:
        # Whom CometChat did not take from us, another has made, where he is there now.
        was_taken = past.outcome == Outcome.APPLIED or past.detail.startswith(DID_NOT_STICK)
        return _moved(deed, past, action, is_sure=was_taken)
    if action in {Action.REACTIVATE, Action.DEACTIVATE}:
        return _moved(deed, past, action, is_sure=past.outcome == Outcome.APPLIED)
    before = normal(past.before) | deed.before
    # Where the service told no time, the clock of this machine has to do.
    moved_at = past.updated_at or (past.intended_at and past.intended_at + NEAR_S) or deed.moved_at
    return replace(deed, before=before, after=deed.after | normal(past.after), moved_at=moved_at)


def _moved(deed: _Deed, past: PastChange, action: Action, *, is_sure: bool) -> _Deed:
    if is_sure:
        return replace(deed, activity=action, by=past)
    return replace(deed, unsure=action) if past.outcome == Outcome.FAILED else deed


def _back(deed: _Deed, look: Record | None, visible: tuple[str, ...]) -> Iterator[Change]:
    if look is None or _why_other(deed, look):
        return
    if deed.activity is Action.DEACTIVATE:
        if not look.active:
            yield _switch(deed, look, Action.REACTIVATE, GuardClass.REACTIVATE)
        return
    if not look.active:
        return
    if deed.activity is not Action.CREATE:
        seen = fingerprint(look.values, visible)
        yield from restoring(deed.uid, _restored(deed, look), look.values, seen, look.created_at)
    if deed.activity is not None:
        yield _switch(deed, look, Action.DEACTIVATE, GuardClass.DEACTIVATE)


def _switch(deed: _Deed, look: Record, action: Action, kind: GuardClass) -> Change:
    return Change(0, deed.uid, action, kind, created_at=look.created_at, deactivated_at=look.deactivated_at)


def _why_other(deed: _Deed, look: Record) -> str:
    """Say why this is not, or may not be, the user as the run left it; empty where it is."""
    if deed.activity is Action.DEACTIVATE:
        left = deed.by and deed.by.left
        if look.active or (left and left.is_deactivation(look.created_at, look.deactivated_at)):
            return ""
        return (
            "deactivated by another since" if left and left.is_known() else "nobody knows who deactivated the user"
        )
    if not look.active:
        return ""
    is_same = _is_same(deed, look)
    if is_same is None:
        return "nobody knows whether this is the user that the run left"
    return "" if is_same else "another user, made anew since"


def _is_same(deed: _Deed, look: Record) -> bool | None:
    """Whether a record was there when the run wrote to this user; None where nobody can tell."""
    if deed.by is None:
        # The values of the fields are compared, too: the dates only have to allow it.
        return look.created_at is None or deed.moved_at is None or look.created_at <= deed.moved_at
    left = deed.by.left or Left()
    if left.created_at is not None:
        return look.created_at == left.created_at
    # An older version kept no date of the record. It is no younger than what was written to it.
    latest = deed.by.updated_at if deed.activity is Action.CREATE else left.between and left.between[1]
    if deed.by.intended_at is not None or latest is None or look.created_at is None:
        return None
    return look.created_at <= latest


def _restored(deed: _Deed, look: Record) -> dict[str, str | None]:
    return {
        field: before
        for field, before in deed.before.items()
        if _is_seen(field, look)
        and look.values.get(field) == deed.after.get(field) != before
        and not _cannot_be_put_back(field, before)
    }


def _left(deed: _Deed, look: Record | None) -> Iterator[tuple[str, str]]:
    """Name what is neither put back nor back already."""
    is_active = look is not None and look.active
    other = _why_other(deed, look) if look is not None else ""
    if other:
        yield deed.uid, other
        return
    if deed.unsure and deed.activity is None and is_active is not (deed.unsure is Action.DEACTIVATE):
        # To switch off whom another made, or on whom another banned, would be worse than to leave it.
        yield deed.uid, f"nobody knows whether the run did the {deed.unsure}"
    if deed.activity is Action.DEACTIVATE and look is None:
        yield deed.uid, "the user is neither active nor listed as deactivated"
    if deed.activity in {Action.CREATE, Action.DEACTIVATE}:
        return
    if look is None or not look.active:
        if deed.before:
            yield deed.uid, "the user is no longer active"
        return
    yield from (
        (deed.uid, f"{field}: what it held before was not seen")
        for field in sorted(deed.after.keys() - deed.before)
    )
    for field, before in deed.before.items():
        held = look.values.get(field)
        if not _is_seen(field, look):
            yield deed.uid, f"{field}: CometChat does not show it"
        elif held != before and (held != deed.after.get(field) or _cannot_be_put_back(field, before)):
            yield deed.uid, field


def _is_seen(field: str, look: Record) -> bool:
    return managed_groups([field]) <= look.known


def _cannot_be_put_back(field: str, before: str | None) -> bool:
    # No known call clears a statusMessage, and a role is never nothing. And half a character was not read as it stood.
    return (before is None and field in {"statusMessage", "role", "name"}) or HALF in (before or "")
