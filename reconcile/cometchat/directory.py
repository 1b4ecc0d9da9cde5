"""
The directory: CometChat's users, as the rest of the job asks for them.

Owns how users are found (walks over the list, looks at single users) and which kind of answer was seen to
show tags and metadata at all.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from functools import partial
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.cometchat import wire
from reconcile.cometchat.client import Client
from reconcile.cometchat.wire import PAGE_SIZE, IsNews, Page, Request
from reconcile.core.actual import GROUPS, managed_groups, shown_column
from reconcile.core.pacing import RateGroup
from reconcile.core.users import DirectoryUser, Record, as_record, shown_of
from reconcile.errors import ChangeRejected, DirectoryBusy, DirectoryStopped

__all__ = ["WINDOW", "Directory", "Seen", "Unknown"]

T = TypeVar("T")
_SEARCH_PAGES = 2  # of a list that ignores what is searched for, no more are asked for
_SEARCH_AT_MOST = 20  # pages of users whose uid begins alike
_LOOKS_AT_FIRST = 3  # before a first page that keeps changing is taken for a broken list
WINDOW = 8  # pages in flight at the most; a page takes the service longer than the line


class Unknown:
    """The directory could not say; `why` in a few words."""

    def __init__(self, why: str) -> None:
        self.why = why


class Seen(NamedTuple):
    """
    A user, and the groups (tags, metadata) of which it is known what the user has there.

    A group that is not known was shown by no answer, and is not empty for that.
    """

    user: DirectoryUser
    known: frozenset[str]


class Directory:
    """The users and roles of one app. Thread-safe, but for `pages`."""

    def __init__(
        self,
        client: Client,
        fields: tuple[str, ...],
        *,
        workers: int,
        unnamed: Callable[[Iterable[str]], Collection[str]] = lambda _uids: (),
        on_private: Callable[[], None] | None = None,
    ) -> None:
        """
        Ask with this client. `unnamed` gives those of some uids that must not become a witness: a plan would write them
        down. `on_private` is called when an answer shows `metadata.@private` of somebody; None: nobody asks.
        """
        self._client = client
        self._unnamed = unnamed
        self._fields = fields
        self._workers = workers
        # Groups (tags, metadata) that each kind of answer was seen to carry. Only ever grows.
        self.shown: dict[str, set[str]] = {"list": set(), "get": set(), "echo": set()}
        self.witnesses: dict[str, str] = {}
        self.first_page = 1
        self._is_first_page_known = False
        self._on_private = on_private
        self._from_list: frozenset[str] = frozenset()
        # Of a walk one thread at a time reads a page, or does with it what the caller does: two on two cores wait for
        # Python's own lock, and took 16 s of CPU for a million users instead of 11.5 (benchmarks/plan.py).
        self._computing = Lock()

    def roles(self) -> frozenset[str]:
        """Fetch the ids of the app's roles, in lower case: proves key and scope too."""
        return self._must(Request("GET", "/roles", wire.read_roles))

    def create_role(self, role: str) -> None:
        """Create a role that bears its id as its name."""
        self._must(Request("POST", "/roles", lambda body: body, body={"role": role, "name": role}))

    def page(self, number: int, *, deactivated: bool = False) -> list[DirectoryUser]:
        """Fetch one page of the list, counted from `first_page`."""
        return self._list(number, *_which(deactivated=deactivated))

    def find_first_page(self) -> list[DirectoryUser]:
        """
        Find out whether pages are counted from 1 or from 0, and give the first one.

        The vendor's documentation says 1, an older one 0: counted wrongly, a walk misses a thousand users. So where
        page 0 shows nothing new, as a page that was given for another would, one of them is asked for again.
        Raises: DirectoryStopped when it is another one each time.
        """
        for _ in range(_LOOKS_AT_FIRST):
            one = self._list(1)
            try:
                zero = self._list(0)
            except ChangeRejected:
                self._is_first_page_known = True
                return one
            if zero and _are_apart(zero, one):
                self.first_page, self._is_first_page_known = 0, True
                return zero
            is_sure = not _are_apart(one, self._list(1)) if one else not self._list(0)
            if is_sure:
                self._is_first_page_known = True
                return one
        raise DirectoryStopped(
            "the first page of the list is another one each time it is asked for",
            hint="check cometchat.base_url: reconcile doctor",
        )

    def pages(self, *, deactivated: bool = False, is_news: IsNews | None = None) -> Iterator[pa.Table]:
        """
        Walk the list until a page is empty; counts and page totals of the service are not believed.

        Gives each page as columns (see `read_rows`). Several are in flight, more as the walk goes on. With `is_news`
        a page without news is given as an empty one: to a second walk nearly all are.
        Raises: DirectoryStopped when the same full page comes twice in a row.
        """
        with ThreadPoolExecutor(self._workers) as pool:
            waiting: deque[Future[Page]] = deque()
            which = _which(deactivated=deactivated)
            number, window = self.first_page - 1, 1
            last = pa.array([], pa.string())
            while True:
                while len(waiting) < window:
                    number += 1
                    waiting.append(pool.submit(self._page, number, *which, is_news=is_news))
                page = waiting.popleft().result()
                if not len(page.uids):
                    for unneeded in waiting:
                        unneeded.cancel()
                    return
                if page.uids.equals(last):
                    raise DirectoryStopped(
                        "the list shows the same page twice", hint="check cometchat.base_url: reconcile doctor"
                    )
                last = page.uids
                with self._computing:
                    yield page.rows
                window = min(window * 2, WINDOW, self._workers)

    def errand(self) -> AbstractContextManager[None]:
        """Begin one change: all its requests share the time that it may be on the wire."""
        return self._client.errands.one()

    def look(self, uid: str, *, settling: bool = False) -> Record | None:
        """Get one user as it is now; None where it is not active or not there."""
        seen = self._whole(uid, settling=settling)
        return None if seen is None else as_record(seen.user, self._fields, seen.known)

    def rely_on_list(self, groups: Iterable[str]) -> None:
        """Have every look take these groups (tags, metadata) from the list, where a single user hides them."""
        self._from_list = (self._from_list | frozenset(groups)) & self.shows("list")

    def try_list(self, groups: Iterable[str]) -> None:
        """Have looks ask the list for these groups, though nothing has proven so far that it carries them."""
        self._from_list |= frozenset(groups)

    def list_shows(self, witnesses: Mapping[str, str]) -> frozenset[str]:
        """
        Look at the list, and give the groups that it is known to carry.

        `witnesses` are users who are known to have some. Also finds out how pages are counted.
        """
        self.find_first_page()
        for group, uid in witnesses.items():
            if group not in self.shows("list"):
                self._search(uid)
        return self.shows("list")

    def looks_at_list(self) -> bool:
        """Whether a look may cost a second request, for what a single user hides."""
        return bool(self._from_list)

    def looks_show(self) -> frozenset[str]:
        """The groups that a look is known to carry, from the user itself or from the list."""
        return self.shows("get") | (self._from_list & self.shows("list"))

    def get(self, uid: str, *, settling: bool = False) -> DirectoryUser | None:
        """Get one user as CometChat shows it."""
        request = Request("GET", f"/users/{uid}", self._hearing(lambda body: wire.read_user(body, uid)))
        user = self._client.send(request, settling=settling)
        if user is not None:
            self._learn("get", [user])
        return user

    def find(self, uid: str) -> Seen | None:
        """Find one user, active or deactivated, with everything that any kind of answer shows of it."""
        user = self.get(uid)
        if user is None:
            row = self._search(uid, ("onlyDeactivated", "1"))
            return None if row is None else Seen(row, shown_of(row) | self.shows("list"))
        return self._completed(user, GROUPS, settling=False)

    def find_deactivated(self, uid: str, *, settling: bool = False) -> Seen | None:
        """
        Find one user that is deactivated as far as anybody knows; None where neither the list nor a look shows it.

        It may be active again: its `deactivated_at` says so.
        """
        row = self._search(uid, ("onlyDeactivated", "1"), settling=settling)
        return (
            self._whole(uid, settling=settling) if row is None else Seen(row, shown_of(row) | self.shows("list"))
        )

    def find_each(
        self, uids: Iterable[str], *, settling: bool = False
    ) -> Iterator[tuple[str, Seen | Unknown | None]]:
        """Find many users that are deactivated as far as anybody knows, several at a time, in their order."""
        return self._each(uids, partial(self.find_deactivated, settling=settling))

    def get_each(self, uids: Iterable[str]) -> Iterator[tuple[str, Seen | Unknown | None]]:
        """Get many users, several at a time, in their order."""
        return self._each(uids, self._whole)

    def _each(
        self, uids: Iterable[str], find: Callable[[str], Seen | None]
    ) -> Iterator[tuple[str, Seen | Unknown | None]]:
        with ThreadPoolExecutor(self._workers) as pool:
            waiting: deque[tuple[str, Future[Seen | Unknown | None]]] = deque()
            for uid in uids:
                waiting.append((uid, pool.submit(_or_unknown, find, uid)))
                if len(waiting) >= 2 * self._workers:
                    first, found = waiting.popleft()
                    yield first, found.result()
            for uid, found in waiting:
                yield uid, found.result()

    def create(self, body: dict[str, Any]) -> Record:
        """Create a user and give what the answer shows of it."""
        uid: str = body["uid"]
        read = self._hearing(lambda raw: wire.read_user(raw, uid))
        request = Request("POST", "/users", read, body=body, group=RateGroup.CORE)
        return self._echo(self._must(request))

    def update(self, uid: str, body: dict[str, Any]) -> Record | None:
        """Update a user and give what the answer shows of it; None where it is not there any more."""
        read = self._hearing(lambda raw: wire.read_user(raw, uid))
        user = self._client.send(Request("PUT", f"/users/{uid}", read, body=body))
        return None if user is None else self._echo(user)

    def reactivate(self, uids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Activate up to 25 users; what became of each stands in the lists of the answer."""
        body = {"uidsToActivate": list(uids)}
        return self._must(Request("PUT", "/users", wire.read_uid_lists, body=body, group=RateGroup.CORE))

    def deactivate(self, uids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Deactivate up to 25 users; what became of each stands in the lists of the answer."""
        body = {"uidsToDeactivate": list(uids)}
        return self._must(Request("DELETE", "/users", wire.read_uid_lists, body=body, group=RateGroup.CORE))

    def shows(self, kind: str) -> frozenset[str]:
        """The groups that this kind of answer (`list`, `get`, `echo`) is known to carry."""
        return frozenset(self.shown[kind])

    def _list(self, number: int, *more: tuple[str, str], settling: bool = False) -> list[DirectoryUser]:
        users = self._must(_rows_of(number, self._hearing(wire.read_users), *more), settling=settling)
        self._learn("list", users)
        return users

    def _page(self, number: int, *more: tuple[str, str], is_news: IsNews | None = None) -> Page:
        read = wire.read_page if is_news is None else partial(wire.read_news, is_news=is_news)
        page = self._must(
            _rows_of(number, partial(self._alone, self._hearing(partial(read, fields=self._fields))), *more)
        )
        for group in managed_groups(self._fields):
            if not self._is_known("list", group):
                shown = pc.and_not(page.rows[shown_column(group)], page.rows["deactivated"])
                self._note_shown("list", group, map(str, page.rows["uid"].filter(shown)))
        return page

    def _alone(self, read: Callable[[bytes], T], body: bytes) -> T:
        with self._computing:
            return read(body)

    def _hearing(self, read: Callable[[bytes], T]) -> Callable[[bytes], T]:
        """Read an answer, and hear whether it shows `metadata.@private`; it is asked until one does."""

        def heard(body: bytes) -> T:
            if self._on_private is not None and wire.shows_private(body):
                tell, self._on_private = self._on_private, None
                tell()
            return read(body)

        return read if self._on_private is None else heard

    def _whole(self, uid: str, *, settling: bool = False) -> Seen | None:
        user = self.get(uid, settling=settling)
        return None if user is None else self._completed(user, self._from_list, settling=settling)

    def _completed(self, user: DirectoryUser, groups: Iterable[str], *, settling: bool) -> Seen:
        """
        Add what the list shows of these groups of a user, where the user itself does not show them.

        Where the list does not find the user by its uid, it says nothing of it.
        """
        known = shown_of(user) | self.shows("get")
        row = self._search(user.uid.lower(), settling=settling) if frozenset(groups) - known else None
        if row is None:
            return Seen(user, known)
        tags = row.tags if user.tags is msgspec.UNSET else user.tags
        metadata = row.metadata if user.metadata is msgspec.UNSET else user.metadata
        whole = msgspec.structs.replace(user, tags=tags, metadata=metadata)
        return Seen(whole, known | shown_of(whole) | self.shows("list"))

    def _search(self, uid: str, *more: tuple[str, str], settling: bool = False) -> DirectoryUser | None:
        """
        Look a user up in the list by its uid, which may begin many others; None where it is not found.

        Where rows have nothing of the uid, the list ignores what it is asked for: that is not worth a walk a user.
        """
        search = (*_named(uid), *more)
        row = self._search_from(self.first_page, uid, search, settling=settling)
        if row is None and not self._is_first_page_known:
            # Where pages are counted from 0, the first one was not asked for.
            with suppress(ChangeRejected):
                row = _one_of(self._list(0, *search, settling=settling), uid)
        return row

    def _search_from(
        self, first: int, uid: str, search: tuple[tuple[str, str], ...], *, settling: bool
    ) -> DirectoryUser | None:
        for number in range(_SEARCH_AT_MOST):
            rows = self._list(first + number, *search, settling=settling)
            row = _one_of(rows, uid)
            if row is not None or not rows:
                return row
            if number + 1 >= _SEARCH_PAGES and not all(uid in other.uid.lower() for other in rows):
                return None
        return None

    def _must(self, request: Request[T], *, settling: bool = False) -> T:
        found = self._client.send(request, settling=settling)
        if found is None:
            raise DirectoryStopped(
                f"{request.method} {request.path}: CometChat says that this does not exist",
                hint="check cometchat.base_url, app_id and region: reconcile doctor",
            )
        return found

    def _echo(self, user: DirectoryUser) -> Record:
        self._learn("echo", [user])
        return as_record(user, self._fields, self.shows("echo"))

    def _learn(self, kind: str, users: list[DirectoryUser]) -> None:
        # A look may show nobody who is deactivated: such a one is no witness of what it leaves out.
        active = [user for user in users if not user.deactivated_at]
        for group in GROUPS:
            self._note_shown(kind, group, (user.uid.lower() for user in active if group in shown_of(user)))

    def _is_known(self, kind: str, group: str) -> bool:
        return group in self.shown[kind] and group in self.witnesses

    def _note_shown(self, kind: str, group: str, uids: Iterator[str]) -> None:
        """Note that a kind of answer showed a group of these users, if any: the first that may is its witness."""
        if self._is_known(kind, group):
            return
        for uid in uids:
            self.shown[kind].add(group)
            if group in self.witnesses:
                return
            if not self._unnamed([uid]):
                self.witnesses[group] = uid


def _rows_of(number: int, read: Callable[[bytes], T], *more: tuple[str, str]) -> Request[T]:
    params = (("perPage", str(PAGE_SIZE)), ("page", str(number)), ("withTags", "1"), *more)
    return Request("GET", "/users", read, params)


def _one_of(rows: Iterable[DirectoryUser], uid: str) -> DirectoryUser | None:
    return next((row for row in rows if row.uid.lower() == uid), None)


def _named(uid: str) -> tuple[tuple[str, str], ...]:
    return (("searchKey", uid), ("searchIn", "uid"))


def _or_unknown(find: Callable[[str], Seen | None], uid: str) -> Seen | Unknown | None:
    try:
        return find(uid)
    except (DirectoryBusy, ChangeRejected) as error:
        return Unknown(error.message)


def _are_apart(one: Iterable[DirectoryUser], other: Iterable[DirectoryUser]) -> bool:
    return {user.uid for user in one}.isdisjoint(user.uid for user in other)


def _which(*, deactivated: bool) -> tuple[tuple[str, str], ...]:
    return (("onlyDeactivated", "1"),) if deactivated else ()
