"""
A mapping proposed from the first rows of an export: which column is the uid, the name, the tags.

Pure, and a proposal: a person looks through it. `role` is never among the fields; a role decides what a user may do.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from reconcile.core.users import fold_uid
from reconcile.settings import Column

__all__ = ["Proposal", "Sample", "propose", "separated"]

# Column names that exports commonly have, best first, written in one form (see _plain).
_USUAL = {
    "uid": (
        "uid", "user_uid", "id", "user_id", "userid", "external_id", "member_id", "customer_id", "account_id", "uuid", "guid",
        "username", "login", "email",
    ),
    "name": ("name", "full_name", "fullname", "display_name", "displayname", "username", "nickname", "title"),
    "avatar": ("avatar", "avatar_url", "image", "image_url", "photo", "photo_url", "picture", "picture_url"),
    "link": ("link", "profile_url", "url", "profile", "website", "homepage"),
    "statusMessage": ("status_message", "statusmessage", "mood"),
    "tags": ("tags", "labels", "groups", "segments"),
    "role": ("role", "plan", "tier", "user_role", "user_type", "type"),
}  # fmt: skip
_HALVES = (
    ("first_name", "last_name"),
    ("firstname", "lastname"),
    ("given_name", "family_name"),
    ("forename", "surname"),
)
_SEPARATORS = ("|", ";", ",", " ")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,12})?")
_SECRET = re.compile(r"passw|pwd|secret|token|salt|hash|api_?key|credential")
_USABLE = 0.5  # of the rows: a uid that fewer bear is none
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """
    The columns of an export and its first rows, None where a cell is null.

    `encoding` and `delimiter` are what had to be guessed because the file does not show it; empty where it does.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    encoding: str = ""
    delimiter: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """
    What may be mapped: `fields` by CometChat field, `metadata` by key, `role` a column that looks like one.

    `examples` has some distinct values by column, but of those that look secret; `notes` what a person has to know.
    """

    fields: dict[str, Column] = field(default_factory=dict)
    metadata: dict[str, Column] = field(default_factory=dict)
    role: str = ""
    examples: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def propose(sample: Sample) -> Proposal:
    """Propose a mapping. A column whose name is there twice is proposed for nothing: it could not be read."""
    cells = {
        name: [(row[at] or "").strip() for row in sample.rows]
        for at, name in enumerate(sample.columns)
        if name and sample.columns.count(name) == 1
    }
    fields: dict[str, Column] = {}
    uid = _uid(cells)
    rest = dict(cells)
    if uid:
        fields["uid"] = Column(uid)
        del rest[uid]
    for wanted in ("name", "avatar", "link", "statusMessage", "tags"):
        column = _named(wanted, rest)
        if column:
            fields[wanted] = separated(column, sample) if wanted == "tags" else Column(column)
            del rest[column]
    if "name" not in fields:
        fields |= _halves(rest, cells)
        rest = {name: values for name, values in rest.items() if name not in _columns_of(fields.values())}
    role = _named("role", rest)
    open_rest = {
        name: values for name, values in rest.items() if name != role and not _SECRET.search(_plain(name))
    }
    return Proposal(
        fields,
        {name: Column(name, type=_type(values)) for name, values in open_rest.items()},  # type: ignore[arg-type]
        role,
        {name: _examples(values) for name, values in cells.items() if not _SECRET.search(_plain(name))},
        tuple(_notes(sample, fields, cells)),
    )


def separated(column: str, sample: Sample) -> Column:
    """Map tags, with what stands between them: what splits the most values, | where nothing does."""
    at = sample.columns.index(column)
    texts = [row[at] or "" for row in sample.rows]
    counted = {
        separator: sum(separator in text.strip() for text in texts if not text.startswith("["))
        for separator in _SEPARATORS
    }
    return Column(column, separator=max(_SEPARATORS, key=lambda separator: counted[separator]))


def _plain(name: str) -> str:
    """Write a name in one form: `fullName`, `Full Name` and `full-name` are `full_name`."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", split.lower()).strip("_")


def _named(wanted: str, cells: dict[str, list[str]]) -> str:
    """Give the column whose name is the most usual for a field, and whose values could be it."""
    plain = {_plain(name): name for name in reversed(cells)}
    columns = (plain[name] for name in _USUAL[wanted] if name in plain)
    return next((column for column in columns if _could_be(wanted, cells[column])), "")


def _could_be(wanted: str, values: list[str]) -> bool:
    filled = [value for value in values if value]
    if wanted not in {"avatar", "link"} or not filled:
        return True
    return 2 * sum(_URL.fullmatch(value) is not None for value in filled) >= len(filled)


def _uid(cells: dict[str, list[str]]) -> str:
    """Give the column that tells users apart: by how many rows bear a legal value of their own, then by its name."""
    names = {_plain(name): name for name in reversed(cells)}
    usual = [names[name] for name in _USUAL["uid"] if name in names]
    likely = [name for name in usual if _usable(cells[name]) >= _USABLE]
    if likely:
        return likely[0]
    alone = [name for name in cells if _plain(name).endswith("id") and _usable(cells[name]) == 1]
    return next(iter([*alone, *usual]), "")


def _usable(values: list[str]) -> float:
    """Give the share of rows with a legal value that no other row has; 1 where there is no row to tell."""
    folded = Counter(fold_uid(value) for value in values)
    good = sum(number == 1 for uid, number in folded.items() if uid is not None)
    return good / len(values) if values else 1.0


def _halves(rest: dict[str, list[str]], cells: dict[str, list[str]]) -> dict[str, Column]:
    """Put a name together from two columns, where there is none of its own."""
    plain = {_plain(name): name for name in rest if not {"{", "}"} & set(name)}
    for first, last in _HALVES:
        if first in plain and last in plain:
            return {"name": Column(template=f"{{{plain[first]}}} {{{plain[last]}}}")}
    near = next((name for name in cells if _plain(name).endswith("name")), "")
    return {"name": Column(near)} if near else {}


def _columns_of(columns: Iterable[Column]) -> set[str]:
    return {name for column in columns for name in column.made_of.columns}


def _type(values: list[str]) -> str:
    filled = [value for value in values if value]
    if not filled:
        return "text"
    if all(_NUMBER.fullmatch(value) for value in filled):
        return "number"
    if {value.lower() for value in filled} <= {"true", "false"}:
        return "boolean"
    return "json" if all(_is_json(value) for value in filled) else "text"


def _is_json(text: str) -> bool:
    if text[0] not in "{[":
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _examples(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))[:_EXAMPLES]


def _notes(sample: Sample, fields: dict[str, Column], cells: dict[str, list[str]]) -> Iterable[str]:
    twice = [name for name, number in Counter(sample.columns).items() if number > 1]
    if twice:
        yield f"columns whose name is there more than once cannot be mapped: {', '.join(twice)}"
    if "uid" not in fields:
        yield "no column looks like the key that tells users apart; say which one it is"
    else:
        yield from _uid_notes(fields["uid"].column or "", cells)
    if "name" not in fields:
        yield "no column looks like a name, and CometChat requires one; say which one it is"
    if sample.encoding:
        yield f"the file is no UTF-8; {sample.encoding} is a guess: look whether its names read well"


def _uid_notes(column: str, cells: dict[str, list[str]]) -> Iterable[str]:
    values = cells[column]
    illegal = [value for value in values if fold_uid(value) is None]
    if illegal:
        shown = next((value for value in illegal if value), "an empty cell")
        yield (
            f"{len(illegal)} of the first {len(values)} rows have no legal uid in {column} (such as {shown}), and are left "
            "out; a transform can make legal ones: docs/mapping.md"
        )
    folded = Counter(uid for value in values if (uid := fold_uid(value)) is not None)
    doubled = sum(number for number in folded.values() if number > 1)
    if doubled:
        yield f"{doubled} of the first {len(values)} rows share their {column} with another one, and are left out"
