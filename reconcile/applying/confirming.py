"""
What the answers to many writes leave open, confirmed together once all are sent.

Owns when a write may wait for that, and how it is confirmed: by the pages of the list where they are fewer than the
looks that they save, and by a look at each user else.
"""

import threading
from collections.abc import Generator, Iterator
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from reconcile.applying.hands import Hands, Mode
from reconcile.cometchat.directory import WINDOW
from reconcile.core.actual import managed_groups, records_of
from reconcile.core.bodies import Verification, verify
from reconcile.core.guards import GuardClass
from reconcile.core.plan import Change, PlanHeader
from reconcile.core.sent import Sent
from reconcile.core.users import Record
from reconcile.errors import ChangeRejected, DirectoryBusy, DirectoryStopped

__all__ = ["AT_ONCE", "Confirmations"]

log = structlog.get_logger()

AT_ONCE = 50  # read back at once: were nothing to stick, the run would stop at as many
_PER_PAGE = 1000
_OPENING = 4  # to find the first page, and a user in the list
_UPSERTS = (GuardClass.CREATE, GuardClass.UPDATE, GuardClass.ROLE_CHANGE, GuardClass.CLEAR)

Seen = tuple[Change, Sent, Record, Verification]


class Confirmations:
    """The writes of one run that are confirmed later. `may_wait` is thread-safe."""

    def __init__(self, hands: Hands, mode: Mode, header: PlanHeader) -> None:
        self._hands = hands
        self._directory = hands.directory
        self._fields = header.fields
        self._witnesses = header.witnesses
        due = {guard.guard: guard.measured for guard in header.guards if not guard.is_held}
        number = sum(due.get(kind, 0) for kind in _UPSERTS)
        self._due = number if mode.limit is None else min(number, mode.limit)
        self._due -= len(mode.settled)
        self._pages = _pages(header)
        self._lock = threading.Lock()
        self._opened = 0
        self._verdicts: dict[frozenset[str], bool] = {}

    def may_wait(self, groups: frozenset[str]) -> bool:
        """
        Whether a write whose answer left these groups (tags, metadata) open is confirmed with the others.

        Raises: Interrupted, from a look at the list where nobody took one so far.
        """
        with self._lock:
            self._opened += 1
            if self._opened <= AT_ONCE:
                return False
            if groups not in self._verdicts:
                self._verdicts[groups] = self._pays(groups)
                log.info("confirming.later", groups=sorted(groups), later=self._verdicts[groups])
            return self._verdicts[groups]

    def _pays(self, groups: frozenset[str]) -> bool:
        left = (self._due - self._opened) * self._price()
        return self._pages is not None and self._pages + WINDOW + _OPENING < left and self._is_listed(groups)

    def _price(self) -> int:
        """The requests of a look at one user."""
        return 2 if self._directory.looks_at_list() else 1

    def _is_listed(self, groups: frozenset[str]) -> bool:
        witnesses = {**self._directory.witnesses, **self._witnesses}
        try:
            return groups <= self._directory.list_shows(
                {group: witnesses[group] for group in groups & witnesses.keys()}
            )
        except (DirectoryStopped, DirectoryBusy, ChangeRejected):
            # A list that cannot be read is none to confirm by. Where all of CometChat is meant, the next request says so.
            return False

    def by_page(self) -> Generator[Seen, None, None]:
        """
        Walk the list for what waits, where that costs fewer requests than to look at each user.

        Gives what the rows confirm; what they do not, for whatever reason, is left to the looks. No more pages
        are asked for than there are looks to be saved.
        """
        state, run_id = self._hands.state, self._hands.run_id
        waiting = state.count_unconfirmed(run_id)
        most = waiting * self._price() - WINDOW - _OPENING
        if self._pages is None or self._pages > most:
            return
        log.info("confirming.walk", waiting=waiting)
        try:
            if not self._verdicts and not self._is_listed(self._left_open()):
                return
            for page in islice(self._directory.pages(), most):
                for seen in self._confirmed(page):
                    waiting -= 1
                    yield seen
                # What is settled is not found again: a user may move from page to page.
                state.flush()
                if not waiting:
                    return
        except (DirectoryStopped, DirectoryBusy, ChangeRejected) as error:
            # One page is no reason to end a run. Where all of CometChat is meant, the next look says so.
            log.warning("confirming.walk_left", message=error.message)

    def _left_open(self) -> frozenset[str]:
        """The groups that an earlier start of this run left open; those of one write stand for all."""
        waiting = self._hands.state.unconfirmed(self._hands.run_id)
        return next((managed_groups(sent.fields) for _, sent in waiting), frozenset())

    def _confirmed(self, page: pa.Table) -> Iterator[Seen]:
        uids = page["uid"].to_pylist()
        waiting = {
            change.uid: (change, sent) for change, sent in self._hands.state.unconfirmed(self._hands.run_id, uids)
        }
        shows = self._directory.shows("list")
        rows = page.filter(pc.is_in(page["uid"], value_set=pa.array(waiting, pa.string())))
        for record in records_of(rows, self._fields, shows):
            if record.uid not in waiting or not record.active:
                continue
            change, sent = waiting[record.uid]
            proof = verify(sent.fields, change.desired, record, shows)
            if proof.holds and not sent.is_before(record):
                del waiting[record.uid]
                yield change, sent, record, proof


def _pages(header: PlanHeader) -> int | None:
    """About how many pages the list has once the plan is carried out; None where no run has seen it whole."""
    known = {guard.guard: guard for guard in header.guards}
    creates = known.get(GuardClass.CREATE)
    if creates is None or creates.base is None:
        return None
    return -(-(creates.base + creates.measured) // _PER_PAGE)
