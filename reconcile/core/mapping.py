"""
What the export's columns mean: which column feeds which managed field, and in which form.

A value, made from the settings once the columns of the source are known.
"""

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from enum import StrEnum

from reconcile.core.users import METADATA_PREFIX, PROFILE_TEXT

__all__ = ["ColumnKind", "ColumnRule", "Mapping", "field_order"]


class ColumnKind(StrEnum):
    """How the text of a cell becomes a value."""

    TEXT = "text"
    ROLE = "role"
    TAGS = "tags"
    NUMBER = "number"
    BOOLEAN = "boolean"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """One managed field and the source column that it is read from."""

    field: str
    column: str
    kind: ColumnKind = ColumnKind.TEXT
    separator: str = "|"

    @property
    def is_metadata(self) -> bool:
        """Whether the field is a key of the metadata object."""
        return self.field.startswith(METADATA_PREFIX)


@dataclass(frozen=True, slots=True)
class Mapping:
    """All rules of a run. `roles` translates the app's own words for roles; others pass as they are."""

    uid_column: str
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
        return tuple(dict.fromkeys((self.uid_column, *(rule.column for rule in self.rules))))

    def keeps_where_empty(self, name: str) -> bool:
        """Whether an empty cell leaves this field as the directory has it."""
        # An empty role is never a demotion, and no known call clears a statusMessage.
        return self.keep_empty or name in {"role", "statusMessage"}


def field_order(name: str) -> tuple[int, str]:
    """Sort key of managed fields: the profile, the role, the tags, then metadata by key."""
    fixed = (*PROFILE_TEXT, "role", "tags")
    return (fixed.index(name), "") if name in fixed else (len(fixed), name)
