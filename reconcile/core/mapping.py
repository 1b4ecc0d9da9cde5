"""
What the export's columns mean: which columns feed which managed field, and in which form.

A value, made from the settings once the columns of the source are known. A cell goes three steps: the
template puts the text together, the transforms change it, and its kind says how it is read.
"""

import re
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from enum import StrEnum

from reconcile.core.ids import hash_suffix, lower, strip
from reconcile.core.metadata import METADATA_PREFIX
from reconcile.core.users import PROFILE_TEXT

__all__ = ["ColumnKind", "ColumnRule", "Mapping", "Template", "Transform", "field_order", "json_label"]

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


class ColumnKind(StrEnum):
    """How the text of a cell becomes a value."""

    TEXT = "text"
    ROLE = "role"
    TAGS = "tags"
    NUMBER = "number"
    BOOLEAN = "boolean"
    JSON = "json"


class Transform(StrEnum):
    """What may be done to a text before it is read."""

    STRIP = "strip"
    LOWER = "lower"
    HASH_SUFFIX = "hash-suffix"

    @property
    def function(self) -> Callable[[str], str]:
        """What it does to one text."""
        return {Transform.STRIP: strip, Transform.LOWER: lower, Transform.HASH_SUFFIX: hash_suffix}[self]


@dataclass(frozen=True, slots=True)
class Template:
    """
    How a text is put together: literal, column, literal, column, ..., literal.

    Law: len(literals) == len(columns) + 1. One column alone and a constant are templates too.
    """

    literals: tuple[str, ...]
    columns: tuple[str, ...] = ()

    @classmethod
    def of_column(cls, name: str) -> "Template":
        """Take the cell as it is."""
        return cls(("", ""), (name,))

    @classmethod
    def read(cls, written: str) -> "Template":
        """
        Read what stands in the settings: names of columns in braces; a brace itself is written twice.

        Raises: ValueError where a brace is left open, or holds no name.
        """
        literals, columns = [""], []
        for found in _PIECE.finditer(written):
            piece, name = found[0], found[1]
            if piece in {"{", "}"} or name == "":
                raise ValueError(
                    f"a brace in {written!r} does not hold a column's name; a brace itself is doubled"
                )
            if name is None:
                literals[-1] += {"{{": "{", "}}": "}"}.get(piece, piece)
            else:
                columns.append(name.strip())
                literals.append("")
        return cls(tuple(literals), tuple(columns))

    @property
    def is_plain(self) -> bool:
        """Whether it is one column and nothing else."""
        return self.literals == ("", "")

    def __str__(self) -> str:
        if self.is_plain:
            return f"column {self.columns[0]!r}"
        if not self.columns:
            return f"the constant {self.literals[0]!r}"
        pieces = [text.replace("{", "{{").replace("}", "}}") for text in self.literals]
        named = [f"{{{name}}}{text}" for name, text in zip(self.columns, pieces[1:], strict=True)]
        return f"template {pieces[0] + ''.join(named)!r}"


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """One managed field (or `uid`), and how it is made of source columns."""

    field: str
    template: Template
    kind: ColumnKind = ColumnKind.TEXT
    separator: str = "|"
    transforms: tuple[Transform, ...] = ()

    @property
    def is_metadata(self) -> bool:
        """Whether the field is a value in the metadata object."""
        return self.field.startswith(METADATA_PREFIX)

    @property
    def needs_every_column(self) -> bool:
        """Whether one empty column empties the field: a key or a URL with a hole in it is a wrong one."""
        return self.field in {"uid", "avatar", "link"}

    @property
    def wants_json(self) -> bool:
        """Whether a cell that is JSON by itself stays so: the text "12" is another value than the number."""
        return self.kind is ColumnKind.JSON and self.template.is_plain

    def __str__(self) -> str:
        steps = [str(self.template), *self.transforms]
        if self.kind is ColumnKind.TAGS:
            steps.append(f"split at {self.separator!r}")
        elif self.kind not in {ColumnKind.TEXT, ColumnKind.ROLE}:
            steps.append(f"as {self.kind}")
        return ", ".join(steps)


@dataclass(frozen=True, slots=True)
class Mapping:
    """All rules of a run. `roles` translates the app's own words for roles; others pass as they are."""

    uid: ColumnRule
    rules: tuple[ColumnRule, ...]
    roles: MappingOf[str, str] = field(default_factory=dict)
    keep_empty: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """The managed fields, in the order in which they are always shown."""
        return tuple(sorted((rule.field for rule in self.rules), key=field_order))

    @property
    def columns(self) -> tuple[str, ...]:
        """The source columns that are read, each once, in mapping order."""
        return tuple(dict.fromkeys(name for rule in (self.uid, *self.rules) for name in rule.template.columns))

    def label(self, name: str, *, is_json: bool) -> str:
        """Say what a frame calls a source column; one that has JSON, and from which a rule wants it, is marked."""
        wanted = is_json and any(rule.wants_json and name in rule.template.columns for rule in self.rules)
        return json_label(name) if wanted else name

    @property
    def words(self) -> dict[str, str]:
        """Say what each field is made of, and how roles are translated; equal words mean the same mapping."""
        rules = {rule.field: str(rule) for rule in sorted(self.rules, key=lambda rule: field_order(rule.field))}
        roles = ", ".join(f"{app!r} is {role!r}" for app, role in sorted(self.roles.items()))
        return {"uid": str(self.uid), **rules, **({"roles": roles} if roles else {})}

    def keeps_where_empty(self, name: str) -> bool:
        """Whether an empty cell leaves this field as the directory has it."""
        # An empty role is never a demotion, and no known call clears a statusMessage.
        return self.keep_empty or name in {"role", "statusMessage"}


def json_label(name: str) -> str:
    """Name the cells of a column that are JSON, and no text yet."""
    return f"{name}\0json"


def field_order(name: str) -> tuple[int, str]:
    """Sort key of managed fields: the profile, the role, the tags, then metadata by key."""
    fixed = (*PROFILE_TEXT, "role", "tags")
    return (fixed.index(name), "") if name in fixed else (len(fixed), name)
