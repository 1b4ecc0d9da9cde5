"""The order in which a plan is carried out, and how many of its changes at a time."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from queue import SimpleQueue

import structlog

from reconcile.applying.confirming import Confirmations
from reconcile.applying.dates import keep_dates
from reconcile.applying.hands import Group, Hands, Mode, groups_of
from reconcile.applying.switches import CLOCK, Switch, batches_of
from reconcile.applying.upserts import DOUBTS, Upserter
from reconcile.core.actual import managed_groups
from reconcile.core.forecast import COSTS
from reconcile.core.guards import GuardClass
from reconcile.core.outcome import LEFT_ALONE, UNPROVEN, Outcome, Settled, unstuck
from reconcile.core.pacing import hungry
from reconcile.core.plan import Action, Change
from reconcile.core.sent import Sent
from reconcile.core.upsert import NEVER_EMPTIED, Terms
from reconcile.core.users import Record
from reconcile.errors import ChangeRejected, DirectoryBusy, DirectoryStopped, StateError
from reconcile.store.planfile import PlanFile

__all__ = ["Applier"]

log = structlog.get_logger()

Work = Callable[[], None]

_WAKING = frozenset({GuardClass.REACTIVATE, GuardClass.REACTIVATE_FOREIGN})
# No bound of ours: a thread is made when a piece of work finds none free, and `Hands.workers` bounds how many those are.
_THREADS = 10_000
SAME_REJECTIONS = 50  # in a row without a success between: not the users are wrong, something else is


class Applier:
    """Carries out one plan with several workers; `on_settled` is told of every outcome."""

    def __init__(
        self, plan: PlanFile, hands: Hands, mode: Mode, on_settled: Callable[[Change, Settled], None]
    ) -> None:
        self._plan = plan
        self._header = plan.header
        self._hands = hands
        self._mode = mode
        self._on_settled = on_settled
        self._confirmations = Confirmations(hands, mode, plan.header)
        self._upserter = Upserter(hands, mode, self._confirmations.may_wait)
        self._switch = Switch(hands, mode)
        self._uncompared: frozenset[str] = frozenset()
        self._known = frozenset((uid, field) for uid, field, _ in mode.stuck)
        self._lock = threading.Lock()
        self._rejections: tuple[str, int] = ("", 0)
        self.tally: Counter[str] = Counter()
        self.unwritten: frozenset[str] = frozenset()  # the groups that changes went without: no answer shows them
        self.withheld = ""  # why users were not deactivated, where the clocks did not allow it
        self.left_alone: Counter[str] = Counter()  # how many changes left a field alone, by the reason

    @property
    def uncompared(self) -> frozenset[str]:
        """The managed fields that no answer shows, as far as this run found out."""
        return self._uncompared

    def run(self) -> None:
        """
        Carry out the plan. Outcomes go to the state file; what has none at the end was not attempted.

        Raises: DirectoryStopped, Interrupted, StateError; what was settled until then stays settled.
        """
        try:
            self._carry_out_all()
        finally:
            # However it ends: the report is made from what is in the file.
            with suppress(StateError):
                self._hands.state.flush()

    def _carry_out_all(self) -> None:
        self._prove_channels()
        self._prove_by_write()
        self._side_by_side({action: self._upserts(self._groups(action)) for action in COSTS})
        self._confirm()
        if self._is_sound():
            self._reactivate(list(self._groups(Action.REACTIVATE)))
            self._confirm()
        if self._is_sound():
            off = batches_of(group.changes[0] for group in self._groups(Action.DEACTIVATE))
            self._side_by_side({Action.DEACTIVATE: (partial(self._switch_off, batch) for batch in off)})
        self._keep_dates()
        self._hands.state.all_confirmed(self._hands.run_id)
        self._hands.state.flush()

    def _groups(self, action: Action) -> Iterator[Group]:
        return groups_of(self._plan, action, self._is_due)

    def _is_due(self, change: Change) -> bool:
        within = self._mode.limit is None or change.seq <= self._mode.limit
        is_done = change.seq in self._mode.settled or change.seq in self._mode.unconfirmed
        return within and change.guard_class not in self._header.held and not is_done

    def _is_sound(self) -> bool:
        """Whether the run may go on to switch users on and off: nothing failed, nobody is unknown."""
        failed = any(settled.outcome is Outcome.FAILED for settled in self._mode.settled.values())
        return not (self._mode.unknown or self.tally[Outcome.FAILED] or failed)

    def _reactivate(self, groups: list[Group]) -> None:
        """Switch users on, and bring in line those that are on."""
        first = {group.changes[0].uid: group for group in groups}
        waiting = [group.changes[0] for group in groups if group.changes[0].action is Action.REACTIVATE]
        for change, settled in self._switch.reactivate(waiting):
            self._settle(change, settled)
            if settled.needs_a_person:
                del first[change.uid]
        for group in [group for group in first.values() if group.planned & self._header.held & _WAKING]:
            # Nobody can write to who is switched off.
            kind = next(iter(group.planned & _WAKING))
            for change in group.changes:
                self._settle(change, Settled(Outcome.HELD, f"guard {kind}"))
            del first[group.changes[0].uid]
        updates = (
            Group(
                tuple(change for change in group.changes if change.action is Action.UPDATE),
                group.planned,
                group.before,
                group.past,
            )
            for group in first.values()
        )
        due = [group for group in updates if group.changes]
        self._side_by_side({Action.UPDATE: self._upserts(due)})

    def _switch_off(self, batch: Sequence[Change]) -> None:
        for change, settled in self._switch.deactivate(batch):
            self._settle(change, settled)

    def _keep_dates(self) -> None:
        """Keep since when those are deactivated that this run switched off: only this date says that it was us."""
        known = next((guard.base for guard in self._header.guards if guard.guard == GuardClass.REACTIVATE), None)
        keep_dates(
            self._hands.directory,
            self._hands.state,
            self._hands.run_id,
            known_off=known,
            certain=self._switch.certain,
            wait=self._hands.wait_for_lag,
        )

    def _upserts(self, groups: Iterable[Group]) -> Iterator[Work]:
        return (partial(self._carry_out, group) for group in groups)

    # What was sent and is still to be confirmed

    def _confirm(self) -> None:
        """Settle what was answered and waits: by the pages of the list, and the rest by a look each."""
        state, run_id = self._hands.state, self._hands.run_id
        state.flush()
        if not state.count_unconfirmed(run_id):
            return
        terms = self._terms_of_all()
        with closing(self._confirmations.by_page()) as seen:
            for change, sent, record, proof in seen:
                self._settle(change, self._upserter.judge_later(change, sent, record, proof, terms))
        # Closed here, by the thread that opened it, also where the run ends in the middle of it.
        with closing(state.unconfirmed(run_id)) as waiting:
            looks = (partial(self._confirm_one, change, sent, terms) for change, sent in waiting)
            self._side_by_side({Action.UPDATE: looks})
        state.flush()

    def _confirm_one(self, change: Change, sent: Sent, terms: Terms) -> None:
        self._settle(change, self._upserter.confirm(change, sent, terms))

    # What the answers show

    def _prove_channels(self) -> None:
        """Look at users that are known to have tags and metadata: does a look show them, or the list?"""
        directory = self._hands.directory
        witnesses = self._header.witnesses
        for group in sorted(witnesses.keys() - directory.shows("get")):
            # One user that cannot be read ends no run: the group then counts as left out.
            with suppress(DirectoryBusy, ChangeRejected):
                directory.look(witnesses[group])
        hidden = witnesses.keys() - directory.shows("get")
        if hidden:
            directory.list_shows({group: witnesses[group] for group in hidden})
            directory.rely_on_list(hidden)
        self._uncompared = self._fields_in(hidden - directory.looks_show())

    def _prove_by_write(self) -> None:
        """Where no row ever showed a group, have one write show whether an answer carries it."""
        directory = self._hands.directory
        directory.try_list(self._header.unproven)
        self._recall()
        for group in sorted(self._header.unproven):
            if group not in directory.looks_show():
                self._pilot(group)
        directory.rely_on_list(self._header.unproven)

    def _recall(self) -> None:
        """Look at users that an earlier start of this run wrote, a few for each group: a look may prove the group."""
        for group in sorted(self._header.unproven) if self._mode.settled else ():
            fields = self._fields_in({group})
            applied = {seq for seq, settled in self._mode.settled.items() if settled.outcome is Outcome.APPLIED}
            done = (change for change in self._plan.changes() if change.seq in applied and _fills(change, fields))
            for change in islice(done, DOUBTS):
                if group not in self._hands.directory.looks_show():
                    self._find(change.uid)

    def _pilot(self, group: str) -> None:
        """
        Make one change that writes a group, alone, and see whether an answer shows it.

        Otherwise the group is not compared, and its changes are skipped. A user that is there already may have
        what no answer shows, so it serves for that only where the mode says so.
        """
        fields = self._fields_in({group})
        actions = (Action.CREATE, Action.UPDATE) if group in self._mode.guesses else (Action.CREATE,)
        groups = (group for action in actions for group in self._groups(action))
        pilot = next((g for g in groups if any(_fills(change, fields) for change in g.changes)), None)
        if pilot is None:
            return
        is_there = pilot.changes[0].action is not Action.CREATE
        self._carry_out(pilot, guesses=frozenset({group}) if is_there else frozenset())
        self._mode = replace(
            self._mode,
            settled=self._mode.settled | {change.seq: Settled(Outcome.APPLIED) for change in pilot.changes},
        )
        directory = self._hands.directory
        for attempt in range(1, DOUBTS + 2):
            self._find(pilot.changes[0].uid)
            if group in directory.looks_show() or attempt > DOUBTS:
                break
            # A look that lags behind the write shows as little as one that hides the group.
            self._hands.wait_for_lag(attempt)
        is_unseen = group not in directory.looks_show()
        self._hands.remember(f"unseen.{group}", "yes" if is_unseen else "")
        if is_unseen:
            self._uncompared |= fields
            log.warning("apply.unproven", groups=[group])

    def _find(self, uid: str) -> None:
        """Have every kind of answer show what it shows of a user: what a look at it hides, the list may not."""
        with suppress(DirectoryBusy, ChangeRejected):
            self._hands.directory.find(uid)

    def _fields_in(self, groups: Iterable[str]) -> frozenset[str]:
        wanted = set(groups)
        return frozenset(name for name in self._header.fields if name.split(".", 1)[0] in wanted)

    # Several at a time

    def _side_by_side(self, feeds: dict[Action, Iterator[Work]]) -> None:
        """Work on several feeds at once, as many pieces as there are workers, so that no rate group waits for another."""
        done: SimpleQueue[Future[Action]] = SimpleQueue()
        flying = dict.fromkeys(feeds, 0)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="apply") as pool:
            try:
                while feeds or sum(flying.values()):
                    if feeds and sum(flying.values()) < self._hands.workers():
                        self._feed(pool, feeds, flying, done)
                    else:
                        flying[done.get().result()] -= 1
            except BaseException:
                # Nothing new starts; what is in flight settles, or stays an open intent.
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _feed(
        self,
        pool: ThreadPoolExecutor,
        feeds: dict[Action, Iterator[Work]],
        flying: dict[Action, int],
        done: "SimpleQueue[Future[Action]]",
    ) -> None:
        """Start one more piece, from the feed that the hungrier budget lives on."""
        self._hands.stop.check()
        rest = [*feeds]
        action = rest[0] if len(rest) == 1 else hungry(rest, COSTS, flying, self._hands.gate.rates())
        work = next(feeds[action], None)
        if work is None:
            del feeds[action]
            return
        flying[action] += 1
        pool.submit(_done, work, action).add_done_callback(done.put)

    def _terms_of_all(self) -> Terms:
        return Terms(
            planned=frozenset(),
            exact=self._mode.exact,
            keeps=self._mode.keeps,
            compared=tuple(name for name in self._header.fields if name not in self._uncompared),
            visible=self._header.visible,
            protected_roles=self._mode.protected_roles,
            private=self._mode.private(),
            overwrites=self._mode.overwrites,
        )

    def _carry_out(self, group: Group, guesses: frozenset[str] = frozenset()) -> None:
        terms = replace(
            self._terms_of_all(),
            planned=group.planned,
            stuck=self._stuck(group.changes[0]),
            seen=group.before,
            freshness=self._mode.freshness if self._mode.leaves_newer else None,
            guesses=guesses,
        )
        known: Record | None = None
        for change in group.past:
            # An earlier start of this run may have moved the record, and was ended before it got to the next.
            terms = _after(terms, self._mode.settled.get(change.seq))
        for change in group.changes:
            sent, more = change.seq in self._mode.open_intents, change is not group.changes[-1]
            ended, known = self._upserter.carry_out(change, replace(terms, sent=sent, more=more), known)
            if isinstance(ended, Sent):
                self._hands.state.leave_unconfirmed(self._hands.run_id, change, ended)
            else:
                self._settle(change, ended)
                terms = _after(terms, ended)

    def _stuck(self, change: Change) -> frozenset[str]:
        wanted = ((name, change.desired.get(name) or "") for name in self._header.fields)
        return frozenset(name for name, text in wanted if (change.uid, name, text) in self._mode.stuck)

    def _settle(self, change: Change, settled: Settled) -> None:
        # First: a state file that takes nothing any more does not undo what was done.
        self._on_settled(change, settled)
        self._hands.state.settle(self._hands.run_id, change, settled)
        log.debug("change.settled", seq=change.seq, action=change.action, outcome=settled.outcome)
        unkept = {name: change.desired.get(name) for name in unstuck(settled.detail)}
        if not self._header.undoes:
            self._remember(change, settled, unkept)
        with self._lock:
            if settled.detail.startswith(LEFT_ALONE):
                self.left_alone[_reason(settled)] += 1
            if NEVER_EMPTIED in settled.detail:
                self.left_alone[NEVER_EMPTIED] += 1
            if settled.detail.startswith(UNPROVEN):
                self.unwritten |= managed_groups(self._uncompared & set(change.fields))
            if settled.outcome is Outcome.HELD and settled.detail.startswith(f"{CLOCK}: "):
                self.withheld = settled.detail.removeprefix(f"{CLOCK}: ")
            self.tally[settled.outcome] += 1
            # That a value is still not kept, which was not kept earlier, is no sign of a new trouble.
            if not unkept or any(
                (change.uid, name, text or "") not in self._mode.stuck for name, text in unkept.items()
            ):
                self._note_rejection(settled)

    def _remember(self, change: Change, settled: Settled, unkept: Mapping[str, str | None]) -> None:
        """Keep which values CometChat did not keep, and drop those that it keeps now."""
        state = self._hands.state
        state.never_sticks(self._hands.run_id, change.uid, unkept)
        is_seen = settled.outcome is Outcome.ALREADY or (settled.outcome is Outcome.APPLIED and not settled.detail)
        if is_seen:
            pairs = ((change.uid, name) for name in change.fields)
            state.no_longer_stuck([pair for pair in pairs if pair in self._known])

    def _note_rejection(self, settled: Settled) -> None:
        if settled.outcome in {Outcome.APPLIED, Outcome.ALREADY}:
            self._rejections = ("", 0)
        # What was not sent says nothing of the service.
        if settled.outcome is not Outcome.REJECTED or NEVER_EMPTIED in settled.detail:
            return
        same = self._rejections[1] + 1 if self._rejections[0] == settled.detail else 1
        self._rejections = (settled.detail, same)
        if same >= SAME_REJECTIONS:
            raise DirectoryStopped(
                f"CometChat refused {same} changes in a row for the same reason: {settled.detail}",
                hint="look at the first of them in changes.csv; mend the mapping or the app, then: reconcile resume",
            )


def _done(work: Work, action: Action) -> Action:
    """Do a piece of work, and say which feed it was of."""
    work()
    return action


def _after(terms: Terms, settled: Settled | None) -> Terms:
    """Give the terms of the next change of a user: it meets the record that this one left."""
    # A user that was written but for a field that was left alone counts as skipped, or as rejected.
    if settled is None or settled.outcome is Outcome.ALREADY or settled.fingerprint is None:
        return terms
    return replace(terms, expected=settled.fingerprint, left_at=settled.updated_at)


def _reason(settled: Settled) -> str:
    """Give why a change left a field alone, without the names of the fields."""
    return settled.detail.partition(", because ")[2].partition("; ")[0]


def _fills(change: Change, fields: frozenset[str]) -> bool:
    """Whether a change gives one of these fields a value."""
    return any(change.desired.get(name) is not None for name in fields & set(change.fields))
