"""One create or update: look, decide, intend, send, and see that it stuck."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import structlog

from reconcile.applying.hands import ATTEMPTS, Hands, Mode
from reconcile.cometchat.client import Conflict
from reconcile.core.actual import managed_groups
from reconcile.core.bodies import Verification, replaced_whole, replacing_bodies, restoring_body, verify
from reconcile.core.metadata import RawObject, managed_metadata, metadata_field
from reconcile.core.ours import OTHER_RECORD, owned, was_made_after, was_near
from reconcile.core.outcome import DID_NOT_STICK, UNPROVEN, Outcome, Settled
from reconcile.core.plan import Action, Change
from reconcile.core.sent import Sent, sent_of
from reconcile.core.upsert import Create, Terms, Update, decide, left_alone, refused_by_role
from reconcile.core.users import Record, fingerprint
from reconcile.errors import ChangeRejected, DirectoryBusy, DirectoryError, Unclear

__all__ = ["DOUBTS", "Upserter", "short"]

log = structlog.get_logger()

Ended = tuple[Settled | Sent, Record | None]

DOUBTS = 3  # looks more at a value that did not stick, where the date of the look cannot tell: 3.5 s
_TORN = "metadata that was taken away to be written anew may not be back; the next run plans it"
_GONE = Settled(Outcome.FAILED, "the user is gone right after the write")


@dataclass(frozen=True, slots=True)
class _Write:
    """A change that was sent: the answer to the last call, what is kept of it, and the fields that were left alone."""

    change: Change
    echo: Record
    sent: Sent
    spared: Mapping[str, str] = field(default_factory=dict)


class Upserter:
    """
    Carries out single changes. Thread-safe: it holds nothing of a change.

    `may_wait` says whether an answer that left these groups (tags, metadata) open is confirmed later, with others.
    """

    def __init__(self, hands: Hands, mode: Mode, may_wait: Callable[[frozenset[str]], bool]) -> None:
        self._hands = hands
        self._directory = hands.directory
        self._mode = mode
        self._may_wait = may_wait

    def carry_out(self, change: Change, terms: Terms, known: Record | None = None) -> Ended:
        """
        Look, decide and send until it is settled, or attempts are spent; also give the record that is left.

        Where a write is only to be confirmed later (`confirm`), it gives what was sent in place of an outcome.
        `known` is the record that the last change of this user just left: it stands for the first look, which
        could lag behind that write and so take it back.
        Raises: DirectoryStopped, Interrupted, StateError; the intent then stays open where one was made.
        """
        with self._directory.errand():
            ended, record = self._carry_out(change, terms, known)
        if not self._may_be_torn(change, ended):
            return ended, record
        # What was taken away is put back with attempts and time of its own, the first having gone to take it.
        with self._directory.errand():
            ended, record = self._carry_out(change, replace(terms, sent=True), None)
        if isinstance(ended, Settled) and ended.outcome is Outcome.FAILED:
            ended = msgspec.structs.replace(ended, detail=f"{ended.detail}; {_TORN}")
        return ended, record

    def _may_be_torn(self, change: Change, ended: Settled | Sent) -> bool:
        """Whether a change ended while metadata that it took away to write it anew may not be back."""
        is_failed = isinstance(ended, Settled) and ended.outcome is Outcome.FAILED
        return is_failed and self._hands.state.kept_whole(self._hands.run_id, change) is not None

    def confirm(self, change: Change, sent: Sent, terms: Terms) -> Settled:
        """
        Settle by looking what was answered and left to be confirmed; nothing is sent.

        Raises: DirectoryStopped, Interrupted, StateError; it then stays to be confirmed.
        """
        with self._directory.errand():
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    record, proof = self._prove_by_look(change, sent)
                except Unclear as error:
                    log.warning("change.unclear", seq=change.seq, status=error.status, attempt=attempt)
                    self._hands.pause(attempt)
                except ChangeRejected as error:
                    return Settled(Outcome.FAILED, f"written, and the look at it was refused: {short(error)}")
                else:
                    return self.judge_later(change, sent, record, proof, terms)
        return Settled(Outcome.FAILED, f"written, and not seen in {ATTEMPTS} attempts")

    def judge_later(
        self, change: Change, sent: Sent, record: Record | None, proof: Verification, terms: Terms
    ) -> Settled:
        """Say what became of a write, by a look long after it: others may have been there in between."""
        if record is None and change.action is not Action.CREATE:
            return Settled(Outcome.SKIPPED, "vanished: the user is no longer in the directory")
        if record is not None and proof.differing and sent.is_after(record):
            return Settled(Outcome.SKIPPED, f"changed by another after the write: {', '.join(proof.differing)}")
        settled = self._judge(change, sent, record, proof, terms)
        # The time of the record may be another's.
        made = sent.at if change.action is Action.CREATE and not sent.is_update else None
        settled = msgspec.structs.replace(settled, updated_at=settled.updated_at and sent.at, created_at=made)
        return _timed(settled, is_unmoved=sent.is_dated_alike)

    def _carry_out(self, change: Change, terms: Terms, known: Record | None) -> Ended:
        taken: DirectoryError | None = None
        for attempt in range(1, ATTEMPTS + 1):
            try:
                look, known = known or self._directory.look(change.uid, settling=terms.sent), None
                if look is not None or taken is None:
                    return self._decide_and_send(change, look, terms)
                refused = self._meet_hidden(change, taken)
                if refused is not None:
                    return refused, None
            except ChangeRejected as error:
                # A taken uid may be told as any complaint about it; a look says whether it was that.
                if change.action is not Action.CREATE or "uid" not in error.fields or taken is not None:
                    return Settled(Outcome.REJECTED, short(error)), None
                taken = error
            except Conflict as error:
                taken = error
            except Unclear as error:
                log.warning("change.unclear", seq=change.seq, status=error.status, attempt=attempt)
                terms = replace(terms, sent=True)
                self._hands.pause(attempt)
            except DirectoryBusy as error:
                return Settled(Outcome.FAILED, short(error)), None
        return Settled(Outcome.FAILED, f"unsettled after {ATTEMPTS} attempts"), None

    def _decide_and_send(self, change: Change, look: Record | None, terms: Terms) -> Ended:
        was_open = look is not None and change.seq in self._mode.open_intents
        at = self._hands.state.intended_at(self._hands.run_id, change.seq) if was_open else None
        if was_open and look is not None:
            # What an earlier start of this run sent may have got lost, and somebody else have made the user since.
            terms = replace(terms, doubtful=not was_near(look.created_at, at))
            if change.action is Action.UPDATE and was_made_after(look.created_at, at):
                return Settled(Outcome.SKIPPED, OTHER_RECORD), look
        ended, record = self._decided(change, look, terms)
        if isinstance(ended, Sent) or record is None:
            return ended, record
        if change.action is Action.CREATE and (look is None or (terms.sent and not terms.doubtful)):
            ended = msgspec.structs.replace(ended, created_at=record.created_at)
        if was_open and record is look and not was_near(ended.updated_at, at):
            # The same of the last change that the record shows.
            ended = msgspec.structs.replace(ended, updated_at=None)
        return ended, record

    def _decided(self, change: Change, look: Record | None, terms: Terms) -> Ended:
        if look is not None and terms.sent and (whole := self._hands.state.kept_whole(self._hands.run_id, change)):
            body = restoring_body(change.fields, change.desired, look, whole)
            if body is not None:
                if "metadata" not in look.known:
                    raise Unclear("nothing shows whether metadata that was taken away is back")
                self._keep_replaced(change, (body,), look)
                self._hands.state.flush()
                return self._replaced(change, change.fields, (body,), look, whole, terms)
        decision = decide(change, look, terms)
        if isinstance(decision, Settled):
            return decision, look
        # In one go more may be written than the plan saw; what is taken back later is what was written.
        fields = decision.fields if isinstance(decision, Update) else change.fields
        before = {} if look is None else _known_values(look, tuple(fields))
        after = {name: change.desired.get(name) for name in fields}
        if isinstance(decision, Update) and look is not None:
            self._keep_replaced(change, decision.bodies, look)
        self._hands.state.intend(self._hands.run_id, change, before, after)
        ended, record = self._send(change, decision, look, terms)
        if isinstance(ended, Settled) and look is not None and not terms.sent:
            ended = _timed(ended, is_unmoved=ended.updated_at == look.moved_at)
        return ended, record

    def _send(self, change: Change, decision: Create | Update, look: Record | None, terms: Terms) -> Ended:
        if isinstance(decision, Create):
            fields = tuple(name for name in change.fields if name in terms.compared)
            echo = self._directory.create(decision.body)
            return self._confirm(_Write(change, echo, sent_of(fields, echo)), terms)
        write = self._update(change, decision.fields, decision.bodies, look)
        if write is None:
            return Settled(Outcome.SKIPPED, "vanished: the user is no longer in the directory"), None
        return self._confirm(replace(write, spared=decision.spared), terms)

    def _keep_replaced(self, change: Change, bodies: Iterable[Mapping[str, Any]], look: Record) -> None:
        """Record what others may keep in the metadata that these bodies replace, for an undo."""
        whole = replaced_whole(bodies, look)
        if whole is not None:
            self._hands.state.keep_replaced(self._hands.run_id, change, whole)

    def _update(
        self, change: Change, fields: Sequence[str], bodies: Iterable[dict[str, Any]], met: Record | None
    ) -> "_Write | None":
        """Send the bodies one after the other; None when the user is gone. `met` is the record before the first."""
        echo = met
        for body in bodies:
            met, echo = echo, self._directory.update(change.uid, body)
        return None if echo is None else _Write(change, echo, sent_of(tuple(fields), echo, met))

    def _confirm(self, write: _Write, terms: Terms) -> Ended:
        """Compare the answer with what was sent; read back what it leaves open."""
        change, fields = write.change, write.sent.fields
        proof = verify(fields, change.desired, write.echo, self._directory.shows("echo"))
        record: Record | None = write.echo
        if not proof.holds or (terms.more and not self._is_whole(terms)):
            if self._is_only_unseen(write, proof, terms) and self._may_wait(managed_groups(proof.unshown)):
                return msgspec.structs.replace(write.sent, fields=proof.unshown), None
            record, proof = self._prove_by_look(change, write.sent)
        if record is not None and proof.differing:
            bodies = replacing_bodies(fields, change.desired, record) if terms.may_unset else ()
            if bodies:
                self._hands.state.keep_whole(self._hands.run_id, change, record.metadata)
                return self._replaced(change, fields, bodies, record, record.metadata, terms)
        return left_alone(self._judge(change, write.sent, record, proof, terms), write.spared), record

    @staticmethod
    def _is_only_unseen(write: _Write, proof: Verification, terms: Terms) -> bool:
        """
        Whether a look would confirm the write and do no more: then it may come later.

        Not where the next change of the user is built on it, nor where a metadata key is taken away, which may need
        a second write, nor where an earlier answer was lost. Without a date nobody could tell later who changed what.
        """
        paths = managed_metadata(write.sent.fields)
        takes_away = any(write.change.desired[metadata_field(path)] is None for path in paths)
        is_step = terms.more or terms.sent or takes_away or write.spared
        return not (proof.differing or is_step) and write.sent.at is not None

    def _replaced(
        self,
        change: Change,
        fields: Sequence[str],
        bodies: Iterable[dict[str, Any]],
        met: Record,
        whole: RawObject,
        terms: Terms,
    ) -> Ended:
        """
        Where metadata keys stayed because an update merges, replace the object, all of which is ours.

        Raises: Unclear while what was to stay is not back.
        """
        again = self._update(change, fields, bodies, met)
        if again is None:
            return _GONE, None
        record, proof = self._prove_by_look(change, again.sent)
        if record is not None and restoring_body(change.fields, change.desired, record, whole):
            raise Unclear("metadata that was taken away to be written anew is not back")
        return self._judge(change, again.sent, record, proof, terms), record

    @staticmethod
    def _judge(change: Change, sent: Sent, record: Record | None, proof: Verification, terms: Terms) -> Settled:
        if record is None:
            return _GONE
        if sent.is_before(record):
            return Settled(Outcome.FAILED, "every look still showed the user as before the write")
        if proof.differing:
            # Taken and not kept: where the record moved all the same, it was by us.
            lost = f"{DID_NOT_STICK}: {', '.join(proof.differing)}"
            return Settled(Outcome.REJECTED, lost, record.moved_at)
        uncompared = [name for name in change.fields if name not in terms.compared]
        # A user that is created is sent with all that is filled.
        is_sent = change.action is Action.CREATE
        unseen = _named([*proof.unshown, *(uncompared if is_sent else ())])
        detail = f"unconfirmed: no answer shows {unseen}" if unseen else ""
        if uncompared and not is_sent:
            left_out = _named(uncompared)
            detail = f"{UNPROVEN}: {left_out} is not written, because no answer shows it"
        left = fingerprint(record.values, terms.visible)
        return Settled(Outcome.APPLIED, detail, record.moved_at, left)

    def _is_whole(self, terms: Terms) -> bool:
        """Whether the answer to a write shows all that is managed, so that it can stand for a look."""
        return managed_groups(terms.compared) <= self._directory.shows("echo")

    def _prove_by_look(self, change: Change, sent: Sent) -> tuple[Record | None, Verification]:
        """Compare with a look that does not lag behind the write, as far as the look's date tells."""
        for attempt in range(1, ATTEMPTS + 1):
            record = self._read_back(change)
            proof = Verification((), ())
            if record is not None:
                proof = verify(sent.fields, change.desired, record, record.known)
                doubtful = proof.differing and sent.may_be_before(record) and attempt <= DOUBTS
                if not doubtful and not sent.is_before(record):
                    break
            if attempt < ATTEMPTS:
                self._hands.wait_for_lag(attempt)
        return record, proof

    def _read_back(self, change: Change) -> Record | None:
        try:
            return self._directory.look(change.uid, settling=True)
        except DirectoryBusy as error:
            raise Unclear(error.message, status=error.status, code=error.code) from error

    def _meet_hidden(self, change: Change, taken: DirectoryError) -> Settled | None:
        """
        The uid of a create is taken, and no look shows by whom: a deactivated user.

        None when it was reactivated and is to be looked at again.
        """
        may_reactivate = self._mode.wakes and not self._mode.exact and self._is_ours(change.uid)
        if isinstance(taken, Conflict) and not may_reactivate:
            return Settled(
                Outcome.SKIPPED, "the uid belongs to a deactivated user that policy.deactivated leaves as it is"
            )
        if not may_reactivate:
            return Settled(Outcome.REJECTED, short(taken))
        lists = self._directory.reactivate([change.uid])
        gone = change.uid in lists.get("notFound", ())
        return Settled(Outcome.REJECTED, short(taken)) if gone else None

    def _is_ours(self, uid: str) -> bool:
        """Look whether a user is deactivated by us, and not by somebody else since."""
        if uid not in self._mode.ours:
            return False
        seen = self._directory.find_deactivated(uid)
        if seen is None or refused_by_role(seen.user.role, self._mode.protected_roles):
            return False
        return owned(self._mode.ours, uid, seen.user.created_at, seen.user.deactivated_at)


def _timed(settled: Settled, *, is_unmoved: bool) -> Settled:
    """Take the time off a rejection that left the date of the record as it was: who left it there was not this write."""
    if settled.outcome is Outcome.REJECTED and is_unmoved:
        return msgspec.structs.replace(settled, updated_at=None)
    return settled


def _known_values(look: Record, fields: Iterable[str]) -> dict[str, str | None]:
    """Give what a user held in these fields; of a group that no look showed nothing, which is not the same as empty."""
    unknown = managed_groups(fields) - look.known
    return {name: look.values.get(name) for name in fields if name.split(".", 1)[0] not in unknown}


def _named(fields: Iterable[str]) -> str:
    return ", ".join(sorted(managed_groups(fields)))


def short(error: DirectoryError) -> str:
    """Say a refusal in a few words that carry no personal data: status, code, and the fields it names."""
    words = " ".join(str(part) for part in (error.status, error.code) if part) or error.message
    fields = ", ".join(error.fields) if isinstance(error, ChangeRejected) else ""
    return f"{words}: {fields}" if fields else words
