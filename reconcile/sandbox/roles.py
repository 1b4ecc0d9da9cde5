"""
The roles of the app.

Owns the roles in memory, the built-in one among them. Which role a request may name is checked in `forms`.
"""

from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, Struct, UnsetType

__all__ = ["DEFAULT_ROLE", "MAX_ROLES", "Role", "RoleStore"]

DEFAULT_ROLE = "default"
MAX_ROLES = 25  # per app: vendor's documentation, "properties and constraints"


class Role(Struct, omit_defaults=True):
    """
    One role as the API shows it; name and createdAt are blank only between being read and being loaded.
    """

    role: str
    name: str = ""
    createdAt: int = 0  # noqa: N815 - the API's own name, as are those below
    description: str | UnsetType = UNSET
    metadata: Any = UNSET
    settings: Any = UNSET
    updatedAt: int | UnsetType = UNSET  # noqa: N815


class RoleStore:
    """
    All roles by id; the built-in role is always among them.
    """

    def __init__(self, now_s: int) -> None:
        self.by_id: dict[str, Role] = {}
        self.clear(now_s)

    def clear(self, now_s: int) -> None:
        """
        Forget every role but the built-in one.
        """
        self.by_id = {DEFAULT_ROLE: Role(DEFAULT_ROLE, "Default Role", now_s)}

    def load(self, roles: Iterable[Role], now_s: int) -> int:
        """
        Take in roles, each in place of one with its id, and return how many came.
        """
        count = 0
        for role in roles:
            role.role = role.role.lower()
            role.name = role.name or role.role
            role.createdAt = role.createdAt or now_s
            self.by_id[role.role] = role
            count += 1
        return count

    def newest_first(self) -> list[Role]:
        """
        Return the roles in the order they are listed in.
        """
        return sorted(self.by_id.values(), key=lambda role: (-role.createdAt, role.role))
