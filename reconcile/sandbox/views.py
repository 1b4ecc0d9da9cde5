"""
What an answer shows of a user.

Owns the difference between what is stored and what GET, the list, and the answers to a write show of it; each
is a switch, since nobody outside knows.
"""

from dataclasses import dataclass
from typing import Any, Literal

from msgspec import UNSET
from msgspec.structs import replace

from reconcile.sandbox.switches import Switches
from reconcile.sandbox.users import User

__all__ = ["Sight", "see", "sight_of"]

_PRIVATE = "@private"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """
    What one kind of answer shows.
    """

    tags: bool
    metadata: bool
    private: bool


def sight_of(kind: Literal["get", "list", "echo"], switches: Switches, *, with_tags: bool = False) -> Sight:
    """
    Return what this kind of answer shows; `with_tags` is what a list was asked for.
    """
    tags = {
        "get": switches.get_tags == "shown",
        "list": switches.list_tags == "always" or (with_tags and switches.list_tags == "on_request"),
        "echo": switches.echo_tags == "shown",
    }
    metadata: str = getattr(switches, f"{kind}_metadata")
    return Sight(tags=tags[kind], metadata=metadata == "shown", private=switches.private_metadata == "shown")


def see(user: User, sight: Sight) -> User:
    """
    Return the user as the answer shows it.
    """
    hidden: dict[str, Any] = {}
    if user.tags is not UNSET and not sight.tags:
        hidden["tags"] = UNSET
    if user.metadata is not UNSET:
        if not sight.metadata:
            hidden["metadata"] = UNSET
        elif not sight.private and isinstance(user.metadata, dict):
            hidden["metadata"] = {key: value for key, value in user.metadata.items() if key != _PRIVATE}
    return replace(user, **hidden) if hidden else user
