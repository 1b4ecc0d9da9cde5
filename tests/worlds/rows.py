"""The rules for the rows of an export: which can be trusted, and what their cells say."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.worlds.drawing import KINDS, Night, World

__all__ = ["Desired", "Values", "canonical", "read_rows"]

Values = dict[str, str | None]

_TRUE, _FALSE = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}


class _Unreadable(Exception):
    """A cell that no value can be made of."""


@dataclass(frozen=True, slots=True)
class Desired:
    """The rows that can be trusted by folded uid, whom the others name, and how many of them name nobody."""

    users: dict[str, Values]
    shielded: frozenset[str]
    nameless: int
    quarantined: int


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
        asked = None if role is None else json.loads(role)
        is_barred = asked is not None and (asked not in known or asked in night.policy["protect_roles"])
        if uid is None or not values or often[uid] > 1 or is_barred:
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
    return canonical(_READERS[kind](text) if kind != "role" else _role(roles.get(text, text)))


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


def canonical(value: Any) -> str | None:
    """Write a value so that equal values are equal text; None for nothing."""
    return None if value is None else json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return {key: _plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value
