"""Switch users on and off, in batches: the status is always 200, so the lists of the answer decide."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from reconcile.apply.hands import ATTEMPTS, Hands, Mode
from reconcile.apply.upserts import short
from reconcile.cometchat.wire import BULK_LIMIT
from reconcile.core.outcome import Outcome, Settled
from reconcile.core.plan import Change
from reconcile.errors import ChangeRejected, DirectoryBusy, Unclear

__all__ = ["Switch"]

Lists = dict[str, frozenset[str]]


class Switch:
    """Carries out reactivations and deactivations."""

    def __init__(self, hands: Hands, mode: Mode) -> None:
        self._hands = hands
        self._mode = mode

    def reactivate(self, changes: Iterable[Change]) -> Iterator[tuple[Change, Settled]]:
        """Reactivate users; gives each change with its outcome."""
        for batch in _batches(changes):
            for change in batch:
                self._hands.state.intend(self._hands.run_id, change, {})
            lists = self._send([change.uid for change in batch], self._hands.directory.reactivate)
            for change in batch:
                yield change, _read(change.uid, lists, "reactivatedUids", "nonDeactivatedUids")

    def deactivate(self, changes: Iterable[Change]) -> Iterator[tuple[Change, Settled]]:
        """Deactivate users, each looked at once more right before; gives each change with its outcome."""
        for batch in _batches(changes):
            refusals = {change.seq: self._refusal(change) for change in batch}
            due = [change for change in batch if refusals[change.seq] is None]
            for change in due:
                self._hands.state.intend(self._hands.run_id, change, {})
            lists = self._send([change.uid for change in due], self._hands.directory.deactivate) if due else {}
            for change in batch:
                settled = refusals[change.seq]
                yield change, settled or _read(change.uid, lists, "deactivatedUids", "alreadyDeactivatedUids")

    def _refusal(self, change: Change) -> Settled | None:
        """Look at who is to be switched off, and say why not; None when it may be done."""
        try:
            look = self._hands.directory.look(change.uid)
        except DirectoryBusy as error:
            return Settled(Outcome.FAILED, short(error))
        if look is None or not look.active:
            # After a start that was cut short it may have been us.
            ours = change.seq in self._mode.open_intents
            return Settled(Outcome.APPLIED if ours else Outcome.ALREADY, "the look before the write agreed")
        as_of = self._mode.as_of_unix_s
        if as_of is not None and (look.created_at or 0) >= as_of:
            return Settled(Outcome.SKIPPED, "created after the export")
        return None

    def _send(self, uids: list[str], send: Callable[[Sequence[str]], Lists]) -> Lists:
        """Send one batch; the call is idempotent, so after a lost answer it is sent again."""
        with self._hands.directory.errand():
            return self._send_until_clear(uids, send)

    def _send_until_clear(self, uids: list[str], send: Callable[[Sequence[str]], Lists]) -> Lists:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return send(uids)
            except Unclear:
                self._hands.pause(attempt)
            except ChangeRejected:
                return {_REFUSED: frozenset(uids)}
            except DirectoryBusy:
                break
        return {}


_REFUSED = "refused"


def _batches(changes: Iterable[Change]) -> Iterator[list[Change]]:
    rest = iter(changes)
    while batch := list(islice(rest, BULK_LIMIT)):
        yield batch


def _read(uid: str, lists: Lists, done: str, already: str) -> Settled:
    named = next((name for name in (done, already, "notFound", _REFUSED) if uid in lists.get(name, ())), "")
    if named == done:
        return Settled(Outcome.APPLIED)
    if named == already:
        return Settled(Outcome.ALREADY, "the answer says that it was so already")
    if named == _REFUSED:
        return Settled(Outcome.REJECTED, "the batch was refused")
    if named:
        return Settled(Outcome.SKIPPED, "vanished: the user is no longer in the directory")
    return Settled(Outcome.FAILED, "the answer does not name the user")
