"""
The users of the app, and the shelves that they are listed from.

Owns the users in memory and their order. Refuses to know about requests: what a request may write stands in
`forms`, what an answer shows stands in `views`.
"""

import gc
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Literal, TypeAlias

import msgspec

from reconcile.sandbox.history import History
from reconcile.sandbox.users import User

__all__ = ["Order", "Shelf", "ShelfName", "UserStore"]

Order: TypeAlias = Literal["newest", "oldest", "name", "presence"]
ShelfName: TypeAlias = Literal["active", "deactivated", "all"]


def _newest(user: User) -> tuple[Any, ...]:
    return (user.createdAt, user.uid)


def _name(user: User) -> tuple[Any, ...]:
    return (user.name.lower(), user.uid)


def _presence(user: User) -> tuple[Any, ...]:
    # "available" sorts before "offline", which is the client API's order: status, then name, then uid.
    return (user.status, user.name.lower(), user.uid)


_KEYS: dict[Order, Callable[[User], tuple[Any, ...]]] = {
    "newest": _newest,
    "oldest": _newest,
    "name": _name,
    "presence": _presence,
}


class Shelf:
    """
    Users in listing order, kept sorted while users come and go, so that a page is a slice.
    """

    def __init__(self, users: Iterable[User], order: Order) -> None:
        self._key = _KEYS[order]
        # The newest users stand at the end, where a list takes a new one cheaply.
        self._from_end = order == "newest"
        self._users = sorted(users, key=self._key)

    def __len__(self) -> int:
        return len(self._users)

    def __iter__(self) -> Iterator[User]:
        return reversed(self._users) if self._from_end else iter(self._users)

    def page(self, offset: int, limit: int) -> list[User]:
        """
        Return at most `limit` users after the first `offset`; an empty list past the end.
        """
        if not self._from_end:
            return self._users[offset : offset + limit]
        stop = max(0, len(self._users) - offset)
        return self._users[max(0, stop - limit) : stop][::-1]

    def add(self, user: User) -> None:
        """
        Put a user in its place.
        """
        insort(self._users, user, key=self._key)

    def find(self, user: User) -> int:
        """
        Return where the user stands.
        """
        at = bisect_left(self._users, self._key(user), key=self._key)
        if at == len(self._users) or self._users[at] is not user:  # shuffled: look everywhere
            at = next(i for i, other in enumerate(self._users) if other is user)
        return at

    def take(self, at: int) -> None:
        """
        Take out the user who stands there.
        """
        del self._users[at]

    def shuffle(self, seed: int) -> None:
        """
        Put the users into another order, as a listing without a stable order may.
        """
        Random(seed).shuffle(self._users)  # noqa: S311 - weather, not a secret


class UserStore:
    """
    All users of the app by uid, with one shelf for each kind of listing.
    """

    def __init__(self, history: History) -> None:
        self.by_uid: dict[str, User] = {}
        self._history = history
        self._order: Order = "newest"
        self._shelves: dict[ShelfName, Shelf] = {}

    def get(self, uid: str) -> User | None:
        """
        Return the user with this folded uid, active or not.
        """
        return self.by_uid.get(uid)

    def load(self, users: Iterable[User]) -> int:
        """
        Take in many users, each in place of one with its uid, and return how many came.
        """
        self._shelves.clear()
        self._history.clear()
        count = 0
        with _uncollected():
            for user in users:
                self.by_uid[user.uid] = user
                count += 1
        return count

    def clear(self) -> None:
        """
        Forget every user.
        """
        self.by_uid.clear()
        self._shelves.clear()
        self._history.clear()

    def order_by(self, order: Order) -> None:
        """
        List in this order from now on.
        """
        if order != self._order:
            self._order = order
            self._shelves.clear()

    def shelf(self, name: ShelfName) -> Shelf:
        """
        Return the users of one kind in listing order.
        """
        if name not in self._shelves:
            users = (user for user in self.by_uid.values() if name in _shelves_of(user))
            self._shelves[name] = Shelf(users, self._order)
        return self._shelves[name]

    def add(self, user: User) -> None:
        """
        Take in a user whose uid is free.
        """
        self._history.note(user.uid, None)
        self._put(user)

    def remove(self, user: User) -> None:
        """
        Forget a user.
        """
        self._history.note(user.uid, user)
        self._take(user)

    @contextmanager
    def changing(self, user: User) -> Iterator[User]:
        """
        Let a user's fields change; it stands in its right place afterwards.
        """
        self._history.note(user.uid, user)
        places = self._places(user)
        before = self._standing(user)
        yield user
        if self._standing(user) != before:
            for shelf, at in places:
                shelf.take(at)
            self._put_up(user)

    @contextmanager
    def as_of(self, unix_s: float) -> Iterator[None]:
        """
        Show the users as they were at a moment, for the length of the block.
        """
        past = self._history.since(unix_s)
        present = {uid: self.by_uid.get(uid) for uid in past}
        self._set(past)
        try:
            yield
        finally:
            self._set(present)

    def dump(self) -> bytes:
        """
        Return every user with every field, one JSON object a line, by uid.
        """
        return msgspec.json.Encoder().encode_lines([self.by_uid[uid] for uid in sorted(self.by_uid)])

    def _set(self, users: dict[str, User | None]) -> None:
        for uid, user in users.items():
            if (there := self.by_uid.get(uid)) is not None:
                self._take(there)
            if user is not None:
                self._put(user)

    def _put(self, user: User) -> None:
        self.by_uid[user.uid] = user
        self._put_up(user)

    def _take(self, user: User) -> None:
        for shelf, at in self._places(user):
            shelf.take(at)
        del self.by_uid[user.uid]

    def _standing(self, user: User) -> tuple[Any, ...]:
        return (user.is_active, *_KEYS[self._order](user))

    def _places(self, user: User) -> list[tuple[Shelf, int]]:
        shelves = [self._shelves[name] for name in _shelves_of(user) if name in self._shelves]
        return [(shelf, shelf.find(user)) for shelf in shelves]

    def _put_up(self, user: User) -> None:
        for name in _shelves_of(user):
            if name in self._shelves:
                self._shelves[name].add(user)


@contextmanager
def _uncollected() -> Iterator[None]:
    # Nothing that is loaded is garbage, and looking for some takes longer than the loading.
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _shelves_of(user: User) -> tuple[ShelfName, ShelfName]:
    return ("active", "all") if user.is_active else ("deactivated", "all")
