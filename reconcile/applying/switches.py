"""Switch users on and off, in batches: the status is always 200, so the lists of the answer decide."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import msgspec

from reconcile.applying.hands import ATTEMPTS, Hands, Mode
from reconcile.applying.upserts import short
from reconcile.cometchat.directory import Seen, Unknown
from reconcile.cometchat.wire import BULK_LIMIT
from reconcile.core.ours import OTHER_DEACTIVATION, OTHER_RECORD, Left
from reconcile.core.outcome import Outcome, Settled
from reconcile.core.plan import Change
from reconcile.core.upsert import is_other, refused_by_role
from reconcile.core.users import Record
from reconcile.errors import ChangeRejected, DirectoryBusy, Unclear

__all__ = ["CLOCK", "Switch", "batches_of"]

Lists = dict[str, frozenset[str]]
CLOCK = "guard deactivate"  # what a deactivation that the clocks hold back begins its detail with
_NOT_OURS = "no run created the user and no export that passed its checks held it (policy.unmanaged_scope)"
_AGREED = "the look before the write agreed"


class Switch:
    """
    Carries out reactivations and deactivations. Thread-safe.

    `certain` are the numbers of the deactivations that this process is known to have made.
    """

    def __init__(self, hands: Hands, mode: Mode) -> None:
        self._hands = hands
        self._mode = mode
        self.certain: set[int] = set()

    def reactivate(self, changes: Iterable[Change]) -> Iterator[tuple[Change, Settled]]:
        """
        Reactivate users, each looked at once more right before; gives each change with its outcome.

        Only where the deactivation is still the one that the plan saw: else somebody had a reason for another one.
        """
        for batch in batches_of(changes):
            due, made = [], {}
            found = self._hands.directory.find_each([change.uid for change in batch])
            for change, (_, seen) in zip(batch, found, strict=True):
                settled = self._not_to_wake(change, seen)
                if settled is not None:
                    yield change, settled
                elif isinstance(seen, Seen):
                    due.append(change)
                    made[change.seq] = seen.user.created_at
            for change, settled in self._switch(due, _ON, self._hands.directory.reactivate) if due else ():
                yield change, msgspec.structs.replace(settled, created_at=made[change.seq])

    def deactivate(self, batch: Sequence[Change]) -> Iterator[tuple[Change, Settled]]:
        """Deactivate one batch, each looked at once more right before; gives each change with its outcome."""
        refusals = [(change, self._refusal(change)) for change in batch]
        yield from ((change, refusal) for change, refusal in refusals if refusal is not None)
        due = [change for change, refusal in refusals if refusal is None]
        # After the looks: their answers tell the time once more.
        doubt = self._mode.clock_doubt() if due else ""
        if doubt:
            yield from ((change, Settled(Outcome.HELD, f"{CLOCK}: {doubt}")) for change in due)
        elif due:
            yield from self._switch(due, _OFF, self._hands.directory.deactivate)

    def _not_to_wake(self, change: Change, seen: Seen | Unknown | None) -> Settled | None:
        """Say why a user is not to be reactivated; None when it may be done."""
        if isinstance(seen, Unknown):
            return Settled(Outcome.FAILED, seen.why)
        if seen is None:
            return Settled(Outcome.SKIPPED, "vanished: the user is neither active nor listed as deactivated")
        user = seen.user
        if not user.deactivated_at:
            # After a start that was cut short it may have been us.
            ours = change.seq in self._mode.open_intents
            return Settled(Outcome.APPLIED if ours else Outcome.ALREADY, _AGREED)
        if change.deactivated_at is not None:
            planned: Left | None = Left(change.created_at, change.deactivated_at)
        else:
            # A plan of an older version: what the journal has of our own deactivation has to do.
            planned = self._mode.ours.get(change.uid)
        if planned is None or not planned.is_deactivation(user.created_at, user.deactivated_at):
            return Settled(Outcome.SKIPPED, OTHER_DEACTIVATION)
        return refused_by_role(user.role, self._mode.protected_roles)

    def _refusal(self, change: Change) -> Settled | None:
        """Look at who is to be switched off, and say why not; None when it may be done."""
        if self._mode.scope is not None and not self._mode.scope.has([change.uid]).all():
            # A plan of a version that had no scope, carried on by this one.
            return Settled(Outcome.SKIPPED, _NOT_OURS)
        try:
            look = self._hands.directory.look(change.uid)
        except (DirectoryBusy, ChangeRejected) as error:
            return Settled(Outcome.FAILED, short(error))
        if look is None or not look.active:
            # After a start that was cut short it may have been us.
            ours = change.seq in self._mode.open_intents
            return Settled(Outcome.APPLIED if ours else Outcome.ALREADY, _AGREED)
        return self._not_to_send_away(change, look)

    def _not_to_send_away(self, change: Change, look: Record) -> Settled | None:
        """Say why an active user is not to be deactivated; None when it may be done."""
        if is_other(change, look):
            return Settled(Outcome.SKIPPED, OTHER_RECORD)
        if self._mode.freshness.may_be_newer(change.uid, look.created_at, look.updated_at):
            return Settled(Outcome.SKIPPED, "newer: created or changed in the directory after the export")
        return refused_by_role(look.role, self._mode.protected_roles)

    def _switch(
        self, batch: list[Change], way: "_Way", send: Callable[[Sequence[str]], Lists]
    ) -> Iterator[tuple[Change, Settled]]:
        for change in batch:
            self._hands.state.intend(self._hands.run_id, change, {})
        lists, was_lost = self._send([change.uid for change in batch], send)
        for change in batch:
            was_open = change.seq in self._mode.open_intents
            settled = _read(change.uid, lists, way, sent_before=was_lost or was_open) or self._seen(change, way)
            is_named = change.uid in lists.get(way.done, ())
            if way is _OFF and settled.outcome is Outcome.APPLIED and (is_named or not was_open):
                self.certain.add(change.seq)
            yield change, settled

    def _send(self, uids: list[str], send: Callable[[Sequence[str]], Lists]) -> tuple[Lists, bool]:
        """
        Send one batch; the call is idempotent, so after a lost answer it is sent again.

        Gives the lists of the answer, none where none came, and whether an earlier answer was lost.
        """
        with self._hands.directory.errand():
            return self._send_until_clear(uids, send)

    def _send_until_clear(self, uids: list[str], send: Callable[[Sequence[str]], Lists]) -> tuple[Lists, bool]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return send(uids), attempt > 1
            except Unclear:
                self._hands.pause(attempt)
            except ChangeRejected:
                return {_REFUSED: frozenset(uids)}, attempt > 1
            except DirectoryBusy:
                break
        return {}, True

    def _seen(self, change: Change, way: "_Way") -> Settled:
        """Look at a user that no list of the answer names: each of them was looked at or listed before."""
        try:
            look = self._hands.directory.look(change.uid, settling=True)
        except (DirectoryBusy, ChangeRejected) as error:
            return Settled(Outcome.FAILED, short(error))
        if (look is not None and look.active) is way.ends_active:
            return Settled(Outcome.APPLIED, "the answer does not name the user, and a look agreed")
        return Settled(Outcome.FAILED, "the answer does not name the user")


@dataclass(frozen=True, slots=True)
class _Way:
    """One direction of the switch: how a user ends, and the lists that say so."""

    ends_active: bool
    done: str
    already: str


_ON = _Way(ends_active=True, done="reactivatedUids", already="nonDeactivatedUids")
_OFF = _Way(ends_active=False, done="deactivatedUids", already="alreadyDeactivatedUids")
_REFUSED = "refused"


def batches_of(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """Give as many changes at a time as one call takes."""
    rest = iter(changes)
    while batch := list(islice(rest, BULK_LIMIT)):
        yield batch


def _read(uid: str, lists: Lists, way: _Way, *, sent_before: bool) -> Settled | None:
    """Read what the lists say of one user; None where they do not name it."""
    named = next(
        (name for name in (way.done, way.already, "notFound", _REFUSED) if uid in lists.get(name, ())), ""
    )
    if named == way.done or (named == way.already and sent_before):
        # What is so already after a call whose answer was lost, that call did.
        return Settled(Outcome.APPLIED)
    if named == way.already:
        return Settled(Outcome.ALREADY, "the answer says that it was so already")
    if named == _REFUSED:
        return Settled(Outcome.REJECTED, "the batch was refused")
    if named:
        return Settled(Outcome.SKIPPED, "vanished: the user is no longer in the directory")
    return None
