"""
Feed the comparison from the directory: which way is cheaper, the walks, and the second look.

Absence is never believed at first sight: a user that a walk did not show is missing only after another
look did not show it either.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sized
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from reconcile.cometchat.directory import Directory, Seen, Unknown
from reconcile.core.actual import actual_table, managed_groups
from reconcile.core.users import DirectoryUser
from reconcile.errors import ChangeRejected, DirectoryBusy, DirectoryStopped

__all__ = ["NOTHING", "Comparing", "Fetched", "fetch", "hidden_groups"]

log = structlog.get_logger()

_BLOCK_PAGES = 32  # compared at once: a frame costs per block, its memory per user
_PROBES = 3  # users that are asked for what their rows do not show
_IDLE_PAGES = 3  # pages in a row without a new user: the list does not move on

Tick = Callable[[int], None]


class Users(Sized, Iterable[str], Protocol):
    """Uids, so many."""


class Comparing(Protocol):
    """What is fed from the directory: a `Comparison`, or one in partitions; see there for what each of these means."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The managed fields."""

    def see(self, block: pa.Table) -> int:
        """Take in rows of the default list; how many were news."""

    def see_deactivated(self, block: pa.Table) -> int:
        """Take in rows of the walk of the deactivated; how many were news."""

    def is_news(self, uids: pa.Array) -> bool:
        """Whether one of these was not seen so far."""

    def disputed(self) -> list[str]:
        """The uids that were seen both active and deactivated."""

    def unseen(self) -> Users:
        """The desired uids that nothing has shown so far."""

    def likely(self, group: str, among: Collection[str]) -> list[str]:
        """Give a few desired uids of `among` that should have some of a group."""

    def settle_active(self, uid: str) -> None:
        """A look says that a disputed user is active."""

    def settle_deactivated(self, uid: str) -> None:
        """A look says that a disputed user is not active."""

    def settle_unsure(self, uid: str) -> None:
        """No look could settle a disputed user."""

    def settle_unknown(self, uids: Iterable[str]) -> None:
        """The directory could not say."""

    def settle_unseen(self) -> None:
        """A second look showed nobody more."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """
    How the directory was read: `way` is `walk`, `by_uid` or `nothing`, `pages` those of the walk of the active.

    `hidden` are the groups (tags, metadata) that a look at a single user does not show, `unproven` those
    that no row showed at all; `witnesses` names a user each that showed a group;
    `is_list_blind` says that the list hides what single users show.
    """

    way: str
    pages: int
    hidden: frozenset[str]
    unproven: frozenset[str]
    witnesses: dict[str, str]
    is_list_blind: bool

    @property
    def is_whole(self) -> bool:
        """Whether every active user was seen."""
        return self.way == "walk"

    def notes(self, uncompared: Collection[str]) -> list[str]:
        """Say what a reader of the numbers has to know about how they were seen."""
        notes = (
            ["the list of users hides managed fields, so each user was asked for"] if self.is_list_blind else []
        )
        if uncompared:
            names = ", ".join(sorted(uncompared))
            notes.append(f"not compared, because no answer showed what an earlier run wrote: {names}")
        kept = {name.split(".", 1)[0] for name in uncompared}
        notes += [
            f"no user of the directory shows {group}: the first write of some proves that it can be seen"
            for group in sorted(self.unproven - kept)
        ]
        notes += [
            f"{group} is not shown where a single user is looked at, so each look asks the list too"
            for group in sorted(self.hidden)
        ]
        return notes


NOTHING = Fetched("nothing", 0, frozenset(), frozenset(), {}, is_list_blind=False)


def fetch(
    directory: Directory,
    comparison: Comparing,
    sample: list[DirectoryUser],
    tick: Tick,
    *,
    only: Collection[str] | None = None,
) -> Fetched:
    """
    Show the comparison all that it has to know, with as few requests as are safe.

    `sample` is the first page of the list; `only` names the users that are to be looked at, and no others.
    Raises: DirectoryError when the directory cannot be read whole.
    """
    wanted: Users = comparison.unseen() if only is None else sorted(only)
    groups = managed_groups(comparison.fields)
    blind = _is_list_blind(directory, comparison, groups, sample)
    by_uid = only is not None or blind or _is_by_uid_cheaper(directory, len(wanted), groups)
    log.info("directory.fetch", way="by_uid" if by_uid else "walk", desired=len(wanted))
    pages = 0
    if by_uid:
        directory.rely_on_list(hidden_groups(directory, groups))
        _see_each(directory, comparison, wanted, tick)
    else:
        pages = _walk(directory, comparison, tick)
    off_pages, is_honoured = _walk_deactivated(directory, comparison, tick)
    _settle_disputed(directory, comparison)
    if by_uid:
        comparison.settle_unseen()
    else:
        # Where nobody can list the deactivated, only a look at the user itself may show one.
        _look_again(directory, comparison, pages + off_pages if is_honoured else None, tick)
    hidden = hidden_groups(directory, groups)
    shown = directory.looks_show() if by_uid else directory.shows("list")
    witnesses = {group: uid for group, uid in directory.witnesses.items() if group in groups}
    # What only users show who may not be named has to be proven again, too.
    unproven = groups - (shown & witnesses.keys())
    return Fetched("by_uid" if by_uid else "walk", pages, hidden, unproven, witnesses, blind)


def _is_list_blind(
    directory: Directory, comparison: Comparing, groups: frozenset[str], sample: list[DirectoryUser]
) -> bool:
    """Whether single users show a managed group that their rows in the list do not."""
    for group in sorted(groups - directory.shows("list")):
        rows = {user.uid.lower() for user in sample}
        for uid in comparison.likely(group, rows)[:_PROBES]:
            directory.get(uid)
            if group in directory.shows("get"):
                return True
    return False


def _is_by_uid_cheaper(directory: Directory, wanted: int, groups: frozenset[str]) -> bool:
    """Ask for the page that only a directory too large to walk would have."""
    if not wanted:
        return False
    rows = directory.page(directory.first_page + wanted)
    if not rows:
        return False
    for group in groups:
        witness = directory.witnesses.get(group)
        if witness is None:
            return False
        directory.get(witness)
    return groups <= directory.shows("get")


def _walk(directory: Directory, comparison: Comparing, tick: Tick) -> int:
    pages = idle = 0
    for block in _blocks(directory.pages()):
        pages += len(block)
        news = comparison.see(pa.concat_tables(block))
        idle = 0 if news else idle + len(block)
        if idle >= _IDLE_PAGES:
            raise DirectoryStopped(
                f"the list of users does not move on: {idle} pages without a new one",
                hint="run again; when it stays, tell the vendor",
            )
        tick(sum(page.num_rows for page in block))
    return pages + 1


def _blocks(pages: Iterator[pa.Table]) -> Iterator[list[pa.Table]]:
    while block := list(islice(pages, _BLOCK_PAGES)):
        yield block


def _walk_deactivated(directory: Directory, comparison: Comparing, tick: Tick) -> tuple[int, bool]:
    """Walk the deactivated; give the pages that it took, and whether the service lists them at all."""
    pages = 0
    for page in directory.pages(deactivated=True):
        pages += 1
        news = comparison.see_deactivated(page)
        if not news and not pc.any(page["deactivated"]).as_py():
            # The flag is not honoured here: these are the active ones once more.
            log.warning("directory.deactivated_flag_ignored")
            return pages + 1, False
        tick(0)
    return pages + 1, True


def _settle_disputed(directory: Directory, comparison: Comparing) -> None:
    """Ask for each user that was seen both active and deactivated."""
    for uid, found in directory.get_each(comparison.disputed()):
        if isinstance(found, Unknown):
            comparison.settle_unsure(uid)
        elif found is None or found.user.deactivated_at:
            comparison.settle_deactivated(uid)
        else:
            comparison.settle_active(uid)


def _look_again(directory: Directory, comparison: Comparing, walk_cost: int | None, tick: Tick) -> None:
    """
    Look a second time for what the walks did not show, in the way that costs fewer requests.

    `walk_cost` None: walking again proves nothing.
    """
    unseen = comparison.unseen()
    if unseen:
        groups = managed_groups(comparison.fields)
        directory.rely_on_list(hidden_groups(directory, groups))
    by_walk = walk_cost is not None and walk_cost < len(unseen)
    log.info("directory.second_look", users=len(unseen), way="walk" if by_walk else "get")
    if by_walk:
        _walk_again(directory, comparison, tick)
    else:
        _see_each(directory, comparison, unseen, tick)
        _settle_disputed(directory, comparison)
    comparison.settle_unseen()


def _walk_again(directory: Directory, comparison: Comparing, tick: Tick) -> None:
    for block in _blocks(directory.pages(is_news=comparison.is_news)):
        comparison.see(pa.concat_tables(block))
        tick(0)
    _walk_deactivated(directory, comparison, tick)
    _settle_disputed(directory, comparison)


def _see_each(directory: Directory, comparison: Comparing, uids: Iterable[str], tick: Tick) -> None:
    found: list[Seen] = []
    for uid, seen in directory.get_each(uids):
        if isinstance(seen, Unknown):
            log.warning("directory.unknown", why=seen.why)
            comparison.settle_unknown([uid])
        elif seen is not None:
            found.append(seen)
        if len(found) == 1000:
            comparison.see(_rows_of(directory, found, comparison.fields))
            found = []
        tick(1)
    comparison.see(_rows_of(directory, found, comparison.fields))


def _rows_of(directory: Directory, found: list[Seen], fields: tuple[str, ...]) -> pa.Table:
    """Give users that were looked at as rows. Of a group that the list shows, not all of them may have been found there."""
    groups = managed_groups(fields)
    # What no answer has shown of anybody is for the first write to prove.
    open_ = groups - directory.shows("list")
    known = [seen.known | directory.shows("get") | open_ for seen in found]
    is_all_known = all(groups <= each for each in known)
    return actual_table([seen.user for seen in found], fields, () if is_all_known else known)


def hidden_groups(directory: Directory, groups: frozenset[str]) -> frozenset[str]:
    """Find out which groups a look at one user leaves out, by looking at one that is known to have them."""
    for group in sorted(groups - directory.shows("get")):
        if group in directory.witnesses:
            # One user that cannot be read ends no run: the group then counts as left out.
            with suppress(DirectoryBusy, ChangeRejected):
                directory.get(directory.witnesses[group])
    return frozenset(group for group in groups - directory.shows("get") if group in directory.witnesses)
