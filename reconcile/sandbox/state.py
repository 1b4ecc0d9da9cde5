"""
Files that the sandbox reads and writes.

Owns the two of them: users, one JSON object a line, and the state that outlives a server.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from reconcile.sandbox.roles import Role
from reconcile.sandbox.users import User
from reconcile.sandbox.world import World

__all__ = ["StateSaver", "load_state", "load_users"]


class _State(Struct):
    roles: list[Role]
    users: list[User]


def load_users(world: World, path: Path) -> int:
    """
    Load the users of a file of JSON lines, and return how many came.

    Raises: ValueError for a line that is no user, with its number.
    """
    with path.open("rb") as lines:
        return world.load_users(_users_in(lines, path))


def load_state(world: World, path: Path) -> None:
    """
    Load users and roles as an earlier server left them.
    """
    state = msgspec.json.decode(path.read_bytes(), type=_State)
    world.load_roles(state.roles)
    world.load_users(state.users)


class StateSaver:
    """
    Keeps a file up to date with users and roles.
    """

    def __init__(self, world: World, path: Path) -> None:
        self._world = world
        self._path = path
        self._saved: int | None = None

    def save(self) -> None:
        """
        Write users and roles aside, and swap them in whole, so that a kill leaves the old or the new.
        """
        with self._world.lock:
            state = _State(self._world.roles.newest_first(), list(self._world.users.by_uid.values()))
            encoded = msgspec.json.encode(state)
        if hash(encoded) != self._saved:
            aside = self._path.with_name(f"{self._path.name}.part")
            aside.write_bytes(encoded)
            aside.replace(self._path)
            self._saved = hash(encoded)


def _users_in(lines: Iterable[bytes], path: Path) -> Iterator[User]:
    decode = msgspec.json.Decoder(User).decode
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        try:
            yield decode(line)
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
