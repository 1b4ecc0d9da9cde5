"""
Carry out a plan: intend, look, write, settle.

Each change is looked at right before it is sent and decided again (`core.upsert`). Its intent is durable
before the request leaves. A write whose answer is lost is settled by the next look, never by guessing.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from random import Random

import structlog

from reconcile.cometchat.client import Conflict
from reconcile.cometchat.directory import Directory
from reconcile.cometchat.gate import Gate, Stop
from reconcile.cometchat.wire import BULK_LIMIT
from reconcile.core.guards import GuardClass
from reconcile.core.outcome import Outcome, Settled
from reconcile.core.plan import Action, Change, PlanHeader
from reconcile.core.upsert import Create, Terms, Update, decide, verify
from reconcile.core.users import Record, fingerprint
from reconcile.errors import ChangeRejected, DirectoryBusy, DirectoryStopped, Unclear
from reconcile.store.planfile import PlanFile
from reconcile.store.state import State

__all__ = ["Applier", "Hands", "Mode"]

log = structlog.get_logger()

ATTEMPTS = 6  # looks and sends of one change
SAME_REJECTIONS = 50  # in a row without a success between: not the users are wrong, something else is


@dataclass(frozen=True, slots=True)
class Mode:
    """
    How a plan is carried out.

    `exact`: only what the plan says (a saved plan); else the least update towards the desired state.
    `limit`: the first so many changes in plan order. `unknown`: how many users the directory could not say
    anything about. `settled` and `open_intents` come from an earlier start of the same run.
    """

    exact: bool
    keeps: frozenset[str]
    may_reactivate: bool = False
    as_of_unix_s: int | None = None
    limit: int | None = None
    unknown: int = 0
    settled: dict[int, Settled] = field(default_factory=dict)
    open_intents: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Hands:
    """What carries a plan out: the directory, the journal, the gate, the stop, and how many at a time."""

    directory: Directory
    state: State
    gate: Gate
    stop: Stop
    random: Random
    workers: int


@dataclass(frozen=True, slots=True)
class _Group:
    """The changes of one uid in plan order, and all the classes that the plan has for it."""

    changes: tuple[Change, ...]
    planned: frozenset[GuardClass]


class Applier:
    """Carries out one plan with several workers; `on_settled` is told of every outcome."""

    def __init__(
        self,
        plan: PlanFile,
        hands: Hands,
        *,
        mode: Mode,
        run_id: str,
        on_settled: Callable[[Change, Settled], None],
    ) -> None:
        self._plan = plan
        self._header: PlanHeader = plan.header
        self._directory = hands.directory
        self._state = hands.state
        self._gate = hands.gate
        self._stop = hands.stop
        self._workers = hands.workers
        self._random = hands.random
        self._mode = mode
        self._run_id = run_id
        self._on_settled = on_settled
        self._lock = threading.Lock()
        self._rejections: tuple[str, int] = ("", 0)
        self._uncompared: frozenset[str] = frozenset()
        self.tally: Counter[str] = Counter()
        self.writes = 0

    def run(self) -> None:
        """
        Carry out the plan. Outcomes go to the state file; what has none at the end was not attempted.

        Raises: DirectoryStopped, Interrupted, StateError; what was settled until then stays settled.
        """
        self._prove_channels()
        self._pilot()
        self._side_by_side([self._groups(Action.CREATE), self._groups(Action.UPDATE)])
        if self._is_sound():
            self._reactivate(list(self._groups(Action.REACTIVATE)))
        if self._is_sound():
            self._deactivate(list(self._groups(Action.DEACTIVATE)))
        self._state.flush()

    # Which changes

    def _groups(self, action: Action) -> Iterator[_Group]:
        """Give the changes to make, by uid, of the groups that begin with this action."""
        for _, same in groupby(self._plan.changes(), key=lambda change: change.uid):
            changes = tuple(same)
            if changes[0].action is action:
                due = tuple(change for change in changes if self._is_due(change))
                if due:
                    yield _Group(due, frozenset(change.guard_class for change in changes))

    def _is_due(self, change: Change) -> bool:
        within = self._mode.limit is None or change.seq <= self._mode.limit
        return within and change.guard_class not in self._header.held and change.seq not in self._mode.settled

    def _is_sound(self) -> bool:
        """Whether the run may go on to switch users on and off: nothing failed, nobody is unknown."""
        return not self._mode.unknown and not self.tally[Outcome.FAILED]

    # What the answers show

    def _prove_channels(self) -> None:
        """Look at users that are known to have tags and metadata: does a look show them?"""
        for group, uid in self._header.witnesses.items():
            if group not in self._directory.shows("get"):
                self._directory.look(uid)
        hidden = {group for group in self._header.witnesses if group not in self._directory.shows("get")}
        self._uncompared = self._fields_in(hidden)

    def _pilot(self) -> None:
        """
        Where no row ever showed a group, make one change that writes it, alone, and see whether it shows.

        Otherwise the group is not compared, and its changes are skipped.
        """
        unproven = set(self._header.unproven) - self._directory.shows("get")
        if not unproven:
            return
        fields = self._fields_in(unproven)
        groups = (*self._groups(Action.CREATE), *self._groups(Action.UPDATE))
        pilot = next(
            (group for group in groups if any(self._writes(change, fields) for change in group.changes)), None
        )
        if pilot is None:
            return
        self._carry_out(pilot)
        self._directory.look(pilot.changes[0].uid)
        self._uncompared |= self._fields_in(unproven - self._directory.shows("get"))
        if self._uncompared:
            log.warning("apply.unproven", fields=sorted(self._uncompared))

    @staticmethod
    def _writes(change: Change, fields: frozenset[str]) -> bool:
        return any(change.desired.get(field) is not None for field in fields & set(change.fields))

    def _fields_in(self, groups: Iterable[str]) -> frozenset[str]:
        wanted = set(groups)
        return frozenset(name for name in self._header.fields if name.split(".", 1)[0] in wanted)

    def _terms(self, group: _Group) -> Terms:
        return Terms(
            planned=group.planned,
            exact=self._mode.exact,
            keeps=self._mode.keeps,
            compared=tuple(name for name in self._header.fields if name not in self._uncompared),
            visible=self._header.visible,
        )

    # Several at a time

    def _side_by_side(self, feeds: list[Iterator[_Group]]) -> None:
        """Work on several feeds at once, so that no rate group waits for another."""
        with ThreadPoolExecutor(self._workers, thread_name_prefix="apply") as pool:
            flying: dict[Future[None], int] = {}
            try:
                while feeds or flying:
                    self._fill(pool, feeds, flying)
                    done, _ = wait(flying, return_when=FIRST_COMPLETED)
                    for future in done:
                        del flying[future]
                        future.result()
            except BaseException:
                # Nothing new starts; what is in flight settles or stays an open intent.
                for future in flying:
                    future.cancel()
                raise

    def _fill(
        self, pool: ThreadPoolExecutor, feeds: list[Iterator[_Group]], flying: dict[Future[None], int]
    ) -> None:
        while feeds and len(flying) < 2 * self._workers:
            self._stop.check()
            busy = Counter(flying.values())
            feed = min(feeds, key=lambda candidate: busy[id(candidate)])
            group = next(feed, None)
            if group is None:
                feeds.remove(feed)
            else:
                flying[pool.submit(self._carry_out, group)] = id(feed)

    def _carry_out(self, group: _Group) -> None:
        terms = self._terms(group)
        for change in group.changes:
            settled = self._attempt(change, replace(terms, sent=change.seq in self._mode.open_intents))
            self._settle(change, settled)
            if settled.fingerprint is not None:
                # The next change of this user meets the record that this one left.
                terms = replace(terms, expected=settled.fingerprint)

    # One change

    def _attempt(self, change: Change, terms: Terms) -> Settled:
        """Look, decide and send until it is settled, or attempts are spent."""
        conflict = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                look = self._directory.look(change.uid, settling=terms.sent)
                if conflict and look is None:
                    settled = self._meet_hidden(change)
                    if settled is not None:
                        return settled
                    continue
                decision = decide(change, look, terms)
                if isinstance(decision, Settled):
                    return decision
                self._intend(change, look)
                return self._send(change, decision, terms)
            except ChangeRejected as error:
                return self._rejected(error)
            except Conflict:
                conflict = True
            except Unclear as error:
                log.warning("change.unclear", seq=change.seq, status=error.status, attempt=attempt)
                terms = replace(terms, sent=True)
                self._gate.sleep(self._random.uniform(0, 0.5 * 2**attempt))
            except DirectoryBusy as error:
                return Settled(Outcome.FAILED, _short(error))
        return Settled(Outcome.FAILED, f"unsettled after {ATTEMPTS} attempts")

    def _intend(self, change: Change, look: Record | None) -> None:
        before = {} if look is None else {name: look.values.get(name) for name in change.fields}
        self._state.intend(self._run_id, change, before)
        with self._lock:
            self.writes += 1

    def _send(self, change: Change, decision: Create | Update, terms: Terms) -> Settled:
        if isinstance(decision, Create):
            fields = tuple(name for name in change.fields if name in terms.compared)
            return self._confirm(change, fields, self._directory.create(decision.body), terms)
        echo: Record | None = None
        for body in decision.bodies:
            echo = self._directory.update(change.uid, body)
            if echo is None:
                return Settled(Outcome.SKIPPED, "vanished: the user is no longer in the directory")
        return self._confirm(change, decision.fields, echo, terms)

    def _confirm(self, change: Change, fields: Sequence[str], echo: Record | None, terms: Terms) -> Settled:
        """Compare the answer with what was sent; read back what it leaves open."""
        if echo is None:
            return Settled(Outcome.FAILED, "nothing was sent")
        record = echo
        proof = verify(fields, change.desired, record, self._directory.shows("echo"))
        if not proof.holds:
            looked = self._read_back(change)
            if looked is None:
                return Settled(Outcome.FAILED, "the user is gone right after the write")
            record = looked
            proof = verify(fields, change.desired, record, self._directory.shows("get"))
        if proof.holds:
            return _applied(record, terms)
        if proof.differing:
            return Settled(Outcome.REJECTED, f"did_not_stick: {', '.join(proof.differing)}")
        unseen = {name.split(".", 1)[0] for name in proof.unshown}
        return _applied(record, terms, f"unconfirmed: no answer shows {', '.join(sorted(unseen))}")

    def _read_back(self, change: Change) -> Record | None:
        try:
            return self._directory.look(change.uid, settling=True)
        except DirectoryBusy as error:
            raise Unclear(error.message, status=error.status, code=error.code) from error

    def _meet_hidden(self, change: Change) -> Settled | None:
        """
        The uid of a create is taken, and no look shows by whom: a deactivated user.

        None when it was reactivated and is to be looked at again.
        """
        if self._mode.exact or not self._mode.may_reactivate:
            return Settled(Outcome.SKIPPED, "the uid belongs to a deactivated user; policy.deactivated is report")
        lists = self._directory.reactivate([change.uid])
        back = lists.get("reactivatedUids", frozenset()) | lists.get("nonDeactivatedUids", frozenset())
        return (
            None if change.uid in back else Settled(Outcome.REJECTED, "the uid is taken by a user nobody can see")
        )

    def _rejected(self, error: ChangeRejected) -> Settled:
        detail = f"{_short(error)}{': ' + ', '.join(error.fields) if error.fields else ''}"
        with self._lock:
            same = self._rejections[1] + 1 if self._rejections[0] == detail else 1
            self._rejections = (detail, same)
        if same >= SAME_REJECTIONS:
            raise DirectoryStopped(
                f"CometChat refused {same} changes in a row for the same reason: {detail}",
                hint="look at the first of them in changes.csv; mend the mapping or the app, then resume",
            )
        return Settled(Outcome.REJECTED, detail)

    def _settle(self, change: Change, settled: Settled) -> None:
        self._state.settle(self._run_id, change, settled)
        with self._lock:
            self.tally[settled.outcome] += 1
            if settled.outcome in {Outcome.APPLIED, Outcome.ALREADY}:
                self._rejections = ("", 0)
        log.debug("change.settled", seq=change.seq, action=change.action, outcome=settled.outcome)
        self._on_settled(change, settled)

    # Switching on and off, in batches

    def _reactivate(self, groups: list[_Group]) -> None:
        ready: list[_Group] = []
        for batch in _batches(groups):
            due = [group for group in batch if group.changes[0].action is Action.REACTIVATE]
            for group in due:
                self._intend(group.changes[0], None)
            lists = self._switch([group.changes[0].uid for group in due], self._directory.reactivate)
            for group in due:
                change = group.changes[0]
                self._settle(change, _read_lists(change.uid, lists, "reactivatedUids", "nonDeactivatedUids"))
            ready += [_Group(group.changes[1:], group.planned) for group in due if group.changes[1:]]
        self._side_by_side([iter(ready)])

    def _deactivate(self, groups: list[_Group]) -> None:
        for batch in _batches(groups):
            due = []
            for group in batch:
                change = group.changes[0]
                refusal = self._may_not_deactivate(change)
                if refusal is not None:
                    self._settle(change, refusal)
                    continue
                self._intend(change, None)
                due.append(change)
            if due:
                lists = self._switch([change.uid for change in due], self._directory.deactivate)
                for change in due:
                    self._settle(
                        change, _read_lists(change.uid, lists, "deactivatedUids", "alreadyDeactivatedUids")
                    )

    def _may_not_deactivate(self, change: Change) -> Settled | None:
        """Look once more at who is to be switched off."""
        try:
            look = self._directory.look(change.uid)
        except DirectoryBusy as error:
            return Settled(Outcome.FAILED, _short(error))
        if look is None or not look.active:
            return Settled(Outcome.ALREADY, "the look before the write agreed")
        as_of = self._mode.as_of_unix_s
        if as_of is not None and (look.created_at or 0) >= as_of:
            return Settled(Outcome.SKIPPED, "created after the export")
        return None

    def _switch(
        self, uids: list[str], send: Callable[[Sequence[str]], dict[str, frozenset[str]]]
    ) -> dict[str, frozenset[str]]:
        """Send one batch; the call is idempotent, so a lost answer is asked for again."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return send(uids)
            except Unclear:
                self._gate.sleep(self._random.uniform(0, 0.5 * 2**attempt))
            except ChangeRejected as error:
                return {"rejected": frozenset(uids), _short(error): frozenset()}
            except DirectoryBusy:
                break
        return {}


def _batches(groups: Iterable[_Group]) -> Iterator[list[_Group]]:
    rest = iter(groups)
    while batch := list(islice(rest, BULK_LIMIT)):
        yield batch


def _read_lists(uid: str, lists: dict[str, frozenset[str]], done: str, already: str) -> Settled:
    if uid in lists.get(done, ()):
        return Settled(Outcome.APPLIED)
    if uid in lists.get(already, ()):
        return Settled(Outcome.ALREADY, "the answer says that it was so already")
    if uid in lists.get("notFound", ()):
        return Settled(Outcome.SKIPPED, "vanished: the user is no longer in the directory")
    if uid in lists.get("rejected", ()):
        return Settled(Outcome.REJECTED, "the batch was refused")
    return Settled(Outcome.FAILED, "the answer does not name the user")


def _applied(record: Record, terms: Terms, detail: str = "") -> Settled:
    return Settled(Outcome.APPLIED, detail, record.updated_at, fingerprint(record.values, terms.visible))


def _short(error: DirectoryBusy | ChangeRejected) -> str:
    return " ".join(str(part) for part in (error.status, error.code) if part) or error.message
