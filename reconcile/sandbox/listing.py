"""
GET /users: which users a list shows, and which of its pages.

Owns the list's parameters, its filters and its pagination, with the traps that the vendor's documentation
describes: `total_pages` is no count of pages, and `total` is 0 unless it was asked for.
"""

import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from msgspec import UNSET

from reconcile.sandbox.answers import Answer, data, invalid
from reconcile.sandbox.store import Shelf, ShelfName, UserStore
from reconcile.sandbox.switches import Switches
from reconcile.sandbox.users import User
from reconcile.sandbox.views import see, sight_of

__all__ = ["DEFAULT_PER_PAGE", "MAX_PER_PAGE", "Parameters", "list_users", "pagination"]

DEFAULT_PER_PAGE = 100
MAX_PER_PAGE = 1_000

_is_whole = re.compile(r"-?[0-9]{1,18}").fullmatch  # no more than PHP's own integers hold

Filter = Callable[[User], bool]


class Parameters:
    """
    The query of a list, read the way the switches say.
    """

    def __init__(self, query: str, switches: Switches) -> None:
        self._values: dict[str, str] = {}
        self._true = ("1", "true") if switches.flag_words == "1_and_true" else ("1",)
        for name, value in parse_qsl(query, keep_blank_values=True):
            key = name.removesuffix("[]")
            is_more = name != key or switches.repeated_parameter == "all"
            self._values[key] = f"{self._values[key]},{value}" if is_more and key in self._values else value

    def text(self, name: str) -> str:
        """
        Return a parameter, or nothing.
        """
        return self._values.get(name, "").strip()

    def words(self, name: str) -> frozenset[str]:
        """
        Return a parameter that is a list; its parts stand between commas.
        """
        return frozenset(word.strip() for word in self.text(name).split(",") if word.strip())

    def flag(self, name: str) -> bool:
        """
        Say whether a parameter is on.
        """
        return self.text(name).lower() in self._true

    def number(self, name: str, default: int) -> int:
        """
        Return a parameter that is a whole number.

        Raises: Refusal when it is none.
        """
        text = self.text(name)
        if not text:
            return default
        if not _is_whole(text):
            raise invalid({name: [f"The {name} must be an integer."]})
        return int(text)


def list_users(store: UserStore, query: str, switches: Switches) -> Answer:
    """
    Answer one page of the list.
    """
    parameters = Parameters(query, switches)
    page, per_page = _page_of(parameters, switches), _per_page_of(parameters, switches)
    users = _Selection(store, parameters, switches)
    skipped = (page if switches.page_zero == "zero_based" else page - 1) * per_page
    if switches.past_end == "last_page" and skipped >= users.total():
        skipped = max(0, users.total() - 1) // per_page * per_page
    rows = users.page(skipped, per_page + 1)
    more = len(rows) > per_page
    rows = rows[:per_page]
    sight = sight_of("list", switches, with_tags=parameters.flag("withTags"))
    counted = switches.total == "always" or parameters.flag("count")
    total = users.total() if counted or switches.total_pages == "true" else 0
    pages = -(-total // per_page) if switches.total_pages == "true" else page + more
    shown = pagination(total if counted else 0, len(rows), per_page, page, pages)
    return _envelope([see(user, sight) for user in rows], {"pagination": shown}, rows, switches)


def pagination(total: int, count: int, per_page: int, page: int, pages: int) -> dict[str, int]:
    """
    Return the part of `meta` that describes a page.
    """
    return {
        "total": total,
        "count": count,
        "per_page": per_page,
        "current_page": page,
        "total_pages": pages,
    }


class _Selection:
    """
    The users that a list is about: a shelf as it stands, or what the filters leave of it.
    """

    def __init__(self, store: UserStore, parameters: Parameters, switches: Switches) -> None:
        self._shelf = store.shelf(_shelf_name(parameters, switches))
        self._filters = _filters(parameters, switches)

    def page(self, offset: int, limit: int) -> list[User]:
        if not self._filters:
            return self._shelf.page(offset, limit)
        offset = min(offset, len(self._shelf))
        return list(islice(_sift(self._shelf, self._filters), offset, offset + limit))

    def total(self) -> int:
        if not self._filters:
            return len(self._shelf)
        return sum(1 for _ in _sift(self._shelf, self._filters))


def _sift(shelf: Shelf, filters: list[Filter]) -> Iterable[User]:
    return (user for user in shelf if all(keep(user) for keep in filters))


def _shelf_name(parameters: Parameters, switches: Switches) -> ShelfName:
    if switches.deactivated_flags == "honoured":
        if parameters.flag("onlyDeactivated"):
            return "deactivated"
        if parameters.flag("withDeactivated"):
            return "all"
    return "active" if switches.default_list == "active" else "all"


def _page_of(parameters: Parameters, switches: Switches) -> int:
    default = 0 if switches.page_zero == "zero_based" else 1
    page = parameters.number("page", default)
    if page < default:
        if switches.page_zero == "reject":
            raise invalid({"page": ["The page must be at least 1."]})
        return default
    return page


def _per_page_of(parameters: Parameters, switches: Switches) -> int:
    per_page = parameters.number("perPage", DEFAULT_PER_PAGE)
    if not 1 <= per_page <= MAX_PER_PAGE:
        if switches.per_page_over == "reject":
            raise invalid({"perPage": [f"The perPage must be between 1 and {MAX_PER_PAGE}."]})
        return min(max(per_page, 1), MAX_PER_PAGE)
    return per_page


def _filters(parameters: Parameters, switches: Switches) -> list[Filter]:
    filters: list[Filter] = []
    if key := parameters.text("searchKey").lower():
        filters.append(_matching(key, parameters.words("searchIn") or frozenset(("uid", "name"))))
    if role := parameters.text("role").lower():
        filters.append(lambda user: user.role == role)
    if roles := frozenset(word.lower() for word in parameters.words("roles")):
        filters.append(lambda user: user.role in roles)
    if tags := parameters.words("tags"):
        filters.append(_tagged(tags, switches))
    if status := parameters.text("status"):
        filters.append(lambda user: user.status == status)
    uids = frozenset(uid.lower() for uid in parameters.words("uids"))
    if uids and switches.uids_filter == "honoured":
        filters.append(lambda user: user.uid in uids)
    return filters


def _matching(key: str, fields: frozenset[str]) -> Filter:
    def keep(user: User) -> bool:
        return ("uid" in fields and user.uid.startswith(key)) or (
            "name" in fields and user.name.lower().startswith(key)
        )

    return keep


def _tagged(tags: frozenset[str], switches: Switches) -> Filter:
    def keep(user: User) -> bool:
        if user.tags is UNSET:
            return False
        found = tags.intersection(user.tags)
        return found == tags if switches.tags_filter == "all" else bool(found)

    return keep


def _envelope(shown: list[User], meta: dict[str, Any], rows: list[User], switches: Switches) -> Answer:
    if not rows or switches.cursor == "absent":
        return data(shown, meta)
    last = rows[-1]
    stamp = last.createdAt if last.updatedAt is UNSET else last.updatedAt
    cursor = {"updatedAt": stamp, "affix": "append"}
    if switches.cursor == "meta":
        return data(shown, meta | {"cursor": cursor})
    return data(shown, meta, beside={"cursor": cursor})
