"""
What has to become of a world, worked out from the rules alone, in the plainest way that says them.

Nothing of the product is imported, so that a rule which is wrong there is not wrong here too. Values are kept
as JSON text, in which 1 and 1.0 are one value and 1 and true are two; `rows` has the rules for an export.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from tests.worlds.drawing import CLASSES, Night, World
from tests.worlds.rows import Desired, Values, canonical

__all__ = ["Expected", "Service", "expect", "is_heard"]

Users = Mapping[str, dict[str, Any]]

FARTHEST_SKEW_S = 300  # a clock that is further off holds the deactivations
_UPDATES = ("update", "role_change", "clear")
_ORDER = ("create", "reactivate", *_UPDATES, "deactivate")


@dataclass(frozen=True, slots=True)
class Service:
    """
    How the service answers, as far as that decides what is possible, and what our own runs did before.

    `as_of` is when the export was true, by the clock of the service, which is `skew_s` ahead of this machine's.
    `switched_off` holds the creation and deactivation that they left (unix seconds) of the users that they
    deactivated, `left_at` the time of their last write by uid, `stuck` the (uid, field) that they could not clear,
    `held_once` the users that a believed export held or that they created, and `applied` the users by class to whom
    they did such a change within the window of the guards. `is_private_hidden` says that they know that answers do
    not show the key @private, `is_private_shown` that an answer once did.
    """

    answers: dict[str, str]
    as_of: int
    switched_off: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    left_at: Mapping[str, int] = field(default_factory=dict)
    stuck: frozenset[tuple[str, str]] = frozenset()
    skew_s: int = 0
    held_once: frozenset[str] = frozenset()
    applied: Mapping[str, frozenset[str]] = field(default_factory=dict)
    is_private_hidden: bool = False
    is_private_shown: bool = False
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """
    What a plan holds and what comes of it.

    `changes` maps (uid, class) to the fields that it writes; `held` are the classes that guards keep back, but
    for the `released`, which a later run of the night found under its limits; `users` the directory afterwards; `excused` the (uid, field) that no known call can bring about,
    `stuck` those of them that are taken and not kept, and `excused_users` the users that nobody can see until a
    create meets them.
    """

    changes: dict[tuple[str, str], tuple[str, ...]]
    counts: Counter[str]
    held: frozenset[str]
    users: dict[str, dict[str, Any]]
    excused: frozenset[tuple[str, str]]
    excused_users: frozenset[str]
    stuck: frozenset[tuple[str, str]]
    released: frozenset[str]


# Users


def _held_by(user: Mapping[str, Any], name: str) -> str | None:
    """What a record holds of a field."""
    if name == "tags":
        return canonical(sorted(set(user.get("tags") or [])) or None)
    if not name.startswith("metadata."):
        return canonical(user.get(name) or None)
    found: Any = user.get("metadata") or {}
    for key in name.split(".")[1:]:
        found = found.get(key) if isinstance(found, dict) else None
    return canonical(found)


def _put(user: dict[str, Any], name: str, text: str | None) -> None:
    value = None if text is None else json.loads(text)
    if not name.startswith("metadata."):
        user.pop(name, None)
        if value is not None:
            user[name] = value
        return
    metadata = deepcopy(_object(user))
    _put_inner(metadata, name.split(".")[1:], value)
    user.pop("metadata", None)
    if metadata:
        user["metadata"] = metadata


def _put_inner(target: dict[str, Any], path: list[str], value: Any) -> None:
    if len(path) > 1:
        inner = target.get(path[0])
        inner = {} if inner is None else inner
        _put_inner(inner, path[1:], value)
        value = inner or None
    target.pop(path[0], None)
    if value is not None:
        target[path[0]] = value


def _object(user: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a user; nothing where it is no object."""
    metadata = user.get("metadata") or {}
    return metadata if isinstance(metadata, dict) else {}


def _is_active(user: Mapping[str, Any]) -> bool:
    return not user.get("deactivatedAt")


def _is_protected(uid: str, user: Mapping[str, Any] | None, night: Night) -> bool:
    is_named = any(fnmatchcase(uid, pattern.lower()) for pattern in night.policy["protect"])
    return is_named or (user is not None and user.get("role") in night.policy["protect_roles"])


def _is_newer(user: Mapping[str, Any], service: Service, *, by_either_clock: bool = False) -> bool:
    """Whether others touched a user after the export: by the clock of the service, or already by one of the two."""
    last = max(user.get("createdAt") or 0, user.get("updatedAt") or 0)
    as_of = service.as_of - max(0, service.skew_s if by_either_clock else 0)
    return last >= as_of and last > service.left_at.get(user["uid"], 0)


def _is_hidden(user: Mapping[str, Any], service: Service) -> bool:
    """Whether nothing shows that this user is there: it sleeps, and no list and no look says so."""
    answers = service.answers
    return (
        not _is_active(user)
        and answers["deactivated_flags"] == "ignored"
        and answers["default_list"] == "active"
        and answers["get_deactivated"] == "404"
    )


# The plan


def expect(
    world: World,
    night: Night,
    desired: Desired,
    users: Users,
    service: Service,
    released: frozenset[str] = frozenset(),
) -> Expected:
    """Say what the runs of a night over this directory plan, hold but for the `released`, and leave behind."""
    changes = _changes(world, night, desired, users, service)
    counts = Counter(kind for _, kind in changes)
    held = _held(night, desired, users, changes, service) - released
    after = {uid: deepcopy(dict(user)) for uid, user in users.items()}
    excused: set[tuple[str, str]] = set()
    spared: set[tuple[str, str]] = set()
    fills = any(
        kind == "create" and kind not in held and any(name.startswith("metadata.") for name in fields)
        for (_, kind), fields in changes.items()
    )
    care = _care(night, users, service, fills=fills)
    for (uid, kind), fields in sorted(changes.items(), key=lambda change: _ORDER.index(change[0][1])):
        is_asleep = uid in users and not _is_active(users[uid]) and kind in _UPDATES
        if kind in held or (is_asleep and "reactivate" in held):
            continue
        kept = _spared(kind, fields, users.get(uid), care)
        rest = tuple(name for name in fields if name not in kept)
        lost = (*kept, *_impossible(world, (uid, kind), rest, after, service, care))
        spared |= {(uid, name) for name in kept}
        excused |= {(uid, name) for name in lost}
        _carry_out(after, (uid, kind), fields, desired, lost)
        if _loses_private(kind, set(fields) - set(lost), service, care):
            after[uid].get("metadata", {}).pop("@private", None)
    hidden = frozenset(uid for uid, user in users.items() if uid in desired.users and _is_hidden(user, service))
    is_refused = service.answers["empty_tags"] == "reject"
    stuck = {
        (uid, name)
        for uid, name in excused
        if (uid, name) not in spared
        and name in changes.get((uid, "clear"), ())
        and not (is_refused and "tags" in changes[uid, "clear"])
    }
    return Expected(changes, counts, held, after, frozenset(excused), hidden, frozenset(stuck), released)


def _changes(
    world: World, night: Night, desired: Desired, users: Users, service: Service
) -> dict[tuple[str, str], tuple[str, ...]]:
    changes: dict[tuple[str, str], tuple[str, ...]] = {}
    for uid, values in desired.users.items():
        user = users.get(uid)
        is_unseen = user is None or _is_hidden(user, service)
        if _is_protected(uid, None if is_unseen else user, night):
            continue
        if user is None or is_unseen:
            changes[uid, "create"] = tuple(name for name in world.fields if values[name] is not None)
        elif not _is_active(user):
            left = service.switched_off.get(uid)
            is_ours = left == (user["createdAt"], user["deactivatedAt"])
            if night.policy["deactivated"] == "reactivate" and is_ours:
                changes[uid, "reactivate"] = ()
                changes |= _drift(uid, user, values, night)
        elif night.policy["newer"] == "apply" or not _is_newer(user, service):
            found = _drift(uid, user, values, night)
            lost = tuple(name for name in found.pop((uid, "clear"), ()) if (uid, name) not in service.stuck)
            changes |= found | ({(uid, "clear"): lost} if lost else {})
    if night.policy["unmanaged"] == "deactivate":
        for uid, user in users.items():
            is_known = uid in desired.users or uid in desired.shielded or _is_protected(uid, user, night)
            is_in_scope = night.policy["unmanaged_scope"] == "all" or uid in service.held_once
            may_be_newer = _is_newer(user, service, by_either_clock=True)
            if _is_active(user) and is_in_scope and not is_known and not may_be_newer:
                changes[uid, "deactivate"] = ()
    return changes


def _drift(
    uid: str, user: Mapping[str, Any], values: Values, night: Night
) -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for name, wanted in values.items():
        is_kept = wanted is None and (night.policy["empty"] == "keep" or name in {"role", "statusMessage"})
        if wanted == _held_by(user, name) or is_kept:
            continue
        kind = "role_change" if name == "role" else "clear" if wanted is None else "update"
        found[uid, kind] = (*found.get((uid, kind), ()), name)
    return found


def _held(
    night: Night,
    desired: Desired,
    users: Users,
    changes: Iterable[tuple[str, str]],
    service: Service,
) -> frozenset[str]:
    counts = Counter(kind for _, kind in changes)
    is_doubtful = desired.nameless > 0 or abs(service.skew_s) > FARTHEST_SKEW_S
    held = {"deactivate"} if is_doubtful and counts["deactivate"] else set()
    if night.guards is None:
        return frozenset(held)
    seen = [user for user in users.values() if not _is_hidden(user, service)]
    active = [user for user in seen if _is_active(user)]
    matched = sum(user["uid"] in desired.users for user in active)
    bases = {"create": len(seen), "deactivate": len(active), "reactivate": len(seen) - len(active)}
    for kind in CLASSES:
        guard, due = night.guards[kind], {uid for uid, changed in changes if changed == kind}
        # A class without a change is not judged.
        number = len(due | service.applied.get(kind, frozenset())) if due and night.window else len(due)
        base = bases.get(kind, matched)
        is_over = number > guard["floor"] and number * 100 > guard["percent"] * base
        is_over = is_over or number > guard.get("max", number)
        if is_over and not (kind == "create" and not seen):
            held.add(kind)
    return frozenset(held)


# What comes of it


@dataclass(frozen=True, slots=True)
class Care:
    """
    How careful the job is with metadata that others keep.

    `writes` says whether metadata of existing users is written at all, `may_empty` whether all of it may be taken away
    at once, and `overwrites` whether a setting says not to be careful.
    """

    writes: bool
    may_empty: bool
    overwrites: bool


def is_heard(users: Users, service: Service) -> bool:
    """Whether an answer shows the key @private of somebody."""
    is_shown = service.answers["private_metadata"] == "shown"
    return is_shown and any(
        "@private" in _object(user) for user in users.values() if not _is_hidden(user, service)
    )


def _care(night: Night, users: Users, service: Service, *, fills: bool) -> Care:
    overwrites = night.policy["overwrite_hidden_metadata"]
    is_private_shown = service.is_private_shown or is_heard(users, service)
    is_proven = fills or any(_seen_metadata(user, service) for user in users.values() if _is_active(user))
    return Care(
        writes=overwrites or (is_proven and not service.is_private_hidden),
        may_empty=overwrites or (is_private_shown and not service.is_private_hidden),
        overwrites=overwrites,
    )


def _seen_metadata(user: Mapping[str, Any], service: Service) -> Any:
    """What answers show of a user's metadata."""
    metadata = user.get("metadata")
    if service.answers["private_metadata"] == "shown" or not isinstance(metadata, dict):
        return metadata
    return {key: value for key, value in metadata.items() if key != "@private"}


def _spared(kind: str, fields: tuple[str, ...], user: Mapping[str, Any] | None, care: Care) -> tuple[str, ...]:
    """The metadata fields of a change that are left alone, because others could lose what they keep there."""
    if kind not in _UPDATES or user is None:
        return ()
    is_odd = not isinstance(user.get("metadata") or {}, dict) and not care.overwrites
    left = is_odd or not care.writes
    return tuple(name for name in fields if left and name.startswith("metadata."))


def _loses_private(kind: str, written: set[str], service: Service, care: Care) -> bool:
    """Whether a write takes the key @private away, which nothing shows."""
    names = {name for name in written if name.startswith("metadata.")}
    if kind not in _UPDATES or not names or service.answers["private_metadata"] == "shown":
        return False
    # Where an update merges, only what is taken away whole goes.
    is_unset = kind == "clear" and care.may_empty
    return service.answers["metadata_put"] == "replace" or is_unset


def _impossible(
    world: World,
    key: tuple[str, str],
    fields: tuple[str, ...],
    users: Users,
    service: Service,
    care: Care,
) -> tuple[str, ...]:
    """The fields of a change that no known call can write where the service answers like this."""
    (uid, kind), answers = key, service.answers
    if kind == "create":
        return ("uid",) if "_" in uid and answers["uid_underscore"] == "illegal" else ()
    seen = _seen_metadata({"metadata": _object(users[uid])}, service)
    is_blocked = "address" in seen and not isinstance(seen["address"], dict)
    if kind == "update" and "metadata.address.city" in fields and is_blocked:
        return fields
    if kind != "clear":
        return ()
    if "tags" in fields and answers["empty_tags"] == "reject":
        return fields
    lost = ["tags"] if "tags" in fields and answers["empty_tags"] == "ignore" else []
    named = [name for name in fields if name.startswith("metadata.")]
    rest = {"uid": uid, "metadata": deepcopy(seen)}
    for name in named:
        _put(rest, name, None)
    if named and not rest.get("metadata") and not care.may_empty:
        return (*lost, *named)
    lost += _inseparable(world, named, seen, care) if answers["metadata_put"] == "merge" else []
    return tuple(lost)


def _inseparable(world: World, cleared: list[str], seen: dict[str, Any], care: Care) -> list[str]:
    """The keys that cannot go where an update merges: the whole cannot be taken away from beside others, and put back."""
    is_blocked = "address" in seen and not isinstance(seen["address"], dict)
    foreign = {"metadata": deepcopy(seen)}
    for name in world.fields:
        if name.startswith("metadata.") and not (name == "metadata.address.city" and is_blocked):
            _put(foreign, name, None)
    top = {name for name in cleared if name != "metadata.address.city"}
    if "metadata.address.city" in cleared and "zip" not in (seen.get("address") or {}):
        top.add("metadata.address.city")
    return sorted(top) if foreign.get("metadata") or not care.may_empty else []


def _carry_out(
    users: dict[str, dict[str, Any]],
    key: tuple[str, str],
    fields: tuple[str, ...],
    desired: Desired,
    lost: tuple[str, ...],
) -> None:
    uid, kind = key
    if kind == "create":
        if "uid" not in lost and uid not in users:
            users[uid] = {"uid": uid, "role": "default"}
            _write(users[uid], fields, desired.users[uid])
    elif kind == "reactivate":
        users[uid].pop("deactivatedAt")
    elif kind == "deactivate":
        users[uid]["deactivatedAt"] = True
    else:
        _write(users[uid], tuple(name for name in fields if name not in lost), desired.users[uid])


def _write(user: dict[str, Any], fields: tuple[str, ...], values: Values) -> None:
    for name in fields:
        _put(user, name, values[name])
