"""
What has to become of a world, worked out from the rules alone, in the plainest way that says them.

Nothing of the product is imported, so that a rule which is wrong there is not wrong here too. Values are kept
as JSON text, in which 1 and 1.0 are one value and 1 and true are two.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from tests.worlds.drawing import CLASSES, KINDS, Night, World

__all__ = ["Desired", "Expected", "Service", "expect", "read_rows"]

Users = Mapping[str, dict[str, Any]]
Values = dict[str, str | None]

_TRUE, _FALSE = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}
_UPDATES = ("update", "role_change", "clear")


class _Unreadable(Exception):
    """A cell that no value can be made of."""


@dataclass(frozen=True, slots=True)
class Desired:
    """The rows that can be trusted by folded uid, whom the others name, and how many of them name nobody."""

    users: dict[str, Values]
    shielded: frozenset[str]
    nameless: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class Service:
    """
    How the service answers, as far as that decides what is possible, and what our own runs did before.

    `switched_off` are the users that they deactivated, `left_at` the time (unix seconds) of their last write by
    uid, `stuck` the (uid, field) that they could not clear.
    """

    answers: dict[str, str]
    as_of: int
    switched_off: frozenset[str] = frozenset()
    left_at: Mapping[str, int] = field(default_factory=dict)
    stuck: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Expected:
    """
    What a plan holds and what comes of it.

    `changes` maps (uid, class) to the fields that it writes; `held` are the classes that guards keep back;
    `users` the directory afterwards; `excused` the (uid, field) that no known call can bring about,
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


# Rows


def read_rows(world: World, night: Night, roles: frozenset[str]) -> Desired:
    """Sort the rows of an export; `roles` are those that the app has."""
    known = roles | ({role.lower() for role in world.roles.values()} if world.creates_roles else set())
    uids = [_uid(row["uid"]) for row in night.cells]
    often = Counter(uids)
    users: dict[str, Values] = {}
    bad: list[str | None] = []
    for uid, row in zip(uids, night.cells, strict=True):
        try:
            values = {name: _value(name, row[name], world.roles) for name in world.fields}
        except _Unreadable:
            values = {}
        role = values.get("role")
        if uid is None or not values or often[uid] > 1 or (role is not None and json.loads(role) not in known):
            bad.append(uid)
        else:
            users[uid] = values
    return Desired(users, frozenset(uid for uid in bad if uid), bad.count(None), len(bad))


def _uid(cell: str) -> str | None:
    text = cell.strip()
    if not re.fullmatch("[A-Za-z0-9_-]{1,100}", text, re.ASCII) or text.lower() in {"0", "null", "undefined"}:
        return None
    return text.lower()


def _value(name: str, cell: str, roles: Mapping[str, str]) -> str | None:
    text, kind = cell.strip(), KINDS[name]
    if not text:
        if name == "name":
            raise _Unreadable
        return None
    return _canonical(_READERS[kind](text) if kind != "role" else _role(roles.get(text, text)))


def _name(text: str) -> str:
    if len(text.encode("utf-16-le")) > 200:
        raise _Unreadable
    return text


def _url(text: str) -> str:
    if not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#\s]", text) or len(text) > 3000 or re.search(r"\s", text):
        raise _Unreadable
    return text


def _role(text: str) -> str:
    if not re.fullmatch("[A-Za-z0-9_-]{1,100}", text.strip(), re.ASCII):
        raise _Unreadable
    return text.strip().lower()


def _tags(text: str) -> list[str] | None:
    tags = sorted({tag.strip() for tag in text.split("|")} - {""})
    if len(tags) > 25 or any(len(tag) > 100 for tag in tags):
        raise _Unreadable
    return tags or None


def _number(text: str) -> float:
    if not re.fullmatch(r"-?\d+(\.\d+)?(e\d+)?", text):
        raise _Unreadable
    return float(text)


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise _Unreadable
    return text.lower() in _TRUE


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise _Unreadable from None


_READERS: dict[str, Callable[[str], Any]] = {
    "name": _name,
    "url": _url,
    "tags": _tags,
    "message": str,
    "text": str,
    "number": _number,
    "boolean": _boolean,
    "json": _json,
}


def _canonical(value: Any) -> str | None:
    return None if value is None else json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return {key: _plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value


# Users


def _held_by(user: Mapping[str, Any], name: str) -> str | None:
    """What a record holds of a field."""
    if name == "tags":
        return _canonical(sorted(set(user.get("tags") or [])) or None)
    if not name.startswith("metadata."):
        return _canonical(user.get(name) or None)
    found: Any = user.get("metadata") or {}
    for key in name.split(".")[1:]:
        found = found.get(key) if isinstance(found, dict) else None
    return _canonical(found)


def _put(user: dict[str, Any], name: str, text: str | None) -> None:
    value = None if text is None else json.loads(text)
    if not name.startswith("metadata."):
        user.pop(name, None)
        if value is not None:
            user[name] = value
        return
    metadata = deepcopy(user.get("metadata") or {})
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


def _is_active(user: Mapping[str, Any]) -> bool:
    return not user.get("deactivatedAt")


def _is_protected(uid: str, night: Night) -> bool:
    return any(fnmatchcase(uid, pattern.lower()) for pattern in night.policy["protect"])


def _is_newer(user: Mapping[str, Any], service: Service) -> bool:
    last = max(user.get("createdAt") or 0, user.get("updatedAt") or 0)
    return last >= service.as_of and last > service.left_at.get(user["uid"], 0)


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


def expect(world: World, night: Night, desired: Desired, users: Users, service: Service) -> Expected:
    """Say what a run over this directory plans, holds, and leaves behind."""
    changes = _changes(world, night, desired, users, service)
    counts = Counter(kind for _, kind in changes)
    held = _held(night, desired, users, counts, service)
    after = {uid: deepcopy(dict(user)) for uid, user in users.items()}
    excused: set[tuple[str, str]] = set()
    for (uid, kind), fields in changes.items():
        is_asleep = uid in users and not _is_active(users[uid]) and kind in _UPDATES
        if kind in held or (is_asleep and "reactivate" in held):
            continue
        lost = _impossible(world, (uid, kind), fields, desired, users, service)
        excused |= {(uid, name) for name in lost}
        _carry_out(after, (uid, kind), fields, desired, lost)
    hidden = frozenset(uid for uid, user in users.items() if uid in desired.users and _is_hidden(user, service))
    is_refused = service.answers["empty_tags"] == "reject"
    stuck = {
        (uid, name)
        for uid, name in excused
        if name in changes.get((uid, "clear"), ()) and not (is_refused and "tags" in changes[uid, "clear"])
    }
    return Expected(changes, counts, held, after, frozenset(excused), hidden, frozenset(stuck))


def _changes(
    world: World, night: Night, desired: Desired, users: Users, service: Service
) -> dict[tuple[str, str], tuple[str, ...]]:
    changes: dict[tuple[str, str], tuple[str, ...]] = {}
    for uid, values in desired.users.items():
        user = users.get(uid)
        if _is_protected(uid, night):
            continue
        if user is None or _is_hidden(user, service):
            changes[uid, "create"] = tuple(name for name in world.fields if values[name] is not None)
        elif not _is_active(user):
            if night.policy["deactivated"] == "reactivate" and uid in service.switched_off:
                changes[uid, "reactivate"] = ()
                changes |= _drift(uid, user, values, night)
        elif night.policy["newer"] == "apply" or not _is_newer(user, service):
            found = _drift(uid, user, values, night)
            lost = tuple(name for name in found.pop((uid, "clear"), ()) if (uid, name) not in service.stuck)
            changes |= found | ({(uid, "clear"): lost} if lost else {})
    if night.policy["unmanaged"] == "deactivate":
        for uid, user in users.items():
            is_known = uid in desired.users or uid in desired.shielded or _is_protected(uid, night)
            if _is_active(user) and not is_known and not _is_newer(user, service):
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


def _held(night: Night, desired: Desired, users: Users, counts: Counter[str], service: Service) -> frozenset[str]:
    held = {"deactivate"} if desired.nameless and counts["deactivate"] else set()
    if night.guards is None:
        return frozenset(held)
    seen = [user for user in users.values() if not _is_hidden(user, service)]
    active = [user for user in seen if _is_active(user)]
    matched = sum(user["uid"] in desired.users for user in active)
    bases = {"create": len(seen), "deactivate": len(active), "reactivate": len(seen) - len(active)}
    for kind in CLASSES:
        guard, number = night.guards[kind], counts[kind]
        base = bases.get(kind, matched)
        is_over = number > guard["floor"] and number * 100 > guard["percent"] * base
        is_over = is_over or number > guard.get("max", number)
        if is_over and not (kind == "create" and not seen):
            held.add(kind)
    return frozenset(held)


# What comes of it


def _impossible(
    world: World,
    key: tuple[str, str],
    fields: tuple[str, ...],
    desired: Desired,
    users: Users,
    service: Service,
) -> tuple[str, ...]:
    """The fields of a change that no known call can write where the service answers like this."""
    (uid, kind), answers = key, service.answers
    if kind == "create":
        return ("uid",) if "_" in uid and answers["uid_underscore"] == "illegal" else ()
    metadata = users[uid].get("metadata") or {}
    is_blocked = "address" in metadata and not isinstance(metadata["address"], dict)
    if kind == "update" and "metadata.address.city" in fields and is_blocked:
        return fields
    if kind != "clear":
        return ()
    if "tags" in fields and answers["empty_tags"] == "reject":
        return fields
    lost = ["tags"] if "tags" in fields and answers["empty_tags"] == "ignore" else []
    if answers["metadata_put"] == "merge":
        rest = {"uid": uid, "metadata": deepcopy(metadata)}
        for name in world.fields:
            if name.startswith("metadata.") and not (name == "metadata.address.city" and is_blocked):
                _put(rest, name, None)
        # One key cannot go from beside a key that is not ours: the whole cannot be taken away and put back.
        top = {name for name in fields if name.startswith("metadata.") and name != "metadata.address.city"}
        if fields.count("metadata.address.city") and "zip" not in (metadata.get("address") or {}):
            top.add("metadata.address.city")
        lost += sorted(top) if rest.get("metadata") else []
    return tuple(lost)


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
