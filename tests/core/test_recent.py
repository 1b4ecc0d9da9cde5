"""Promises about limits over time: what earlier runs changed counts beside a plan, each user once."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.changes import class_counts, class_users
from reconcile.core.found import Decided, conclude, merged
from reconcile.core.guards import Bases, ChangeGuard, GuardClass, GuardVerdict, judge_again, judge_changes
from reconcile.core.ours import Left
from reconcile.core.outcome import PastChange
from reconcile.core.plan import PlanPolicy
from reconcile.core.recent import (
    arrays_of,
    is_counted,
    others,
    recent_users,
    taken_back,
)
from reconcile.core.written import Written, id_at, time_in_id
from tests.builders import a_comparison, a_row, a_user, feed, findings

NOW = 1_800_000_000
HOUR = 3_600
ROLE = GuardClass.ROLE_CHANGE
GUARDS = dict.fromkeys(GuardClass, ChangeGuard(0, 10))
BASES = Bases(9, 9, 9, 9)


def a_write(uid: str, hours_ago: float = 1, kind: GuardClass = ROLE, run_id: str = "1") -> Written:
    """A change that a run applied so many hours ago."""
    return Written(run_id, 1, uid, kind, int(NOW - hours_ago * HOUR))


def judged(planned: set[str], written: list[Written], windows: tuple[tuple[str, float], ...]) -> GuardVerdict:
    """The verdict on a plan of role changes after what earlier runs wrote."""
    beside = others(recent_users(written, windows, NOW), arrays_of((ROLE, uid) for uid in planned))
    verdicts = judge_changes({ROLE: len(planned)}, BASES, GUARDS, run_id="run", others=beside)
    return next(verdict for verdict in verdicts if verdict.guard == ROLE)


DAY = (("20h", 20.0 * HOUR),)


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 40), max_size=14), st.floats(0, 20)), max_size=8),
    st.integers(0, 30),
)
def test_no_split_into_runs_passes_more_users_than_the_limit(
    runs: list[tuple[set[int], float]], limit: int
) -> None:
    """Whatever the runs, their order and their times within the window; and what is within the limit all passes."""
    guards = GUARDS | {ROLE: ChangeGuard(0, limit)}
    written: list[Written] = []
    passed: set[int] = set()
    held = 0
    for users, hours_ago in sorted(runs, key=lambda run: -run[1]):
        planned = {f"u{number}" for number in users}
        beside = others(recent_users(written, DAY, NOW), arrays_of((ROLE, uid) for uid in planned))
        verdicts = {
            verdict.guard: verdict
            for verdict in judge_changes({ROLE: len(planned)}, BASES, guards, run_id="run", others=beside)
        }
        if verdicts[ROLE].is_held:
            held += 1
        else:
            passed |= users
            written += [a_write(uid, hours_ago) for uid in planned]

    assert len(passed) <= limit
    assert not held or len(set().union(*(users for users, _ in runs))) > limit


def test_a_class_that_earlier_runs_used_up_is_held_with_both_numbers() -> None:
    """The verdict says what is in the plan, what came before, and the limit."""
    verdict = judged({"a", "b", "c"}, [a_write(f"u{n}") for n in range(8)], DAY)

    assert verdict.verdict == "held"
    assert verdict.because == "3 in this plan and 8 others in the last 20h: 11 users, over the limit of 10"
    assert (verdict.measured, verdict.recent) == (3, {"20h": 8})
    assert verdict.release == "reconcile apply run --release role_change=3"


def test_a_user_who_is_in_the_plan_and_was_changed_before_counts_once() -> None:
    """The same ten users may be changed again."""
    users = {f"u{n}" for n in range(10)}

    assert judged(users, [a_write(uid) for uid in users] * 2, DAY).verdict == "pass"


@pytest.mark.parametrize(
    ("hours_ago", "verdict"), [(19.9, "held"), (20.1, "pass"), (-19.9, "held"), (-20.1, "pass")]
)
def test_what_was_changed_outside_the_window_does_not_count(hours_ago: float, verdict: str) -> None:
    """Also where a clock was set back meanwhile."""
    written = [a_write(f"u{n}", hours_ago) for n in range(10)]

    assert judged({"a"}, written, DAY).verdict == verdict


def test_a_longer_window_counts_more_and_is_named() -> None:
    """The first window that is over the limit is the one that the verdict names."""
    written = [a_write(f"u{n}", 30) for n in range(9)] + [a_write("near", 2)]
    verdict = judged({"a"}, written, (*DAY, ("7d", 7 * 24.0 * HOUR)))

    assert verdict.recent == {"20h": 1, "7d": 10}
    assert verdict.because == "1 in this plan and 10 others in the last 7d: 11 users, over the limit of 10"


def test_another_class_does_not_count_and_a_class_without_changes_is_never_held() -> None:
    """Each class has its own limit."""
    written = [a_write(f"u{n}", kind=GuardClass.UPDATE) for n in range(50)]

    assert judged({"a"}, written, DAY).verdict == "pass"
    verdicts = judge_changes({}, BASES, GUARDS, run_id="run", others={"20h": {GuardClass.UPDATE: 50}})
    assert [verdict.recent for verdict in verdicts if verdict.recent or verdict.is_held] == []


def test_a_migration_into_an_empty_directory_has_no_limit_over_time() -> None:
    """Everybody may be created there."""
    counts, beside = {GuardClass.CREATE: 500}, {"20h": {GuardClass.CREATE: 500}}
    verdict = judge_changes(counts, Bases(0, 0, 0, 0), GUARDS, run_id="run", others=beside)[0]

    assert (verdict.verdict, verdict.limit, verdict.recent) == ("pass", None, {})


@pytest.mark.parametrize("before", ["held", "released"])
def test_judged_again_a_verdict_that_a_person_or_a_guard_gave_stays(before: str) -> None:
    """Only what passed before can become held."""
    verdict = GuardVerdict("update", 3, 9, 10, before, "the command" if before == "held" else "", "why")
    again = judge_again(verdict, {"20h": {GuardClass.UPDATE: 99}}, run_id="other")

    assert (again.verdict, again.because, again.release) == (before, "why", verdict.release)
    assert again.recent == {"20h": 99}


# What the comparison counts

EVERYTHING = PlanPolicy(deactivate_unmanaged=True, reactivate=True, reactivate_foreign=True)


def test_the_users_of_a_class_are_as_many_as_its_changes() -> None:
    """Of every class, whatever the policy."""
    rows = [a_row("ani"), a_row("lime", name="Lime", role="x"), a_row("fig", name="Fig"), a_row("ban")]
    off = {"deactivated_at": 1_700_000_500}
    users = [a_user(uid="lime"), a_user(uid="fig", **off), a_user(uid="ban", **off), a_user(uid="wren")]
    found = findings(rows, users)
    for policy in (PlanPolicy(), EVERYTHING, PlanPolicy(reactivate=True)):
        named = class_users(found, policy, {"fig": Left(1_700_000_000, 1_700_000_500)}, set(GuardClass))
        counts = class_counts(found, policy, {"fig": Left(1_700_000_000, 1_700_000_500)})

        assert {kind: len(uids) for kind, uids in named.items()} == counts
        assert all(len(set(uids.to_pylist())) == len(uids) for uids in named.values())
    assert class_users(found, EVERYTHING, {"fig": Left(1_700_000_000, 1_700_000_500)}, {ROLE})[
        ROLE
    ].to_pylist() == ["lime"]


@pytest.mark.parametrize("apart", [1, 2, 3])
def test_partitions_count_the_recent_users_like_the_whole(apart: int) -> None:
    """Each counts its own users, planned or not, and the numbers add up."""
    uids = [f"u{n}" for n in range(6)]

    def found_in(names: list[str]) -> Any:
        recent = {
            "20h": {GuardClass.CREATE: pa.array([uid for uid in names if uid in {"u1", "u2", "u5"}], pa.string())}
        }
        comparison = feed(
            a_comparison(*(a_row(uid) for uid in names)), *(a_user(uid=uid) for uid in names if uid > "u2")
        )
        return conclude(comparison.close(whole=True), Decided(recent=recent))[1]

    parts = [found_in(uids[at::apart]) for at in range(apart)]

    assert merged(parts).others == {"20h": {GuardClass.CREATE: 1}}


# What an undo takes back


def past(
    run_id: str, seq: int, uid: str, action: str = "update", *, outcome: str = "applied", **after: Any
) -> PastChange:
    """A change of a run to these values, from others."""
    before = {} if action == "create" else dict.fromkeys(after, "before")
    return PastChange(run_id, seq, uid, action, outcome, "", before, after)


def test_what_an_undo_took_back_does_not_count() -> None:
    """Field by field, and by switching off and on; a failed change back takes nothing back."""
    first = [
        past("1", 1, "ani", role="x"),
        past("1", 2, "bob", "create", name="Bob"),
        past("1", 3, "cat", "deactivate"),
        past("1", 4, "dan", role="x", name="Dan"),
        past("1", 5, "eve", role="x"),
        past("1", 6, "fay", "reactivate"),
    ]
    back = [
        past("2", 1, "ani", role="old"),
        past("2", 2, "bob", "deactivate"),
        past("2", 3, "cat", "reactivate"),
        past("2", 4, "dan", role="old"),
        past("2", 5, "eve", outcome="failed", role="old"),
        past("2", 6, "fay", "deactivate"),
    ]

    assert taken_back({"1": first, "2": back}, {"2": "1"}) == {("1", 1), ("1", 2), ("1", 3), ("1", 6)}


def test_the_undo_of_an_undo_counts_and_so_does_what_it_brought_back() -> None:
    """Else undo, and undo of that, would pass a limit."""
    changes = {run_id: [past(run_id, 1, "ani", role=f"role {run_id}")] for run_id in ("1", "2", "3")}
    undoes = {"2": "1", "3": "2"}

    assert [run_id for run_id in ("1", "2", "3", "4") if is_counted(run_id, undoes)] == ["1", "3", "4"]
    assert taken_back(changes, undoes) == {("2", 1)}
    assert not is_counted("old", {"old": ""})


def test_runs_that_undo_each_other_end_the_search() -> None:
    """A state file that was tampered with hangs nothing."""
    assert isinstance(is_counted("1", {"1": "2", "2": "1"}), bool)
    assert taken_back({}, {"1": "2", "2": "1"}) == frozenset()


def test_the_time_of_a_run_can_be_read_from_its_id() -> None:
    """Older versions recorded no other."""
    moment = int(datetime(2026, 11, 23, 2, 15, tzinfo=UTC).timestamp())

    assert time_in_id("20261123T021500Z-3f9a") == moment
    assert id_at(moment) == "20261123T021500Z"
    assert time_in_id("run") is None
